"""Stages that are nothing but their timing: convolutions and sums of feature maps, wired to a residual network."""

from types import SimpleNamespace

import numpy as np

from rtl4ml.planning.network import Network, Placed
from rtl4ml.planning.schedule import DeadlockError, Summary, simulate
from rtl4ml.stages.timing import NEVER, Process, Side, Timing, Wait, credits, replayed, take, windowed
from tests.planning.clocked import Replay, Window

LONG = 100
"""Frames after which a small network has settled."""


def stage(name, timing, lanes_out):
    """What a network asks of a stage."""
    n_out = timing.beats_out * lanes_out
    return SimpleNamespace(name=name, timing=timing, n_out=n_out, lanes_out=lanes_out, n_in=timing.sides[0].n)


def convolution(name, size, channels, lanes, passes, stride=1, kernel=3, depth=8, cycles=1):
    """A convolution of size x size pixels, each a word; `passes` beats a pixel out, of as many cycles each."""
    side = Side(size * size * channels, lanes, channels)
    out = size // stride
    pixels = out * out
    y, x = np.divmod(np.arange(pixels), out)
    pad = kernel // 2
    bottom, right = np.minimum(y * stride + pad, size - 1), np.minimum(x * stride + pad, size - 1)
    needed = bottom * size + right
    issues = np.arange(pixels * passes)
    pixel, turn = np.divmod(issues, passes)
    # A ring of `kernel` rows and a pixel: a pixel is written when the last output that reads what it replaces is done.
    ring = kernel * size + 1
    written = np.arange(size * size)
    last_reader = np.full(size * size, -1)
    for k in range(pixels):
        top, left = max(y[k] * stride - pad, 0), max(x[k] * stride - pad, 0)
        rows = np.arange(top, bottom[k] + 1)[:, None] * size + np.arange(left, right[k] + 1)
        last_reader[rows] = k
    readers = np.maximum.accumulate(last_reader)
    replaced = written - ring
    released = np.where(
        replaced >= 0,
        (readers[np.maximum(replaced, 0)] + 1) * passes - 1,
        (readers[replaced % (size * size)] + 1) * passes - 1 - len(issues),
    )
    taking, taken = take("write", [side], [Wait("issue", released, 1)])
    slots = depth + 2
    first = Wait(taken, np.where(turn == 0, needed[pixel], NEVER), 1)
    issue = Process("issue", len(issues), (first, *credits(issues, slots)), cycles)
    result = Wait("issue", issues, depth + 1)
    return Timing((side,), (*taking, issue), result, len(issues) * cycles, depth, slots)


def addition(elements, lanes, depth=3):
    """A sum of two streams."""
    sides = [Side(elements, lanes, lanes)] * 2
    return replayed(sides, rounds=elements // lanes, depth=depth, slots=depth + 2)


def residual_network(size, channels, blocks, lanes):
    """A convolution, then blocks of two and a skip connection, with one more on it where pixels get fewer."""
    placed = []

    def add(name, timing, inputs, lanes_out):
        placed.append(Placed(stage(name, timing, lanes_out), tuple(inputs), name))
        return name

    last = add("stem", convolution("stem", size, channels, lanes, channels // lanes), ["x"], lanes)
    for block in range(blocks):
        stride = 2 if block else 1
        more = channels * stride

        def conv(name, source, n, c_in, c_out, stride=1, kernel=3):
            timing = convolution(name, n, c_in, lanes, c_out // lanes, stride, kernel)
            return add(name, timing, [source], lanes)

        first = conv(f"a{block}", last, size, channels, more, stride)
        small = size // stride
        second = conv(f"b{block}", first, small, more, more)
        skip = conv(f"s{block}", last, size, channels, more, stride, 1) if block else last
        last = add(f"sum{block}", addition(small * small * more, lanes), [second, skip], lanes)
        size, channels = small, more
    return Network(tuple(placed), "x", last)


def random_network(seed, stages=5):
    """Stages of all kinds over tensors of the same number of elements, forked and joined at random."""
    generator = np.random.default_rng(seed)

    def pick(low, high):
        return int(generator.integers(low, high + 1))

    n = pick(1, 9)
    lanes = {"x": pick(1, n)}
    open_ends, placed = ["x"], []

    def add(inputs):
        name = f"t{len(placed)}"
        depth = pick(0, 4)
        slots = pick(1, depth + 3)
        kind = pick(0, 3) if len(inputs) == 1 else 1
        cut = pick(1, n)
        if kind == 0:
            out, words = pick(1, n), -(-n // cut)
            model = Replay(depth, slots, words=words, passes=-(-n // out))
        elif kind == 1:
            out, model = cut, Replay(depth, slots, rounds=-(-n // cut))
        elif kind == 2:
            out, cut, model = n, n, Replay(depth, slots)
        else:
            words, units, passes, pass_words, beats = -(-n // cut), pick(1, 4), pick(1, 2), pick(1, 3), pick(1, 2)
            needs = np.sort(generator.integers(1, words + 1, units))
            unit_words = passes * pass_words
            releases = np.full(words, NEVER)
            for word in range(words):
                free = np.flatnonzero(needs <= word)  # units of the same frame that do without it
                unit = int(generator.choice([-1, -2, *free]))
                releases[word] = (unit + 1) * unit_words - 1 if pick(0, 3) else -pick(1, 2 * units * unit_words)
            # The beats of a frame hold its n elements.
            count = units * passes * beats
            out = -(-n // count)
            if -(-n // out) != count:
                return add(inputs)
            model = Window(needs, releases, unit_words, pass_words, depth, max(slots, beats), beats)
        sides = [Side(n, lanes[tensor], cut) for tensor in inputs]
        found = stage(name, model_timing(sides, model), out)
        found.n_out, found.model = n, model
        placed.append(Placed(found, tuple(inputs), name))
        lanes[name] = out
        for tensor in inputs:
            if tensor in open_ends:
                open_ends.remove(tensor)
        open_ends.append(name)
        return name

    for _ in range(stages):
        tensors = list(lanes)
        add([str(name) for name in generator.choice(tensors[-3:], pick(1, 2))])
    while len(open_ends) > 1:
        add([open_ends[0], open_ends[1]])
    return Network(tuple(placed), "x", open_ends[0])


def model_timing(sides, model):
    """The tables of a model that is stepped cycle by cycle."""
    if isinstance(model, Replay):
        shape = {"rounds": model.rounds, "words": model.words, "passes": model.passes}
        return replayed(sides, depth=model.depth, slots=model.slots, **shape)
    shape = {"unit_words": model.unit_words, "pass_words": model.pass_words, "beats": model.beats}
    return windowed(sides, needs=model.needs, releases=model.releases, depth=model.depth, slots=model.slots, **shape)


def with_random_depths(network, seed, depths=(0, 1, 2, 5, None)):
    generator = np.random.default_rng(seed)
    return network.with_fifos({branch: depths[int(generator.integers(len(depths)))] for branch in network.branches})


def simulated(network, frames=LONG):
    """Summary of a long run; None if it stops."""
    try:
        timeline = simulate(network, frames)
    except DeadlockError:
        return None
    ends = timeline.handed_over[:, -1]
    return Summary(int(ends[0] - timeline.accepted[0, 0]), int(np.diff(ends[frames // 2 :]).max()))
