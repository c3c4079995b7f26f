"""Cutting a datapath into pipeline steps: registers where the clock needs them, and where they are few."""

from collections.abc import Sequence
from dataclasses import dataclass

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.delays import GENERIC, Clock, Delays
from rtl4ml.datapath.retiming import LARGEST, Circuit, fewest_registers
from rtl4ml.datapath.words import Datapath
from rtl4ml.errors import ConfigurationError

_ROUNDS = 2


@dataclass(frozen=True)
class Pipeline:
    """The pipeline step of every node.

    Attributes:
        step: Per node of the datapath: the step in which it is computed; inputs have 0. A shifted word has the step of
            the word that is shifted; constants and nodes that no output needs have 0.
        until: Per node: the last step in which it is used, so that it passes ``until - step`` registers.
        depth: Number of register levels between inputs and outputs, which are all in step ``depth``.
    """

    step: tuple[int, ...]
    until: tuple[int, ...]
    depth: int


def cut(datapath: Datapath, period_ns: float, delays: Delays = GENERIC) -> Pipeline:
    """Assigns every node to a pipeline step such that no path between registers is longer than the clock period.

    The depth is the least there is. At that depth the registers have the fewest bits of all cuts: see
    :mod:`rtl4ml.datapath.retiming`. In datapaths of more nodes than that takes, nodes start as early as they can and
    move later or earlier, one at a time, where that saves register bits. A single node that is longer than the period
    gets a step of its own.

    Args:
        datapath: The datapath; it is not changed.
        period_ns: Clock period in ns.
        delays: Timing model.

    Raises:
        ConfigurationError: If the period is not positive.
    """
    if period_ns <= 0:
        raise ConfigurationError(f"clock period must be positive, not {period_ns} ns")
    return _Cutter(datapath, period_ns - delays.register, delays).run()


def period_for(datapath: Datapath | Sequence[Datapath], depth: int, delays: Delays = GENERIC) -> float:
    """Returns a clock period in ns for which :func:`cut` makes at most ``depth`` register levels: nearly the shortest.

    The period is the same for the same arguments; it is within 1 % of the shortest one.

    Args:
        datapath: The datapath, or several that follow each other; none is changed.
        depth: Register levels allowed in all of them together, 0 or more.
        delays: Timing model.

    Raises:
        ConfigurationError: If ``depth`` is negative.
    """
    if depth < 0:
        raise ConfigurationError(f"depth must be 0 or more, not {depth}")
    short, long = delays.register, delays.register + 1.0
    cutters = [_Cutter(one, 0.0, delays) for one in ([datapath] if isinstance(datapath, Datapath) else datapath)]

    def least_depth(period: float) -> int:
        return sum(cutter.least_depth(period - delays.register) for cutter in cutters)

    while least_depth(long) > depth:
        short, long = long, 2 * long
    while long - short > 0.01 * long:
        middle = (short + long) / 2
        if least_depth(middle) > depth:
            short = middle
        else:
            long = middle
    return long


def cut_at(datapath: Datapath, clock: float | Clock) -> Pipeline:
    """Cuts for a clock: a number of MHz on no device in particular, or one that says the device too; see `cut`."""
    clock = Clock.of(clock)
    return cut(datapath, clock.period_ns, clock.delays)


