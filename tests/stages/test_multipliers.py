"""Multipliers that a stage plans are those that stand in its Verilog, whatever its weights are."""

import numpy as np
import pytest

import rtl4ml
from rtl4ml.export.verilog import convert, count_multipliers
from rtl4ml.frontend.load import from_model
from tests.frontend.build import File
from tests.stages.test_dense import check, dense

PALETTES = {
    "zeros": [0, 0, 0, 0, 0, 0, 5, -3],
    "ternary": [-1, 0, 0, 1],
    "two bits": [-2, -1, 0, 1],
    "unsigned": [0, 1, 2, 3],
    "bipolar": [-1, 1],
    "shifted": [-8, 0, 8],
    "powers": [0, 1, -1, 4, -4],
    "any": list(range(-8, 8)),
    "three bits": [-4, -3, -2, -1, 0, 1, 2, 3],
    "three bits, unsigned": [0, 10, 4, 6, 14, 2],
}


def layer(seed):
    """A random layer: a palette of weights, columns of zeros, elements that never move."""
    generator = np.random.default_rng(seed)
    n_in, n_out = (int(n) for n in generator.integers(1, 12, 2))
    palette = list(PALETTES.values())[seed % len(PALETTES)]

    def weights(layer, n_in, n_out):
        matrix = generator.choice(palette, (n_in, n_out))
        matrix[:, generator.random(n_out) < 0.15] = 0
        matrix[generator.random(n_in) < 0.15] = 0
        return matrix

    tile = int(generator.integers(1, n_out + 1)), int(generator.integers(1, n_in + 1))
    kinds = [str(generator.choice(["shift", "affine", "thresholds"]))]
    bits, signed = int(generator.integers(1, 6)), bool(generator.integers(2))
    lanes = int(generator.integers(1, n_in + 1))
    last = bool(generator.integers(2))
    return dense(
        (n_in, n_out), seed, 0, lanes, tile=tile, weights=weights, kinds=kinds, bits=bits, signed=signed, last=last
    )


@pytest.mark.parametrize("seed", range(48))
def test_values_and_cycles(seed):
    check(*[part if index == 0 else [part] for index, part in enumerate(layer(seed))])


@pytest.mark.parametrize("seed", range(16))
def test_count_is_that_of_the_verilog(seed):
    _, stage = layer(seed)
    text = convert(stage.component(), "layer", "a layer")
    assert count_multipliers({"layer.v": text}, "layer") == stage.multipliers


@pytest.mark.parametrize(
    "palette", ["ternary", "two bits", "unsigned", "bipolar", "shifted", "three bits", "three bits, unsigned"]
)
def test_small_weights_need_no_multiplier(palette):
    values = PALETTES[palette]
    _, stage = dense((8, 6), 1, 6, weights=lambda layer, a, b: np.random.default_rng(1).choice(values, (a, b)))
    assert stage.multipliers == 0
    assert stage.logic_products > 0


def test_three_bits_are_those_of_the_whole_layer():
    """A few weights that happen to be small among larger ones stay a multiplier's."""

    def weights(layer, n_in, n_out):
        found = np.random.default_rng(2).choice([-3, 1, 2, 3], (n_in, n_out))
        found[:, 0], found[:, 1], found[0, 2] = -3, 2, 7
        return found

    _, stage = dense((8, 6), 1, 6, weights=weights)
    assert stage.multipliers == stage.plan.outputs * stage.plan.lanes


@pytest.mark.parametrize("reuse", [3, 6])
def test_sums_that_nothing_depends_on_are_not_built(reuse):
    """The function behind them is constant: what the layer reads does not matter."""
    file = File([1, 6])
    x = file.quant("x", 0.25, 6)
    x = file.add("MatMul", x, file.constant(np.random.default_rng(0).integers(-50, 50, (6, 3)) / 4))
    x = file.quant(file.add("Sub", x, file.constant(1e6)), 0.25, 4, signed=0)
    file.add("MatMul", x, file.constant(np.ones((3, 2))))
    design = rtl4ml.compile(from_model(file.model(), "net"), reuse=reuse)
    assert design.plan.stages[0].stage.multipliers == 0
    assert count_multipliers(design.verilog, design.name) == design.plan.multipliers
