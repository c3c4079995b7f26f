import numpy as np

from rtl4ml.staircase import Staircase, difference


def stair(positions, codes):
    ends = np.array([-10]), np.array([10])
    return Staircase(*ends, np.array([0]), (np.array(positions),), (np.array(codes),))


def test_runs_of_other_codes():
    found = difference(stair([-3, 0, 4], [1, 2, 3]), stair([-2, 0, 3], [1, 2, 3]))
    assert [a.tolist() for a in (found.row, found.first, found.last)] == [[0, 0], [-3, 3], [-3, 3]]
    assert [a.tolist() for a in (found.code, found.other)] == [[1, 2], [0, 3]]
    assert found.shared
    assert found.count == 2
    x = np.arange(-10, 11)[:, None]
    ours, theirs = (s.evaluate(x) for s in (stair([-3, 0, 4], [1, 2, 3]), stair([-2, 0, 3], [1, 2, 3])))
    np.testing.assert_array_equal(found.other_codes(x, ours), theirs)


def test_limits_take_differences_away():
    """Where both codes are over the limit they are the same behind it, and nothing else would say so."""
    one, other = stair([-3, 0, 4], [1, 2, 3]), stair([-2, 0, 3], [1, 2, 3])
    limited = difference(one, other).clipped(0, 2)
    assert [a.tolist() for a in (limited.first, limited.code, limited.other)] == [[-3], [1], [0]]
    assert limited.count == 1
