"""The primitives of a datapath, as :mod:`rtl4ml.datapath.lowering` writes it."""

from collections.abc import Mapping, Sequence

import numpy as np

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.cost import live_nodes
from rtl4ml.datapath.nodes import Node, chain, range_bits
from rtl4ml.datapath.pipeline import Pipeline
from rtl4ml.datapath.words import Datapath
from rtl4ml.planning.estimates.families import Family
from rtl4ml.planning.estimates.memories import map_memory
from rtl4ml.planning.estimates.primitives import (
    Add,
    AddTable,
    AddThree,
    Clip,
    Compare,
    Equal,
    Memory,
    Multiply,
    Primitive,
    Reduce,
    Register,
    Select,
    Shift,
    Structure,
)
from rtl4ml.planning.estimates.tables import table_of

_WIRES = frozenset({kinds.LOW_BITS, kinds.NARROW, kinds.SHIFT_RIGHT})

LEAST_SHIFT = 3
"""Registers in a row that a shift register takes the place of, where a device has them."""


def count_datapath(structure: Structure, datapath: Datapath, pipeline: Pipeline) -> None:
    """Add a datapath's primitives and registers to a structure."""
    nodes, step = datapath.nodes, pipeline.step
    live = live_nodes(datapath)
    uses = _uses(datapath, pipeline, live)
    in_memory = _registers_of_tables(nodes, step, uses, live)
    for index in live:
        node = nodes[index]
        if node.kind is kinds.TABLE:
            structure[_table(nodes[node.operands[0]], node, registered=index in in_memory)] += 1
        elif node.kind not in kinds.WIRING and node.kind is not kinds.INPUT:
            for primitive in _primitives(nodes, node):
                structure[primitive] += 1
    for index, at in uses.items():
        previous = step[index] + (index in in_memory)
        # Registers between one use of a word and the next stand in a row.
        for tap in sorted(at):
            length = tap - previous
            if length >= LEAST_SHIFT:
                structure[Shift(nodes[index].bits, length)] += 1
            elif length > 0:
                structure[Register(nodes[index].bits, control=False)] += length
            previous = max(tap, previous)


def tables_in_memory(datapath: Datapath, pipeline: Pipeline, family: Family) -> set[int]:
    """Nodes whose values are there only behind the register of a block memory, and late.

    Args:
        datapath: words.
        pipeline: how it is cut.
        family: decides which memories are blocks.
    """
    nodes, live = datapath.nodes, live_nodes(datapath)
    if not any(nodes[index].kind is kinds.TABLE for index in live):
        return set()
    found = _registers_of_tables(nodes, pipeline.step, _uses(datapath, pipeline, live), live)
    blocks = set()
    for index in sorted(found):
        node = nodes[index]
        if node.kind is kinds.TABLE:
            memory = _table(nodes[node.operands[0]], node, registered=True)
            if isinstance(memory, Memory) and map_memory(memory, family.memories, family.rom_cost).bram:
                blocks.add(index)
        elif any(operand in blocks for operand in node.operands):
            blocks.add(index)
    return blocks


def added_inputs(datapath: Datapath) -> list[tuple[str, str]]:
    """Names of inputs of which nothing is used but the sum of both, pair by pair."""
    nodes = datapath.nodes
    users: dict[int, list[int]] = {}
    for index in live_nodes(datapath):
        for operand in nodes[index].operands:
            users.setdefault(operand, []).append(index)
    for word in datapath.outputs.values():
        users.setdefault(word.index, []).append(-1)
    found = []
    for index, node in enumerate(nodes):
        if node.kind is kinds.ADD and all(
            nodes[operand].kind is kinds.INPUT and users.get(operand) == [index] for operand in node.operands
        ):
            first, second = (str(nodes[operand].parameter) for operand in node.operands)
            found.append((first, second))
    return found


def _uses(datapath: Datapath, pipeline: Pipeline, live: list[int]) -> dict[int, set[int]]:
    """Steps in which words are used, by node; of a shifted word, those of the word itself."""
    nodes, step = datapath.nodes, pipeline.step
    uses: dict[int, set[int]] = {}

    def use(index: int, at: int) -> None:
        while nodes[index].kind is kinds.SHIFT_LEFT:
            (index,) = nodes[index].operands
        if nodes[index].kind is not kinds.CONSTANT:
            uses.setdefault(index, set()).add(at)

    for index in live:
        if nodes[index].kind is not kinds.SHIFT_LEFT:
            for operand in nodes[index].operands:
                use(operand, step[index])
    for word in datapath.outputs.values():
        use(word.index, pipeline.depth)
    return uses


