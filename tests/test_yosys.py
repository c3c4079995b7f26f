import importlib.metadata
import subprocess

import pytest

from rtl4ml import yosys
from rtl4ml.errors import ToolError


def test_commands_run_in_one_design_and_in_the_folder(tmp_path):
    folder = tmp_path / "with space"
    folder.mkdir()
    (folder / "a.v").write_text("module a(input x, output y); assign y = x; endmodule\n")
    yosys.run_yosys(["read_verilog a.v", "write_rtlil a.il"], folder)
    assert "module \\a" in (folder / "a.il").read_text()


def test_a_fatal_error_is_an_exception_with_what_yosys_said(tmp_path):
    (tmp_path / "a.v").write_text("module a(input x, output y); assign y = ; endmodule\n")
    said = r"^Yosys must run to its end, not stop with status 1: it said a.v:1: ERROR: syntax error, unexpected ';'$"
    with pytest.raises(ToolError, match=said):
        yosys.run_yosys(["read_verilog a.v"], tmp_path)
    with pytest.raises(ToolError, match=r"it said ERROR: No such command: nonsense"):
        yosys.run_yosys(["nonsense"], tmp_path)


def test_a_missing_yosys_is_named(tmp_path, monkeypatch):
    without = "import sys; sys.modules['pyosys'] = None\n"
    monkeypatch.setattr(yosys, "_CHILD", without + yosys._CHILD)
    with pytest.raises(ToolError, match=r"^Yosys must be importable as pyosys: .*; pip install pyosys$"):
        yosys.run_yosys(["help"], tmp_path)

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(ToolError, match=r"^Yosys must be installed as pyosys, but is not: pip install pyosys$"):
        yosys.yosys_version()


@pytest.mark.parametrize(
    ("number", "said", "message"),
    [
        (
            9,
            "",
            "signal 9 (SIGKILL); memory ran out, or somebody stopped it: close other programs, or say a larger reuse",
        ),
        (
            11,
            "1. Executing PROC pass (of processes).\n2.3. Executing ICE40_DSP pass (map multipliers).\nChecking",
            "signal 11 (SIGSEGV) in its pass ice40_dsp; a fault of Yosys: try another reuse or target, or another "
            "version of pyosys",
        ),
    ],
)
def test_a_crash_is_an_error_that_names_signal_and_pass(tmp_path, monkeypatch, number, said, message):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], -number, said, ""))
    with pytest.raises(ToolError) as caught:
        yosys.run_yosys(["help"], tmp_path)
    assert str(caught.value) == f"Yosys must run to its end, not be ended by {message}"


def test_a_child_that_crashes(tmp_path, monkeypatch):
    crash = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    monkeypatch.setattr(yosys, "_CHILD", yosys._CHILD + crash)
    with pytest.raises(yosys.YosysCrashError, match=r"signal 11 \(SIGSEGV\) in its pass opt_expr; a fault of Yosys"):
        yosys.run_yosys(["opt_expr"], tmp_path)
