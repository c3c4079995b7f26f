import re

import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.width_adapter import words_awaited, words_before
from rtl4ml.stages.timing import NEVER, Process, Side, Timing, Wait, adapter, credits, earlier, replayed, take, windowed


def named(timing):
    return {process.name: process for process in timing.processes}


def waits(process):
    return [(wait.on, wait.index.tolist(), wait.delay) for wait in process.waits]


def test_counts():
    timing = replayed([Side(7, 2, 3)], words=3, passes=5, depth=6, slots=3)
    assert (timing.beats_in, timing.beats_out, timing.issues) == (4, 5, 15)
    assert (timing.depth, timing.slots) == (6, 3)
    assert (timing.sides[0].beats, timing.sides[0].words) == (4, 3)


def test_a_stored_frame_is_an_event_a_pass():
    timing = replayed([Side(6, 2, 2)], words=3, passes=2, depth=4, slots=3)
    processes = named(timing)
    assert set(processes) == {"in0", "issue"}
    assert waits(processes["in0"]) == [("issue", [-3, -3, -3], 1)]
    assert (processes["issue"].events, processes["issue"].gap) == (2, 3)
    assert waits(processes["issue"]) == [("in0", [2, NEVER], 1), ("out", [-3, -2], 1)]
    assert (timing.result.on, timing.result.index.tolist(), timing.result.delay) == ("issue", [0, 1], 5)


def test_a_single_word_is_issued_when_it_is_taken():
    processes = named(replayed([Side(4, 4, 4)], passes=3, depth=4, slots=2))
    assert waits(processes["in0"]) == [("issue", [-1], 1), ("out", [-2], 1)]
    assert waits(processes["issue"]) == [("in0", [0, NEVER, NEVER], 0), ("out", [NEVER, -1, 0], 1)]


def test_a_streamed_frame_needs_no_process_of_its_own():
    timing = replayed([Side(6, 2, 2)], words=3, depth=1, slots=2)
    assert [process.name for process in timing.processes] == ["in0"]
    assert waits(timing.processes[0]) == [("out", [NEVER, NEVER, -2], 1)]
    assert (timing.result.on, timing.result.index.tolist(), timing.result.delay) == ("in0", [2], 2)


def test_streams_are_taken_together():
    processes = named(replayed([Side(4, 2, 2), Side(4, 2, 2), Side(4, 1, 2)], rounds=2, depth=0, slots=None))
    assert set(processes) == {"in0", "in1", "in2"}
    assert waits(processes["in0"]) == [("offer1", [0, 1], 0), ("in2", [1, 3], 1)]
    assert waits(processes["in1"]) == [("in0", [0, 1], 0)]
    assert waits(processes["in2"]) == [("in0", [-1, -1, 0, 0], 0)]


@pytest.mark.parametrize(
    "sizes", [(7, 2, 3), (7, 3, 2), (5, 2, 3), (9, 4, 6), (6, 6, 1), (6, 1, 6), (8, 3, 5), (1, 1, 2)]
)
def test_adapter_waits_as_its_functions_say(sizes):
    side = Side(*sizes)
    # Two events a word, the second of which takes it.
    taken = Wait("taker", 2 * np.arange(side.words) + 1)
    transfers, offered = adapter(side, 3, taken, 2 * side.words)
    assert (transfers.name, transfers.events) == ("in3", side.beats)
    (wait,) = transfers.waits
    for beat in range(side.beats):
        assert wait.index[beat] == 2 * (words_awaited(beat, *sizes) - 1) + 1
    assert (offered.on, offered.delay) == ("in3", 1)
    for word, beat in enumerate(offered.index.tolist()):
        assert words_before(beat, *sizes) <= word < words_before(beat + 1, *sizes)


def test_adapter_of_equal_lanes_is_a_wire():
    transfers, offered = adapter(Side(4, 2, 2), 1, Wait("taker", np.array([0, 5])), 6)
    assert waits(transfers) == [("taker", [0, 5], 0)]
    assert (offered.on, offered.index.tolist(), offered.delay) == ("offer1", [0, 1], 0)


def test_take_is_the_transfer_where_no_adapter_stands():
    assert take("words", [Side(4, 2, 2)])[1] == "in0"
    processes, name = take("words", [Side(4, 2, 4)], gap=3)
    assert name == "words"
    assert [(process.name, process.gap) for process in processes] == [("in0", 1), ("words", 3)]


