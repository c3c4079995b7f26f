"""Running the Verilog: native runs of millions of samples, and the protocol bench."""
