import importlib
import shutil
import subprocess
import sys

import pytest

from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.sweep.cluster import Place, client_of, jobqueue_cluster, parse_jobqueue

pytest.importorskip("distributed", reason="dask[distributed] is not installed")


@pytest.fixture
def batch(monkeypatch):
    """A machine with batch systems, to which nothing is handed in."""
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")


def test_a_line_of_configuration():
    line = (
        "slurm cores=8 memory=32GB queue=short walltime=02:00:00 job_extra_directives='[--gres=x, -C big]' nanny=true"
    )
    assert parse_jobqueue(line) == (
        "slurm",
        {
            "cores": 8,
            "memory": "32GB",
            "queue": "short",
            "walltime": "02:00:00",
            "job_extra_directives": ["--gres=x", "-C big"],
            "nanny": True,
        },
    )
    assert parse_jobqueue("htcondor") == ("htcondor", {})


def test_the_job_of_slurm(batch):
    line = "slurm cores=4 memory=16GB queue=short account=physics walltime=02:00:00 job_extra_directives=[--nice=100]"
    with jobqueue_cluster(line) as cluster:
        script = cluster.job_script()
    assert script.startswith("#!/usr/bin/env bash\n")
    lines = script.splitlines()
    for directive in ("-p short", "-A physics", "-n 1", "--cpus-per-task=4", "--mem=15G", "-t 02:00:00", "--nice=100"):
        assert f"#SBATCH {directive}" in lines
    # One point a processor: four workers of one thread, a quarter of the memory each, started anew when they end.
    assert " -m distributed.cli.dask_worker tcp://" in lines[-1]
    for option in ("--nthreads 1", "--nworkers 4", "--memory-limit 3.73GiB", "--nanny"):
        assert option in lines[-1]


def test_the_job_of_htcondor(batch):
    with jobqueue_cluster("htcondor cores=2 memory=8GB disk=4GB") as cluster:
        script = cluster.job_script()
    lines = [line.strip() for line in script.splitlines()]
    for line in ("DaskWorkerCores = 2", "DaskWorkerMemory = 8000000000", "DaskWorkerDisk = 4000000000"):
        assert f"MY.{line}" in lines
    assert "RequestCpus = MY.DaskWorkerCores" in lines
    assert lines[-1] == "Queue"
    for option in ("--nthreads 1", "--nworkers 2", "--nanny"):
        assert option in script


def test_what_the_line_leaves_out_comes_from_dasks_configuration(batch):
    import dask

    filled_in = {"jobqueue.slurm.cores": 3, "jobqueue.slurm.memory": "6GB", "jobqueue.slurm.queue": "night"}
    with dask.config.set(filled_in), jobqueue_cluster("slurm walltime=01:00:00") as cluster:
        script = cluster.job_script()
    assert "#SBATCH -p night" in script
    assert "#SBATCH --cpus-per-task=3" in script
    assert "--nworkers 3" in script


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("slurm cores=3", "Job of slurm must be given its memory, such as memory=32GB, not none"),
        ("htcondor cores=3 memory=1GB", "Job of htcondor must be given its disk, such as disk=10GB, not none"),
        ("slurm cores=1 memory=1GB coers=2", "Options of slurm must be such as dask-jobqueue takes: .*'coers'"),
        ("slurm cores=1 memory=much", "Options of slurm must be such as dask-jobqueue takes: "),
    ],
)
def test_options_that_are_none(batch, line, said):
    with pytest.raises(ConfigurationError, match=said), jobqueue_cluster(line):
        pass


def test_no_batch_system(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    said = "sbatch must be installed here to hand in jobs of slurm, but is not in PATH"
    with pytest.raises(ToolError, match=said), jobqueue_cluster("slurm cores=1 memory=1GB"):
        pass


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"scheduler": "tcp://a:1", "jobqueue": "slurm"},
            "Sweep must run on a scheduler or on a batch system, not on both",
        ),
        ({"scheduler": "tcp://a:1", "workers": 2}, "workers must be left to the scheduler that has them"),
        ({"scheduler": "tcp://a:1", "memory": "2GB"}, "memory must be said where the workers are started"),
        ({"workers": 0}, "workers must be an integer of at least 1, not 0"),
        ({"jobqueue": "pbs cores=1"}, "Batch system must be slurm or htcondor, not 'pbs'"),
        ({"jobqueue": ""}, "Batch system must be slurm or htcondor, not ''"),
        ({"jobqueue": "slurm cores 8"}, "Option of a batch system must be NAME=VALUE, not 'cores'"),
        ({"jobqueue": "slurm 'cores=8"}, "Line of a batch system must be words with closed quotes, not "),
        ({"memory": "much"}, "memory must be a size such as 4GB, not 'much'"),
    ],
)
def test_slips_are_said(options, said, model):
    with pytest.raises(ConfigurationError, match=said), client_of(Place(**options), model):
        pass


def test_without_dask_it_is_said_what_to_install(monkeypatch, model):
    def missing(name, *arguments):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    said = r"dask\[distributed\] must be installed for sweeps: pip install 'rtl4ml\[sweep\]'"
    with pytest.raises(ToolError, match=said), client_of(Place(), model):
        pass


def test_nobody_at_the_address(monkeypatch, model):
    monkeypatch.setattr("rtl4ml.sweep.cluster.CONNECT_SECONDS", 0.2)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        said = f"Scheduler must answer at its address, {address}, not be silent"
        with pytest.raises(ConfigurationError, match=said), client_of(Place(scheduler=address), model):
            pass


def test_dask_is_imported_by_sweeps_alone():
    code = "import sys, rtl4ml.cli; assert not {'dask', 'distributed', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
