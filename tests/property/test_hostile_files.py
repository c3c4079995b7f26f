"""200 hostile files: each is refused in one line of our grammar, or it loads and equals the strict judge."""

import multiprocessing
import resource
import signal
import tempfile
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import rtl4ml
from rtl4ml.errors import Rtl4mlError
from tests.property.hostile import hostile

FILES = 200
PARTS = 4
SECONDS = 20
"""For one file, on a machine that does other things as well."""

MEMORY = 1 << 20
"""KiB that a file may take beside what the process has taken before."""

ADDRESSES = 16 << 30
"""Bytes of address space: what asks for more gets none."""


def _expired(signum: int, frame: object) -> None:
    raise TimeoutError(f"more than {SECONDS} seconds")


def look(seed: int) -> str:
    """What is wrong with the treatment of a file; "" where nothing is."""
    kind, data, input_format = hostile(seed)
    try:
        with tempfile.TemporaryDirectory(prefix="rtl4ml-") as folder:
            path = Path(folder) / "net.onnx"
            path.write_bytes(data)
            graph = rtl4ml.load(path, input_format)
        result = rtl4ml.compile(graph, reuse=10**6).verify(samples=20, rtl=False).equality
    except Rtl4mlError as error:
        message = str(error)
        if "\n" in message or " must " not in message:
            return f"{seed} ({kind}): no line of our grammar: {message!r}"
        return ""
    except Exception:
        return f"{seed} ({kind}): {traceback.format_exc()}"
    if result.mismatches or result.unjudged:
        return f"{seed} ({kind}): {result.mismatches} mismatches, unjudged: {result.unjudged}"
    return ""


def work(seeds: range, out: Connection) -> None:
    """Look at files with little memory and little time; say before each which it is."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    signal.signal(signal.SIGALRM, _expired)
    for seed in seeds:
        out.send(seed)
        signal.alarm(SECONDS)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = look(seed)
        signal.alarm(0)
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        out.send(found or (f"{seed}: took {taken} KiB" if taken > MEMORY else ""))
    out.send(None)


@pytest.mark.parametrize("part", range(PARTS))
def test_hostile_files(part: int) -> None:
    seeds = range(part, FILES, PARTS)
    here, there = multiprocessing.Pipe()
    # A process of its own: a crash of an executor, or a hang in it, shall be seen and named too.
    process = multiprocessing.get_context("spawn").Process(target=work, args=(seeds, there))
    process.start()
    there.close()
    wrong, current = [], None
    try:
        while True:
            if not here.poll(SECONDS + 40):
                wrong.append(f"{current}: hangs")
                break
            message = here.recv()
            if message is None:
                break
            if isinstance(message, int):
                current = message
            elif message:
                wrong.append(message)
    except EOFError:
        wrong.append(f"{current}: the process died")
    finally:
        process.kill()
        process.join()
    assert not wrong, "\n\n".join(wrong)
