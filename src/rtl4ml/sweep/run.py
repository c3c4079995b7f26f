"""The sweep itself: what is not done yet goes to the workers, what comes back goes to the file at once."""

import queue
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtl4ml.errors import ConfigurationError, Rtl4mlError, ToolError
from rtl4ml.sweep.cluster import Place, client_of
from rtl4ml.sweep.model import Model, Reading
from rtl4ml.sweep.points import Point
from rtl4ml.sweep.results import Record, Results
from rtl4ml.sweep.work import Job, Measure, run

if TYPE_CHECKING:
    from distributed import Client, Future

LOST = "LostWorker"
"""Kind of error of a point whose workers ended time and again; the next start tries it anew."""

ATTEMPTS = 2
"""How often a point is handed in. Each time the scheduler gives it to several workers before it gives up."""

LOOK_SECONDS = 10.0
"""How often workers that are gone for good, such as jobs that a batch system ended, are asked for anew."""


@dataclass(frozen=True)
class Sweep:
    """The jobs of a sweep.

    Parameters:
        model: the network.
        jobs: one a point, in the points' order.
    """

    model: Model
    jobs: tuple[Job, ...]

    @classmethod
    def of(cls, model: Model, points: Iterable[Point], measure: Measure, reading: Reading) -> "Sweep":
        """Jobs for points, all with the versions that are installed here.

        Raises:
            ToolError: a tool that measures is missing.
        """
        found = tuple(sorted(measure.versions().items()))
        return cls(model, tuple(Job(model.digest, point, measure, reading, found) for point in points))

    def records(self, results: Results) -> list[Record]:
        """What is finished, in the points' order."""
        return [record for job in self.jobs if (record := results.get(job.key)) is not None]

    def missing(self, results: Results, retry: bool = False) -> list[Job]:
        """What is to be done: points without a record, those that only lost their workers; with `retry` all errors."""
        return [job for job in self.jobs if not _final(results.get(job.key), retry)]


def _final(record: Record | None, retry: bool) -> bool:
    if record is None:
        return False
    return "error" not in record or not (retry or record["error"]["kind"] == LOST)


def sweep(
    planned: Sweep,
    results: Results,
    place: Place,
    retry: bool = False,
    progress: Callable[[Record], None] | None = None,
) -> None:
    """Finish a sweep: every record is on the disk before `progress` hears of it.

    Args:
        planned: the jobs.
        results: open, and holding what earlier runs finished.
        place: where to compute.
        retry: points that ended with an error too.
        progress: called with each new record.

    Raises:
        ConfigurationError: the scheduler does not answer, a worker has other versions.
        ToolError: Dask is missing, workers cannot run rtl4ml, or the scheduler was lost.
        KeyboardInterrupt: ctrl-C; the workers are told to stop.
    """
    missing = planned.missing(results, retry)
    if not missing:
        return
    with client_of(place, planned.model) as (client, keep_up):
        _Course(client, results, progress or (lambda record: None)).run(missing, keep_up)


class _Course:
    """Points on their way: handed in, coming back in any order."""

    def __init__(self, client: "Client", results: Results, progress: Callable[[Record], None]) -> None:
        self._client, self._results, self._progress = client, results, progress
        self._back: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._out: dict[str, tuple[Future, Job, int]] = {}

    def run(self, jobs: Sequence[Job], keep_up: Callable[[], None]) -> None:
        """Until every job has a record."""
        for job in jobs:
            self._hand_in(job, 1)
        try:
            looked = time.monotonic()
            while self._out:
                with suppress(queue.Empty):
                    self._take(self._back.get(timeout=LOOK_SECONDS))
                if time.monotonic() - looked >= LOOK_SECONDS:
                    keep_up()
                    looked = time.monotonic()
        except BaseException:
            with suppress(Exception):  # a scheduler that is gone has nothing to cancel
                self._client.cancel([future for future, _, _ in self._out.values()], force=True)
            raise

    def _hand_in(self, job: Job, attempt: int) -> None:
        # A task's name is its identity: results of an earlier sweep on the same scheduler are none of ours.
        name = f"rtl4ml-{job.key}-{attempt}"
        future = self._client.submit(run, job, key=name, pure=False)
        self._out[name] = future, job, attempt
        future.add_done_callback(self._back.put)

    def _take(self, future: "Future") -> None:
        _, job, attempt = self._out.pop(str(future.key))
        record = self._record(future, job, attempt)
        if record is not None:
            self._results.append(record)
            self._progress(record)

    def _record(self, future: "Future", job: Job, attempt: int) -> Record | None:
        """The record of a future that is done; None: the point is handed in again."""
        from distributed import CancelledError, KilledWorker

        try:
            found: dict[str, Any] = future.result(timeout=None)
        except KilledWorker as error:
            if attempt < ATTEMPTS:
                self._hand_in(job, attempt + 1)
                return None
            last = error.last_worker.address
            said = f"Worker must live as long as its point takes, not end time and again: the last one was {last}"
            return job.record(error={"kind": LOST, "message": said})
        except CancelledError as error:
            raise ToolError(
                "Scheduler must live as long as the sweep, but was lost; finished points are kept, start again for the "
                "others"
            ) from error
        except Rtl4mlError:
            raise
        except Exception as error:
            raise ToolError(
                f"Workers must be able to run rtl4ml, but one said {type(error).__name__}: {error}"
            ) from error
        if found.get("key") != job.key:
            raise ConfigurationError(f"Worker must have the rtl4ml of this machine: it gave key {found.get('key')!r}")
        return found
