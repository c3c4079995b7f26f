import csv
import io

import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.planning.settings import Settings
from rtl4ml.sweep.rows import as_csv, tabulate, write_csv
from tests.sweep.build import failed, record

FAST, MIDDLE, SLOW = Settings(reuse=2), Settings(reuse=4), Settings(reuse=8)


def cells(lut, dsp):
    return {"lut": lut, "lut_memory": 0, "ff": 1, "dsp": dsp, "bram": 0, "carry": 0}


def test_fronts_of_each_area_and_of_all_together():
    table = tabulate(
        [
            record(SLOW, 80, cells(100, 7)),
            record(FAST, 20, cells(300, 9)),
            record(MIDDLE, 40, cells(300, 8)),
            record(SLOW, 90, cells(200, 9)),
        ]
    )
    assert (table.time, table.areas, table.varied) == ("latency_ns", ("lut", "dsp"), ("folding",))
    assert [row.fronts for row in table.rows] == [("lut", "dsp"), ("lut", "dsp"), ("dsp",), ()]
    assert [row.best for row in table.rows] == [True, True, True, False]
    assert [row.axes["folding"] for row in table.best] == ["reuse 2", "reuse 4", "reuse 8"]


def test_a_clock_that_was_missed_is_no_latency():
    fast = Settings(reuse=2, clock_mhz=400)
    table = tabulate([record(fast, 20, cells(1, 1), fmax=399.0), record(FAST, 20, cells(2, 2), fmax=200.0)])
    assert [row.missed for row in table.rows] == [True, False]
    assert [row.fronts for row in table.rows] == [(), ("lut", "dsp")]
    assert table.varied == ("clock_mhz",)


def test_plans_alone_are_compared_by_what_plans_know():
    table = tabulate([record(FAST, 20), record(SLOW, 80), failed(MIDDLE, "no")], against="interval")
    assert (table.time, table.areas) == ("interval_ns", ("multipliers", "memory_bits"))
    assert [row.fronts for row in table.rows] == [("multipliers", "memory_bits"), ("multipliers",), ()]
    assert len(table.good) == 2


def test_what_cannot_be_compared_is_said():
    rows = [record(FAST, 20)]
    with pytest.raises(ConfigurationError, match="Area must stand against latency or interval, not 'power'"):
        tabulate(rows, against="power")
    with pytest.raises(ConfigurationError, match=r"Area must be one of lut, .*, not 'gates'"):
        tabulate([], areas=["gates"])
    said = r"Area must be one of those measured here \(multipliers, memory_bits\), not 'lut'"
    with pytest.raises(ConfigurationError, match=said):
        tabulate(rows, areas=["lut"])


def test_the_csv_file_has_every_point(tmp_path):
    table = tabulate([record(FAST, 20, input_format="fixed<8,2>"), failed(SLOW, 'said "no", twice')])
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [row["folding"] for row in rows] == ["reuse 2", "reuse 8"]
    assert rows[0]["input_format"] == "fixed<8,2>"
    assert (rows[0]["latency_cycles"], rows[0]["latency_ns"], rows[0]["multipliers"]) == ("20", "100.0", "800")
    assert (rows[0]["front_multipliers"], rows[0]["front"], rows[0]["error"]) == ("1", "1", "")
    assert (rows[1]["latency_cycles"], rows[1]["front"], rows[1]["error"]) == ("", "0", 'said "no", twice')
    write_csv(table, tmp_path / "points.csv")
    assert (tmp_path / "points.csv").read_text() == as_csv(table)
    assert [file.name for file in tmp_path.iterdir()] == ["points.csv"]
    with pytest.raises(ConfigurationError, match=r"Table .* must be writable: "):
        write_csv(table, tmp_path / "none" / "points.csv")


def test_nothing_finished_yet():
    table = tabulate([])
    assert (table.rows, table.best) == ((), [])
    assert as_csv(table) == "front_multipliers,front_memory_bits,front,error\n"