class _Cutter:
    """The state of one cut. ``arrival`` and ``tail`` are the delays within a step up to and after a node."""

    def __init__(self, datapath: Datapath, budget: float, delays: Delays) -> None:
        nodes = datapath.nodes
        self.nodes = nodes
        # Rounding errors of sums of delays must not decide where a register stands.
        self.budget = budget + 1e-9
        self.outputs = sorted({_root(datapath, word.index) for word in datapath.outputs.values()})
        self.outputs = [index for index in self.outputs if nodes[index].kind is not kinds.CONSTANT]
        self.operands: list[tuple[int, ...]] = [()] * len(nodes)
        self.users: list[list[int]] = [[] for _ in nodes]
        self.delay = [0.0] * len(nodes)
        live = [False] * len(nodes)
        for index in self.outputs:
            live[index] = True
        for index in range(len(nodes) - 1, -1, -1):
            if not live[index]:
                continue
            node = nodes[index]
            roots = {_root(datapath, operand) for operand in node.operands}
            self.operands[index] = tuple(sorted(root for root in roots if nodes[root].kind is not kinds.CONSTANT))
            for root in self.operands[index]:
                live[root] = True
                self.users[root].append(index)
            self.delay[index] = delays.of(nodes, node)
        self.order = [index for index, alive in enumerate(live) if alive]
        self.bits = [node.bits for node in nodes]
        self.step = [0] * len(nodes)
        self.arrival = [0.0] * len(nodes)
        self.tail = [0.0] * len(nodes)
        self.depth = 0

    def run(self) -> Pipeline:
        for index in self.order:
            self._earliest(index)
        self.depth = max((self.step[index] for index in self.outputs), default=0)
        if self.depth and len(self.order) <= LARGEST:
            inputs = frozenset(index for index in self.order if self.nodes[index].kind is kinds.INPUT)
            outputs = frozenset(self.outputs)
            circuit = Circuit(
                self.order, self.operands, self.bits, self.delay, inputs, outputs, self.budget, self.depth
            )
            for index, step in fewest_registers(circuit).items():
                self.step[index] = step
        elif self.depth:
            # How many uses a node has in each step; an output is used in the last one.
            self.counts = [[0] * (self.depth + 1) for _ in self.nodes]
            for index in self.outputs:
                self.counts[index][self.depth] += 1
            for index in self.order:
                for operand in self.operands[index]:
                    self.counts[operand][self.step[index]] += 1
            movable = [index for index in self.order if self.nodes[index].kind is not kinds.INPUT]
            for _ in range(_ROUNDS):
                for index in reversed(movable):
                    self._move_later(index)
                for index in movable:
                    self._move_earlier(index)
        until = [0] * len(self.nodes)
        for index in self.order:
            uses = [self.step[user] for user in self.users[index]]
            until[index] = max(uses, default=0)
        for index in self.outputs:
            until[index] = self.depth
        for index, node in enumerate(self.nodes):
            if node.kind is kinds.SHIFT_LEFT:
                self.step[index] = until[index] = self.step[node.operands[0]]
        return Pipeline(tuple(self.step), tuple(until), self.depth)

    def least_depth(self, budget: float) -> int:
        """Returns the register levels that are needed when a step may last so long."""
        self.budget = budget + 1e-9
        for index in self.order:
            self._earliest(index)
        return max((self.step[index] for index in self.outputs), default=0)

    def _earliest(self, index: int) -> None:
        operands = self.operands[index]
        if not operands:
            return
        step = max(self.step[operand] for operand in operands)
        arrival = max(self.arrival[operand] for operand in operands if self.step[operand] == step)
        if arrival > 0 and self.delay[index] > 0 and arrival + self.delay[index] > self.budget:
            step, arrival = step + 1, 0.0
        self.step[index], self.arrival[index] = step, arrival + self.delay[index]

    def _arrival_in(self, index: int, step: int) -> float:
        before = [self.arrival[operand] for operand in self.operands[index] if self.step[operand] == step]
        return max(before, default=0.0) + self.delay[index]

    def _tail_in(self, index: int, step: int) -> float:
        after = [self.delay[user] + self.tail[user] for user in self.users[index] if self.step[user] == step]
        return max(after, default=0.0)

    def _move_later(self, index: int) -> None:
        step = self.step[index]
        uses = self.counts[index]
        limit = next(s for s in range(step, self.depth + 1) if uses[s])
        if limit > step:
            self._move(index, range(step, limit + 1))
        self.tail[index] = self._tail_in(index, self.step[index])

    def _move_earlier(self, index: int) -> None:
        step = self.step[index]
        limit = max((self.step[operand] for operand in self.operands[index]), default=step)
        if limit < step:
            self._move(index, range(step, limit - 1, -1))
        self.arrival[index] = self._arrival_in(index, self.step[index])

    def _move(self, index: int, candidates: Sequence[int]) -> None:
        """Moves a node to the candidate step with the fewest register bits; the present one stands first and wins."""
        others = []
        for operand in self.operands[index]:
            counts = self.counts[operand]
            counts[candidates[0]] -= 1
            last = self.step[operand]
            for step in range(self.depth, last, -1):
                if counts[step]:
                    last = step
                    break
            others.append((last, self.bits[operand]))
        best, best_cost = candidates[0], None
        for step in candidates:
            cost = -self.bits[index] * step + sum(bits * max(last, step) for last, bits in others)
            if best_cost is None or (cost < best_cost and self._fits(index, step)):
                best, best_cost = step, cost
        self.step[index] = best
        for operand in self.operands[index]:
            self.counts[operand][best] += 1

    def _fits(self, index: int, step: int) -> bool:
        arrival, tail = self._arrival_in(index, step), self._tail_in(index, step)
        # A node that alone is longer than the period is allowed, and wires may stand before or after it.
        alone = tail == 0 and arrival == self.delay[index]
        wire = self.delay[index] == 0 and (tail == 0 or arrival == 0)
        return alone or wire or arrival + tail <= self.budget


def _root(datapath: Datapath, index: int) -> int:
    """Returns the word that a shifted word is made of: the shift is wires and needs no registers of its own."""
    node = datapath.nodes[index]
    return node.operands[0] if node.kind is kinds.SHIFT_LEFT else index
