"""Staircases as datapaths: every form with constant parameters, or with parameters that come in as words."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import lcm

import numpy as np
from numpy.typing import NDArray

from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Rounding
from rtl4ml.staircase import AffineForm, ConstantForm, Form, ShiftForm, StepForm, TableForm, ThresholdForm

COMPARATORS = 7
"""Up to this many thresholds are compared side by side; more are searched, one bit of the code after the other."""

TABLE_BITS = 10
"""Index bits of a table: more take several tables and a choice between them, which a register can stand in."""

Codes = NDArray[np.int64]


def form_parameters(form: Form, row: int) -> dict[str, int]:
    """Parameters of a form's row by name; the names are the same for all rows.

    Args:
        form: the form.
        row: element; rows repeat.
    """
    row %= form.rows
    match form:
        case ConstantForm():
            return {"value": int(form.value[row])}
        case ShiftForm():
            return {"offset": int(form.offset[row]), "left": int(form.left[row])}
        case AffineForm():
            parameters = {"multiplier": int(form.multiplier[row]), "offset": int(form.offset[row])}
            pairs = list(form.exceptions[row])
            # Rows with fewer exceptions list an x of their own again, or one that is none.
            none = (0, int(_row(form, row).evaluate(np.zeros(1, np.int64))[0]))
            pairs += [pairs[0] if pairs else none] * (max(map(len, form.exceptions)) - len(pairs))
            for index, (x, y) in enumerate(pairs):
                parameters[f"exception_x_{index}"] = int(x)
                parameters[f"exception_y_{index}"] = int(y)
            return parameters
        case ThresholdForm():
            parameters = {"base": int(form.base[row]), "sign": int(form.sign[row])}
            if form.levels > COMPARATORS:
                return parameters | {"row": row}
            return parameters | {f"threshold_{k}": int(value) for k, value in enumerate(form.thresholds[row])}
        case StepForm():
            if form.levels > COMPARATORS:
                return {"row": row}
            positions = {f"position_{k}": int(value) for k, value in enumerate(form.positions[row])}
            return positions | {f"code_{k}": int(value) for k, value in enumerate(form.codes[row])}
        case TableForm():
            # Rows lie one behind the other.
            return {"offset": row * form.entries - int(form.low[row])}
    raise ConfigurationError(f"A form must be one of those in rtl4ml.staircase, not {type(form).__name__}")


def build_form(datapath: Datapath, word: Word, form: Form, row: int) -> Word:
    """Add a row of a form to a datapath, its parameters as constants.

    Args:
        datapath: where to.
        word: x; its range is the domain.
        form: the form.
        row: element; rows repeat.
    """
    alone = _row(form, row)
    parameters = {name: datapath.constant(value) for name, value in form_parameters(alone, 0).items()}
    return build_form_with_parameters(datapath, word, alone, parameters)


def build_form_with_parameters(datapath: Datapath, word: Word, form: Form, parameters: Mapping[str, Word]) -> Word:
    """Add a form to a datapath, its parameters as words.

    Args:
        datapath: where to.
        word: x; its range is the domain.
        form: the form; says which parameters there are and what all rows share.
        parameters: those of :func:`form_parameters` by name; constants are welcome.
    """
    match form:
        case ConstantForm():
            return parameters["value"]
        case ShiftForm():
            return _build_shift(datapath, word, form, parameters)
        case AffineForm():
            return _build_affine(datapath, word, form, parameters)
        case ThresholdForm():
            return _build_thresholds(datapath, word, form, parameters)
        case StepForm():
            return _build_steps(datapath, word, form, parameters)
        case TableForm():
            return _build_table(datapath, word, form, parameters)
    raise ConfigurationError(f"A form must be one of those in rtl4ml.staircase, not {type(form).__name__}")


def select_rows(form: Form, rows: list[int]) -> Form:
    """The form of some elements only, in that order; a form with one row stays."""
    if form.rows == 1:
        return form
    chosen = np.array(rows) % form.rows
    match form:
        case ConstantForm():
            return replace(form, value=form.value[chosen])
        case ShiftForm():
            return replace(form, left=form.left[chosen], offset=form.offset[chosen])
        case AffineForm():
            exceptions = tuple(form.exceptions[row] for row in chosen.tolist())
            return replace(form, multiplier=form.multiplier[chosen], offset=form.offset[chosen], exceptions=exceptions)
        case ThresholdForm():
            return replace(form, thresholds=form.thresholds[chosen], base=form.base[chosen], sign=form.sign[chosen])
        case StepForm():
            return replace(form, positions=form.positions[chosen], codes=form.codes[chosen])
        case TableForm():
            return replace(form, low=form.low[chosen], codes=form.codes[chosen])
    raise ConfigurationError(f"A form must be one of those in rtl4ml.staircase, not {type(form).__name__}")


def _row(form: Form, row: int) -> Form:
    return select_rows(form, [row])


def _both(datapath: Datapath, a: Word, b: Word) -> Word:
    return datapath.select(a, b, datapath.constant(0))


def _either(datapath: Datapath, a: Word, b: Word) -> Word:
    return datapath.select(a, datapath.constant(1), b)


def _invert(datapath: Datapath, bit: Word) -> Word:
    return datapath.select(bit, datapath.constant(0), datapath.constant(1))


def round_off(datapath: Datapath, t: Word, shift: int, rounding: Rounding) -> Word:
    """Add `round(t / 2**shift)` to a datapath: the upper bits, plus one where the dropped bits say so."""
    if shift == 0 or rounding is Rounding.FLOOR:
        return datapath.shift_right(t, shift)
    quotient = datapath.shift_right(t, shift)
    half = datapath.low_bits(datapath.shift_right(t, shift - 1), 1)
    below = datapath.at_least(datapath.low_bits(t, shift - 1), datapath.constant(1))
    negative = datapath.at_least(datapath.constant(-1), t)
    match rounding:
        case Rounding.HALF_EVEN:
            odd = datapath.low_bits(quotient, 1)
            up = _both(datapath, half, _either(datapath, below, odd))
        case Rounding.HALF_AWAY:
            up = _both(datapath, half, _either(datapath, below, _invert(datapath, negative)))
        case Rounding.HALF_TOWARD:
            up = _both(datapath, half, _either(datapath, below, negative))
        case Rounding.AWAY:
            up = _both(datapath, _invert(datapath, negative), _either(datapath, half, below))
        case Rounding.TOWARD:
            up = _both(datapath, negative, _either(datapath, half, below))
    return datapath.add(quotient, up)


def _build_shift(datapath: Datapath, word: Word, form: ShiftForm, parameters: Mapping[str, Word]) -> Word:
    left = parameters["left"]
    amounts = sorted({int(value) for value in form.left if left.low <= value <= left.high})
    shifted = datapath.shift_left(word, amounts[-1])
    for amount in amounts[:-1]:
        chosen = datapath.equal(left, datapath.constant(amount))
        shifted = datapath.select(chosen, datapath.shift_left(word, amount), shifted)
    offset = parameters["offset"]
    t = datapath.add(shifted, offset) if form.sign > 0 else datapath.subtract(offset, shifted)
    return datapath.clip(round_off(datapath, t, form.shift, form.rounding), form.low, form.high)


def _build_affine(datapath: Datapath, word: Word, form: AffineForm, parameters: Mapping[str, Word]) -> Word:
    t = datapath.add(datapath.multiply(word, parameters["multiplier"]), parameters["offset"])
    y = datapath.clip(round_off(datapath, t, form.shift, form.rounding), form.low, form.high)
    for index in range(max(map(len, form.exceptions), default=0)):
        listed = datapath.equal(word, parameters[f"exception_x_{index}"])
        y = datapath.select(listed, parameters[f"exception_y_{index}"], y)
    return y


def _build_thresholds(datapath: Datapath, word: Word, form: ThresholdForm, parameters: Mapping[str, Word]) -> Word:
    if form.levels > COMPARATORS:
        count = _search(datapath, word, form.thresholds, parameters["row"])
    else:
        thresholds = [parameters[f"threshold_{k}"] for k in range(form.levels)]
        count = datapath.sum([datapath.at_least(word, threshold) for threshold in thresholds])
    rising = datapath.at_least(parameters["sign"], datapath.constant(0))
    base = parameters["base"]
    return datapath.select(rising, datapath.add(base, count), datapath.subtract(base, count))


def _build_steps(datapath: Datapath, word: Word, form: StepForm, parameters: Mapping[str, Word]) -> Word:
    if form.levels > COMPARATORS:
        count = _search(datapath, word, form.positions, parameters["row"])
        bits = form.levels.bit_length()
        missing = (1 << bits) - form.levels - 1
        codes = np.pad(form.codes, ((0, 0), (0, missing)), mode="edge").reshape(-1)
        return _look_up(datapath, datapath.add(datapath.shift_left(parameters["row"], bits), count), codes)

    def choose(first: int, last: int) -> Word:
        """The code among those from `first` to `last`, by halves."""
        if first == last:
            return parameters[f"code_{first}"]
        middle = (first + last + 1) // 2
        reached = datapath.at_least(word, parameters[f"position_{middle - 1}"])
        return datapath.select(reached, choose(middle, last), choose(first, middle - 1))

    return choose(0, form.levels)


def _build_table(datapath: Datapath, word: Word, form: TableForm, parameters: Mapping[str, Word]) -> Word:
    offset = parameters["offset"]
    if offset.low == offset.high:
        # One row: x itself is the index.
        at = np.arange(word.low, word.high + 1) + offset.low
        return _look_up(datapath, word, form.codes.reshape(-1)[np.clip(at, 0, form.codes.size - 1)], word.low)
    index = datapath.narrow(datapath.add(word, offset), 0, form.codes.size - 1)
    return _look_up(datapath, index, form.codes.reshape(-1))


def _look_up(datapath: Datapath, index: Word, values: Codes, first: int = 0) -> Word:
    """`values[index - first]`, by tables of `TABLE_BITS` index bits and multiplexers behind them."""
    values = values[index.low - first : index.high - first + 1]
    if len(values) == 1:
        return datapath.constant(int(values[0]))
    if len(values) <= 1 << TABLE_BITS:
        return datapath.table(index, values.tolist())
    # The lowest bits are the index of all tables, the next ones choose between them.
    low = datapath.low_bits(index, TABLE_BITS)
    part = datapath.shift_right(index, TABLE_BITS)
    size = 1 << TABLE_BITS
    values = np.pad(values, (index.low - (part.low << TABLE_BITS), 0), mode="edge")
    values = np.pad(values, (0, (part.high - part.low + 1) * size - len(values)), mode="edge")
    words = [
        datapath.table(low, values[start : start + size].tolist())
        if np.any(values[start : start + size] != values[start])
        else datapath.constant(int(values[start]))
        for start in range(0, len(values), size)
    ]
    return _select_word(datapath, part, words, part.low)


def _select_word(datapath: Datapath, index: Word, words: list[Word], first: int) -> Word:
    """`words[index - first]`, by halves."""
    if len(words) == 1:
        return words[0]
    middle = len(words) // 2
    upper = datapath.at_least(index, datapath.constant(first + middle))
    left = _select_word(datapath, index, words[:middle], first)
    return datapath.select(upper, _select_word(datapath, index, words[middle:], first + middle), left)


def _search(datapath: Datapath, word: Word, thresholds: Codes, row: Word) -> Word:
    """Count the thresholds (rows, levels) reached by binary search: each comparison, with its table, gives a bit."""
    rows, levels = thresholds.shape
    bits = levels.bit_length()
    # Thresholds beyond the domain are never reached, whatever they are.
    missing = np.full((rows, (1 << bits) - 1 - levels), np.iinfo(np.int64).max)
    thresholds = np.minimum(np.concatenate([thresholds, missing], axis=1), word.high + 1)
    thresholds = np.maximum(thresholds, word.low)
    count = datapath.constant(0)
    for step in range(bits):
        # The middle thresholds of the 2**step parts, rows one after the other.
        middle = thresholds[:, (1 << (bits - step - 1)) - 1 :: 1 << (bits - step)]
        index = datapath.add(datapath.shift_left(row, step), count)
        bit = datapath.at_least(word, _look_up(datapath, index, middle.reshape(-1)))
        count = datapath.add(datapath.shift_left(count, 1), bit)
    return datapath.narrow(count, 0, levels)


@dataclass(frozen=True, eq=False)
class LaneForms:
    """A form on the lanes of a stream: element `group * lanes + lane` in lane `lane` of beat `group`.

    Lanes of the last beat that carry no element give 0.

    What rows and limits say repeats: element e takes entry e % rows. So do the parameters, from beat to beat, as soon
    as a whole number of beats holds a whole number of rows.

    Parameters:
        form: whose rows divide n; None: the identity.
        n: elements.
        lanes: elements a beat.
        low: int64 (k,), lowest code of element e out at e % k.
        high: int64 (k,), highest.
    """

    form: Form | None
    n: int
    lanes: int
    low: Codes
    high: Codes

    @property
    def beats(self) -> int:
        """Beats of a frame."""
        return -(-self.n // self.lanes)

    @property
    def groups(self) -> int:
        """Beats after which parameters repeat; they divide those of a frame."""
        rows = 1 if self.form is None else self.form.rows
        period = lcm(rows, len(self.low), len(self.high), self.lanes)
        return period // self.lanes if self.n % period == 0 else self.beats

    def elements(self, lane: int) -> list[int]:
        """Element of each group in a lane; where there is none, that of the first group stands in."""
        indices = range(lane, self.groups * self.lanes, self.lanes)
        return [index if index < self.n else lane for index in indices]

    def limits(self, lane: int) -> tuple[int, int]:
        """Lowest and highest code of a lane."""
        elements = np.array(self.elements(lane))
        return int(self.low[elements % len(self.low)].min()), int(self.high[elements % len(self.high)].max())

    @property
    def parameters(self) -> list[dict[str, Codes]]:
        """For each lane the parameters by name, int64 (groups,) each."""
        result = []
        for lane in range(self.lanes):
            columns: dict[str, Codes] = {}
            if self.form is not None:
                form = select_rows(self.form, self.elements(lane))
                rows = [form_parameters(form, group) for group in range(self.groups)]
                columns = {name: np.array([row[name] for row in rows], np.int64) for name in rows[0]}
            columns["used"] = (np.arange(self.groups) * self.lanes + lane < self.n).astype(np.int64)
            result.append(columns)
        return result

    def build(self, datapath: Datapath, lane: int, word: Word, parameters: Mapping[str, Word]) -> Word:
        """Add a lane's function to a datapath; see :class:`rtl4ml.hdl.mac_plan.Finish`."""
        elements = self.elements(lane)
        if self.form is not None:
            form = select_rows(self.form, elements)
            word = build_form_with_parameters(datapath, word, form, parameters)
        word = datapath.narrow(word, *self.limits(lane))
        return datapath.select(parameters["used"], word, datapath.constant(0))
