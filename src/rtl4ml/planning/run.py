"""Frames of a network one after the other, and when what follows only repeats them."""

import numpy as np

from rtl4ml.planning import recurrence
from rtl4ml.planning.recurrence import NOT_AWAITED, Array, Tables, run_frame

LONGEST_PATTERN = 6
"""Frames after which a repetition is looked for."""

FOR_EVER = 1 << 60
"""Repetitions that never end."""


class Run:
    """Edges of the events of some tables, frame by frame.

    Parameters:
        tables: processes and waits.
        pattern: frames kept beside those that waits reach back to; for :meth:`regular`.
        frames: that will be computed, roughly: whether to compile.
        origin: int64 (processes,), edge of a process' first event at the earliest; None: 0.
        compiles: whether the function is compiled; None: as the work asks for.

    Attributes:
        frames: computed so far.
    """

    def __init__(
        self,
        tables: Tables,
        *,
        pattern: int = 0,
        frames: int = 10,
        origin: Array | None = None,
        compiles: bool | None = None,
    ) -> None:
        self._tables = tables
        self._reach = np.ones(len(tables.events), np.int64)
        back = -((tables.lowest + tables.shift) // np.maximum(tables.events[tables.on], 1))
        real = tables.lowest + tables.shift > NOT_AWAITED // 2
        np.maximum.at(self._reach, tables.on[real], back[real])
        rows = self._reach + 1 + pattern
        sizes = rows * tables.events
        self._base, self._rows = np.cumsum(sizes) - sizes, rows
        zeros = np.zeros(len(sizes), np.int64)
        self._events = int(tables.events.sum())
        if compiles is None:
            compiles = self._events * frames > tables.budget[0] or recurrence.compiled.cache_info().currsize > 0
        arguments = [
            tables.events, self._base, rows, zeros if origin is None else origin, tables.gap_at, tables.gap_step,
            tables.wait_from, tables.on, tables.index_at, tables.shift, tables.delay_at, tables.delay_step,
            tables.indices, tables.delays, np.zeros(int(sizes.sum()), np.int64), zeros.copy(), zeros.copy(),
            zeros.copy(), zeros.copy(),
        ]  # fmt: skip
        self._run = recurrence.compiled() if compiles else run_frame
        self._arguments = arguments if compiles else [argument.tolist() for argument in arguments]
        self._times = self._arguments[14]
        self._oldest = 0  # frame that is kept
        self._unsettled = int(np.argmax(tables.events))
        self.frames = 0

    def advance(self) -> int:
        """Compute the next frame.

        Returns:
            Processes that wait for each other for ever, 0 if all is well.
        """
        left = self._run(self.frames, *self._arguments)
        self._tables.budget[0] -= self._events
        self.frames += 1
        return left

    def edges(self, process: int, frame: int) -> Array:
        """Edges of a process' events of a frame that is still kept."""
        events = int(self._tables.events[process])
        start = int(self._base[process]) + frame % int(self._rows[process]) * events
        return np.array(self._times[start : start + events], np.int64)

    def regular(self, every: int) -> int:
        """How often all that follows repeats the last `every` frames, each process later by a constant of its own.

        It does if every kept event that later frames can refer to did, and nothing needs a process that gets later more
        slowly; and as long as no process that gets later faster has caught up with one that waits for it.

        Returns:
            Repetitions; `FOR_EVER` if nothing can catch up.
        """
        tables, last = self._tables, self.frames - 1
        if last + 1 - every - int(self._reach.max()) < self._oldest:
            return 0
        speed = self._speed(every)
        if speed is None:
            return 0
        waiting = tables.waiting
        faster = speed[tables.on] - speed[waiting]
        faster[tables.shift + tables.lowest <= NOT_AWAITED // 2] = 0
        times = FOR_EVER
        for process in np.unique(waiting[faster != 0]).tolist():
            waits = range(int(tables.wait_from[process]), int(tables.wait_from[process + 1]))
            for frame in range(last + 1 - every, last + 1):
                own = self.edges(process, frame)
                edges = self._own_pace(process, frame)
                for wait in waits:
                    allowed = self._allowed(process, wait, frame)
                    if faster[wait] == 0:
                        edges = np.maximum(edges, allowed)
                    elif faster[wait] > 0:
                        times = min(times, int((own - allowed).min()) // int(faster[wait]))
                if times == 0 or np.any(edges != own):
                    return 0
        return times

    def _speed(self, every: int) -> Array | None:
        """By how much each process' kept events are later than those `every` frames before; None if by no constant."""
        last = self.frames - 1
        speed = np.zeros(len(self._tables.events), np.int64)
        # The process that was late to settle comes first: most likely it still is.
        for process in [self._unsettled, *np.flatnonzero(self._tables.events).tolist()]:
            for frame in range(last, last - int(self._reach[process]), -1):
                later = self.edges(process, frame) - self.edges(process, frame - every)
                if frame == last:
                    speed[process] = later[0]
                if np.any(later != speed[process]):
                    self._unsettled = process
                    return None
        return speed

    def _own_pace(self, process: int, frame: int) -> Array:
        """Edges of a process' events of a frame by the events before them."""
        tables, own = self._tables, self.edges(process, frame)
        gaps = tables.delays[tables.gap_at[process] + np.arange(len(own)) * tables.gap_step[process]]
        return np.append(self.edges(process, frame - 1)[-1:], own[:-1]) + gaps

    def _allowed(self, process: int, wait: int, frame: int) -> Array:
        """Edges of a process' events of a frame by one of its waits; far in the past where there is none."""
        tables, on = self._tables, self._tables.on[wait]
        count = np.arange(tables.events[process])
        index = tables.indices[tables.index_at[wait] + count] + tables.shift[wait]
        kept = index > NOT_AWAITED // 2
        back, place = np.divmod(np.where(kept, index, 0), tables.events[on])
        place += self._base[on] + (frame + back) % self._rows[on] * tables.events[on]
        delays = tables.delays[tables.delay_at[wait] + count * tables.delay_step[wait]]
        return np.where(kept, np.asarray(self._times)[place] + delays, NOT_AWAITED)

    def skip(self, every: int, times: int) -> None:
        """Go on as if so many repetitions of the last `every` frames had been computed."""
        speed = self._speed(every)
        assert speed is not None
        moved = np.array(self._times)
        for process, (base, rows) in enumerate(zip(self._base.tolist(), self._rows.tolist(), strict=True)):
            events = int(self._tables.events[process])
            kept = moved[base : base + rows * events].reshape(rows, events)
            kept[:] = np.roll(kept, every * times % rows, axis=0) + speed[process] * times
        self._times[:] = moved if isinstance(self._times, np.ndarray) else moved.tolist()
        self.frames += every * times
        # Frames before those that `regular` looked at were not of the pattern: where they would stand now is nothing.
        self._oldest = self.frames - every - int(self._reach.max())
