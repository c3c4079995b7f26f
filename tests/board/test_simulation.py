from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rtl4ml
from rtl4ml.board.description import find_board
from rtl4ml.board.simulation import simulate, simulate_node
from rtl4ml.errors import ConfigurationError
from tests.board.networks import small

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def failures(result):
    return {case.name: case.message for case in result.failures}


@pytest.mark.rtl
def test_the_digits_on_the_icebreaker():
    board = find_board("icebreaker")
    design = rtl4ml.compile(rtl4ml.load(EXAMPLES / "models" / "digits_mlp.onnx"), reuse=128, clock_mhz=board.clock_mhz)
    with np.load(EXAMPLES / "data" / "digits_test.npz") as data:
        codes = design.encode(data["x"][:6])
    result = simulate(design, board, codes)
    assert failures(result) == {}
    assert {case.name: case.state for case in result.cases}["weights"] == "skipped"
    assert len(result.cases) == 10


@pytest.mark.rtl
@pytest.mark.parametrize(
    ("settings", "mhz", "baud"),
    [
        ({"lanes": 4, "output_lanes": 3}, 12.0, 921_600),  # padding in both frames; bits of no whole number of cycles
        ({"reuse": 1}, 16.0, 3_000_000),  # a whole tensor a beat
        ({"weights": "writable"}, 50.0, 12_500_000),  # the fastest line
    ],
)
def test_other_shapes(settings, mhz, baud):
    board = replace(find_board("ulx3s"), clock_mhz=mhz, baud=baud)
    design = small(**settings)
    codes = np.random.default_rng(5).integers(0, 4, (6, design.graph.input_tensor.size))
    slow = ["frames_without_a_pause", "identity", "reset_inside_a_frame", "host_program", "silence_ends_a_frame"]
    slow += ["weights"] if "weights" in settings else []
    result = simulate(design, board, codes, slow)
    assert failures(result) == {}
    assert len(result.cases) == len(slow)


@pytest.mark.rtl
@pytest.mark.parametrize("settings", [{}, {"lanes": 4, "output_lanes": 3}, {"reuse": 1}, {"weights": "writable"}])
def test_nodes(settings):
    design = small(**settings)
    codes = np.random.default_rng(5).integers(0, 4, (12, design.graph.input_tensor.size))
    result = simulate_node(design, codes)
    assert failures(result) == {}
    states = {case.name: case.state for case in result.cases}
    assert len(states) == 7
    skipped = {name for name, state in states.items() if state == "skipped"}
    assert skipped == (set() if "weights" in settings else {"weights", "reset_between_words_and_commit"})


def test_errors():
    codes = np.zeros((4, 6), np.int64)
    with pytest.raises(ConfigurationError, match="must have 4 samples or more, not 3"):
        simulate(small(), find_board("icebreaker"), codes[:3])
    with pytest.raises(ConfigurationError, match="must have a serial line, but KV260 has none: prove the network"):
        simulate(small(), find_board("kv260"), codes)