def test_earlier():
    assert earlier(np.array([2, 5]), 6, np.array([-3, -2, -1, 0, 1])).tolist() == [-7, -4, -1, 2, 5]


def test_credits():
    assert credits(np.array([0]), None) == ()
    (wait,) = credits(np.array([0, NEVER, 1]), 3)
    assert (wait.on, wait.index.tolist(), wait.delay) == ("out", [-3, NEVER, -2], 1)


def test_window():
    shape = {"unit_words": 4, "pass_words": 2, "depth": 3, "slots": 5}
    timing = windowed([Side(3, 1, 1)], needs=np.array([2, 3]), releases=np.array([-5, 3, NEVER]), **shape)
    processes = named(timing)
    assert waits(processes["in0"]) == [("issue", [-3, 1, NEVER], 1)]
    assert (processes["issue"].events, processes["issue"].gap, timing.issues) == (4, 2, 8)
    assert waits(processes["issue"]) == [("in0", [1, NEVER, 2, NEVER], 2), ("out", [-5, -4, -3, -2], 1)]
    assert (timing.result.index.tolist(), timing.result.delay) == ([0, 1, 2, 3], 4)


def test_window_that_is_released_within_a_pass_and_makes_several_beats():
    shape = {"unit_words": 2, "pass_words": 2, "depth": 3, "slots": 5, "beats": 2}
    timing = windowed([Side(2, 1, 1)], needs=np.array([1, 2]), releases=np.array([-4, -3]), **shape)
    processes = named(timing)
    assert waits(processes["in0"]) == [("issue", [-4, -3], 1)]
    assert waits(processes["issue"]) == [("in0", [0, NEVER, 1, NEVER], 1), ("out", [NEVER, -4, NEVER, -2], 1)]
    assert timing.result.index.tolist() == [1, 1, 3, 3]
    assert timing.result.delay.tolist() == [4, 5, 4, 5]


def test_window_of_passes_of_different_lengths():
    shape = {"unit_words": 4, "pass_words": np.array([1, 3]), "depth": 3, "slots": 5}
    timing = windowed([Side(2, 1, 1)], needs=np.array([1, 2]), releases=np.array([-5, 3]), **shape)
    processes = named(timing)
    # A word waits for the end of a pass of its own frame, or of one before.
    assert waits(processes["in0"]) == [("issue", [-3, 1], 1)]
    assert (processes["issue"].events, processes["issue"].gap.tolist(), timing.issues) == (4, [1, 3, 1, 3], 8)
    (written, spent) = processes["issue"].waits
    assert (written.index.tolist(), written.delay.tolist()) == ([0, NEVER, 1, NEVER], [1, 3, 1, 3])
    assert spent.index.tolist() == [-5, -4, -3, -2]


def build(on="in0", index=(0, 1), result=(0,), events=2):
    process = Process("issue", events, (Wait(on, np.array(index)),))
    return Timing((Side(2, 1, 1),), (process,), Wait("issue", np.array(result)), 2, 0, None)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("Process 'issue' must wait for one of ['out', 'in0', 'offer0', 'issue'], not 'in1'", {"on": "in1"}),
        ("Waits of process 'issue' for 'in0' must be 2, not (3,)", {"index": (0, 1, 1)}),
        ("Process 'issue' must wait for events of 'in0' below 2 in the same frame, not 2", {"index": (0, 2)}),
        ("Process 'result' must wait for events of 'issue' below 2 in the same frame, not 2", {"result": (2,)}),
    ],
)
def test_tables_must_fit(message, arguments):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        build(**arguments)


def test_streams_have_their_beats():
    with pytest.raises(ConfigurationError, match=r"^Events of process 'in0' must be 2, not 3$"):
        Timing((Side(2, 1, 1),), (Process("in0", 3),), Wait("in0", np.array([0])), 2, 0, None)


def test_units_are_whole_passes():
    with pytest.raises(ConfigurationError, match=r"^Units must be whole passes of 2 words, not 3 words$"):
        windowed(
            [Side(1, 1, 1)],
            needs=np.ones(1, int),
            releases=np.zeros(1, int),
            unit_words=3,
            pass_words=2,
            depth=0,
            slots=1,
        )
