"""Verilog of a plan, the wrapper around it, and `metadata.json`, written whole or not at all."""
