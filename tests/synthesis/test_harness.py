import json

import pytest

from rtl4ml.synthesis.harness import with_harness

DATA = {"ecp5": ("DI", "Q", "CLK"), "ice40": ("D", "Q", "C")}


def netlist(ports, connections):
    """A module with one table: its pins by direction."""
    directions = {pin: "output" if pin == "O" else "input" for pin in connections}
    cell = {"type": "SB_LUT4", "port_directions": directions, "connections": connections}
    nets = {name: {"hide_name": 0, "bits": port["bits"], "attributes": {}} for name, port in ports.items()}
    module = {"ports": ports, "cells": {"table": cell}, "netnames": nets}
    return json.dumps({"creator": "Yosys", "modules": {"top": module, "SB_LUT4": {"ports": {}, "cells": {}}}})


def port(direction, *bits):
    return {"direction": direction, "bits": list(bits)}


@pytest.mark.parametrize("family", DATA)
def test_every_port_bit_in_use_has_a_register(family):
    ports = {"clk": port("input", 2), "a": port("input", 3, 4, 5), "y": port("output", 6, 3, "0")}
    found = with_harness(netlist(ports, {"I0": [3], "I1": [4], "O": [6]}), "top", "clk", family)
    design = json.loads(found.text)
    assert list(design["modules"]) == ["top"]
    module = design["modules"]["top"]
    assert {name: p["direction"] for name, p in module["ports"].items()} == {"clk": "input", "harness_serial": "input"}
    data, output, clock = DATA[family]
    cells = [cell["connections"] for name, cell in module["cells"].items() if name.startswith("harness_")]
    # Bit 5 is read by nobody, and the last bit of y is a constant.
    assert found.flip_flops == len(cells) == 4
    assert all(cell[clock] == [2] for cell in cells)
    serial = module["ports"]["harness_serial"]["bits"]
    assert [(cell[data], cell[output]) for cell in cells[:2]] == [(serial, [3]), ([3], [4])]
    assert [cell[data] for cell in cells[2:]] == [[6], [3]]
    loose = [cell[output][0] for cell in cells[2:]]
    assert len({*loose, *serial, 2, 3, 4, 5, 6}) == 8


def test_a_module_without_a_clock_gets_one():
    ports = {"a": port("input", 2), "y": port("output", 3)}
    module = json.loads(with_harness(netlist(ports, {"I0": [2], "O": [3]}), "top", "clk", "ice40").text)["modules"][
        "top"
    ]
    clock = module["ports"]["clk"]["bits"]
    assert clock[0] not in (2, 3)
    assert [c["connections"]["C"] for n, c in module["cells"].items() if n.startswith("harness_")] == [clock, clock]
