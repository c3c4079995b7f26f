import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.planning.settings import Settings
from rtl4ml.sweep.plot import plot
from rtl4ml.sweep.rows import tabulate
from tests.sweep.build import failed, record

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def table(**options):
    return tabulate(
        [
            record(Settings(reuse=reuse, clock_mhz=clock, backpressure=axi), reuse * 10, input_format=input_format)
            for reuse in (2, 5, 10)
            for clock in (100, 150, 200)
            for axi in (True, False)
            for input_format in (None, "fixed<8,2>")
        ],
        **options,
    )


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_the_same_sweep_gives_the_same_bytes(tmp_path, ending):
    for name in ("a", "b"):
        plot(table(), "net: area", tmp_path / f"{name}.{ending}")
    first = (tmp_path / f"a.{ending}").read_bytes()
    assert first == (tmp_path / f"b.{ending}").read_bytes()
    assert len(first) > 5000


def test_what_it_says(tmp_path):
    plot(table(), "net: area against latency", tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    for words in (
        "net: area against latency",
        "36 designs",
        "free-running",
        "fixed<8,2>",
        "multipliers",
        "memory bits",
    ):
        assert f"<!-- {words.replace('<', '&lt;').replace('>', '&gt;')}" in text
    assert "miss their clock" not in text


def test_points_without_multipliers_and_alone(tmp_path):
    for latencies in ([100], [100, 20], [100, 101]):
        records = [record(Settings(reuse=latency), latency) for latency in latencies]
        plot(tabulate(records, areas=["multipliers"]), "net", tmp_path / "a.png")


def test_a_missed_clock_is_crossed_out(tmp_path):
    cells = {"lut": 10, "ff": 1, "dsp": 0, "bram": 0}
    records = [record(Settings(reuse=2), 20, cells, fmax=100.0), record(Settings(reuse=4), 40, cells, fmax=300.0)]
    plot(tabulate(records), "net", tmp_path / "a.svg")
    assert "crossed out: 1 that miss their clock" in (tmp_path / "a.svg").read_text()


def test_slips_are_said(tmp_path):
    with pytest.raises(ConfigurationError, match=r"Plot must be a file \.svg, \.png or \.pdf, not "):
        plot(table(), "net", tmp_path / "a.jpg")
    with pytest.raises(
        ConfigurationError, match="Sweep must have at least one point with numbers to be drawn, not none"
    ):
        plot(tabulate([failed(Settings(), "no")]), "net", tmp_path / "a.svg")
