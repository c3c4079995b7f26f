"""Tables of constants as logic."""

import numpy as np
import pytest

from rtl4ml.planning.estimates.tables import bits_of, table_of


def test_constants_and_inputs_cost_nothing() -> None:
    index = np.arange(16)
    rows = np.stack([np.zeros(16, bool), np.ones(16, bool), (index & 1) == 1, (index >> 3) == 1], axis=1)
    table = table_of(rows)
    assert (table.leaves4, table.nodes4) == (0, 0)
    assert (table.varying, table.distinct) == (2, 2)


def test_equal_columns_are_one() -> None:
    column = np.random.default_rng(0).integers(0, 2, 16).astype(bool)
    table = table_of(np.stack([column, column, ~column], axis=1))
    assert table.leaves4 == 2
    assert (table.varying, table.distinct) == (3, 2)


def test_deep_tables_choose_between_leaves() -> None:
    rows = np.random.default_rng(0).integers(0, 2, (64, 1)).astype(bool)
    table = table_of(rows)
    assert (table.leaves4, table.nodes4) == (4, 3)
    assert (table.leaves6, table.nodes6) == (1, 0)


def test_missing_entries_are_free() -> None:
    rows = np.random.default_rng(1).integers(0, 2, (33, 3)).astype(bool)
    assert table_of(rows).leaves4 <= 3 * 3


def test_large_tables_are_taken_in_part() -> None:
    rows = np.random.default_rng(2).integers(0, 2, (256, 1024)).astype(bool)
    whole, part = table_of(rows), table_of(rows[:, :256])
    assert whole.leaves4 == 4 * part.leaves4


@pytest.mark.parametrize("width", [1, 8, 13])
def test_bits_of_words(width: int) -> None:
    words = [0, 1, 5, (1 << width) - 1]
    rows = bits_of(words, width)
    assert rows.shape == (4, width)
    mask = (1 << width) - 1
    assert [sum(int(bit) << k for k, bit in enumerate(row)) for row in rows] == [word & mask for word in words]
