"""Multiplier blocks of products."""

import pytest

from rtl4ml.planning.estimates.families import FAMILIES
from rtl4ml.planning.estimates.primitives import Multiply


@pytest.mark.parametrize(
    ("family", "a", "b", "bits", "blocks"),
    [
        ("ecp5", 2, 2, 4, 1),
        ("ecp5", 18, 18, 36, 1),
        ("ecp5", 19, 18, 37, 1),  # the rest has one bit: logic
        ("ecp5", 20, 18, 38, 2),
        ("ecp5", 36, 36, 72, 4),
        ("ice40", 4, 6, 10, 0),
        ("ice40", 5, 6, 11, 1),
        ("ice40", 16, 16, 32, 1),
        ("xcup", 4, 4, 8, 0),
        ("xcup", 5, 4, 9, 1),
        ("xcup", 27, 18, 45, 1),
    ],
)
def test_blocks(family: str, a: int, b: int, bits: int, blocks: int) -> None:
    multiplier = FAMILIES[family].multiplier
    assert multiplier is not None
    assert multiplier.blocks(Multiply(a, True, b, True, bits)) == blocks
    assert multiplier.blocks(Multiply(b, True, a, True, bits)) == blocks


def test_a_sign_beside_none_is_a_bit_more() -> None:
    multiplier = FAMILIES["ecp5"].multiplier
    assert multiplier is not None
    assert multiplier.blocks(Multiply(18, False, 18, False, 36)) == 1
    assert multiplier.blocks(Multiply(18, False, 17, True, 35)) == 1
    assert multiplier.blocks(Multiply(19, False, 17, True, 36)) == 2
