"""Records of synthesized and placed designs, which estimates are fitted to and checked on: lines of estimates.jsonl."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtl4ml.planning.estimates.families import FEATURES

Record = dict[str, Any]
Values = Mapping[str, float]


def read(records: Path) -> list[Record]:
    """All records; lines about the same design are one."""
    found: dict[int, Record] = {}
    if records.is_file():
        for line in records.read_text(encoding="utf-8").splitlines():
            part = json.loads(line)
            found.setdefault(part["index"], {}).update(part)
    complete = [record for record in found.values() if "counts" in record]
    for record in complete:
        # What was not counted yet when it was written was not there yet either.
        record["counts"] = dict.fromkeys(FEATURES, 0) | record["counts"]
    return complete


def append(records: Path, record: Mapping[str, Any]) -> None:
    """Add a line; what it says of a design takes the place of what lines before it said."""
    with records.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def fmax_of(record: Record) -> float | None:
    """The median of a design's placements; None: it was not placed, or has no path between registers."""
    clocks = record.get("placed", {}).get("fmax_mhz_by_seed", {}).values()
    return statistics.median(clocks) if clocks and all(clocks) else None


def cells_of(record: Record) -> int:
    """Cells of a placed design."""
    used = record["placed"]["used"]
    return int(used.get("TRELLIS_COMB") or used["ICESTORM_LC"])


def measured(record: Record) -> dict[str, float]:
    """What tools made of a design, in the same terms."""
    resources = record["resources"]
    inside = 2 * resources["carry"] if record["target"].startswith("ecp5") else 0
    found = {"lut": resources["lut"] + resources["lut_memory"] + inside}
    found |= {kind: resources[kind] for kind in ("ff", "dsp", "bram")}
    if clock := fmax_of(record):
        found |= {"cells": cells_of(record), "fmax": clock}
    return found
