"""Where a random network's decisions come from: a seeded generator (long runs, by number) or hypothesis (shrinking)."""

import abc
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

T = TypeVar("T")
SALT = 20_240_229
"""Of all seeds: another salt, other networks."""


class Choices(abc.ABC):
    """Decisions, and words that shall be chosen where they first can be.

    Parameters:
        wanted: options of `pick` and names of `flag`.
        rng: for arrays, whose numbers nobody wants to read.
    """

    def __init__(self, rng: np.random.Generator, wanted: Iterable[str] = ()):
        self.rng = rng
        self._wanted = set(wanted)

    @abc.abstractmethod
    def integer(self, low: int, high: int) -> int:
        """From low to high, both included; low is the simplest."""

    def _want(self, word: object) -> bool:
        if isinstance(word, str) and word in self._wanted:
            self._wanted.discard(word)
            return True
        return False

    def pick(self, options: Sequence[T]) -> T:
        """One of the options; the first is the simplest, and those that come twice are twice as likely."""
        for option in options:
            if self._want(option):
                return option
        return options[self.integer(0, len(options) - 1)]

    def flag(self, name: str, percent: int) -> bool:
        """True so often."""
        return self._want(name) or self.integer(0, 99) >= 100 - percent

    def number(self, low: float, high: float) -> float:
        """A float32 between the two, logarithmically even."""
        return float(np.float32(low * (high / low) ** (self.integer(0, 1000) / 1000)))


class Seeded(Choices):
    """Decisions by a number."""

    def __init__(self, number: int, wanted: Iterable[str] = ()):
        super().__init__(np.random.default_rng([SALT, number]), wanted)

    def integer(self, low: int, high: int) -> int:
        """See above."""
        return int(self.rng.integers(low, high + 1))


class Drawn(Choices):
    """Decisions by hypothesis."""

    def __init__(self, data: Any, wanted: Iterable[str] = ()):
        self._data = data
        super().__init__(np.random.default_rng([SALT, self.integer(0, 999)]), wanted)

    def integer(self, low: int, high: int) -> int:
        """See above."""
        return int(self._data.draw(st.integers(low, high)))
