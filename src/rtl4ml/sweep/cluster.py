"""Where points are computed: processes here, a Dask scheduler elsewhere, or the jobs of a batch system.

Dask is an extra, so it is imported when a cluster is opened, never before.
"""

import inspect
import os
import shlex
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.sweep.model import Model, keep

if TYPE_CHECKING:
    import psutil
    from distributed import Client
    from distributed.deploy.spec import SpecCluster

JOBQUEUES = {"slurm": ("SLURMCluster", "sbatch"), "htcondor": ("HTCondorCluster", "condor_submit")}
"""Batch systems: class in dask-jobqueue, and the program that hands jobs in."""

CONNECT_SECONDS = 30
CLOSE_SECONDS = 10
NEEDED: Mapping[str, Mapping[str, str]] = {
    "slurm": {"cores": "8", "memory": "32GB"},
    "htcondor": {"cores": "8", "memory": "32GB", "disk": "10GB"},
}
"""Options without which a job cannot be handed in, with examples."""

NO_PAGES: Mapping[str, Any] = {"dashboard": False, "dashboard_address": ":0"}


@dataclass(frozen=True)
class Place:
    """Where a sweep runs; by itself: processes of this machine.

    Parameters:
        scheduler: address of a running Dask scheduler, such as "tcp://host:8786".
        jobqueue: a batch system and options of its dask-jobqueue cluster in one line, such as
            "slurm cores=8 memory=32GB queue=short walltime=04:00:00"; what it does not say comes from dask-jobqueue's
            own configuration.
        workers: points at a time; None: as many as there are processors here, or one job of the batch system. Of a
            running scheduler its workers say so.
        memory: what a worker here may take, such as "4GB", before it is started anew; None: its share of the memory.
        processes: False: threads of this process, for tests.

    Raises:
        ConfigurationError: two places at once, or an unknown batch system.
    """

    scheduler: str | None = None
    jobqueue: str | None = None
    workers: int | None = None
    memory: str | None = None
    processes: bool = True

    def __post_init__(self) -> None:
        """Check what can be checked without Dask."""
        if self.scheduler is not None and self.jobqueue is not None:
            raise ConfigurationError("Sweep must run on a scheduler or on a batch system, not on both")
        if self.scheduler is not None and self.workers is not None:
            raise ConfigurationError("workers must be left to the scheduler that has them, not given with its address")
        if self.memory is not None and (self.scheduler is not None or self.jobqueue is not None):
            raise ConfigurationError("memory must be said where the workers are started, not here: memory=... of a job")
        if self.workers is not None and self.workers < 1:
            raise ConfigurationError(f"workers must be an integer of at least 1, not {self.workers}")
        if self.jobqueue is not None:
            parse_jobqueue(self.jobqueue)


def parse_jobqueue(line: str) -> tuple[str, dict[str, Any]]:
    """Batch system and options from a line: a name, then `option=value` with blanks between them.

    Whole numbers, true and false are what they seem, `[a, b]` is a list of texts, anything else a text.

    Raises:
        ConfigurationError: an unknown batch system, or a part that is no option.
    """
    try:
        name, *parts = shlex.split(line) or [""]
    except ValueError as error:
        raise ConfigurationError(f"Line of a batch system must be words with closed quotes, not {line!r}") from error
    if name not in JOBQUEUES:
        raise ConfigurationError(f"Batch system must be {' or '.join(JOBQUEUES)}, not {name!r}")
    options: dict[str, Any] = {}
    for part in parts:
        key, equals, text = part.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigurationError(f"Option of a batch system must be NAME=VALUE, not {part!r}")
        options[key] = _option(text)
    return name, options


def _option(text: str) -> Any:
    if text.isdecimal():
        return int(text)
    if text in ("true", "false"):
        return text == "true"
    # BaseLoader: a walltime of 02:00:00 stays one, and is not 7200 as YAML 1.1 has it.
    return yaml.load(text, yaml.BaseLoader) if text.startswith("[") else text


