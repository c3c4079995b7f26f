import re
import subprocess
from dataclasses import replace

import pytest

from rtl4ml.board import top
from rtl4ml.board.description import find_board
from rtl4ml.errors import ConfigurationError
from rtl4ml.export.templates import render
from rtl4ml.simulation.verilator import find_verilator
from tests.board.networks import small


def lint(files, name, folder):
    """Only what is generated has waivers, those that an IP is shipped with."""
    waived = [render("ip/lint.vlt.j2", name=part, version="") for part in ("net_s?", "net")]
    (folder / "stages.vlt").write_text(waived[0])
    (folder / "load.vlt").write_text(waived[1].replace("*net_*.v", "*net_load.v"))
    for file, text in files.items():
        (folder / file).write_text(text)
    verilator = find_verilator()
    done = subprocess.run(
        [verilator.program, "--lint-only", "-Wall", "--top-module", name, "stages.vlt", "load.vlt", *files],
        cwd=folder,
        env={"VERILATOR_ROOT": str(verilator.root)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


@pytest.mark.rtl
@pytest.mark.parametrize("settings", [{}, {"lanes": 4, "output_lanes": 4}, {"weights": "writable"}])
def test_boards_and_nodes_pass_lint(tmp_path, settings):
    design = small(**settings)
    board = replace(find_board("icebreaker"), pll=None)
    assert lint(top.uart_files(design, board), "net_board", tmp_path) == (0, "")
    assert lint(top.node_files(design), "net_node", tmp_path) == (0, "")


def test_the_same_text_twice():
    board = find_board("ulx3s")
    assert top.uart_files(small(), board) == top.uart_files(small(), board)
    assert next(iter(top.uart_files(small(), board))) == "net_board.v"
    assert next(iter(top.node_files(small()))) == "net_node.v"


def test_every_module_has_the_name_in_front():
    text = "".join(top.uart_files(small(), find_board("ulx3s")).values())
    assert all(name.startswith("net") for name in re.findall(r"^module (\w+)", text, re.MULTILINE))
    assert "EHXPLLL" in text
    assert "SB_PLL40_PAD" in top.uart_files(small(), find_board("icebreaker"))["net_board.v"]


@pytest.mark.parametrize(
    ("mhz", "baud"), [(12, 1_000_000), (50, 3_000_000), (25, 115_200), (4, 1_000_000), (99.9, 921_600)]
)
def test_bits_are_as_long_as_they_should_be(mhz, baud):
    cycles = 2**top.PHASE_BITS / top.bit_clock(mhz, baud)
    assert abs(cycles * baud / (mhz * 1e6) - 1) < 2e-3  # of a bit; a byte may be off by half a bit in ten


def test_silence_is_a_power_of_two_of_cycles():
    board = find_board("icebreaker")
    assert top.silence_cycles(board, 20) == 1 << 19
    assert 20 <= top.silence_cycles(board, 20) / board.clock_mhz / 1e3 < 40


def test_identity_is_of_network_and_layout():
    metadata = small().metadata()
    assert top.identity(metadata) == top.identity({**metadata, "clock_mhz": 1, "plan": None})
    assert top.identity(metadata) != top.identity({**metadata, "name": "other"})
    assert f"{top.identity(metadata):08x}" in top.node_files(small())["net_node.v"]


def test_errors():
    with pytest.raises(ConfigurationError, match=r"A board's design must have back-pressure, .* leave out"):
        top.uart_files(small(reuse=1, backpressure=False), find_board("icebreaker"))
    with pytest.raises(ConfigurationError, match="baud must be 1 to a quarter of the clock of 24 MHz, not 8000000"):
        top.uart_files(small(), replace(find_board("icebreaker"), baud=8_000_000))
