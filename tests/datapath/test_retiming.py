import itertools
import random

import pytest

from rtl4ml.datapath.retiming import Circuit, fewest_registers


def random_circuit(seed: int) -> Circuit:
    """Nine nodes, so few that every placement can be tried."""
    rng = random.Random(seed)
    inputs, size = frozenset(range(2)), 9
    operands = [(), ()] + [tuple(sorted({rng.randrange(node) for _ in range(2)})) for node in range(2, size)]
    used = {operand for taken in operands for operand in taken}
    outputs = frozenset(node for node in range(size) if node not in used or node == size - 1)
    delay = [0.0, 0.0] + [rng.choice([0.0, 1.0, 2.0, 3.5]) for _ in range(2, size)]
    bits = [rng.randint(1, 9) for _ in range(size)]
    circuit = Circuit(range(size), operands, bits, delay, inputs, outputs, 4.0, size)
    depth = next(depth for depth in range(size) if any(fits(circuit, step) for step in placements(circuit, depth)))
    return Circuit(range(size), operands, bits, delay, inputs, outputs, 4.0, depth + seed % 2)


def placements(circuit: Circuit, depth: int):
    """All that keep operands before their users."""
    free = len(circuit.order) - len(circuit.inputs)
    for steps in itertools.product(range(depth + 1), repeat=free):
        step = (*(0 for _ in circuit.inputs), *steps)
        if all(step[o] <= step[node] for node in circuit.order for o in circuit.operands[node]):
            yield step


def fits(circuit: Circuit, step) -> bool:
    arrival: list[float] = []
    for node in circuit.order:
        before = max((arrival[o] for o in circuit.operands[node] if step[o] == step[node]), default=0.0)
        arrival.append(before + circuit.delay[node])
    return max(arrival) <= circuit.budget


def register_bits(circuit: Circuit, step) -> int:
    until = [circuit.depth if node in circuit.outputs else step[node] for node in circuit.order]
    for node in circuit.order:
        for operand in circuit.operands[node]:
            until[operand] = max(until[operand], step[node])
    return sum(circuit.bits[node] * (until[node] - step[node]) for node in circuit.order)


@pytest.mark.parametrize("seed", range(12))
def test_no_placement_has_fewer_registers_and_none_of_them_is_earlier(seed):
    circuit = random_circuit(seed)
    found = fewest_registers(circuit)
    step = tuple(found[node] for node in circuit.order)
    assert fits(circuit, step)
    every = [other for other in placements(circuit, circuit.depth) if fits(circuit, other)]
    fewest = min(register_bits(circuit, other) for other in every)
    assert register_bits(circuit, step) == fewest
    best = [other for other in every if register_bits(circuit, other) == fewest]
    assert step == tuple(map(min, zip(*best, strict=True)))


def test_a_node_longer_than_the_budget_stands_alone():
    operands = [(), (0,), (1,), (2,)]
    circuit = Circuit(range(4), operands, [1, 1, 1, 1], [0.0, 1.0, 9.0, 1.0], frozenset({0}), frozenset({3}), 4.0, 2)
    assert fewest_registers(circuit) == {0: 0, 1: 0, 2: 1, 3: 2}
