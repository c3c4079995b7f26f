"""Collects processes and their waits, and puts all of them into a few arrays."""

from dataclasses import dataclass

import numpy as np

from rtl4ml.planning.recurrence import NOT_AWAITED, Array, Tables
from rtl4ml.stages.timing import NEVER, earlier

AT_ONCE = 0
"""Place in the tables of delays of no delay."""


@dataclass(frozen=True, eq=False)
class Reference:
    """An event of a process for each of some others: what a wait is, of the whole network.

    Parameters:
        on: number of the process.
        index: int64 (n,), events of it.
        delay: edges after it, for all or int64 (n,).
        shift: added to `index`.
    """

    on: int
    index: Array
    delay: int | Array = 0
    shift: int = 0

    def of(self, which: Array, delay: int | Array, events: int) -> "Reference":
        """What waits for some of those others, with more edges.

        Args:
            which: int64 (m,), which of them; negative: of frames before; `NEVER`: none.
            delay: edges, for all or int64 (m,).
            events: of a frame of the process waited for.
        """
        if isinstance(self.delay, int):
            own: int | Array = self.delay
        else:
            own = self.delay[which % len(self.delay)]
        never = which == NEVER
        index = np.where(never, NEVER, earlier(self.index, events, np.where(never, 0, which)))
        return Reference(self.on, index, own + delay, self.shift)


class Builder:
    """Collects processes and waits."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.events: list[int] = []
        self.gaps: list[int | Array] = []
        self.waits: list[list[Reference]] = []

    def add(self, name: str, events: int, gap: int | Array = 1) -> int:
        """A process without waits; returns its number."""
        self.names.append(name)
        self.events.append(events)
        self.gaps.append(gap)
        self.waits.append([])
        return len(self.names) - 1

    def wait(self, process: int, reference: Reference) -> tuple[int, int]:
        """A wait of a process; returns the process and the wait's place among its waits."""
        self.waits[process].append(reference)
        return process, len(self.waits[process]) - 1

    def tables(self) -> Tables:
        """All as arrays; tables that count up by one share one."""
        counting = max(self.events, default=0)
        indices, delays = [np.arange(counting)], _Pool()
        used = counting
        rows = []
        for reference in (reference for waits in self.waits for reference in waits):
            index, shift = reference.index, reference.shift
            never = index == NEVER
            lowest = int(index[~never].min()) if not never.all() else NOT_AWAITED
            if len(index) and not never.any() and np.array_equal(index - index[0], np.arange(len(index))):
                at, lowest, shift = 0, 0, shift + int(index[0])
            else:
                at = used
                indices.append(np.where(never, NOT_AWAITED, index))
                used += len(index)
            rows.append((reference.on, at, shift, lowest, *delays.place(reference.delay)))
        columns = np.array(rows, np.int64).reshape(-1, 6).T.copy()
        gaps = np.array([delays.place(gap) for gap in self.gaps], np.int64).T.copy()
        return Tables(
            names=tuple(self.names),
            events=np.array(self.events, np.int64),
            gap_at=gaps[0],
            gap_step=gaps[1],
            wait_from=np.cumsum([0, *map(len, self.waits)]),
            on=columns[0],
            index_at=columns[1],
            shift=columns[2],
            lowest=columns[3],
            delay_at=columns[4],
            delay_step=columns[5],
            indices=np.concatenate(indices),
            delays=delays.table(),
        )


class _Pool:
    """Tables of delays behind each other; a constant takes one place."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self._used = 0
        self._constants: dict[int, int] = {}
        self.place(0)  # at AT_ONCE

    def place(self, delay: int | Array) -> tuple[int, int]:
        """Where a delay begins, and whether it differs between events: 0 or 1."""
        table = np.atleast_1d(np.asarray(delay, np.int64))
        step = int(np.ndim(delay) > 0 and not np.all(table == table[:1]))
        if not step and len(table):
            value = int(table[0])
            if value not in self._constants:
                self._constants[value] = self._append(table[:1])
            return self._constants[value], 0
        return self._append(table), step

    def _append(self, table: Array) -> int:
        self._parts.append(table)
        self._used += len(table)
        return self._used - len(table)

    def table(self) -> Array:
        """All of them."""
        return np.concatenate(self._parts)
