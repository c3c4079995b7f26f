import io

import pytest
from rich.console import Console

from rtl4ml.planning.settings import Settings
from rtl4ml.sweep.rows import tabulate
from rtl4ml.sweep.table import nanoseconds, sweep_table
from tests.sweep.build import failed, record


def printed(renderable):
    out = io.StringIO()
    Console(file=out, width=160).print(renderable)
    return out.getvalue()


def test_the_front_by_time_and_what_failed():
    cells = {"lut": 4321, "lut_memory": 0, "ff": 1, "dsp": 2, "bram": 0, "carry": 0}
    records = [
        record(Settings(reuse=8), 80, {**cells, "lut": 321}, fmax=210.04),
        record(Settings(reuse=2, backpressure=False), 20, cells, fmax=200.0),
        record(Settings(reuse=16), 70, cells, fmax=199.0),
        failed(Settings(reuse=99), "reuse must be less [red]"),
    ]
    text = printed(sweep_table(tabulate(records), "net", 5))
    lines = [line.split() for line in text.splitlines() if "reuse" in line]
    expected = ["reuse 2 free-running 100 ns 20 10 4,321 1 2 0 800 64 200.0 LUT, DSP"]
    expected += ["reuse 8 axi 400 ns 80 40 321 1 2 0 200 64 210.0 LUT"]
    assert [" ".join(line) for line in lines[:2]] == expected
    assert "4 of 5 points finished, 2 of them on a front, 1 failed, 1 missed their clock and are on none" in text
    assert "1 failed: reuse must be less [red]" in text


def test_many_errors_are_counted():
    records = [failed(Settings(reuse=1 + index), f"error {index}") for index in range(7)]
    assert "and 2 other errors, which the CSV file has" in printed(sweep_table(tabulate(records), "net", 7))


@pytest.mark.parametrize(
    ("number", "text"),
    [(5, "5 ns"), (999, "999 ns"), (1000, "1 µs"), (1234567, "1.23 ms"), (2e9, "2 s"), (0.5, "0.5 ns")],
)
def test_times_have_the_unit_that_suits_them(number, text):
    assert nanoseconds(number) == text
