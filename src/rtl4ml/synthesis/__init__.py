"""Measuring what Verilog costs on real parts."""
