"""The sweep on threads of this process; the marked tests on workers that are processes, and are killed."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.sweep import work
from rtl4ml.sweep.cluster import Place
from rtl4ml.sweep.model import Reading
from rtl4ml.sweep.points import grid
from rtl4ml.sweep.results import Results
from rtl4ml.sweep.run import LOST, Sweep, sweep
from rtl4ml.sweep.work import Measure

distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")

THREADS = Place(workers=1, processes=False)
AXES = {"reuse": [2, 5, 10], "interface": ["axi", "free-running"]}


def planned(model, axes=AXES):
    return Sweep.of(model, grid(axes), Measure(), Reading())


def lines(path):
    return path.read_bytes().splitlines()


def test_every_point_once_and_nothing_twice(model, tmp_path):
    path = tmp_path / "results.jsonl"
    some = planned(model, {"reuse": [2, 5]})
    heard = []
    with Results(path) as results:
        sweep(some, results, THREADS, progress=heard.append)
        assert len(heard) == len(results) == 2
    first = lines(path)
    whole = planned(model)
    with Results(path) as results:
        assert len(whole.missing(results)) == 4
        sweep(whole, results, THREADS, progress=heard.append)
        assert (len(heard), len(results)) == (6, 6)
        assert [record["point"]["reuse"] for record in whole.records(results)] == [2, 2, 5, 5, 10, 10]
        assert all("result" in record for record in whole.records(results))
        # Nothing is missing, so no cluster is opened: nobody answers there.
        sweep(whole, results, Place(scheduler="tcp://127.0.0.1:9"), progress=heard.append)
        assert len(heard) == 6
    assert lines(path)[:2] == first


def test_what_failed_is_done_and_tried_again_when_asked(model, tmp_path):
    bad = planned(model, {"reuse": [2, "none=3"]})
    with Results(tmp_path / "results.jsonl") as results:
        sweep(bad, results, THREADS)
        kinds = [record.get("error", {}).get("kind") for record in bad.records(results)]
        assert kinds == [None, "ConfigurationError"]
        assert bad.missing(results) == []
        assert bad.missing(results, retry=True) == [bad.jobs[1]]
        heard = []
        sweep(bad, results, THREADS, retry=True, progress=heard.append)
        assert len(heard) == 1


def test_a_lost_point_is_not_done(model, tmp_path):
    one = planned(model, {"reuse": 2})
    with Results(tmp_path / "results.jsonl") as results:
        results.append(one.jobs[0].record(error={"kind": LOST, "message": "gone"}))
        assert one.missing(results) == list(one.jobs)


def test_other_versions_stop_the_sweep(model, tmp_path, monkeypatch):
    one = planned(model, {"reuse": 2})
    monkeypatch.setattr(work, "versions", lambda *arguments: {"rtl4ml": "0.0.1"})
    with Results(tmp_path / "results.jsonl") as results:
        with pytest.raises(ConfigurationError, match=r"Worker must have rtl4ml .*, not rtl4ml 0\.0\.1"):
            sweep(one, results, THREADS)
        assert len(results) == 0


def test_ctrl_c_keeps_what_is_finished(model, tmp_path):
    path = tmp_path / "results.jsonl"
    whole = planned(model)

    def stop(record):
        raise KeyboardInterrupt

    with Results(path) as results:
        with pytest.raises(KeyboardInterrupt):
            sweep(whole, results, THREADS, progress=stop)
        assert len(results) == 1
        sweep(whole, results, THREADS)
    assert len(lines(path)) == len(whole.jobs)


def test_any_scheduler_by_its_address(model, tmp_path):
    whole = planned(model)
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, Results(tmp_path / "results.jsonl") as results:
        sweep(whole, results, Place(scheduler=cluster.scheduler_address))
        assert len(results) == len(whole.jobs)
        # Somebody else's scheduler is left as it was.
        assert not [name for name in cluster.scheduler.worker_plugins if "rtl4ml" in name]


def children():
    """Workers of this process: what multiprocessing started, without its tracker of resources."""
    found = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in found if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.rtl
def test_lost_workers_lose_nothing(model, tmp_path):
    path = tmp_path / "results.jsonl"
    axes = {"reuse": [2, 3, 5, 6, 10], "clock_mhz": [100, 150, 200], "interface": ["axi", "free-running"]}
    whole = planned(model, axes)
    kept = []

    def kill(record):
        if len(lines(path)) in (4, 12):
            kept.extend(lines(path))
            workers = children()
            assert len(workers) == 2
            for worker in workers:
                os.kill(worker.pid, signal.SIGKILL)

    with Results(path) as results:
        sweep(whole, results, Place(workers=2), progress=kill)
        assert all("result" in record for record in whole.records(results))
    written = lines(path)
    assert len(written) == len(whole.jobs) == len(whole.records(results)) == 30
    assert len(kept) == 16
    assert set(kept) <= set(written)
    assert children() == []


@pytest.mark.rtl
def test_a_point_that_kills_its_workers_is_given_up(model, tmp_path, monkeypatch):
    import dask

    monkeypatch.setattr("rtl4ml.sweep.run.run", _die_at_five)
    whole = planned(model, {"reuse": [5, 2]})
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), Results(tmp_path / "r.jsonl") as results:
        sweep(whole, results, Place(workers=1))
        lost, fine = whole.records(results)
        assert lost["error"]["kind"] == LOST
        assert "Worker must live as long as its point takes" in lost["error"]["message"]
        assert "result" in fine
        assert whole.missing(results) == [whole.jobs[0]]


def _die_at_five(job):
    if job.point.settings.reuse == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return work.run(job)


@pytest.mark.rtl
def test_a_lost_scheduler_is_said_and_loses_nothing(model, tmp_path):
    whole = planned(model, {"reuse": [2, 3, 5, 6, 10], "clock_mhz": [100, 150, 200]})
    file = tmp_path / "scheduler.json"
    started = []

    def start(module, *options):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *options, "--no-dashboard"]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    try:
        start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        while not (file.exists() and file.read_text()):
            assert started[0].poll() is None
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        start("dask_worker", address, "--nthreads", "1", "--no-nanny")
        with Results(tmp_path / "results.jsonl") as results:
            with pytest.raises(ToolError, match="Scheduler must live as long as the sweep, but was lost; finished"):
                sweep(whole, results, Place(scheduler=address), progress=lambda record: started[0].kill())
            done = len(results)
            assert 1 <= done < len(whole.jobs)
            sweep(whole, results, THREADS)
            assert len(results) == len(whole.jobs)
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert len(lines(tmp_path / "results.jsonl")) == len(whole.jobs)
