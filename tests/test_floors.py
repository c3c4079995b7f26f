"""Rooms import only from floors below their own: the house stays a house."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src/rtl4ml"

FLOORS = {
    "errors": 0,
    "formats": 1,
    "resources": 1,
    "cache": 1,
    "yosys": 1,
    "staircase": 2,
    "graph": 2,
    "datapath": 2,
    "cmvm": 3,
    "graph_file": 4,
    "operators": 4,
    "hdl": 4,
    "frontend": 5,
    "passes": 5,
    "stages": 5,
    "planning": 6,
    "export": 7,
    "simulation": 7,
    "synthesis": 7,
    "report": 8,
    "design": 9,
    "board": 10,
    "sweep": 10,
    "cli": 11,
}
EXECUTORS = {"onnx", "onnxruntime", "qonnx"}


def room(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names if node.module == "rtl4ml")
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_imports_from_floors_below(path: Path) -> None:
    own = room(path)
    others = {name.split(".")[1] for name in imported(path) if name.startswith("rtl4ml.")} - {own, "__version__"}
    assert not {other for other in others if FLOORS[other] >= FLOORS[own]}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_only_the_front_end_knows_onnx(path: Path) -> None:
    if room(path) != "frontend":
        assert not {name.split(".")[0] for name in imported(path)} & EXECUTORS


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500
