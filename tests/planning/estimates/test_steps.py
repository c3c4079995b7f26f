"""What the slowest path of each step of a datapath goes through."""

import pytest

from rtl4ml.datapath.delays import delays_of
from rtl4ml.datapath.pipeline import cut
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.planning.estimates.families import FAMILIES, Family
from rtl4ml.planning.estimates.primitives import Multiply
from rtl4ml.planning.estimates.steps import TERMS, Terms, add_terms, product_terms, slowest_steps, worth_of

ECP5, UP5K, HX8K, XCUP = (FAMILIES[name] for name in ("ecp5", "ice40-up5k", "ice40-hx8k", "xcup"))


def _steps(datapath: Datapath, family: Family = ECP5, period_ns: float = 1000.0) -> list[Terms]:
    delays = delays_of(family.name)
    return list(slowest_steps(datapath, cut(datapath, period_ns, delays), {"write": 1.0}, delays, family))


def _words(datapath: Datapath, number: int, bits: int) -> list[Word]:
    return [datapath.input(f"x{index}", 0, (1 << bits) - 1) for index in range(number)]


def test_carries_of_sums_in_a_row_count_once() -> None:
    datapath = Datapath()
    a, b, c, d = _words(datapath, 4, 8)
    datapath.output("y", datapath.add(datapath.add(datapath.add(a, b), c), d))
    (terms,) = _steps(datapath)
    assert terms == {"register": 1.0, "chain": 3.0, "carry": pytest.approx(10.0), "write": 1.0}


def test_a_step_of_its_own_ends_in_a_register() -> None:
    datapath = Datapath()
    a, b, c = _words(datapath, 3, 8)
    datapath.output("y", datapath.add(datapath.add(a, b), c))
    first, last = _steps(datapath, period_ns=4.0)
    assert first == {"register": 1.0, "chain": 1.0, "carry": 9.0}
    assert last == {"register": 1.0, "chain": 1.0, "carry": 10.0, "write": 1.0}


def test_a_comparison_waits_for_the_whole_sum() -> None:
    datapath = Datapath()
    a, b = _words(datapath, 2, 12)
    datapath.output("y", datapath.at_least(datapath.add(a, b), datapath.constant(1001)))
    (terms,) = _steps(datapath)
    assert (terms["chain"], terms["reach"]) == (1.0, 1.0)


def test_short_sums_and_choices_of_constants() -> None:
    datapath = Datapath()
    a, b = _words(datapath, 2, 2)
    bit = datapath.input("bit", 0, 1)
    datapath.output("y", datapath.select(bit, datapath.add(a, b), datapath.constant(5)))
    (terms,) = _steps(datapath)
    assert terms == {"register": 1.0, "short": 1.0, "choice": 1.0, "write": 1.0}


def test_what_carry_cells_take_a_table_for() -> None:
    datapath = Datapath()
    a, b = _words(datapath, 2, 8)
    datapath.output("y", datapath.subtract(a, b))
    assert "invert" not in _steps(datapath)[0]
    assert _steps(datapath, HX8K)[0]["invert"] == 1.0
    assert "invert" not in _steps(datapath, XCUP)[0]


def test_words_behind_a_block_memory_come_late() -> None:
    datapath = Datapath()
    index = datapath.input("x", 0, 1023)
    other = datapath.input("y", 0, 255)
    table = datapath.table(index, [255 - (place * 37) % 255 for place in range(1024)])
    datapath.output("z", datapath.add(table, other))
    steps = _steps(datapath, period_ns=3.5)
    assert [terms["memory"] for terms in steps if "memory" in terms] == [1.0]
    assert all("table" not in terms for terms in steps)


def test_products() -> None:
    assert product_terms(Multiply(8, True, 8, True, 16), ECP5) == {"multiply": 1.0}
    assert product_terms(Multiply(24, True, 12, True, 36), ECP5) == {"multiply": 1.0, "chain": 1.0, "carry": 18.0}
    # 8 rows, 6, 4, 3, 2
    assert product_terms(Multiply(8, True, 8, True, 16), HX8K) == {"layer": 5.0, "chain": 1.0, "carry": 16.0}


def test_a_block_adds_where_it_can() -> None:
    datapath = Datapath()
    a, b = (datapath.input(name, -128, 127) for name in "ab")
    c = datapath.input("c", -4096, 4095)
    datapath.output("y", datapath.add(datapath.multiply(a, b), c))
    assert "chain" not in _steps(datapath, UP5K)[0]
    assert _steps(datapath, ECP5)[0]["chain"] == 1.0


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_term_is_worth_something(name: str) -> None:
    worth = worth_of(delays_of(name))
    assert set(worth) == set(TERMS)
    assert min(worth.values()) > 0


def test_one_path_behind_another() -> None:
    assert add_terms({"lut": 1.0, "chain": 1.0}, {"chain": 2.0, "write": 1.0}) == {
        "lut": 1.0,
        "chain": 3.0,
        "write": 1.0,
    }
