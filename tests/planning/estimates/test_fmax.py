"""The slowest paths of plans."""

from collections import Counter

import numpy as np
import pytest

import rtl4ml
from rtl4ml.datapath.delays import delays_of
from rtl4ml.frontend.load import from_model
from rtl4ml.planning.estimates.families import FAMILIES
from rtl4ml.planning.estimates.fmax import KEPT, Surroundings, across, paths_of, period_of
from rtl4ml.planning.estimates.model import estimate
from rtl4ml.planning.estimates.primitives import Add, Memory, Multiply, Structure
from rtl4ml.planning.estimates.steps import Terms, worth_of
from rtl4ml.planning.estimates.structure import surroundings_of
from tests.frontend.build import mlp
from tests.frontend.images import Images

PLAIN = Surroundings(from_memory=False, window_bits=0, stored=False, handshake=True)


def _paths(structure: Structure, around: Surroundings = PLAIN, name: str = "ecp5") -> list[Terms]:
    return paths_of(structure, [], around, delays_of(name), FAMILIES[name])


def test_accumulators_and_control() -> None:
    sums, control = _paths(Counter({Add(24, 24, False): 1, Add(8, 8, False): 1}))
    if "gate" in sums:
        sums, control = control, sums
    assert sums == {"register": 1.0, "lut": 1.0, "chain": 1.0, "carry": 24.0}
    assert control == {"register": 1.0, "gate": 4.0, "size": 1.0}


def test_products_behind_block_memories() -> None:
    structure: Structure = Counter({Multiply(8, True, 8, True, 16): 1})
    late = Surroundings(from_memory=True, window_bits=0, stored=True, handshake=True)
    assert {"register": 1.0, "multiply": 1.0} in _paths(structure, late)
    structure[Memory(1024, 16, 1, registered=True, contents=None)] += 1
    assert {"register": 1.0, "multiply": 1.0, "memory": 1.0} in _paths(structure, late)
    assert {"register": 1.0, "multiply": 1.0} in _paths(structure)


@pytest.mark.parametrize(("name", "flags"), [("ecp5", 0.0), ("ice40-up5k", 1.0)])
def test_handshakes(name: str, flags: float) -> None:
    def gates(*, window_bits: int = 0, stored: bool = False, handshake: bool = True) -> float:
        around = Surroundings(from_memory=False, window_bits=window_bits, stored=stored, handshake=handshake)
        (control,) = (terms for terms in _paths(Counter(), around, name) if "gate" in terms)
        assert control.get("carry", 0.0) == window_bits
        return control["gate"]

    assert gates() == 4.0 + flags
    assert gates(window_bits=6) == gates(stored=True) == 5.0 + flags
    assert gates(handshake=False) == 2.0


def test_control_reaches_across_a_design() -> None:
    paths = _paths(Counter(), Surroundings(from_memory=False, window_bits=6, stored=False, handshake=True))
    worth = worth_of(delays_of("ecp5"))
    more = period_of(paths, 10_000, worth) - period_of(paths, 100, worth)
    assert more == pytest.approx(worth["size"] * (across(10_000) - across(100)))
    assert across(10_000) == 10.0


def test_surroundings_of_plans() -> None:
    graph = from_model(mlp(np.random.default_rng(5), (16, 24, 10)).model(), "mlp")
    around = surroundings_of(rtl4ml.compile(graph, reuse=96, target="ecp5").plan)
    assert around.stored
    assert around.handshake
    assert around.window_bits == 0
    assert len(around.sums) == 2
    file = Images((2, 8, 8))
    file.relu(file.conv(file.start(), 6, 2, 3, 3, pads=[1, 1, 1, 1]))
    image = from_model(file.model(), "cnn")
    assert surroundings_of(rtl4ml.compile(image, reuse=64, target="ecp5").plan).window_bits == 3


def test_a_faster_clock_is_kept_by_more_registers() -> None:
    graph = from_model(mlp(np.random.default_rng(5), (16, 12)).model(), "mlp")
    slow, fast = (rtl4ml.compile(graph, target="ecp5", clock_mhz=clock).plan for clock in (20, 120))
    assert estimate(fast, "ecp5").fmax_mhz > 1.5 * estimate(slow, "ecp5").fmax_mhz
    # A UP5K is two to three times slower than an HX8K.
    assert 1.8 < estimate(slow, "ice40-hx8k").fmax_mhz / estimate(slow, "ice40-up5k").fmax_mhz < 3.5


def test_few_paths_are_kept() -> None:
    structure: Structure = Counter({Multiply(bits, True, 8, True, bits + 8): 1 for bits in range(8, 40)})
    assert len(_paths(structure, name="ice40-hx8k")) == KEPT
