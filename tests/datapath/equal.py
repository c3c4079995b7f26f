"""Proofs by Yosys that two modules compute the same."""

from rtl4ml.datapath.cells import MACRO


def proof(gold, gate):
    """Commands that prove it of combinational modules in files of their names.

    Of the second the primitives of AMD parts are taken, with Yosys' own models.
    """
    return [
        "design -reset",
        f"read_verilog {gold}.v",
        f"prep -flatten -top {gold}",
        "rename -top gold",
        "design -stash gold",
        "read_verilog +/xilinx/cells_sim.v",
        f"read_verilog -D{MACRO} {gate}.v",
        f"prep -flatten -top {gate}",
        "rename -top gate",
        "design -stash gate",
        "design -copy-from gold -as gold gold",
        "design -copy-from gate -as gate gate",
        "miter -equiv -flatten gold gate miter",
        "sat -verify -prove trigger 0 miter",
    ]
