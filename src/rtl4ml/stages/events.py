"""When a stage moves its beats: tables of events and of what each waits for.

An event happens at the earliest clock edge that all its waits allow; a wait is "so many edges after that other event".
Parts differ in their tables only (:mod:`rtl4ml.stages.timing` builds those of the common parts), and one recurrence
(:mod:`rtl4ml.planning.recurrence`) finds the edges of all of them.

Names of events in a stage:

- `in0`, `in1`, ...: transfers of the beats of the streams in. They wait until the beat is offered by themselves.
- `offer0`, `offer1`, ...: not events of the stage, only waited for: a beat of that stream is valid. A stage that moves
  several streams at once waits for the offers, since a transfer would wait for itself.
- `out`: handovers of the stage's beats to whoever reads them; only waited for.
- any other: the stage's own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError

Table = NDArray[np.int64]

NEVER = int(np.iinfo(np.int64).min)
"""Index of an event that is not waited for."""


@dataclass(frozen=True)
class Side:
    """A stream into a stage.

    Parameters:
        n: elements of a frame.
        lanes_in: elements of a beat.
        lanes: elements of a word behind the width adapter.
    """

    n: int
    lanes_in: int
    lanes: int

    @property
    def beats(self) -> int:
        """Beats of a frame."""
        return -(-self.n // self.lanes_in)

    @property
    def words(self) -> int:
        """Words of a frame."""
        return -(-self.n // self.lanes)


@dataclass(frozen=True, eq=False)
class Wait:
    """What the events of a process wait for, one event of another process each.

    Parameters:
        on: name of the other process.
        index: int64 (events,): number of its event within the same frame; negative: of frames before, -1 being the last
            event of the frame before (before the first frame nothing is waited for); `NEVER`: no wait.
        delay: edges after that event, for all or int64 (events,).
    """

    on: str
    index: Table
    delay: int | Table = 0


@dataclass(frozen=True, eq=False)
class Process:
    """Events that follow each other, the same in every frame.

    Parameters:
        name: as others call it.
        events: of a frame.
        waits: each with an entry for every event.
        gap: edges between an event and the one before, at least, across frames too; for all or int64 (events,).
    """

    name: str
    events: int
    waits: tuple[Wait, ...] = ()
    gap: int | Table = 1


@dataclass(frozen=True, eq=False)
class Timing:
    """A stage's events.

    Parameters:
        sides: all streams in.
        processes: of the stage, `in0` and so on among them where these wait for more than the offers.
        result: with an entry for every beat out of a frame: when it is valid at the earliest.
        issues: cycles a frame keeps the stage busy: its interval, if its beats are fewer.
        depth: edges from the issue of a result's last word to the edge that writes it into the FIFO.
        slots: beats that the FIFO holds; None: there is no FIFO and no back-pressure.

    Raises:
        ConfigurationError: a table is of the wrong length, or names an event that there is not.
    """

    sides: tuple[Side, ...]
    processes: tuple[Process, ...]
    result: Wait
    issues: int
    depth: int
    slots: int | None

    def __post_init__(self) -> None:
        """Check the tables."""
        events = {"out": self.beats_out}
        for number, side in enumerate(self.sides):
            events |= {beats_name(number): side.beats, offer_name(number): side.beats}
        for process in self.processes:
            if events.setdefault(process.name, process.events) != process.events:
                raise ConfigurationError(
                    f"Events of process {process.name!r} must be {events[process.name]}, not {process.events}"
                )
        tables = [(process.name, process.events, wait) for process in self.processes for wait in process.waits]
        for name, count, wait in [*tables, ("result", self.beats_out, self.result)]:
            if wait.on not in events:
                raise ConfigurationError(f"Process {name!r} must wait for one of {list(events)}, not {wait.on!r}")
            if wait.index.shape != (count,) or np.shape(wait.delay) not in ((), (count,)):
                raise ConfigurationError(
                    f"Waits of process {name!r} for {wait.on!r} must be {count}, not {wait.index.shape}"
                )
            if count and wait.index.max() >= events[wait.on]:
                raise ConfigurationError(
                    f"Process {name!r} must wait for events of {wait.on!r} below {events[wait.on]} in the same frame, "
                    f"not {wait.index.max()}"
                )

    @property
    def beats_in(self) -> int:
        """Beats of a frame in, of the first stream."""
        return self.sides[0].beats

    @property
    def beats_out(self) -> int:
        """Beats of a frame out."""
        return len(self.result.index)


def beats_name(number: int) -> str:
    """Name of the transfers of a stream in."""
    return f"in{number}"


def offer_name(number: int) -> str:
    """Name of the offers of a stream in."""
    return f"offer{number}"
