"""The fewest flip-flops for a clock: where each node of a datapath is computed, as a linear program.

C. E. Leiserson and J. B. Saxe, "Retiming synchronous circuitry", Algorithmica 6 (1991): registers of a node are paid
for once, as many as its last user needs, and two nodes whose path lasts longer than a period are a step apart. Each
constraint is a difference of two unknowns, so that the optimum is integral. Most pairs of nodes never matter; those
that a solution violates are added, until there is none.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST = 3000
"""Nodes up to which the linear program takes a second or two."""


@dataclass(frozen=True)
class Circuit:
    """What is to be cut.

    Attributes:
        order: The nodes that count, operands first.
        operands: Per node: those that are computed.
        bits: Per node: the flip-flops of one register.
        delay: Per node, in ns; wires take none.
        inputs: Nodes that come in step 0.
        outputs: Nodes that are needed in the last step.
        budget: How long a step may last, in ns.
        depth: The last step; enough for the budget.
    """

    order: Sequence[int]
    operands: Sequence[Sequence[int]]
    bits: Sequence[int]
    delay: Sequence[float]
    inputs: frozenset[int]
    outputs: frozenset[int]
    budget: float
    depth: int


def fewest_registers(circuit: Circuit) -> dict[int, int]:
    """Returns the step of every node such that all registers together have the fewest bits.

    Of all such placements it is the one in which every node is computed as early as in any other: the same one whatever
    way the solver took.
    """
    program = _Program(circuit)
    while True:
        step = program.solve()
        pairs = [pair for node in _late(circuit, step) for pair in program.new_pairs(node)]
        if not pairs:
            return step
        program.separate(pairs)


def _late(circuit: Circuit, step: dict[int, int]) -> Iterator[int]:
    """Nodes that would end after the period; what follows such a one is looked at as if it stood behind a register."""
    arrival: dict[int, float] = {}
    for node in circuit.order:
        before = max((arrival[o] for o in circuit.operands[node] if step[o] == step[node]), default=0.0)
        arrival[node] = before + circuit.delay[node]
        if arrival[node] > circuit.budget and before > 0 and circuit.delay[node] > 0:
            arrival[node] = circuit.delay[node]
            yield node


class _Program:
    """Unknowns: the step of each node, and for those with several users the last step that one of them is in."""

    def __init__(self, circuit: Circuit) -> None:
        # Loaded where it is needed: most commands cut nothing.
        import highspy

        self.circuit = circuit
        self.column = {node: index for index, node in enumerate(circuit.order)}
        users: dict[int, list[int]] = {node: [] for node in circuit.order}
        for node in circuit.order:
            for operand in circuit.operands[node]:
                users[operand].append(node)
        low = [0.0] * len(self.column)
        high = [0.0 if node in circuit.inputs else float(circuit.depth) for node in circuit.order]
        cost = [-float(circuit.bits[node]) for node in circuit.order]
        self.rows: list[tuple[int, int, int]] = []  # (a, b, k): a is at least b + k
        for node in circuit.order:
            own = self.column[node]
            self.rows += [(self.column[user], own, 0) for user in users[node]]
            if node in circuit.outputs:
                continue  # held until the last step, a constant
            if len(users[node]) == 1:
                cost[self.column[users[node][0]]] += circuit.bits[node]
                continue
            self.rows += [(len(low), self.column[user], 0) for user in users[node]]
            low.append(0.0)
            high.append(float(circuit.depth))
            cost.append(float(circuit.bits[node]))
        self.low, self.high = np.array(low), np.array(high)
        self.known: set[int] = set()
        self.solver = highspy.Highs()
        self.solver.setOptionValue("output_flag", False)
        self.solver.setOptionValue("threads", 1)
        self.solver.addVars(len(low), self.low, self.high)
        self.solver.changeColsCost(len(low), np.arange(len(low), dtype=np.int32), np.array(cost))
        self._add(self.rows)

    def _add(self, rows: Sequence[tuple[int, int, int]]) -> None:
        if not rows:
            return
        first, second, least = np.array(rows, np.int32).T
        columns = np.stack([first, second], axis=1).reshape(-1)
        ends = np.full(len(rows), np.inf)
        starts = np.arange(0, 2 * len(rows), 2, dtype=np.int32)
        values = np.tile([1.0, -1.0], len(rows))
        self.solver.addRows(len(rows), least.astype(float), ends, len(values), starts, columns, values)

    def separate(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Puts a register between the nodes of each pair, of which the first comes first."""
        rows = [(self.column[after], self.column[before], 1) for before, after in pairs]
        self.rows += rows
        self._add(rows)

    def new_pairs(self, node: int) -> list[tuple[int, int]]:
        """Returns the nearest nodes from which a path to the end of ``node`` is too long; nothing the second time."""
        if node in self.known:
            return []
        self.known.add(node)
        circuit = self.circuit
        path = {node: circuit.delay[node]}  # longest, from the beginning of a node to the end of this one
        waiting = [-node]
        pairs = []
        while waiting:
            # The greatest index first: all nodes that use it have been here.
            at = -heapq.heappop(waiting)
            if at != node and path[at] > circuit.budget and circuit.delay[at] > 0:
                pairs.append((at, node))
                continue
            for operand in circuit.operands[at]:
                if operand not in path:
                    heapq.heappush(waiting, -operand)
                path[operand] = max(path.get(operand, 0.0), path[at] + circuit.delay[operand])
        return pairs

    def solve(self) -> dict[int, int]:
        """Returns the optimum with the smallest numbers.

        All optima keep what complementary slackness demands of one of them: constraints with a price hold with
        equality. The least numbers that do so follow by raising them until nothing is violated.
        """
        self.solver.run()
        solution = self.solver.getSolution()
        prices: NDArray[np.float64] = np.array(solution.row_dual)
        reduced: NDArray[np.float64] = np.array(solution.col_dual)
        values = np.where(reduced < -0.5, self.high, self.low).astype(int).tolist()
        above: list[list[tuple[int, int]]] = [[] for _ in values]
        for (a, b, k), price in zip(self.rows, prices.tolist(), strict=True):
            above[b].append((a, k))
            if price > 0.5:
                above[a].append((b, -k))
        waiting = list(range(len(values)))
        while waiting:
            at = waiting.pop()
            for other, k in above[at]:
                if values[other] < values[at] + k:
                    values[other] = values[at] + k
                    waiting.append(other)
        return {node: values[column] for node, column in self.column.items()}
