import numpy as np

from rtl4ml.hdl.window_ring import can_run, smallest_ring, unit_ends


def test_unit_ends():
    # Word w at edge w; units of 3 issues.
    assert unit_ends([1, 2], [-9, -9], 3, 2) == [3, 6, 9, 12]
    # A place: each word waits for the unit before, each unit for its word.
    assert unit_ends([1, 2], [-1, 0], 1, 2) == [1, 3, 5, 7]
    # Words that no unit needs are written at the end of their frame.
    assert unit_ends([1], [-9, -9, -9], 1, 3) == [1, 4, 7]


def test_a_source_that_is_as_busy_cannot_catch_up():
    # The first word of a frame waits for the frame before; then four follow each other, two cycles apart.
    assert unit_ends([4], [-1, -9, -9, -9], 8, 2, period=8) == [14, 29]
    assert unit_ends([4], [-1, -9, -9, -9], 8, 2) == [11, 23]


def test_can_run():
    assert can_run(np.array([1, 2]), np.array([-1, 0]))
    assert not can_run(np.array([2, 2]), np.array([-1, 0]))
    assert not can_run(np.array([1, 2]), np.array([0, 0]))


def test_smallest_ring():
    asked = []

    def waits(ring):
        asked.append(ring)
        return np.arange(8) - ring

    assert smallest_ring(np.arange(1, 9), 1, waits, 16) == 2
    # A unit that reads four words together holds them while the next four are written.
    assert smallest_ring(np.array([4, 8]), 4, lambda ring: (np.arange(8) - ring) // 4, 16) == 8
