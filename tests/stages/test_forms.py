import numpy as np
import pytest

from rtl4ml.datapath.nodes import TABLE
from rtl4ml.datapath.pipeline import cut
from rtl4ml.datapath.words import Datapath
from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Rounding
from rtl4ml.stages.forms import (
    TABLE_BITS,
    LaneForms,
    build_form,
    build_form_with_parameters,
    form_parameters,
    round_off,
    select_rows,
)
from rtl4ml.staircase import AffineForm, ConstantForm, ShiftForm, StepForm, TableForm, ThresholdForm
from tests.datapath.conftest import simulate

X = np.arange(-300, 301)


def ascending(generator, rows, levels):
    return np.sort(generator.integers(-280, 280, (rows, levels)), axis=1)


def forms():
    generator = np.random.default_rng(0)
    rows = 5
    yield ConstantForm(np.array([3]))
    yield ConstantForm(generator.integers(-4, 4, rows))
    for rounding in Rounding:
        for shift in (0, 1, 2, 5):
            for sign in (1, -1):
                offset = generator.integers(-9, 9, rows)
                left = generator.integers(0, 3, rows)
                yield ShiftForm(shift, left, offset, sign, rounding, -6, 7)
                yield ShiftForm(shift, left[:1], offset[:1] * 0, sign, rounding, 0, 900)
    multiplier, offset = generator.integers(-90, 90, rows), generator.integers(-999, 999, rows)
    yield AffineForm(multiplier[:1], offset[:1], 7, Rounding.FLOOR, -8, 7, ((),))
    yield AffineForm(multiplier, offset, 8, Rounding.FLOOR, 0, 15, ((),) * rows)
    exceptions = (((4, 1), (-7, 2)), (), ((0, 3),), ((250, 0), (251, 1)), ())
    yield AffineForm(multiplier, offset, 6, Rounding.FLOOR, 0, 3, exceptions)
    for levels in (1, 3, 7, 8, 15, 21):
        sign = generator.choice([-1, 1], rows)
        yield ThresholdForm(ascending(generator, rows, levels), generator.integers(-9, 9, rows), sign)
        yield ThresholdForm(ascending(generator, 1, levels), np.array([-1]), np.array([1]))
    for levels in (1, 2, 3, 7, 8, 15, 16, 40):
        codes = generator.integers(-70, 90, (rows, levels + 1))
        yield StepForm(ascending(generator, rows, levels), codes)
        yield StepForm(ascending(generator, 1, levels), codes[:1])
    yield TableForm(np.full(rows, X[0]), generator.integers(-9, 9, (rows, len(X))))
    yield TableForm(np.array([X[0]]), generator.integers(-9, 9, (1, len(X))))
    missing = ascending(generator, rows, 10)
    missing[1, 4:] = 301
    missing[2] = 301
    yield ThresholdForm(missing, np.zeros(rows, int), np.ones(rows, int))


@pytest.mark.parametrize("form", list(forms()), ids=lambda form: type(form).__name__)
def test_constant_parameters(form):
    for row in range(form.rows):
        datapath = Datapath()
        x = datapath.input("x", int(X[0]), int(X[-1]))
        datapath.output("y", build_form(datapath, x, form, row))
        y = np.broadcast_to(datapath.evaluate({"x": X})["y"], X.shape)
        expected = form.evaluate(np.broadcast_to(X[:, None], (len(X), form.rows)))[:, row]
        assert np.array_equal(y, expected)


@pytest.mark.parametrize("form", list(forms()), ids=lambda form: type(form).__name__)
def test_parameters_as_words(form):
    rows = [form_parameters(form, row) for row in range(form.rows)]
    assert all(row.keys() == rows[0].keys() for row in rows)
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    datapath = Datapath()
    x = datapath.input("x", int(X[0]), int(X[-1]))
    words = {name: datapath.input(name, int(v.min()), int(v.max())) for name, v in columns.items()}
    datapath.output("y", build_form_with_parameters(datapath, x, form, words))
    y = np.broadcast_to(datapath.evaluate({"x": X[:, None], **columns})["y"], (len(X), form.rows))
    assert np.array_equal(y, form.evaluate(np.broadcast_to(X[:, None], (len(X), form.rows))))


@pytest.mark.parametrize("form", list(forms()), ids=lambda form: type(form).__name__)
def test_select_rows(form):
    rows = [row for row in (3, 0, 3) if row < form.rows]
    chosen = select_rows(form, rows)
    expected = form.evaluate(np.broadcast_to(X[:, None], (len(X), form.rows)))
    if form.rows == 1:
        assert chosen is form
    else:
        assert np.array_equal(chosen.evaluate(np.broadcast_to(X[:, None], (len(X), 3))), expected[:, rows])


