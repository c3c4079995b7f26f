import numpy as np
import pytest
from amaranth.hdl import signed

from rtl4ml.hdl.width_adapter import WidthAdapter, words_awaited, words_before
from tests.hdl.bench import never, pack, randomly, refuses, transfers, unpack

BITS = 5
FRAMES = 4


def frame_beats(frames, lanes, fill):
    """Beats of whole frames (N, n); surplus lanes hold `fill`."""
    n = frames.shape[1]
    padded = np.pad(frames, ((0, 0), (0, -n % lanes)), constant_values=fill)
    return padded.reshape(-1, lanes)


def expected_edges(n, lanes_in, lanes_out, frames):
    """Source always valid, sink always ready: the recurrence of the class' docstring."""
    beats, words = -(-n // lanes_in), -(-n // lanes_out)
    accepted, handed = [], []
    for frame in range(frames):
        for beat in range(beats):
            before = words_awaited(beat, n, lanes_in, lanes_out) + frame * words
            earliest = [accepted[-1] + 1] if accepted else [0]
            if before > 0:
                earliest.append(handed[before - 1])
            accepted.append(max(earliest))
            while len(handed) < words_before(beat + 1, n, lanes_in, lanes_out) + frame * words:
                handed.append(max([accepted[-1] + 1] + [edge + 1 for edge in handed[-1:]]))
    return accepted, handed


SIZES = [
    (1, 1, 3), (6, 2, 3), (5, 2, 3), (7, 3, 2), (12, 12, 4), (13, 13, 4), (13, 1, 13), (13, 4, 13), (10, 4, 6),
    (11, 6, 4), (11, 5, 7), (11, 7, 5), (3, 8, 2), (3, 2, 8), (16, 4, 8), (16, 8, 4), (17, 3, 3), (9, 4, 3),
    (19, 5, 9), (7, 4, 5), (11, 4, 9), (13, 6, 10),
]  # fmt: skip


@pytest.mark.parametrize(("n", "lanes_in", "lanes_out"), SIZES)
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4)])
def test_values_and_edges(n, lanes_in, lanes_out, stalls):
    frames = np.random.default_rng(n).integers(-16, 16, (FRAMES, n))
    beats = [pack(lanes, BITS) for lanes in frame_beats(frames, lanes_in, -3)]
    expected = frame_beats(frames, lanes_out, 0)
    sides = [(randomly(seed, share) if share else never) for seed, share in enumerate(stalls)]
    adapter = WidthAdapter(signed(BITS), n, lanes_in, lanes_out)
    accepted, words, handed = transfers(adapter, beats, len(expected), source=sides[0], sink=sides[1])
    assert [unpack(word, BITS, True, lanes_out) for word in words] == expected.tolist()
    if stalls == (0.0, 0.0):
        assert (accepted, handed) == expected_edges(n, lanes_in, lanes_out, FRAMES)
        per_frame = len(expected) // FRAMES
        assert handed[-1] - handed[-1 - per_frame] == max(len(beats) // FRAMES, per_frame)
    # Whatever the stalls: nothing leaves before it is complete, nothing enters before there is room.
    words_per_frame, beats_per_frame = len(expected) // FRAMES, len(beats) // FRAMES
    for word, edge in enumerate(handed):
        frame, index = divmod(word, words_per_frame)
        last = (min((index + 1) * lanes_out, n) - 1) // lanes_in + frame * beats_per_frame
        assert edge >= accepted[last] + 1
    for beat, edge in enumerate(accepted):
        frame, index = divmod(beat, beats_per_frame)
        before = words_awaited(index, n, lanes_in, lanes_out) + frame * words_per_frame
        assert before <= 0 or edge >= handed[before - 1]


def test_sizes_are_checked():
    message = "Elements and lanes of a width adapter must be 1 or more, not n=4, in=0, out=2"
    refuses(lambda: WidthAdapter(signed(3), 4, 0, 2), message)
