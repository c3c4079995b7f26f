"""What an exported IP holds beside its Verilog: datasheet, tool flows, benches, software twins, drivers."""
