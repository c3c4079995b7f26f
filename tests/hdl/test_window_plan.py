from dataclasses import replace

import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.window_plan import EVENTS, Level, WindowPlan
from rtl4ml.hdl.window_ring import unit_ends
from tests.hdl.bench import refuses
from tests.hdl.windows import PLANS, convolution, moves, random_convolution, random_nest

SOME = PLANS | {
    f"{draw.__name__} {seed}": draw(seed) for draw in (random_convolution, random_nest) for seed in range(40)
}


def frames_end(plan, frames=4, period=0):
    """Edges of the last issues of frames, sinks always ready, sources that take a period for a frame's words."""
    issue = plan.write_waits()
    units = (issue + 1) // plan.unit_words - 1
    ends = unit_ends((plan.needs() * plan.chunks).tolist(), units.tolist(), plan.unit_words, frames, period)
    return ends[plan.units - 1 :: plan.units]


@pytest.mark.parametrize("name", SOME)
def test_units_need_and_release_what_they_read(name):
    plan = SOME[name]
    sources = np.where(plan.sources() < 0, -1, plan.sources() // plan.chunks)
    units = sources.reshape(plan.units, -1)
    assert np.all(plan.needs() >= np.maximum(units.max(axis=1) + 1, 1))
    assert plan.needs().max() <= plan.height * plan.width
    row, column = plan.releases().T
    released = row * plan.width + column
    pixels = np.where(sources < 0, plan.height * plan.width, sources).reshape(len(released), -1).min(axis=1)
    assert np.all(released <= np.minimum.accumulate(pixels[::-1])[::-1])
    if all(plan.dilation[axis] == 1 for axis in (0, 1)) and not plan.fills:
        assert np.array_equal(plan.needs(), units.max(axis=1) + 1)


@pytest.mark.parametrize("name", SOME)
def test_a_smaller_ring_does_not_do(name):
    plan = SOME[name]
    ends = frames_end(plan)
    # With two frames' room nothing is ever lost.
    assert max(np.diff(ends)[1:]) == max(plan.words, plan.words_in)
    if plan.ring == 2:
        return
    try:
        smaller = replace(plan, ring=plan.ring // 2)
    except ConfigurationError:
        return
    busy = plan.words if plan.words > plan.words_in else 0
    assert (frames_end(smaller), frames_end(smaller, period=busy)) != (ends, frames_end(plan, period=busy))


def test_words_of_a_convolution():
    plan = convolution((2, 3, 1), kernel=(2, 2), pads=(1, 0, 0, 0), fill=np.full((), 9))
    frame = np.array([[0], [1], [2], [3], [4], [5]])
    assert plan.issued(frame).tolist() == [[9, 9, 0, 1], [9, 9, 1, 2], [0, 1, 3, 4], [1, 2, 4, 5]]
    assert plan.needs().tolist() == [2, 3, 5, 6]
    assert plan.releases().tolist() == [[0, 0], [0, 0], [0, 0], [0, 1]]
    assert (plan.words, plan.units, plan.unit_words, plan.pass_words) == (4, 4, 1, 1)


def test_write_waits_of_a_copy():
    plan = moves(2, 2, 1, [(2, 1), (2, 0, 1)], ring=2)
    assert plan.write_waits().tolist() == [-2, -1, 0, 1]
    assert moves(2, 2, 1, [(2, 1), (2, 0, 1)], ring=8).write_waits().tolist() == [-8, -7, -6, -5]


def test_ring_of_one_row_a_bank():
    # Row r + 3 goes to the place of row r, column by column behind the windows.
    plan = convolution((6, 8, 1), banks=(3, 1), taps=(3, 1), ring=8)
    waits = plan.write_waits().reshape(6, 8)
    # Row 4 takes the place of row 1. Window (2, c) has its corner at (1, c - 1): behind (2, c + 1), (1, c) is free.
    assert waits[4].tolist() == [(2 * 8 + column + 1) * 3 + 2 for column in range(7)] + [(3 * 8 - 1) * 3 + 2]


@pytest.mark.parametrize(
    ("plan", "release"),
    [
        ("copy", 3),
        ("3x3", 2),
        ("3x3, serial", 2),
        ("flipped columns", 1),
        ("flipped", 0),
        ("transposed", 1),
        ("nearest resize", 2),
        ("channels first", 1),
        ("order", 1),
        ("order by frames", 0),
    ],
)
def test_release_is_as_deep_as_corners_advance(plan, release):
    assert PLANS[plan].release == release


@pytest.mark.parametrize("taps", [(1, 1), (3, 1), (1, 3), (3, 3)])
@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_3x3_convolution_holds_four_rows_at_most(taps, lanes, stride):
    plan = convolution((32, 32, 16), stride=(stride, stride), taps=taps, lanes=lanes)
    assert plan.held * lanes <= 4 * 32 * 16


def test_large_frames_are_run_in_part():
    plan = convolution((120, 100, 16), lanes=1)
    assert plan.words_in > EVENTS
    assert plan.held == 3 * 128 * 16
    assert max(np.diff(frames_end(plan, 3))) == plan.words
    transposed = moves(400, 400, 1, [(400, 0, 1), (400, 1)])
    assert transposed.held == 1 << 19
    copy = moves(100, 90, 32, [(100, 1), (90, 0, 1), (32, 0, 0, 1)])
    assert copy.held == 2 * 32  # two pixels, since units wait for whole ones


def test_numbers_are_checked():
    refuses(
        lambda: moves(3, 0, 1, []),
        "Height, width, chunks, lanes, taps and dilation of a window must be 1 or more, not (3, 0, 1, 1, 1, 1, 1, 1)",
    )
    refuses(lambda: moves(3, 3, 1, [(0, 1)]), "Counts of a window's levels must be 1 or more, not (0,)")
    refuses(lambda: moves(3, 3, 1, [(3, 1)], unit=2), "Levels of a unit and of a pass must be 0 to 1, not 2 and 0")
    refuses(lambda: moves(3, 3, 2, [(3, 0, 0, 1)]), "Chunks of a window must be 0 to 1, not 0 to 2")
    nothing = "A window plan must read something of each frame, not fill alone"
    refuses(lambda: moves(3, 3, 1, [(3, 1)], start=(0, 3, 0)), nothing)
    refuses(lambda: WindowPlan(3, 3, 1, 1, order=np.array([-1])), nothing)
    refuses(
        lambda: moves(3, 4, 1, [(4, 0, 1), (3, 1)], release=2),
        "Release must be at most the 2 levels of a unit, and corners must not go back, not 2 levels",
    )
    refuses(
        lambda: convolution((5, 5, 1), dilation=(2, 2), banks=(4, 3)),
        "Banks of a window must be (3, 3) or more, without common factor with dilation (2, 2), not (4, 3)",
    )
    for ring in (1, 2, 3):
        refuses(
            lambda ring=ring: convolution((5, 5, 1), taps=(1, 1), ring=ring),
            f"The ring of a window must be a power of two of words that hold a unit, not {ring}",
        )
    refuses(
        lambda: WindowPlan(2, 2, 1, 1, order=np.array([4])),
        "The order of a window plan must be of words -1 to 3, not others",
    )
    refuses(
        lambda: WindowPlan(2, 2, 1, 1, order=np.array([1]), levels=(Level(2),)),
        "A window plan with an order must have single taps and no start or levels, not both",
    )
    refuses(
        lambda: WindowPlan(2, 2, 1, 2, order=np.array([1, -1]), fill=np.array([[1, 2]])),
        "The fill of a window plan with an order must be one code, not several",
    )