def _registers_of_tables(
    nodes: list[Node], step: Sequence[int], uses: Mapping[int, set[int]], live: list[int]
) -> set[int]:
    """Tables that Yosys takes for memories with a register behind them, and the words whose register that is.

    A table's register is its own, or those of words that are nothing but some of its wires; nothing may use it before
    the register.
    """
    users: dict[int, list[int]] = {}
    for index in live:
        if nodes[index].kind is kinds.SHIFT_LEFT:
            continue  # what uses a shifted word uses the word
        for operand in nodes[index].operands:
            root = nodes[operand].operands[0] if nodes[operand].kind is kinds.SHIFT_LEFT else operand
            users.setdefault(root, []).append(index)
    found: set[int] = set()
    for index in live:
        node = nodes[index]
        if node.kind is not kinds.TABLE or not _is_memory(nodes[node.operands[0]], node):
            continue
        here = [user for user in users.get(index, []) if step[user] == step[index]]
        outputs = step[index] in uses[index] and not here
        if not outputs and all(
            nodes[user].kind in _WIRES and step[user] not in uses.get(user, {step[user]}) for user in here
        ):
            found.update((index, *here))
    return found


def _primitives(nodes: list[Node], node: Node) -> list[Primitive]:
    kind = node.kind
    operands = [nodes[operand] for operand in node.operands]
    if kind is kinds.ADD or kind is kinds.SUBTRACT:
        found = chain(nodes, node)
        return [_sum(node, operands, found.wired, found.bits)] if found.bits > 0 else []
    if kind is kinds.TERNARY:
        bits = chain(nodes, node).bits
        return [AddThree(bits)] if bits > 0 else []
    if kind is kinds.WEIGHTED:
        bits = chain(nodes, node).bits
        width = range_bits(0, sum(abs(weight) for weight in node.parameter[1:]))
        return [AddTable(bits, min(width, node.bits), len(node.operands) - 1)]
    if kind is kinds.SELECT:
        varying = sum(operand.low != operand.high for operand in operands[1:])
        return [Select(node.bits, varying)] if varying else []
    if kind is kinds.MULTIPLY:
        first, second = operands
        return [Multiply(first.bits, first.low < 0, second.bits, second.low < 0, node.bits)]
    if kind is kinds.AT_LEAST:
        first, second = operands
        if second.kind is kinds.CONSTANT:
            return _reaches(first, second.low)
        if first.kind is kinds.CONSTANT:
            return _reaches(second, first.low + 1)
        return [Compare(max(first.bits, second.bits), constant=False)]
    if kind is kinds.EQUAL:
        constant = any(operand.kind is kinds.CONSTANT for operand in operands)
        return [Equal(max(operand.bits for operand in operands), constant)]
    if kind is kinds.CLIP:
        (source,) = operands
        ends = [node.high + 1] if source.high > node.high else []
        ends += [node.low] if source.low < node.low else []
        return [
            *(p for value in ends for p in _reaches(source, value)),
            Clip((node.bits + 1) // 2 if node.parameter is kinds.PAIRED else node.bits, len(ends)),
        ]
    return []


def _sum(node: Node, operands: list[Node], wired: int, bits: int) -> Add:
    """A chain above the wired bits: a bit varies in an operand below its width, and above if it has a sign."""
    varying = bits
    for operand in operands:
        if operand.low == operand.high:
            varying = 0
        elif operand.low >= 0:
            shift = operand.parameter if operand.kind is kinds.SHIFT_LEFT else 0
            # An operand's own zeros below are the wired bits of the other; above its width it is 0 too.
            varying = min(varying, max(operand.bits - max(wired, 0), 0) - max(shift - wired, 0))
    return Add(bits, max(varying, 0), node.kind is kinds.SUBTRACT)


def _reaches(node: Node, value: int) -> list[Primitive]:
    """`node >= value` for a constant: a sign bit, some upper bits, or a comparison."""
    if value == 0:
        return []
    zeros = (value & -value).bit_length() - 1
    bits = node.bits - zeros
    if value >> zeros in (1, -1):
        return [Reduce(bits)] if bits > 1 else []
    return [Compare(bits, constant=True)] if bits > 0 else []


def _is_memory(index: Node, node: Node) -> bool:
    """Whether Yosys takes a table for a memory.

    The table is a part of one long constant, selected by a shift. Yosys' `peepopt` makes a multiplexer of it, and
    `memory_bmux2rom` a memory, where the constant has at least half as many bits as the words of all addresses.
    """
    if index.bits < _LEAST_MEMORY:
        return False
    pitch = 1 << (node.bits - 1).bit_length()
    addresses = (index.low + np.arange(len(node.parameter))) & ((1 << index.bits) - 1)
    values = np.asarray(node.parameter, np.int64)
    last = int(np.max(addresses, where=values != 0, initial=0))
    word = int(values[np.argmax(addresses == last)]) & ((1 << node.bits) - 1)
    return 2 * (last * pitch + word.bit_length()) >= node.bits << index.bits


def _table(index: Node, node: Node, *, registered: bool) -> Primitive:
    """A table as its index's bits address it."""
    bits, width = index.bits, node.bits
    values = np.asarray(node.parameter, np.int64)
    rows = np.zeros(1 << bits, np.int64)
    rows[(index.low + np.arange(len(values))) & ((1 << bits) - 1)] = values
    table = table_of(((rows[:, None] >> np.arange(width)) & 1).astype(np.bool_))
    return Memory(1 << bits, width, 0, registered, table) if _is_memory(index, node) else table


_LEAST_MEMORY = 3
"""Bits of an address from which on a table can be a memory."""
