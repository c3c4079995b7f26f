"""What `rtl4ml board` writes: a folder with the board's files, whole or not at all."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rtl4ml
from rtl4ml import graph_file
from rtl4ml.board import bitstream, top
from rtl4ml.board.bitstream import Built
from rtl4ml.board.description import Board
from rtl4ml.design import Design
from rtl4ml.errors import ConfigurationError
from rtl4ml.export.ip.files import driver_files, model_files, registers_verilog
from rtl4ml.export.package import check_target, whole_folder
from rtl4ml.export.templates import render

DMA_BITS = (8, 16, 32, 64, 128, 256, 512, 1024)
"""Widths of an AXI DMA's streams."""


@dataclass(frozen=True)
class Project:
    """A folder that was written.

    Parameters:
        folder: where.
        built: the bitstream; None where other tools make it.
        next_step: what to do with it, for people.
    """

    folder: Path
    built: Built | None
    next_step: str


def write(
    design: Design, board: Board, output: Path, seed: int = 1, progress: Callable[[str], None] | None = None
) -> Project:
    """Write `output/NAME-BOARD`: Verilog, constraints, bitstream or Vivado's script, metadata, graph and drivers.

    Args:
        design: the network.
        board: which.
        output: folder that receives the folder.
        seed: of the placer.
        progress: called with the name of each step.

    Raises:
        ConfigurationError: design and board do not go together, the design does not fit or misses the clock, the
            folder cannot be written.
        ToolError: a tool is missing or fails.
    """
    target = output / f"{design.name}-{board.name}"
    check_target(target)
    files, built, next_step = _files(design, board, target, seed, progress)
    metadata = design.metadata()
    described: dict[str, Any] = {"name": board.name, "title": board.title, "identity": top.identity(metadata)}
    if board.baud:
        described["baud"] = board.baud
    if built is not None:
        described["build"] = built.describe()
    with whole_folder(target) as folder:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        metadata["files"] = [name for name in files if name.startswith("rtl/")]
        text = json.dumps({**metadata, "board": described}, indent=2, ensure_ascii=False)
        (folder / "metadata.json").write_text(text + "\n", encoding="utf-8")
        graph_file.save(design.graph, folder / "graph.npz")
        (folder / "graph.npz").chmod(0o644)  # it was made aside, for its owner alone
    return Project(target, built, next_step)


def _files(
    design: Design, board: Board, target: Path, seed: int, progress: Callable[[str], None] | None
) -> tuple[dict[str, bytes], Built | None, str]:
    """Files by name, the bitstream, what to do next."""
    name = design.name
    match board.flow:
        case "node":
            return _verilog(top.node_files(design)), None, f"instantiate {name}_node"
        case "vivado":
            files = {file: text.encode() for file, text in vivado_files(design, board).items()}
            return files, None, f"vivado -mode batch -source {target / f'{name}.tcl'}"
    verilog = top.uart_files(design, board)
    built = bitstream.build(verilog, f"{name}_board", board, seed, progress)
    text, kind = built.constraints
    files = {**_verilog(verilog), f"{name}.{kind}": text.encode(), f"{name}.{built.suffix}": built.bitstream}
    return files, built, board.program.format(bitstream=target / f"{name}.{built.suffix}")


def _verilog(files: dict[str, str]) -> dict[str, bytes]:
    return {f"rtl/{name}": text.encode() for name, text in files.items()}


def vivado_files(design: Design, board: Board) -> dict[str, str]:
    """All of a Vivado project by file name: Verilog, script, constraints, drivers and the model that they use.

    Weights that are writable come with the core's registers, through which the driver loads them.

    Raises:
        ConfigurationError: a free-running design, or beats that no DMA has.
    """
    top.check(design)
    assert board.processor is not None
    name, widths = design.name, {}
    for key, port, option in (("in_bits", design.ports.i, "--lanes"), ("out_bits", design.ports.o, "--output-lanes")):
        widths[key] = port.lanes * port.slot
        if widths[key] not in DMA_BITS:
            raise ConfigurationError(
                f"Beats of a DMA must have {', '.join(map(str, DMA_BITS[:-1]))} or {DMA_BITS[-1]} bits, not "
                f"{widths[key]}: {port.lanes} elements of {port.slot}; say another {option}"
            )
    facts = design.facts(axi_lite=design.ports.load is not None)
    verilog = {f"rtl/{file}": text for file, text in design.verilog.items()}
    if facts.control:
        verilog[f"rtl/{name}_axil.v"] = registers_verilog(facts)
    variables: dict[str, Any] = {
        "name": name,
        "version": rtl4ml.__version__,
        "title": board.title,
        "clock_mhz": board.clock_mhz,
        "files": list(verilog),
        "control": facts.control,
        **board.processor.__dict__,
        **widths,
    }
    return {
        **verilog,
        **{f"{name}.{kind}": render(f"block_design.{kind}.j2", **variables) for kind in ("tcl", "xdc")},
        # PYNQ wants them beside the bitstream, which the script puts here too.
        **driver_files(facts, bitfile=f"{name}.bit", dma="dma", block="ip"),
        **model_files(facts),
    }
