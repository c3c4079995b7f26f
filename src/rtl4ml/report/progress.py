"""Progress bars on stderr, for the command line and for `progress=True`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from rtl4ml.report import console

Callback = Callable[[int, int], None]
"""Called with how much is done and how much there is."""


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """Bars on stderr, one a step, gone at the end; files and pipes get nothing."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    out = console.console(stderr=True)
    disabled = not (out.is_terminal or out.is_jupyter)
    with Progress(*columns, console=out, transient=True, disable=disabled) as shown:
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = shown.add_task(step, total=total)
            shown.update(tasks[step], completed=done, total=total)

        yield show


@contextmanager
def callback(progress: Callback | bool | None, step: str) -> Iterator[Callback]:
    """What to call from an argument `progress`: True is a bar on stderr, None and False are nothing."""
    if callable(progress):
        yield progress
    elif progress:
        with bars() as show:
            yield lambda done, total: show(step, done, total)
    else:
        yield lambda done, total: None
