"""Coefficients of estimates, fitted to records: of cells, and of the terms that the slowest paths consist of."""

import functools
import json
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

import delays
from estimate_records import Record, Values, cells_of, fmax_of, measured
from rtl4ml.datapath.delays import delays_of
from rtl4ml.datapath.pipeline import cut
from rtl4ml.planning.estimates.families import family_of
from rtl4ml.planning.estimates.fmax import across
from rtl4ml.planning.estimates.model import weighted
from rtl4ml.planning.estimates.steps import slowest_steps, worth_of

CIRCUIT = 0.7
"""What a small circuit counts beside a design."""

FAITH = 0.0005
"""What it costs a delay to leave what the timing model says it is, relative to that, beside the mean square of the
errors."""

# What a number is worth before anything was measured, in lookup tables of four inputs and of six.
PRIOR: dict[str, tuple[float, float]] = {
    "chain": (1.0, 0.8),
    "chain_constant": (0.6, 0.3),
    "chains": (0.3, 0.3),
    "short": (1.0, 0.6),
    "compare": (0.4, 0.3),
    "compares": (0.5, 0.8),
    "compare_table": (0.5, 0.5),
    "equal": (0.8, 0.6),
    "reduce": (0.5, 0.5),
    "select": (0.7, 0.45),
    "select_constant": (0.5, 0.3),
    "clip": (1.0, 0.8),
    "gates": (0.35, 0.2),
    "leaves": (0.9, 0.9),
    "pieces": (0.0, 0.7),
    "nodes": (0.6, 0.4),
    "memory_select": (0.7, 0.4),
    "memory_logic": (0.7, 0.3),
    "product": (1.5, 0.5),
    "control": (0.1, 0.1),
    "one": (15.0, 15.0),
}
TRUST = 3.0
"""How much of an error a coefficient may cost by being far from that: squares of both are added."""

ROUNDS = 16
"""Of finding delays and the slowest paths by turns."""

RARE = 0.02
"""Share of a design that the rarest kinds of hardware are taken to have."""


def fitted(used: list[Record]) -> dict[str, dict[str, dict[str, float]]]:
    """Coefficients of all families."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in ("ecp5", "ice40-hx8k", "ice40-up5k", "xcup"):
        # Parts of iCE40 differ by their multipliers, which are counted apart, and by their clocks.
        cells = _family(name, [r for r in used if r["target"].split("-")[0] == name.split("-")[0]])
        found[name] = cells | {"period": _period(name, [r for r in used if family_of(r["target"]).name == name])}
    # The timing model takes a part of iCE40 that is not named for one of the fast line.
    found["ice40"] = found["ice40-hx8k"]
    found["xc7"] = found["xcup"] | {"period": _period("xc7", [])}
    return found


def _family(name: str, used: list[Record]) -> dict[str, dict[str, float]]:
    inputs = family_of(name).inputs
    prior = {kind: values[1 if inputs == 6 else 0] for kind, values in PRIOR.items()}
    if name == "ecp5":
        # Carry cells have the tables of their bits inside.
        prior |= {"chain": 0.0, "chain_constant": 0.0}
    if name != "ecp5":
        # A multiplier block takes an addition behind the product in.
        prior["absorbed"] = -0.4
    result = {
        "lut": _solved(used, prior, lambda record: record["resources"]["lut"]),
        "carry": _solved(used, {"carry": 1.0, "compare": 0.0, "compares": 0.0}, lambda r: r["resources"]["carry"]),
        "ff": _solved(
            used,
            {"ff": 1.0} if name == "ecp5" else {"ff": 1.0, "absorbed": 0.0},
            lambda record: record["resources"]["ff"],
            lambda record: max(1, record["resources"]["ff"]),
        ),
    }
    result["wide"] = _wide(used) if name == "ecp5" else {}
    # Sums of three words are primitives, which Yosys leaves as they are.
    result["lut"]["three"] = 1.0
    result["cells"] = _cells(name, [record for record in used if family_of(record["target"]).name == name])
    return result


def _solved(
    used: list[Record],
    prior: Mapping[str, float],
    goal: Callable[[Record], float],
    size: Callable[[Record], float] = lambda record: measured(record)["lut"],
    *,
    signed: tuple[str, ...] = ("absorbed",),
) -> dict[str, float]:
    """Coefficients of the least error beside a design's size, not far from what they are worth by themselves."""
    names = list(prior)
    rows = np.array([[record["counts"][name] for name in names] for record in used], np.float64)
    goals = np.array([goal(record) for record in used], np.float64)
    sizes = np.array([size(record) for record in used], np.float64)
    rows, goals = rows / sizes[:, None], goals / sizes
    start = np.array([prior[name] for name in names])
    if "ff" not in prior:
        # What tools save everywhere is no property of one primitive.
        whole = rows @ start
        start = start * float(whole @ goals / (whole @ whole))
    # A coefficient that makes up much of the designs has to be sure to leave its place, and one that starts at 0 too;
    # one that a few designs alone speak of stays near it.
    share = np.maximum(rows.mean(axis=0), RARE)
    weight = np.sqrt(TRUST * len(goals)) * share
    solved = _least_squares(
        np.vstack([rows, np.diag(weight)]), np.append(goals, weight * start), start, [name in signed for name in names]
    )
    return {name: round(float(value), 4) for name, value in zip(names, solved, strict=True)}


