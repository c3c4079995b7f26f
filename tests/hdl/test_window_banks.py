import pytest

from rtl4ml.hdl.window_banks import TapBanks
from tests.hdl.windows import convolution


@pytest.mark.parametrize(
    ("kernel", "dilation", "banks"), [(3, 1, 3), (3, 1, 4), (2, 2, 3), (3, 2, 5), (4, 3, 4), (1, 5, 1)]
)
def test_every_bank_holds_one_tap_at_most(kernel, dilation, banks):
    plan = convolution(
        (12, 5, 1), (kernel, 1), dilation=(dilation, 1), pads=(1, 0, 1, 0), taps=(kernel, 1), banks=(banks, 1)
    )
    taps = TapBanks(plan, 0)
    for phase in range(banks):
        held = [taps.banks(tap)[phase] for tap in range(kernel)]
        assert len(set(held)) == kernel
        for tap, bank in enumerate(held):
            assert taps.offsets(bank)[phase] * banks + bank == phase + tap * dilation
