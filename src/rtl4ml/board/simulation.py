"""A whole board in simulation: requests and answers at the pins of its serial line."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rtl4ml.board.description import Board
from rtl4ml.board.top import identity, node_files, silence_cycles, uart_files
from rtl4ml.design import Design
from rtl4ml.errors import ConfigurationError
from rtl4ml.export.ip.vectors import archive
from rtl4ml.formats import Codes
from rtl4ml.operators import Conv, Dense
from rtl4ml.simulation.cocotb_bench import BenchResult, build_program, run_tests

SILENCE_MS = 0.3
"""Shorter than on a board: a simulation has no operating system that pauses."""

MIN_FRAMES = 4


def check(board: Board) -> None:
    """See that there is a simulation of a board.

    Raises:
        ConfigurationError: the board has no serial line.
    """
    if board.pins is None:
        raise ConfigurationError(
            f"Board of the simulation (--verify) must have a serial line, but {board.title} has none: prove the "
            "network by itself, with rtl4ml verify"
        )


def simulate(design: Design, board: Board, codes: Codes, tests: Sequence[str] | None = None) -> BenchResult:
    """Run the bench of `sim/cocotb/test_uart.py`.

    A PLL is left out: the pin carries the clock of the logic.

    Args:
        design: with back-pressure.
        board: with a serial line.
        codes: int64 (N, n_in), four or more; every bit on the line is simulated, so a dozen is plenty.
        tests: names of tests to run; None: all.

    Raises:
        ConfigurationError: too few codes, or a board without a serial line.
        ToolError: Verilator, the C++ compiler or cocotb is missing or fails.
    """
    check(board)
    assert board.pins is not None
    files = uart_files(design, replace(board, pll=None), SILENCE_MS)
    names = ["clk_pin", "reset_pin", "rx_pin", "tx_pin", "led_pins", *board.pins.constants]
    metadata = design.metadata()
    description = {
        "clock": "clk_pin",
        "reset": "reset_pin",
        "reset_level": board.pins.reset_level,
        "rx": "rx_pin",
        "tx": "tx_pin",
        "period_ns": 1e3 / board.clock_mhz,
        "bit_ns": 1e9 / board.baud,
        "timeout_cycles": silence_cycles(board, SILENCE_MS),
        "identity": identity(metadata),
        "metadata": metadata,
    }
    return _run(design, files, names, "test_uart", description, codes, tests)


def simulate_node(design: Design, codes: Codes) -> BenchResult:
    """Run the bench of `sim/cocotb/test_node.py` on the FIFO and register ports of a node; else like `simulate`."""
    names = ["clk", "rst", "din", "wr_en", "full", "dout", "rd_en", "empty"]
    names += ["reg_addr", "reg_wr", "reg_wdata", "reg_rdata"]
    metadata = design.metadata()
    description = {"identity": identity(metadata), "input": metadata["input"], "output": metadata["output"]}
    return _run(design, node_files(design), names, "test_node", description, codes, None)


def _run(
    design: Design,
    files: Mapping[str, str],
    names: Sequence[str],
    module: str,
    description: Mapping[str, Any],
    codes: Codes,
    tests: Sequence[str] | None,
) -> BenchResult:
    if len(codes) < MIN_FRAMES:
        raise ConfigurationError(f"A board's simulation must have {MIN_FRAMES} samples or more, not {len(codes)}")
    with tempfile.TemporaryDirectory(prefix="rtl4ml-") as name:
        folder = Path(name)
        paths = []
        for file, text in files.items():
            paths.append(folder / file)
            paths[-1].write_text(text, encoding="utf-8")
        program = build_program(paths[0].stem, paths, names)
        expected = design.graph.evaluate(codes)[design.graph.output]
        arrays = {"codes": codes, "expected": expected, **_other_weights(design, codes)}
        (folder / "vectors.npz").write_bytes(archive(arrays))
        bench = folder / "bench.json"
        bench.write_text(json.dumps({**description, "vectors": "vectors.npz"}) + "\n", encoding="utf-8")
        return run_tests(program, module, bench, tests=tests)


def _other_weights(design: Design, codes: Codes) -> dict[str, Codes]:
    """Words that load other weights into the layer that takes the fewest, and what comes out then; none where fixed."""
    if design.ports.load is None:
        return {}
    choices = []
    for operator in design.graph.operators:
        if isinstance(operator, Dense | Conv):
            # Outputs that change places stay within every limit.
            weights = {operator.name: np.roll(operator.weights, 1, axis=-1)}
            biases = {operator.name: np.roll(operator.bias, 1)}
            choices.append((design.weight_words(weights, biases), design.with_weights(weights, biases)))
    words, graph = min(choices, key=lambda choice: len(choice[0]))
    return {"load_words": words, "load_expected": graph.evaluate(codes)[graph.output]}
