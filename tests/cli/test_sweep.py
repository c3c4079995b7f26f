"""The command; the marked tests start it as a program of its own, and stop it as a terminal or a crash would."""

import csv
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from rtl4ml.cli import app
from tests.frontend.build import mlp

# By its path: the package has the command itself under the module's name.
command = importlib.import_module("rtl4ml.cli.sweep")

pytest.importorskip("distributed", reason="dask[distributed] is not installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return mlp(np.random.default_rng(43), [6, 5, 4]).save(tmp_path_factory.mktemp("cli"), name="tiny.onnx")


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    """Threads of this process in the place of processes, and a cache of its own."""
    threads = functools.partial(command.Place, processes=False)
    monkeypatch.setattr(command, "Place", threads)
    monkeypatch.setenv("RTL4ML_CACHE", str(tmp_path / "cache"))


def run(*arguments):
    result = CliRunner().invoke(app, ["sweep", *(str(argument) for argument in arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def lines(folder):
    path = folder / "results.jsonl"
    return path.read_bytes().splitlines() if path.exists() else []


def rows(folder):
    return list(csv.DictReader((folder / "points.csv").read_text().splitlines()))


def test_table_csv_plot_and_a_second_start(model, tmp_path):
    folder = tmp_path / "out"
    options = ("--reuse", "2,5", "--reuse", "fc0=3,10", "--interface", "axi,free-running", "-o", folder, "-j", 1)
    status, out, err = run(model, *options)
    assert (status, err) == (0, "")
    assert "tiny: points that no other beats" in out
    assert "6 of 6 points finished, " in out
    assert f"written: {folder}/results.jsonl, {folder}/points.csv, {folder}/pareto.svg" in out
    assert [row["folding"] for row in rows(folder)] == [
        word for word in ("reuse 2", "reuse 5", "reuse 10, fc0=3") for _ in "ab"
    ]
    assert "<svg" in (folder / "pareto.svg").read_text()
    before = lines(folder)
    assert len(before) == 6

    status, out, err = run(model, *options, "--clock", "200,100", "--json", "--plot", tmp_path / "a.png")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["name"], found["points"], found["finished"], found["failed"]) == ("tiny", 12, 12, 0)
    assert (found["against"], found["areas"]) == ("latency_ns", ["multipliers", "memory_bits"])
    assert found["front"]
    assert (tmp_path / "a.png").exists()
    # The default clock is 200 MHz: half of these points were there.
    assert lines(folder)[:6] == before
    assert len(lines(folder)) == 12


def test_a_grid_from_a_file_and_options_that_win(model, tmp_path):
    (tmp_path / "grid.toml").write_text("reuse = [2, 5]\nclock_mhz = [100, 200]\n[[points]]\nreuse = 10\n")
    (tmp_path / "base.toml").write_text("output_lanes = 2\n")
    options = ("--grid", tmp_path / "grid.toml", "-o", tmp_path, "--config", tmp_path / "base.toml", "-j", 1, "--json")
    assert json.loads(run(model, *options)[1])["points"] == 5
    assert json.loads(run(model, *options, "--clock", 50)[1])["points"] == 3
    found = json.loads(run(model, *options, "--interval", 20)[1])
    assert {row["folding"] for row in found["front"]} <= {"interval 20", "reuse 10"}
    assert {row["output_lanes"] for row in found["front"]} == {"2"}


def test_points_that_fail(model, tmp_path):
    status, out, _ = run(model, "--reuse", "2", "--reuse", "none=3", "-o", tmp_path, "-j", 1)
    assert status == 0
    assert "2 of 2 points finished, 1 of them on a front, 1 failed" in out
    assert "1 failed: Layer of a reuse must be one of" in " ".join(out.split())
    status, out, _ = run(model, "--reuse", "none=3", "-o", tmp_path, "-j", 1)
    assert status == 1
    assert "1 of 1 points finished, 0 of them on a front, 1 failed" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--reuse", "x"), "reuse must be an integer, several separated by commas, not 'x'"),
        (("--measure", "map"), "Measure 'map' must have a target"),
        (("--area", "gates"), "Area must be one of lut, "),
        (("--against", "power"), "Area must stand against latency or interval, not 'power'"),
        (("--plot", "a.jpg"), "Plot must be a file .svg, .png or .pdf, not 'a.jpg'"),
        (("--jobqueue", "pbs"), "Batch system must be slurm or htcondor, not 'pbs'"),
        (("--jobqueue", "slurm", "--scheduler", "tcp://a:1"), "Sweep must run on a scheduler or on a batch system"),
        (("--grid", "none.toml"), "Grid 'none.toml' must be a readable text file"),
        (("--input-shape", "1,x"), "Input shape must be whole numbers"),
    ],
)
def test_slips_are_said_before_anything_runs(model, tmp_path, options, said):
    status, out, err = run(model, "-o", tmp_path / "out", *options)
    assert (status, out) == (2, "")
    assert err.startswith(f"rtl4ml: {said}")
    assert lines(tmp_path / "out") == []


def test_ctrl_c_leaves_a_usable_file(model, tmp_path, monkeypatch):
    finish = command.finish

    def stopped(planned, results, place, retry, step):
        def stop(record):
            step(record)
            raise KeyboardInterrupt

        finish(planned, results, place, retry, stop)

    monkeypatch.setattr(command, "finish", stopped)
    options = (model, "--reuse", "2,5,10", "-o", tmp_path, "-j", 1)
    status, out, _ = run(*options)
    assert status == 130
    assert "1 of 3 points finished" in out
    assert "stopped; the same command goes on from here" in out
    assert (tmp_path / "points.csv").exists()
    monkeypatch.undo()
    monkeypatch.setattr(command, "Place", functools.partial(command.Place, processes=False))
    assert run(*options)[0] == 0
    assert len(lines(tmp_path)) == 3


# ---- A program of its own, with workers that are processes

# What shells start in the background is deaf to SIGINT and makes its children so: a terminal's program is not.
MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from rtl4ml.cli import main; main()"


def start(model, folder, points):
    """An even number of points, in a session of their own: what a terminal stops, or a crash."""
    clocks = ",".join(str(clock) for clock in range(100, 100 + points // 2))
    arguments = [sys.executable, "-c", MAIN, "sweep", str(model), "--clock", clocks, "--interface", "axi,free-running"]
    return subprocess.Popen(
        [*arguments, "--reuse", "5", "-o", str(folder), "-j", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(process, folder, count):
    """Wait until so many points are finished."""
    while len(lines(folder)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def members(session):
    """Living processes of a session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


@pytest.mark.rtl
def test_killed_in_the_middle_and_started_again(model, tmp_path):
    with start(model, tmp_path, 300) as process:
        wait_for(process, tmp_path, 10)
        os.killpg(process.pid, signal.SIGKILL)
    before = lines(tmp_path)
    assert 10 <= len(before) < 300
    # As if the power had gone in the middle of a line.
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write(b'{"key":"0123')
    with start(model, tmp_path, 300) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert "300 of 300 points finished" in out
    after = lines(tmp_path)
    assert after[: len(before)] == before
    assert len(after) == len({json.loads(line)["key"] for line in after}) == 300


@pytest.mark.rtl
def test_ctrl_c_in_a_terminal(model, tmp_path):
    with start(model, tmp_path, 3000) as process:
        wait_for(process, tmp_path, 10)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    assert "stopped; the same command goes on from here" in out
    done = [json.loads(line) for line in lines(tmp_path)]
    assert 10 <= len(done) < 3000
    assert all("result" in record for record in done)
    assert f"{len(done)} of 3000 points finished" in out
    assert len(rows(tmp_path)) == len(done)
    assert "<svg" in (tmp_path / "pareto.svg").read_text()
    # Python's tracker of shared resources ends by itself once it sees that the command has: a moment later.
    _, left = psutil.wait_procs(members(process.pid), timeout=60)
    assert left == []
