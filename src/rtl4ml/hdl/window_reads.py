"""What readers with tables of their own read of a window, word after word: plain numbers."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes
from rtl4ml.hdl.window_plan import WindowPlan


@dataclass(frozen=True, eq=False)
class WindowReads:
    """Windows of frames in a line buffer, read by several readers at once, each wherever its table says.

    Reader r sees the elements of lane r % S, in a copy of the line buffer. The words of a window, one element for each
    reader, are a unit of the window plan, whose position is that of the window's top left corner.

    Parameters:
        window: walk of the windows, outermost levels; the innermost level has as many turns as a window has words, and
            moves nowhere. Single taps, and a reach over the whole window.
        rows: int64 (words, readers), rows from the window's first to the element.
        columns: likewise.
        chunks: likewise, the word of the pixel.
        lengths: int64 (passes,), words of each pass of a window.

    Raises:
        ConfigurationError: the plan is of several taps, or the tables do not fit it.
    """

    window: WindowPlan
    rows: Codes
    columns: Codes
    chunks: Codes
    lengths: Codes

    def __post_init__(self) -> None:
        """Check the tables."""
        window = self.window
        if window.taps != (1, 1) or window.order is not None or window.banks != (1, 1):
            raise ConfigurationError("Readers of windows must have a plan of single taps in a single bank, not others")
        shapes = self.rows.shape, self.columns.shape, self.chunks.shape
        if len(set(shapes)) > 1 or window.unit_words != len(self.rows) or self.readers % window.lanes:
            raise ConfigurationError(
                f"Tables of readers must be of {window.unit_words} words and a multiple of {window.lanes} readers, not "
                f"{', '.join(map(str, shapes))}"
            )
        if self.lengths.min() < 1 or self.lengths.sum() != len(self.rows):
            raise ConfigurationError(
                f"Passes of a window must be of its {len(self.rows)} words, not of {self.lengths.tolist()}"
            )
        limits = (*(reach + 1 for reach in window.reach), window.chunks)
        most = tuple(int(table.max()) + 1 for table in (self.rows, self.columns, self.chunks))
        if any(size > limit for size, limit in zip(most, limits, strict=True)):
            raise ConfigurationError(f"Readers of windows must read from {limits} places, not from {most}")

    @property
    def readers(self) -> int:
        """Elements side by side."""
        return self.rows.shape[1]

    @property
    def lanes(self) -> Codes:
        """Lane of each reader, int64 (readers,)."""
        return np.arange(self.readers) % self.window.lanes

    @cached_property
    def outside(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether rows 0, 1, ... of a window, and its columns, lie outside the frame for some window."""
        window = self.window
        result = []
        for axis, limit in ((0, window.height), (1, window.width)):
            offsets = np.arange(window.reach[axis] + 1)
            low = window.box(0)[0][axis] + window.start[axis] + offsets
            high = window.box(0)[1][axis] + window.start[axis] - window.reach[axis] + offsets
            result.append((low < 0) | (high >= limit))
        return result[0], result[1]

    @cached_property
    def fills(self) -> NDArray[np.bool_]:
        """Readers that may read outside the frame, bool (readers,)."""
        rows, columns = self.outside
        return np.asarray((rows[self.rows] | columns[self.columns]).any(axis=0))

    @property
    def latency(self) -> int:
        """Edges from the issue of a word to its being at the output: 2 when some readers may read outside, else 1."""
        return 2 if self.fills.any() else 1

    @property
    def fill(self) -> Codes:
        """Code that each reader gives outside the frame for each word, int64 (words, readers)."""
        window = self.window
        codes = np.broadcast_to(window.fill, (window.chunks, window.lanes))
        return np.asarray(codes[self.chunks, self.lanes])

    @property
    def places(self) -> Codes:
        """Place of each element in the memory, counted from that of the window's corner: int64 (words, readers)."""
        window = self.window
        return (self.rows * window.row_stride + self.columns * window.chunks + self.chunks) % window.ring

    def issued(self, frames: Codes, first: int = 0, windows: int | None = None) -> Codes:
        """The words of windows of frames.

        Args:
            frames: codes (N, pixels * chunks, lanes).
            first: window that they begin with.
            windows: how many, as far as there are so many; None: all.

        Returns:
            int64 (N, windows, words, readers).
        """
        window = self.window
        last = window.units if windows is None else first + windows
        corner = window.positions(window.unit)[first:last, :2]
        rows = corner[:, 0, None, None] + self.rows
        columns = corner[:, 1, None, None] + self.columns
        inside = (rows >= 0) & (rows < window.height) & (columns >= 0) & (columns < window.width)
        number = np.where(inside, (rows * window.width + columns) * window.chunks + self.chunks, 0)
        return np.where(inside, frames[:, number, self.lanes], self.fill)
