import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.weight_control import WeightControl
from rtl4ml.hdl.weight_ram import Table
from tests.hdl.bench import refuses


def unpacked(table, writes):
    """Numbers (rows, columns) of the words that load a table."""
    memory = dict(writes.tolist())
    bits = table.shape.width
    numbers = np.zeros((table.rows, table.columns), np.int64)
    for row in range(table.rows):
        for column in range(table.columns):
            start = table.base + row * table.pitch
            if bits > 32:
                value = memory[start + 2 * column] | memory[start + 2 * column + 1] << 32
            else:
                value = memory[start + column // table.per_word] >> (column % table.per_word * bits)
            value &= (1 << bits) - 1
            numbers[row, column] = value - (1 << bits) if table.low < 0 and value >> (bits - 1) else value
    return numbers


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-1, 1), (-8, 7), (0, 255), (-(1 << 20), 1 << 20), (-(1 << 40), 1 << 40)]
)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 7), (4, 33)])
def test_words(low, high, rows, columns):
    table = Table(1 << 12, rows, columns, low, high)
    values = np.random.default_rng(1).integers(low, high + 1, (rows, columns))
    writes = table.load(values)
    assert np.array_equal(unpacked(table, writes), values)
    assert len(set(writes[:, 0].tolist())) == len(writes) == rows * table.words
    assert writes[:, 0].min() == table.base
    assert writes[:, 0].max() < table.base + table.size
    assert writes[:, 1].min() >= 0
    assert writes[:, 1].max() < 1 << 32


def test_numbers_must_fit():
    with pytest.raises(ConfigurationError, match=r"^Numbers of a table must lie in \[0, 3\], not in \[0, 4\]$"):
        Table(0, 1, 2, 0, 3).load(np.array([[0, 4]]))


def test_a_port_has_addresses():
    refuses(lambda: WeightControl(0, 1, 1), "Address bits, beats and tables must be 1 or more, not 0, 1, 1")