@pytest.mark.parametrize("rounding", list(Rounding))
def test_round_off_of_halves(rounding):
    datapath = Datapath()
    datapath.output("y", round_off(datapath, datapath.input("x", -6, 6), 1, rounding))
    expected = {
        Rounding.FLOOR: [-3, -3, -2, -2, -1, -1, 0, 0, 1, 1, 2, 2, 3],
        Rounding.HALF_EVEN: [-3, -2, -2, -2, -1, 0, 0, 0, 1, 2, 2, 2, 3],
        Rounding.HALF_AWAY: [-3, -3, -2, -2, -1, -1, 0, 1, 1, 2, 2, 3, 3],
        Rounding.HALF_TOWARD: [-3, -2, -2, -1, -1, 0, 0, 0, 1, 1, 2, 2, 3],
        Rounding.AWAY: [-3, -3, -2, -2, -1, -1, 0, 1, 1, 2, 2, 3, 3],
        Rounding.TOWARD: [-3, -2, -2, -1, -1, 0, 0, 0, 1, 1, 2, 2, 3],
    }
    assert datapath.evaluate({"x": np.arange(-6, 7)})["y"].tolist() == expected[rounding]


@pytest.mark.parametrize(("low", "high"), [(-3000, 2999), (0, 4095), (-1024, 0), (5, 3000), (-2, 1023)])
def test_long_tables_are_several(low, high):
    """Tables of more than 2**10 entries, on words that begin and end anywhere."""
    codes = np.random.default_rng(0).integers(-100, 100, (1, high - low + 1))
    codes[0, 1500:2700] = 7  # a whole part of one code
    datapath = Datapath()
    form = TableForm(np.array([low]), codes)
    datapath.output("y", build_form(datapath, datapath.input("x", low, high), form, 0))
    x = np.arange(low, high + 1)
    assert np.array_equal(datapath.evaluate({"x": x})["y"], codes[0])
    assert all(len(node.parameter) <= 1 << TABLE_BITS for node in datapath.nodes if node.kind is TABLE)


def test_a_word_narrower_than_the_table():
    form = TableForm(np.array([-8]), np.arange(16)[None] ** 2)
    datapath = Datapath()
    datapath.output("y", build_form(datapath, datapath.input("x", -2, 5), form, 0))
    assert datapath.evaluate({"x": np.arange(-2, 6)})["y"].tolist() == [36, 49, 64, 81, 100, 121, 144, 169]


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("kind", ["few steps", "many steps", "table"])
def test_steps_and_tables_in_hardware(kind, rows):
    """As lowered, in Amaranth's simulator, constants and parameters, pipelined."""
    generator = np.random.default_rng(rows)
    levels = 5 if kind == "few steps" else 30
    codes = generator.integers(-20, 20, (rows, levels + 1))
    if kind == "table":
        form = TableForm(np.array([-40, -38, -35])[:rows], generator.integers(-20, 20, (rows, 70)))
    else:
        form = StepForm(np.sort(generator.integers(-40, 30, (rows, levels)), axis=1), codes)
    columns = [form_parameters(form, row) for row in range(rows)]
    x = np.arange(-35, 30)
    datapath = Datapath()
    word = datapath.input("x", -35, 29)
    row_word = {
        name: datapath.input(name, min(c[name] for c in columns), max(c[name] for c in columns)) for name in columns[0]
    }
    datapath.output("with_words", build_form_with_parameters(datapath, word, form, row_word))
    for row in range(rows):
        datapath.output(f"constant_{row}", build_form(datapath, word, form, row))
    expected = form.evaluate(np.broadcast_to(x[:, None], (len(x), rows)))
    for row, column in enumerate(columns):
        given = {name: np.full(len(x), value) for name, value in column.items()}
        result = simulate(datapath, cut(datapath, 4.0), {"x": x, **given})
        assert np.array_equal(result["with_words"], expected[:, row])
        assert np.array_equal(result[f"constant_{row}"], expected[:, row])


def test_surplus_lanes_give_zero():
    forms = LaneForms(ConstantForm(np.arange(5) + 1), 5, 3, np.arange(5) + 1, np.arange(5) + 1)
    assert forms.groups == 2
    assert [forms.elements(lane) for lane in range(3)] == [[0, 3], [1, 4], [2, 2]]
    values = [[(row["value"] * row["used"]).tolist()] for row in forms.parameters]
    assert values == [[[1, 4]], [[2, 5]], [[3, 0]]]


def test_a_form_must_be_known():
    class Other:
        rows = 3

    datapath = Datapath()
    x = datapath.input("x", 0, 3)
    for use in (form_parameters, select_rows, lambda form, row: build_form_with_parameters(datapath, x, form, {})):
        with pytest.raises(ConfigurationError, match=r"^A form must be one of those in rtl4ml.staircase, not Other$"):
            use(Other(), 0)
