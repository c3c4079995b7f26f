"""Random networks by the thousand: `python -m tests.property.long_run --networks 2000 --rtl 100 --jobs 2`.

Outcomes go to a file, one line of JSON a network; a second call does what is missing, and prints the table of all.
A network is looked at again by its number: `--only 123`. `--family spatial` are those of images and signals.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import signal
import sys
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.property.families import FAMILIES
from tests.property.outcome import reason, run

LIMIT = 600
"""Seconds for one network."""

WANTED = 20
"""Cases of every feature."""


def with_rtl(number: int, networks: int, rtl: int) -> bool:
    """Whether a network's Verilog is simulated: `rtl` of them, spread over all focuses."""
    if not rtl:
        return False
    step = max(1, networks // rtl)
    return number % step == number // step % step


def _expired(signum: int, frame: object) -> None:
    raise TimeoutError(f"more than {LIMIT} seconds")


def one(task: tuple[str, int, bool, int]) -> dict[str, Any]:
    """Run a network; nothing that it does stops the others."""
    family, number, rtl, samples = task
    features: list[str] = []
    signal.signal(signal.SIGALRM, _expired)
    signal.alarm(LIMIT)
    started = time.perf_counter()
    try:
        network = FAMILIES[family](number)
        features = sorted(network.features)
        found = run(network, number, samples=samples, rtl=rtl).describe()
    except Exception:
        seconds = round(time.perf_counter() - started, 3)
        found = {"status": "broken", "message": traceback.format_exc(), "codes": 0, "seconds": seconds, "rtl": rtl}
    finally:
        signal.alarm(0)
    return {"number": number, **found, "features": features}


def table(lines: Iterable[dict[str, Any]]) -> str:
    """Per feature: cases that are equal, through RTL, different, broken, refused and why, seconds."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    messages: Counter[str] = Counter()
    bad = []
    lines = list(lines)
    for line in lines:
        status = line["status"]
        if status.startswith("refused"):
            status = "refused" if reason(line["message"]) else "refused without reason"
            messages[reason(line["message"]) or line["message"]] += 1
        if status not in ("equal", "refused"):
            bad.append(f"{line['number']}: {status}: {line['message'].strip().splitlines()[-1][:300]}")
        for feature in ["all networks", *line["features"]]:
            rows[feature]["cases"] += 1
            rows[feature][status] += 1
            rows[feature]["rtl"] += line["rtl"] and status == "equal"
            rows[feature]["codes"] += line["codes"]
            rows[feature]["seconds"] += line["seconds"]
    columns = ("cases", "equal", "rtl", "different", "broken", "refused", "refused without reason", "codes", "seconds")
    text = ["| feature | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for feature, counts in sorted(rows.items(), key=lambda row: (row[0] != "all networks", row[0].lower())):
        text.append(f"| {feature} | " + " | ".join(f"{counts[c]:.0f}" for c in columns) + " |")
    few = [f"{f} ({c['equal']})" for f, c in sorted(rows.items()) if c["equal"] < WANTED]
    text += ["", f"Features with fewer than {WANTED} equal cases: {', '.join(few) or 'none'}", "", "Refused:"]
    text += [f"- {count} x {message}" for message, count in messages.most_common()]
    return "\n".join([*text, "", "Neither equal nor refused with a reason:", *(f"- {b}" for b in bad)])


def main() -> int:
    """Run what is missing and print the table; exit status 1 if anything is neither equal nor rightly refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=FAMILIES, default="mlp")
    parser.add_argument("--networks", type=int, default=2000)
    parser.add_argument("--rtl", type=int, default=100, help="how many of them go through Verilator")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--samples", type=int, default=150, help="inputs for each network")
    parser.add_argument("--file", type=Path, help="build/random_networks.jsonl, or another for another family")
    parser.add_argument("--only", type=int, action="append", help="these numbers, whether they were run or not")
    parser.add_argument("--again", action="store_true", help="those that were neither equal nor rightly refused, too")
    given = parser.parse_args()
    if given.file is None:
        given.file = Path("build/random_networks" + ("" if given.family == "mlp" else f"_{given.family}") + ".jsonl")
    given.file.parent.mkdir(parents=True, exist_ok=True)
    done: dict[int, dict[str, Any]] = {}
    if given.file.exists():
        for text in given.file.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            done[line["number"]] = line
    if given.again:
        done = {n: x for n, x in done.items() if x["status"] == "equal" or reason(x["message"])}
    numbers = given.only or [n for n in range(given.networks) if n not in done]
    tasks = [(given.family, n, with_rtl(n, given.networks, given.rtl), given.samples) for n in numbers]
    context = multiprocessing.get_context("spawn")
    # A worker keeps every session and every simulation it has opened: it is replaced now and then.
    with context.Pool(given.jobs, maxtasksperchild=100) as pool, given.file.open("a", encoding="utf-8") as file:
        for count, line in enumerate(pool.imap_unordered(one, tasks), 1):
            done[line["number"]] = line
            file.write(json.dumps(line) + "\n")
            file.flush()
            print(f"\r{count}/{len(tasks)} {line['number']} {line['status']}     ", end="", file=sys.stderr, flush=True)
            if given.only:
                print(f"{line['number']}: {line['status']} {line['message']}")
    print(table(done.values()))
    bad = [x for x in done.values() if x["status"] != "equal" and not reason(x["message"])]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