@contextmanager
def client_of(place: Place, model: Model) -> Iterator[tuple["Client", Callable[[], None]]]:
    """A client whose workers have the model; and what to call now and then, which replaces workers that are gone.

    Raises:
        ConfigurationError: the scheduler does not answer, or options that dask-jobqueue does not take.
        ToolError: Dask, dask-jobqueue or the batch system is not installed.
    """
    distributed = require("distributed", "dask[distributed]")
    import dask

    with ExitStack() as stack:
        keep_up: Callable[[], None] = _nothing
        quiet = {"distributed.scheduler.worker-saturation": 1.0}  # what waits is not counted as lost with a worker
        stack.enter_context(dask.config.set(quiet))
        address: Any = place.scheduler
        if place.jobqueue is not None:
            address = stack.enter_context(jobqueue_cluster(place.jobqueue))
            keep_up = _scaler(address, place.workers)
            keep_up()
        elif place.scheduler is None:
            address = stack.enter_context(_local_cluster(place))
            keep_up = _scaler(address, len(address.worker_spec))
        try:
            client = stack.enter_context(distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
        except (OSError, ValueError) as error:  # a refused connection, a timeout; an address that is none
            raise ConfigurationError(
                f"Scheduler must answer at its address, {place.scheduler}, not be silent"
            ) from error
        own = place.scheduler is None and place.jobqueue is None and place.processes
        name = f"rtl4ml-{model.digest}"
        client.register_plugin(_plugin(model, deaf=own), name=name)
        try:
            yield client, keep_up
        finally:
            if place.scheduler is not None:  # somebody else's: leave nothing there
                with suppress(Exception):
                    client.unregister_worker_plugin(name)


def require(module: str, package: str) -> Any:
    """A module of the extra.

    Raises:
        ToolError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ToolError(f"{package} must be installed for sweeps: pip install 'rtl4ml[sweep]'") from error


def _nothing() -> None:
    """Workers of somebody else's scheduler are theirs to start."""


def _plugin(model: Model, deaf: bool) -> Any:
    """What each worker does when it comes, the first and those that replace lost ones."""
    from distributed import WorkerPlugin

    class SweepPlugin(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            keep(model)
            if deaf and threading.current_thread() is threading.main_thread():
                # Ctrl-C in a terminal reaches the workers and their Yosys too. Here it would make errors of points
                # that are none; the sweep's own process hears it and ends them.
                signal.signal(signal.SIGINT, signal.SIG_IGN)

    return SweepPlugin()


@contextmanager
def _local_cluster(place: Place) -> Iterator["SpecCluster"]:
    import logging

    import psutil
    from dask.utils import parse_bytes
    from distributed import LocalCluster

    if place.memory is not None:
        try:
            parse_bytes(place.memory)
        except ValueError as error:
            raise ConfigurationError(f"memory must be a size such as 4GB, not {place.memory!r}") from error
    count = place.workers or os.cpu_count() or 1
    cluster = LocalCluster(
        n_workers=count if place.processes else 1,
        threads_per_worker=1 if place.processes else count,
        processes=place.processes,
        memory_limit=place.memory or "auto",
        dashboard_address=NO_PAGES["dashboard_address"],
        scheduler_kwargs={"dashboard": NO_PAGES["dashboard"]},
        silence_logs=logging.CRITICAL,
        # Only workers that are processes have an environment of their own.
        **({"env": {"DASK_LOGGING__DISTRIBUTED": "critical"}} if place.processes else {}),
    )
    try:
        yield cluster
    finally:
        left = _descendants(cluster) if place.processes else []
        cluster.close(timeout=CLOSE_SECONDS)
        for child in left:
            with suppress(psutil.NoSuchProcess):
                child.kill()  # psutil sees to it that the number still means the same process
        psutil.wait_procs(left, timeout=CLOSE_SECONDS)


def _descendants(cluster: "SpecCluster") -> list["psutil.Process"]:
    """Processes of workers and what those started: a worker that is ended leaves its Yosys behind."""
    import psutil

    found = []
    for nanny in cluster.workers.values():
        if nanny.pid is not None:
            with suppress(psutil.NoSuchProcess):
                worker = psutil.Process(nanny.pid)
                found += [worker, *worker.children(recursive=True)]
    return found


@contextmanager
def jobqueue_cluster(line: str) -> Iterator["SpecCluster"]:
    """A scheduler here and a recipe for jobs; none runs yet.

    Raises:
        ConfigurationError: options that dask-jobqueue does not take.
        ToolError: dask-jobqueue or the batch system is not installed.
    """
    name, options = parse_jobqueue(line)
    dask_jobqueue = require("dask_jobqueue", "dask-jobqueue")
    kind, program = JOBQUEUES[name]
    if shutil.which(program) is None:
        raise ToolError(f"{program} must be installed here to hand in jobs of {name}, but is not in PATH")
    import dask

    settings = dask.config.get(f"jobqueue.{name}", None) or {}
    for option, example in NEEDED[name].items():
        if options.get(option) is None and settings.get(option) is None:
            raise ConfigurationError(f"Job of {name} must be given its {option}, such as {option}={example}, not none")
    # Planning and Yosys take a processor each: one thread a worker, as many workers in a job as it has cores.
    options.setdefault("processes", options.get("cores", settings.get("cores")))
    # Any free port, no pages: two sweeps on one machine shall not be in each other's way.
    options.setdefault("scheduler_options", {**(settings.get("scheduler-options") or {}), **NO_PAGES})
    factory = getattr(dask_jobqueue, kind)
    of_clusters = inspect.signature(dask_jobqueue.JobQueueCluster.__init__).parameters
    try:
        # A cluster that fails half built is left open for ever, so its options are tried on a job first.
        factory.job_cls(
            "tcp://scheduler:0", "worker", **{key: value for key, value in options.items() if key not in of_clusters}
        )
        cluster = factory(**options)
    except (TypeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise ConfigurationError(f"Options of {name} must be such as dask-jobqueue takes: {first}") from error
    with cluster:
        yield cluster


def _scaler(cluster: Any, workers: int | None) -> Callable[[], None]:
    """Ask for workers, or for a job when there is no number; asked again, it replaces those that are gone.

    Dask starts a worker's process anew by itself, but when that takes long it forgets the worker.
    """

    def scale() -> None:
        if workers is None:
            cluster.scale(jobs=1)
        else:
            cluster.scale(n=workers)

    return scale
