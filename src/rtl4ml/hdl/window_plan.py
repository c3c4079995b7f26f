"""What a window buffer reads, in which order and when: plain numbers."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from amaranth.utils import ceil_log2
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes
from rtl4ml.hdl.window_ring import can_run, smallest_ring

EVENTS = 1 << 17
"""Words and units of a frame up to which the ring is chosen by running whole frames; beyond, by lower frames of the
same walk, or where rows are not the outermost loop, as room for two frames."""


READS_NOTHING = "A window plan must read something of each frame, not fill alone"


@dataclass(frozen=True)
class Level:
    """A loop: `count` turns, and what a step from one turn to the next adds to row, column and chunk."""

    count: int
    rows: int = 0
    columns: int = 0
    chunks: int = 0


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """Frames of pixels come in, words of several pixels go out along a nest of loops.

    A frame is height x width pixels, row-major, each of `chunks` words of `lanes` elements. Word k of a frame stands at
    start + sum of index * step over the levels; its taps (i, j) are the words of `lanes` elements at
    (row + i * dilation[0], column + j * dilation[1], chunk), ordered by tap row, tap column, lane. A tap outside the
    frame gives the fill code of its chunk and lane.

    Units: the turns of the first `unit` levels. A unit starts when all that it reads has been written (:meth:`needs`).
    At the end of each turn of the first `release` levels, what lies before the top left corner of all that the next
    turn reads is given back (:meth:`releases`); with the frame's last, all of it.

    Timing, as edges at which words are written and issued:

        write(w) >= write(w - 1) + 1
        write(w) >= issue(write_waits[w]) + 1
        issue(k) >= issue(k - 1) + 1
        issue(first word of unit u) >= write(last word of pixel needs[u] - 1) + 1

    and the word stands at the output `latency` edges after its issue. There is no other condition.

    Memory: a bank for each (row modulo banks[0], column modulo banks[1]), rows counted through all frames, so that the
    taps of a word lie in different banks. Within a bank, a word lies at
    ((row group * column groups) + column group) * chunks + chunk, modulo `ring`.

    Parameters:
        height: rows of a frame.
        width: columns of a frame.
        chunks: words a pixel.
        lanes: elements a word in.
        taps: rows and columns of the pixels of a word out.
        dilation: rows and columns from tap to tap, 1 or more.
        start: row, column and chunk of the first word; row and column may be negative.
        levels: loops, outermost first.
        unit: levels that enumerate units; 0: a frame is one; -1: each word is one.
        fill: codes (chunks, lanes), or one for all.
        ring: words a bank, a power of two of 2 or more; 0: the fewest that lose no cycle when source and sink are
            always ready.
        pass_levels: innermost levels that make up a pass; 0: each word is one.
        order: int64 (words,), for walks that are no nest: the frame's words as they are issued, -1 for fill. Takes the
            place of start and levels (the frame then counts as a single row); unit is 0 or 1 and so is pass_levels.
        release: levels whose turns give back what they read, up to `unit`; -1: the most that can.
        banks: of rows and columns; (0, 0): chosen, see `ring`.
        reach: rows and columns below and right of the last tap that are read as well, by readers that have tables of
            their own (:class:`rtl4ml.hdl.window_reads.WindowReads`).

    Raises:
        ConfigurationError: a number makes no sense, the ring is too small for a unit, or no frame is read at all.
    """

    height: int
    width: int
    chunks: int
    lanes: int
    taps: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    start: tuple[int, int, int] = (0, 0, 0)
    levels: tuple[Level, ...] = ()
    unit: int = -1
    fill: Codes = field(default_factory=lambda: np.zeros((), np.int64))
    ring: int = 0
    pass_levels: int = 0
    order: Codes | None = None
    release: int = -1
    banks: tuple[int, int] = (0, 0)
    reach: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self._check_sizes()
        if self.order is not None:
            self._set(levels=(Level(len(self.order)),), height=1, width=self.height * self.width)
        self._check_walk()
        if self.unit < 0:
            self._set(unit=len(self.levels))
        if self.release < 0:
            self._set(release=next(depth for depth in range(self.unit, -1, -1) if self._can_release(depth)))
        elif self.release > self.unit or not self._can_release(self.release):
            raise ConfigurationError(
                f"Release must be at most the {self.unit} levels of a unit, and corners must not go back, "
                f"not {self.release} levels"
            )
        self._choose_memory()

    # Sizes.

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Turns of each level."""
        return tuple(int(level.count) for level in self.levels)

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """What a step of each level adds: int64 (levels, 3) of row, column, chunk."""
        steps = [(level.rows, level.columns, level.chunks) for level in self.levels]
        return np.array(steps, np.int64).reshape(len(steps), 3)

    @property
    def words(self) -> int:
        """Words out of a frame."""
        return self._turns(len(self.levels))

    @property
    def units(self) -> int:
        """Units of a frame."""
        return self._turns(self.unit)

    @property
    def unit_words(self) -> int:
        """Words out of a unit."""
        return self.words // self.units

    @property
    def pass_words(self) -> int:
        """Words out of a pass."""
        return self.words // self._turns(len(self.levels) - self.pass_levels)

    @property
    def words_in(self) -> int:
        """Words in of a frame."""
        return self.height * self.width * self.chunks

    @property
    def row_stride(self) -> int:
        """Words of a bank from one row of it to the next."""
        return -(-self.width // self.banks[1]) * self.chunks

    @property
    def held(self) -> int:
        """Words of `lanes` elements that the memory has room for."""
        return self.banks[0] * self.banks[1] * self.ring

    @property
    def latency(self) -> int:
        """Edges from the issue of a word to its being at the output: 2 when taps must be rotated or filled, else 1."""
        return 2 if self.banks != (1, 1) or self.fills else 1

    @cached_property
    def fills(self) -> bool:
        """Whether some tap of some word lies outside the frame."""
        return bool(np.any(self.order < 0)) if self.order is not None else any(any(out) for out in self.outside)

    @cached_property
    def outside(self) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
        """Whether a tap row, a tap column lies outside the frame for some word (walks of levels)."""
        result = []
        for axis, limit in ((0, self.height), (1, self.width)):
            offsets = np.arange(self.taps[axis]) * self.dilation[axis]
            low = self.box(0)[0][axis] + self.start[axis] + offsets
            high = self.box(0)[1][axis] + self.start[axis] - offsets[-1] - self.reach[axis] + offsets
            result.append(tuple(((low < 0) | (high >= limit)).tolist()))
        return result[0], result[1]

    # Words.

    def positions(self, depth: int | None = None) -> NDArray[np.int64]:
        """Row, column, chunk of each word, or of the first word of each turn of the first levels: int64 (turns, 3)."""
        depth = len(self.levels) if depth is None else depth
        turns = np.indices(self.counts[:depth]).reshape(depth, self._turns(depth))
        return np.array(self.start) + turns.T @ self.steps[:depth]

    def sources(self) -> NDArray[np.int64]:
        """Word of the frame that each tap of each word carries: int64 (words, tap rows * tap columns); -1: fill."""
        if self.order is not None:
            return np.asarray(self.order, np.int64)[:, np.newaxis]
        row, column, chunk = self.positions().T[:, :, np.newaxis, np.newaxis]
        rows = row + (np.arange(self.taps[0]) * self.dilation[0])[:, np.newaxis]
        columns = column + np.arange(self.taps[1]) * self.dilation[1]
        inside = (rows >= 0) & (rows < self.height) & (columns >= 0) & (columns < self.width)
        words = (rows * self.width + columns) * self.chunks + chunk
        return np.where(inside, words, -1).reshape(self.words, -1)

    def issued(self, frame: Codes) -> Codes:
        """The words out, codes (words, taps * lanes), of a frame of codes (pixels * chunks, lanes)."""
        sources = self.sources()
        chunk = np.zeros(self.words, np.int64) if self.order is not None else self.positions()[:, 2]
        fill = np.broadcast_to(self.fill, (self.chunks, self.lanes))[chunk][:, np.newaxis]
        return np.where(sources[:, :, np.newaxis] < 0, fill, frame[sources]).reshape(self.words, -1)

    def box(self, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last (row, column) of all that a turn of the first `depth` levels reads, from its first word on."""
        spans = (np.array(self.counts[depth:], np.int64)[:, np.newaxis] - 1) * self.steps[depth:, :2]
        extent = (np.array(self.taps) - 1) * np.array(self.dilation) + self.reach
        return np.minimum(spans, 0).sum(axis=0), np.maximum(spans, 0).sum(axis=0) + extent

    # Timing.

    def needs(self) -> NDArray[np.int64]:
        """Pixels, in the order they are written, that a unit waits for: int64 (units,), 1 or more.

        Up to the bottom right corner of what it reads, moved into the frame. A unit that ends above or left of the
        frame waits for the frame's first pixel: so a frame is never issued before it begins.
        """
        if self.order is not None:
            pixels = np.maximum(self.order // self.chunks, 0) + 1
            return pixels if self.unit else pixels.max(keepdims=True)
        last = self.positions(self.unit)[:, :2] + self.box(self.unit)[1]
        row, column = np.minimum(last, (self.height - 1, self.width - 1)).T
        return np.where(np.any(last < 0, axis=1), 0, row * self.width + column) + 1

    def releases(self) -> NDArray[np.int64]:
        """Row and column before which, row-major, all is given back when a turn of `release` levels begins.

        The top left corner of what the turn reads, moved into the frame; below the frame: that of the turn before.

        Returns:
            int64 (turns, 2). The column may be `width`.
        """
        return self._corners(self.release)

    def write_waits(self) -> NDArray[np.int64]:
        """Issue that each word in waits for: int64 (words_in,), counted from the frame's first.

        Negative: an issue of frames before. It is the last issue of a turn of `release` levels.
        """
        return (self._turn_waits(self.ring) + 1) * (self.words // self._turns(self.release)) - 1

    def _turn_waits(self, ring: int) -> NDArray[np.int64]:
        """Turns of `release` levels whose ends the words in wait for, for a ring."""
        stride, corners = self.row_stride, self.releases()
        # The place a word goes to held the word `ring` places before, of the same bank. It is free when the corner is
        # beyond that: in a later row, or in the same row at a later place.
        word = np.arange(self.words_in)
        pixel, chunk = word // self.chunks, word % self.chunks
        place = pixel % self.width // self.banks[1] * self.chunks + chunk - ring
        row = pixel // self.width + place // stride * self.banks[0]
        before = row * (stride + 1) + place % stride
        turns = len(corners)
        frames = -(-max(0, -int(row.min())) // self.height) + 1
        key = corners[:, 0] * (stride + 1) + corners[:, 1] // self.banks[1] * self.chunks
        shift = np.arange(-frames, 2)[:, np.newaxis] * self.height * (stride + 1)
        # Key t is reached at the end of turn t - 1.
        return np.searchsorted((key + shift).ravel(), before, side="right") - 1 - frames * turns

    # Checks and choices.

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _turns(self, depth: int) -> int:
        return int(np.prod(self.counts[:depth], dtype=np.int64))

    def _corners(self, depth: int) -> NDArray[np.int64]:
        if self.order is not None:
            word = np.where(self.order < 0, self.words_in, self.order)
            pixel = np.minimum.accumulate(word[::-1])[::-1] // self.chunks
            return np.stack([np.zeros_like(pixel), pixel], axis=1)[: self._turns(depth)]
        row, column = (self.positions(depth)[:, :2] + self.box(depth)[0]).T
        column = np.where(row < 0, 0, np.clip(column, 0, self.width))
        corners = np.stack([np.maximum(row, 0), column], axis=1)
        inside = np.maximum.accumulate(np.where(row < self.height, np.arange(len(row)), 0))
        return corners[inside]

    def _can_release(self, depth: int) -> bool:
        """Whether corners never go back, so that nothing is given back that a later turn reads."""
        corners = self._corners(depth)
        key = corners[:, 0] * (self.width + 1) + corners[:, 1]
        return bool(corners[0, 0] < self.height and np.all(np.diff(key) >= 0))

    def _check_sizes(self) -> None:
        sizes = (self.height, self.width, self.chunks, self.lanes, *self.taps, *self.dilation)
        if min(sizes) < 1:
            raise ConfigurationError(
                f"Height, width, chunks, lanes, taps and dilation of a window must be 1 or more, not {sizes}"
            )
        if self.order is None:
            return
        if self.levels not in ((), (Level(len(self.order)),)) or self.start != (0, 0, 0) or self.taps != (1, 1):
            raise ConfigurationError(
                "A window plan with an order must have single taps and no start or levels, not both"
            )
        if not len(self.order) or self.order.min() < -1 or self.order.max() >= self.words_in:
            raise ConfigurationError(
                f"The order of a window plan must be of words -1 to {self.words_in - 1}, not others"
            )
        if self.order.max() < 0:
            raise ConfigurationError(READS_NOTHING)
        if np.any(self.order < 0) and np.any(self.fill != np.ravel(self.fill)[0]):
            raise ConfigurationError("The fill of a window plan with an order must be one code, not several")

    def _check_walk(self) -> None:
        depth = len(self.levels)
        if min((*self.counts, 1)) < 1:
            raise ConfigurationError(f"Counts of a window's levels must be 1 or more, not {self.counts}")
        if not (-1 <= self.unit <= depth and 0 <= self.pass_levels <= depth):
            raise ConfigurationError(
                f"Levels of a unit and of a pass must be 0 to {depth}, not {self.unit} and {self.pass_levels}"
            )
        first, last = (np.add(corner, self.start[:2]) for corner in self.box(0))
        if np.any(last < 0) or np.any(first >= (self.height, self.width)):
            raise ConfigurationError(READS_NOTHING)
        spans = (np.array(self.counts, np.int64) - 1) * self.steps[:, 2]
        low, high = self.start[2] + np.minimum(spans, 0).sum(), self.start[2] + np.maximum(spans, 0).sum()
        if low < 0 or high >= self.chunks:
            raise ConfigurationError(f"Chunks of a window must be 0 to {self.chunks - 1}, not {low} to {high}")

    def _choose_memory(self) -> None:
        needs = self.needs() * self.chunks
        if self.banks == (0, 0):
            rows, columns = (
                next(n for n in range(taps, 2 * taps * step + 2) if np.gcd(step, n) == 1)
                for taps, step in zip(self.taps, self.dilation, strict=True)
            )
            power = 1 << ceil_log2(columns)
            # With a power of two of columns, rows of such widths fill the rings better.
            options = [(rows, columns)] + [(rows, power)] * (power != columns and self.dilation[1] % 2)
            plans = [replace(self, banks=banks) for banks in options]
            best = min(plans, key=lambda plan: (plan.held, plan.banks))
            self._set(banks=best.banks, ring=best.ring)
            return
        if any(
            n < taps or np.gcd(step, n) != 1 for n, taps, step in zip(self.banks, self.taps, self.dilation, strict=True)
        ):
            raise ConfigurationError(
                f"Banks of a window must be {self.taps} or more, without common factor with dilation {self.dilation}, "
                f"not {self.banks}"
            )
        if self.ring == 0:
            self._set(ring=self._smallest_ring(needs))
        unit_turns = self._unit_waits(self.ring)
        if self.ring < 2 or self.ring & (self.ring - 1) or not can_run(needs, unit_turns):
            raise ConfigurationError(
                f"The ring of a window must be a power of two of words that hold a unit, not {self.ring}"
            )

    def _unit_waits(self, ring: int) -> NDArray[np.int64]:
        """Units whose ends the words in wait for, for a ring."""
        return (self._turn_waits(ring) + 1) * (self.units // self._turns(self.release)) - 1

    def _smallest_ring(self, needs: NDArray[np.int64]) -> int:
        if self.words_in + self.units <= EVENTS:
            return smallest_ring(needs, self.unit_words, self._unit_waits, self._two_frames)
        lower = self._lower()
        if lower is None:
            return self._two_frames
        return smallest_ring(lower.needs() * self.chunks, self.unit_words, lower._unit_waits, lower._two_frames)

    @property
    def _two_frames(self) -> int:
        """A ring that is enough: one frame is written while the other is read."""
        return 1 << ceil_log2(max(2, 2 * (-(-self.height // self.banks[0]) + 1) * self.row_stride))

    def _lower(self) -> "WindowPlan | None":
        """The same walk through fewer rows, for frames too large to run them; None: there is none."""
        outer = next((index for index, count in enumerate(self.counts) if count > 1), None)
        if outer is None or self.order is not None or self.release <= outer:
            return None
        level = self.levels[outer]
        if level.rows < 1 or level.columns:
            return None
        # Several times the rows that a turn spans, besides those of the frame's ends.
        span = int(np.subtract(*self.box(outer + 1)[::-1])[0]) + 1
        most = level.count * EVENTS // (self.words_in + self.units)
        count = max(2, 4 * -(-(span + level.rows) // level.rows), most)
        height = self.height - (level.count - count) * level.rows
        if count >= level.count or height < 1:
            return None
        levels = (*self.levels[:outer], replace(level, count=count), *self.levels[outer + 1 :])
        return replace(self, height=height, levels=levels, ring=self._two_frames)
