"""What is counted is what the hardware has: against Amaranth's own netlist."""

import re
from collections import Counter

import numpy as np
import pytest

import rtl4ml
from rtl4ml.export.verilog import to_rtlil
from rtl4ml.frontend.load import from_model
from rtl4ml.planning.estimates.hardware import count_component
from rtl4ml.planning.estimates.primitives import Add, Equal, Memory, Multiply, Register, Shift, Structure
from rtl4ml.stages.base import Stage
from tests.frontend.build import mlp
from tests.frontend.images import Images


def _structure(stage: Stage) -> Structure:
    structure: Structure = Counter()
    count_component(structure, stage.component())
    return structure


def _count(structure: Structure, *kinds: type) -> int:
    return sum(times for primitive, times in structure.items() if isinstance(primitive, kinds))


def _flip_flops(structure: Structure) -> int:
    found = 0
    for primitive, times in structure.items():
        if isinstance(primitive, Register):
            found += primitive.bits * times
        elif isinstance(primitive, Shift):
            found += primitive.bits * primitive.length * times
    return found


def _compare(stage: Stage) -> None:
    structure, rtlil = _structure(stage), to_rtlil(stage.component(), "stage")
    widths = [int(width) for width in re.findall(r"parameter \\WIDTH (\d+)\n(?:.*\n)*?  end", _cells(rtlil, "dff"))]
    assert _flip_flops(structure) == sum(widths)
    assert _count(structure, Multiply) == len(re.findall(r"cell \$mul ", rtlil))
    # Tables may count as memories that are never written.
    written = sum(times for primitive, times in structure.items() if isinstance(primitive, Memory) and primitive.writes)
    assert written == len(re.findall(r"cell \$memwr_v2 ", rtlil))


def _cells(rtlil: str, kind: str) -> str:
    return "\n".join(found[0] for found in re.finditer(rf"cell \$\w*{kind}\w* .*\n(?:.*\n)*?  end", rtlil))


def _design(reuse: int) -> rtl4ml.Design:
    model = mlp(np.random.default_rng(3), (9, 12, 5)).model()
    return rtl4ml.compile(from_model(model, "mlp"), reuse=reuse, clock_mhz=20, target="ecp5")


@pytest.mark.parametrize("reuse", [2, 12, 60])
def test_dense(reuse: int) -> None:
    for planned in _design(reuse).plan.stages:
        _compare(planned.stage)


@pytest.mark.parametrize("reuse", [36, 72, 1296])
def test_convolution(reuse: int) -> None:
    file = Images((2, 6, 6))
    y = file.relu(file.conv(file.start(), 3, 2, 3, 3, pads=[1, 1, 1, 1]))
    y = file.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    file.relu(file.conv(y, 4, 3, 1, 1))
    design = rtl4ml.compile(from_model(file.model(), "cnn"), reuse=reuse, clock_mhz=20, target="ecp5")
    for planned in design.plan.stages:
        _compare(planned.stage)


def test_region() -> None:
    """Adders too: all of them, since each is a chain of its own."""
    (planned,) = _design(1).plan.stages
    structure, rtlil = _structure(planned.stage), to_rtlil(planned.stage.component(), "stage")
    counted = _count(structure, Add)
    assert counted == pytest.approx(len(re.findall(r"cell \$(?:add|sub|neg) ", rtlil)), rel=0.03)


def test_kinds_of_equal_numbers_differ() -> None:
    assert len({Register(4, True), Equal(4, True)}) == 2


def test_memories_are_counted_and_not_built() -> None:
    structure = _structure(_design(12).plan.stages[0].stage)
    assert any(isinstance(p, Memory) and p.writes == 0 and p.contents is not None for p in structure)
    assert any(isinstance(p, Memory) and p.writes == 1 and p.contents is None for p in structure)
