"""The banks of a window buffer, and what brings each tap the word of its bank."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib import memory
from amaranth.utils import ceil_log2

from rtl4ml.hdl.window_plan import WindowPlan


@dataclass(frozen=True)
class Place:
    """Where a word lies: the bank's row and column, and the address in the bank (more high bits do no harm)."""

    row: Value
    column: Value
    address: Value


class TapBanks:
    """Which bank holds which tap along an axis, for each phase, that is for each bank of a word's first tap.

    Tap t of phase p lies at p + t * dilation: in the bank that is this modulo the number of banks, and as many groups
    on as it is divided by it.

    Parameters:
        plan: of the window buffer.
        axis: 0 rows, 1 columns.
    """

    def __init__(self, plan: WindowPlan, axis: int) -> None:
        self._count = plan.banks[axis]
        self._places = [[p + t * plan.dilation[axis] for t in range(plan.taps[axis])] for p in range(self._count)]

    def banks(self, tap: int) -> list[int]:
        """The bank of a tap in each phase."""
        return [places[tap] % self._count for places in self._places]

    def offsets(self, bank: int) -> list[int]:
        """Groups from that of the word to that of the tap in a bank, in each phase; 0 where the bank is not read."""
        return [next((q // self._count for q in places if q % self._count == bank), 0) for places in self._places]


def add_banks(
    m: Module, plan: WindowPlan, accept: Value, payload: Value, write: Place, read: Place
) -> list[list[Value]]:
    """Add the banks; return for each row and column of banks the tap of the word at `read`, one edge later.

    Args:
        m: module that the memories become submodules of.
        plan: of the window buffer.
        accept: a word is written at this edge.
        payload: the word written.
        write: where it is written to.
        read: where the first tap lies (or would, were it in the frame).
    """
    bits = ceil_log2(plan.ring)
    rows, columns = TapBanks(plan, 0), TapBanks(plan, 1)
    words: list[list[Value]] = []
    for i in range(plan.banks[0]):
        groups = [offset * plan.row_stride for offset in rows.offsets(i)]
        row_address = Signal(bits, name=f"read_row_{i}")
        m.d.comb += row_address.eq(read.address + _select(m, f"row_offset_{i}", read.row, groups, bits))
        words.append([])
        for j in range(plan.banks[1]):
            groups = [offset * plan.chunks for offset in columns.offsets(j)]
            column_offset = _select(m, f"column_offset_{i}_{j}", read.column, groups, bits)
            m.submodules[f"bank_{i}_{j}"] = bank = memory.Memory(shape=len(payload), depth=plan.ring, init=[])
            port_in, port_out = bank.write_port(), bank.read_port(domain="sync")
            enable = accept
            if plan.banks[0] > 1:
                enable = enable & (write.row == i)
            if plan.banks[1] > 1:
                enable = enable & (write.column == j)
            m.d.comb += [
                port_in.addr.eq(write.address),
                port_in.data.eq(payload),
                port_in.en.eq(enable),
                port_out.addr.eq(row_address + column_offset),
                port_out.en.eq(1),
            ]
            words[-1].append(port_out.data)
    return words


def turn_taps(
    m: Module, plan: WindowPlan, words: Sequence[Sequence[Value]], row: Value, column: Value
) -> list[list[Value]]:
    """Order what the banks give by tap rows and tap columns.

    Args:
        m: module that the multiplexers are added to.
        plan: of the window buffer.
        words: of each row and column of banks.
        row: row of banks of the first tap.
        column: column of banks of the first tap.
    """
    rows, columns = TapBanks(plan, 0), TapBanks(plan, 1)
    taps: list[list[Value]] = []
    for i in range(plan.taps[0]):
        line = [
            select(m, f"tap_row_{i}_{d}", row, [words[bank][d] for bank in rows.banks(i)]) for d in range(plan.banks[1])
        ]
        taps.append(
            [select(m, f"tap_{i}_{j}", column, [line[bank] for bank in columns.banks(j)]) for j in range(plan.taps[1])]
        )
    return taps


def select(m: Module, name: str, selector: Value, values: Sequence[Value]) -> Value:
    """One of as many values of one width as the selector has."""
    if len(values) == 1:
        return values[0]
    result = Signal(len(values[0]), name=name)
    with m.Switch(selector):
        for index, value in enumerate(values[:-1]):
            with m.Case(index):
                m.d.comb += result.eq(value)
        with m.Default():
            m.d.comb += result.eq(values[-1])
    return result


def _select(m: Module, name: str, selector: Value, constants: Sequence[int], bits: int) -> Value:
    """A constant for each value of the selector, modulo 2**bits."""
    wanted = [constant % (1 << bits) for constant in constants]
    if all(value == wanted[0] for value in wanted):
        return Const(wanted[0], bits)
    return select(m, name, selector, [Const(value, bits) for value in wanted])
