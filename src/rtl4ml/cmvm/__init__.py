"""Constant matrix-vector products as adder graphs: matrices in, datapath out."""