def _least_squares(
    matrix: NDArray[np.float64], goals: NDArray[np.float64], start: NDArray[np.float64], signed: list[bool]
) -> NDArray[np.float64]:
    """Least squares, unknowns negative only where `signed`: one unknown after the other, until all rest."""
    found = start.copy()
    rest = goals - matrix @ found
    squares = (matrix**2).sum(axis=0)
    for _ in range(20_000):
        moved = 0.0
        for column in range(len(found)):
            step = float(matrix[:, column] @ rest) / squares[column]
            if not signed[column]:
                step = max(step, -found[column])
            found[column] += step
            rest -= step * matrix[:, column]
            moved = max(moved, abs(step))
        if moved < 1e-7:
            break
    return found


def _wide(used: list[Record]) -> dict[str, float]:
    """Multiplexers behind lookup tables, which make functions of five inputs and more."""
    prior = {"leaves": 0.2, "nodes": 0.4, "select": 0.08, "gates": 0.05, "product": 0.1}
    return _solved(used, prior, lambda record: sum(record["resources"]["other"].values()))


def _cells(name: str, used: list[Record]) -> dict[str, float]:
    """Cells as the part's data sheet counts them, from what Yosys counts and a number or two more.

    On ECP5 that is what carry chains take at their ends; on iCE40, flip-flops and carries in cells of their own.
    """
    if name == "xcup":
        return {"lut": 1.0, "lut_memory": 1.0}
    if name == "ecp5":
        # A memory of 16 x 4 bits takes four tables, and the two that carry its address are not counted.
        known = {"lut": 1.0, "carry": 2.0, "lut_memory": 0.6667, "wide": 1.0}
        unknown = {"chains": 1.0}
    else:
        known, unknown = {"lut": 1.0}, {"ff": 0.5, "carry": 0.3}
    rows, goals = [], []
    for record in used:
        if "placed" in record:
            resources = record["resources"]
            kinds = {**record["counts"], **resources, "wide": sum(resources["other"].values())}
            cells = cells_of(record)
            rows.append([kinds[kind] / cells for kind in unknown])
            goals.append(1 - weighted(known, kinds) / cells)
    start = np.array(list(unknown.values()))
    if rows:
        start = _least_squares(np.array(rows), np.array(goals), start, [False] * len(start))
    return known | {kind: round(float(share), 4) for kind, share in zip(unknown, start, strict=True)}


def _period(name: str, used: list[Record]) -> dict[str, float]:
    """What the terms of paths take, in ns: the least squared error beside each period, of designs and small circuits.

    Which of a design's paths is the slowest depends on what is to be found: it is that of the round before.
    """
    start = worth_of(delays_of(name))
    names = list(start)
    every = [
        (np.array([_row_of(record, terms, names) for terms in record["paths"]]) * clock / 1000, 1.0)
        for record in used
        if (clock := fmax_of(record))
    ]
    if every:
        every += [(np.array([[terms.get(n, 0.0) for n in names]]) / ns, CIRCUIT) for terms, ns in _circuits(name)]
    worth = np.array(list(start.values()))
    scale = np.sqrt(FAITH * len(every)) / np.maximum(worth, 0.1)
    found = worth
    for _ in range(ROUNDS if every else 0):
        rows = np.array([paths[np.argmax(paths @ found)] * weight for paths, weight in every])
        goals = np.append([weight for _, weight in every], scale * worth)
        solved = _least_squares(np.vstack([rows, np.diag(scale)]), goals, found, [False] * len(names))
        found = (found + solved) / 2
    return {term: round(float(value), 4) for term, value in zip(names, found, strict=True)}


@functools.cache
def _circuits(name: str) -> list[tuple[Values, float]]:
    """Paths of the small circuits that the timing model was fitted to, and their times in ns."""
    target = next((target for target in delays.TARGETS if family_of(target).name == name), None)
    if target is None or not delays.DATA.is_file():
        return []
    found = []
    for case, ns in json.loads(delays.DATA.read_text(encoding="utf-8"))[target].items():
        datapath = delays.datapath_of(case)
        (terms,) = slowest_steps(datapath, cut(datapath, 1e6), {}, delays_of(name), family_of(name))
        if not case.startswith(delays.UNTIMED.get(target, " ")):
            found.append((terms, ns))
    return found


def _row_of(record: Record, terms: Values, names: list[str]) -> list[float]:
    """What a path's time grows with: see `rtl4ml.planning.estimates.fmax.period_of`."""
    sizes = {"size": across(cells_of(record))}
    return [terms.get(term, 0.0) * sizes.get(term, 1.0) for term in names]
