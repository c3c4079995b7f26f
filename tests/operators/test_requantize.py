import numpy as np
from hypothesis import given

from rtl4ml.formats import Format
from rtl4ml.graph import Tensor
from rtl4ml.operators import Requantize
from tests.staircase.build import everywhere
from tests.staircase.test_function import staircases

FORMAT = Format(8, True, np.array(1.0))


@given(staircases())
def test_ranges_are_what_the_functions_reach(staircase):
    source = Tensor("x", (staircase.rows,), FORMAT, staircase.low, staircase.high)
    node = Requantize("q", ("x",), "y", staircase, FORMAT, ())
    out = node.infer((source,))
    for row in range(staircase.rows):
        codes = everywhere(staircase, row)[1]
        assert (out.low[row], out.high[row]) == (codes.min(), codes.max())
    assert (out.name, out.shape, out.format) == ("y", (staircase.rows,), FORMAT)


@given(staircases(max_rows=1))
def test_channels_share_a_function_on_parts_of_its_domain(staircase):
    bottom, top = int(staircase.low[0]), int(staircase.high[0])
    middle = (bottom + top) // 2
    low, high = np.array([bottom, middle, bottom]), np.array([middle, top, top])
    out = Requantize("q", ("x",), "y", staircase, FORMAT, ()).infer((Tensor("x", (3,), FORMAT, low, high),))
    x, y = everywhere(staircase, 0)
    for channel in range(3):
        part = y[(x >= low[channel]) & (x <= high[channel])]
        assert (out.low[channel], out.high[channel]) == (part.min(), part.max())


@given(staircases())
def test_evaluate(staircase):
    source = Tensor("x", (staircase.rows,), FORMAT, staircase.low, staircase.high)
    node = Requantize("q", ("x",), "y", staircase, FORMAT, ())
    x = np.stack([staircase.low, staircase.high])
    wanted = [[staircase.at(row, x[i, row]) for row in range(staircase.rows)] for i in range(2)]
    assert node.evaluate([x], [source]).astype(np.int64).tolist() == np.array(wanted).tolist()
    assert node.multiplications == 0
