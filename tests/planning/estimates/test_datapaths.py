"""The primitives of datapaths."""

from collections import Counter

from rtl4ml.datapath.delays import delays_of
from rtl4ml.datapath.pipeline import cut
from rtl4ml.datapath.words import Datapath
from rtl4ml.planning.estimates.datapaths import added_inputs, count_datapath, tables_in_memory
from rtl4ml.planning.estimates.families import FAMILIES
from rtl4ml.planning.estimates.primitives import (
    Add,
    AddTable,
    Clip,
    Compare,
    Memory,
    Multiply,
    Register,
    Select,
    Shift,
    Structure,
    Table,
)


def _counted(datapath: Datapath, period_ns: float = 1000.0) -> Structure:
    structure: Structure = Counter()
    count_datapath(structure, datapath, cut(datapath, period_ns))
    return structure


def test_sums_count_bits_in_which_both_operands_vary() -> None:
    datapath = Datapath()
    a, b, c = (datapath.input(name, 0, 15) for name in "abc")
    datapath.output("same", datapath.add(a, b))
    datapath.output("shifted", datapath.add(a, datapath.shift_left(c, 2)))
    datapath.output("constant", datapath.subtract(datapath.constant(9), b))
    assert _counted(datapath) == {Add(5, 4, False): 1, Add(5, 2, False): 1, Add(5, 0, True): 1}


def test_what_nothing_uses_is_not_counted() -> None:
    datapath = Datapath()
    a, b = (datapath.input(name, -8, 7) for name in "ab")
    datapath.add(a, b)
    datapath.output("y", datapath.multiply(a, b))
    assert _counted(datapath) == {Multiply(4, True, 4, True, 8): 1}


def test_selects_and_clips() -> None:
    datapath = Datapath()
    a, b = (datapath.input(name, -8, 7) for name in "ab")
    bit = datapath.at_least(a, b)
    datapath.output("select", datapath.select(bit, a, datapath.constant(0)))
    datapath.output("clip", datapath.clip(b, -3, 5))
    structure = _counted(datapath)
    assert structure[Compare(4, False)] == 1
    assert structure[Select(4, 1)] == 1
    assert structure[Clip(4, 2)] == 1


def test_registers_in_a_row_can_be_a_shift_register() -> None:
    datapath = Datapath()
    a, b = (datapath.input(name, 0, 15) for name in "ab")
    total = a
    for _ in range(5):
        total = datapath.multiply(total, datapath.constant(3))
    datapath.output("y", datapath.add(total, b))
    structure = _counted(datapath, 2.4)
    shifts = [primitive for primitive in structure if isinstance(primitive, Shift)]
    assert [shift.bits for shift in shifts] == [4]
    assert any(isinstance(primitive, Register) for primitive in structure)


def test_tables_are_memories_where_their_last_words_are_not_zero() -> None:
    datapath = Datapath()
    index = datapath.input("x", 0, 15)
    datapath.output(
        "memory",
        datapath.table(
            index,
            list(range(15, -1, -1)),
        ),
    )
    datapath.output("full", datapath.table(index, [1, *range(1, 16)]))
    datapath.output("short", datapath.table(index, [9, 14, 3, 2, *([0] * 12)]))
    structure = _counted(datapath)
    memories = [primitive for primitive in structure if isinstance(primitive, Memory)]
    assert {(memory.depth, memory.width, memory.writes) for memory in memories} == {(16, 4, 0)}
    assert sum(isinstance(primitive, Table) for primitive in structure) == 1


def _late_table(datapath: Datapath, uses: int) -> None:
    """A table of 1024 words, whose word goes into sums, in each of which it stands a place further to the left."""
    index = datapath.input("x", 0, 1023)
    table = datapath.table(index, [255 - (place * 37) % 255 for place in range(1024)])
    for shift in range(uses):
        other = datapath.input(f"y{shift}", 0, 255)
        datapath.output(f"z{shift}", datapath.add(other, datapath.shift_left(table, shift)))


def test_a_table_whose_register_is_shifted_behind_it_is_a_block_memory() -> None:
    datapath = Datapath()
    _late_table(datapath, 3)
    pipeline = cut(datapath, 3.5, delays_of("ecp5"))
    structure: Structure = Counter()
    count_datapath(structure, datapath, pipeline)
    assert [primitive.registered for primitive in structure if isinstance(primitive, Memory)] == [True]
    assert len(tables_in_memory(datapath, pipeline, FAMILIES["ecp5"])) == 1


def test_a_table_without_a_register_is_none() -> None:
    datapath = Datapath()
    _late_table(datapath, 1)
    assert tables_in_memory(datapath, cut(datapath, 1000.0), FAMILIES["ecp5"]) == set()


def test_sums_of_words_and_tables() -> None:
    datapath = Datapath()
    bits = [datapath.input(f"b{place}", 0, 1) for place in range(4)]
    datapath.output("y", datapath.weighted(datapath.input("a", 0, 15), bits, [3, 5, 7, 9]))
    (found,) = _counted(datapath)
    assert found == AddTable(bits=6, width=5, index=4)


def test_pairs_of_inputs() -> None:
    datapath = Datapath()
    a, b, c, d = (datapath.input(name, 0, 15) for name in "abcd")
    datapath.output("y", datapath.add(datapath.add(a, b), datapath.add(c, d)))
    datapath.output("z", d)
    assert [set(pair) for pair in added_inputs(datapath)] == [{"a", "b"}]
