import pytest
from amaranth.hdl import Module, Signal

from rtl4ml.hdl.delay import delay
from tests.hdl.test_tables import collect


@pytest.mark.parametrize("cycles", [0, 1, 4])
def test_delay(cycles):
    bits = [1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1]
    m = Module()
    bit = Signal()
    m.d.sync += Signal().eq(bit)
    delayed = delay(m, "bit", bit, cycles)
    seen = collect(m, [delayed], lambda ctx, step: ctx.set(bit, bits[step]), len(bits))
    assert [value for (value,) in seen] == ([0] * cycles + bits)[: len(bits)]
