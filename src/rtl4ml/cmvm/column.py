"""The sum of a column with its constant, as nodes of a datapath.

Constants come free where they can: ``a - ~b`` is ``a + b + 1`` and ``a + ~b`` is ``a - b - 1`` in the same carry chain,
so that every sum offers one unit of its lowest bit. A rest that is smaller than a unit stands in the zeros below a
shifted word, for a longer chain. What remains after that is a summand of its own. Where three summands meet at a time
the constant is one from the start: every other sum has a place for it, and inverted words would stand between two sums
that are to become one.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence

from rtl4ml.cmvm.digits import Bounds
from rtl4ml.cmvm.tree import Summand, Tree, constant_summand, disjoint
from rtl4ml.datapath.words import Datapath, Word

_TRIES = 4
"""Constants that are tried as a summand, those with most zeros below them first."""


def build_column(
    datapath: Datapath,
    bounds: Bounds,
    levels: int,
    words: Sequence[Word],
    summands: Sequence[Summand],
    constant: int,
    ternary: bool = False,
) -> Word:
    """Builds the sum of at least one summand plus a constant.

    Args:
        datapath: Where to build.
        bounds: Ranges of the inputs.
        levels: Additions allowed one after the other; one more if there is no room for the constant.
        words: The rows that the summands refer to.
        summands: What to add.
        constant: What to add to it.
        ternary: Whether three summands meet at a time.
    """
    if len(summands) == 1:
        (only,) = summands
        word, addend = datapath.shift_left(words[only.row], only.shift), datapath.constant(constant)
        return datapath.add(word, addend) if only.sign > 0 else datapath.subtract(addend, word)
    has_room = sum(1 << summand.depth for summand in summands) < 1 << levels
    if ternary and has_room and constant:
        whole = Tree(bounds, levels, ternary).sum([*summands, constant_summand(constant, len(bounds.middles))])
        # Of a sum that is subtracted as a whole the units say how.
        if whole.sign > 0 or Manner.EXCHANGED in _manners(whole):
            manner = Manner.PLAIN if whole.sign > 0 else Manner.EXCHANGED
            return datapath.shift_left(Builder(datapath, words, {}).root(whole, manner), whole.shift)
    root = Tree(bounds, levels, ternary).sum(summands)
    manner, chosen, missing = choose_units(root, constant >> root.shift)
    if missing and has_room:
        for part in _parts(root, constant, missing):
            # The sign of the sum may change with the constant in it, so that another one fits.
            for _ in range(2):
                other = Tree(bounds, levels, ternary).sum([*summands, constant_summand(part, len(root.coefficients))])
                found = choose_units(other, (constant - part) >> other.shift)
                part += found[2] << other.shift
                if not found[2] or not part:
                    break
            if not found[2]:
                root, (manner, chosen, missing), constant = other, found, constant - part
                break
    word = Builder(datapath, words, chosen).root(root, manner)
    word = datapath.add(word, datapath.constant(missing))
    below = constant - (constant >> root.shift << root.shift)
    return datapath.add(datapath.shift_left(word, root.shift), datapath.constant(below))


def _parts(root: Summand, constant: int, missing: int) -> Iterator[int]:
    """Yields constants that can be a summand while units make the rest, the cheapest first as it seems."""
    units = [unit << root.shift for unit, _ in _root_units(root, _manners(root)[0])]
    # Half of the units may be elsewhere in the tree that the constant is part of.
    most, least = sum(u for u in units if u > 0) // 2, sum(u for u in units if u < 0) // 2
    seen = set()
    for power in range(abs(constant).bit_length(), -1, -1):
        for part in (constant >> power << power, -(-constant >> power << power)):
            if part and part not in seen and least <= constant - part <= most:
                seen.add(part)
                yield part
                if len(seen) == _TRIES:
                    break
        else:
            continue
        break
    for part in (missing << root.shift, constant):
        if part and part not in seen:
            yield part


class Manner(enum.Enum):
    """How the last sum gets its sign."""

    PLAIN = "first +- second"
    INVERTED = "~first -+ second"
    EXCHANGED = "second - first"


def _manners(root: Summand) -> tuple[Manner, ...]:
    """Returns the ways to compute ``sign * value``, that with the shortest carry chain first."""
    if root.sign > 0 or root.parts is None:
        return (Manner.PLAIN,)
    first, second = root.parts
    return (Manner.INVERTED, Manner.EXCHANGED) if first.sign != second.sign else (Manner.INVERTED,)


def _root_units(root: Summand, manner: Manner) -> Iterator[tuple[int, Summand]]:
    """Yields (what one unit of a sum adds to the result, the sum) for all sums in a tree."""
    if manner is Manner.PLAIN:
        yield from _units(root, 1)
        return
    assert root.parts is not None
    a, b = root.parts
    scale = -a.sign * b.sign << (b.shift - a.shift)
    yield (-1 if manner is Manner.EXCHANGED else scale), root
    yield from _units(a, -1)
    yield from _units(b, scale)


def _units(summand: Summand, factor: int) -> Iterator[tuple[int, Summand]]:
    """The same for a part of the tree of which the result has ``factor`` times the value."""
    if summand.parts is None:
        return
    a, b = summand.parts
    scale = factor * a.sign * b.sign << (b.shift - a.shift)
    if not disjoint(a, b):
        yield scale, summand
        yield from _units(a, factor)
    yield from _units(b, scale)


def choose_units(root: Summand, constant: int) -> tuple[Manner, dict[int, int], int]:
    """Chooses sums whose units add up to a constant, the largest units first.

    Args:
        root: A sum with its shift taken out.
        constant: What has to be added to ``sign * value``.

    Returns:
        How the last sum is computed; what is chosen by ``id`` of the sum: 0 or more for its unit, -c for c in the zeros
        below its second part; and what is missing.
    """
    best = None
    for manner in _manners(root):
        missing = constant + (manner is Manner.INVERTED)
        chosen: dict[int, int] = {}
        units = sorted(_root_units(root, manner), key=lambda unit: -abs(unit[0]))
        for unit, summand in units:
            if unit * missing > 0 and abs(unit) <= abs(missing):
                chosen[id(summand)] = _distance(summand)
                missing -= unit
        # From the shortest extension of a chain on; the last sum has none where its parts are exchanged.
        for unit, summand in sorted(units, key=lambda unit: _distance(unit[1])) if missing else ():
            factor = abs(unit) >> _distance(summand)
            fits = unit * missing > 0 and abs(missing) < abs(unit) and missing % max(factor, 1) == 0
            if fits and factor and id(summand) not in chosen:
                chosen[id(summand)] = -abs(missing) // factor
                missing = 0
                break
        if best is None or not missing:
            best = manner, chosen, missing
        if not missing:
            break
    assert best is not None
    return best


def _distance(summand: Summand) -> int:
    """Returns by how much the second part of a sum is shifted against the first."""
    assert summand.parts is not None
    return summand.parts[1].shift - summand.parts[0].shift


class Builder:
    """Sums as nodes of a datapath."""

    def __init__(self, datapath: Datapath, words: Sequence[Word], chosen: Mapping[int, int]) -> None:
        """Takes the words of the rows, and what :func:`choose_units` chose."""
        self._datapath = datapath
        self._words = words
        self._chosen = chosen

    def root(self, root: Summand, manner: Manner) -> Word:
        """Returns ``sign * value`` with the units that were chosen, and with the -1 of a sum that is inverted."""
        return self._value(root, manner)[0]

    def _value(self, summand: Summand, manner: Manner = Manner.PLAIN) -> tuple[Word, int]:
        """Returns the value (its sign changed, unless plain) plus some units, and the sum of those units."""
        datapath = self._datapath
        if summand.parts is None:
            constant = summand.row < 0
            return (datapath.constant(summand.constant) if constant else self._words[summand.row]), 0
        first, second = summand.parts
        a, extra = self._value(first)
        b, more = self._value(second)
        shift, sign = second.shift - first.shift, first.sign * second.sign
        choice = self._chosen.get(id(summand))
        used = choice is not None and choice >= 0
        low, high = summand.low, summand.high
        if manner is not Manner.PLAIN:
            low, high, sign = -high, -low, -sign
        if manner is Manner.EXCHANGED:
            extra = (more << shift) - extra - used
            a, operation = (datapath.invert(a), datapath.add) if used else (a, datapath.subtract)
            return operation(datapath.shift_left(b, shift), a, (low + extra, high + extra)), extra
        if manner is Manner.INVERTED:
            a, extra = datapath.invert(a), -1 - extra
        extra += sign * more << shift
        below = 0 if choice is None or used else -choice
        if used:
            b, extra = datapath.invert(b), extra + (sign << shift)
        extra += sign * below
        operation = datapath.add if (sign > 0) != used else datapath.subtract
        shifted = datapath.add(datapath.shift_left(b, shift), datapath.constant(below))
        return operation(a, shifted, (low + extra, high + extra)), extra
