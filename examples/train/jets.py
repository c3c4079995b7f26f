"""Trains `jet_tagger.onnx`: a 16-64-32-32-5 classifier of simulated jets (gluon, light quark, W, Z, top).

Weights and activations have 6 bits, all scales are powers of two, per tensor, and the biases are on the grid of the
accumulator they are added to: what stands between two layers is a shift with rounding and saturation. The file takes
the raw features; it standardises them (Sub, Mul) before its 8-bit input quantizer, whose range is -4 to 4 deviations.

Data: `examples/data/pythia_jets_20k.npz`, 20,000 jets of 16 features, 4,000 a class, in random order. Split: rows 0 to
14,999 are for training, rows 15,000 to 19,999 are the test set.

Run: `python examples/train/jets.py` (about a minute on one core).
"""

import argparse
from itertools import pairwise

import numpy as np
import torch
from brevitas.nn import QuantIdentity, QuantLinear, QuantReLU
from brevitas.quant.fixed_point import (
    Int8ActPerTensorFixedPoint,
    Int8WeightPerTensorFixedPoint,
    Uint8ActPerTensorFixedPoint,
)
from brevitas.quant.scaled_int import Int16Bias
from common import (
    DATA,
    MODELS,
    Split,
    describe,
    export,
    onnx_accuracy,
    save_split,
    seed_everything,
    torch_accuracy,
    train,
)
from torch import nn

BITS = 6
INPUT_BITS = 8
WIDTHS = (16, 64, 32, 32, 5)
TRAINING_ROWS = 15_000
VALIDATION_ROWS = 2_500


class JetTagger(nn.Module):
    """The network; float32 features `[batch, 16]` to logits `[batch, 5]`.

    Args:
        mean: Mean of each feature, float32 `[16]`.
        deviation: Standard deviation of each feature, float32 `[16]`.
    """

    def __init__(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("inverse", torch.from_numpy(1 / deviation))
        self.input = QuantIdentity(
            act_quant=Int8ActPerTensorFixedPoint,
            bit_width=INPUT_BITS,
            scaling_impl_type="CONST",
            scaling_init=4.0,
            return_quant_tensor=True,
        )
        self.dense0, self.dense1, self.dense2, self.dense3 = (_dense(*pair) for pair in pairwise(WIDTHS))
        self.relu0, self.relu1, self.relu2 = (_relu() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the logits."""
        x = self.input((x - self.mean) * self.inverse)
        x = self.relu0(self.dense0(x))
        x = self.relu1(self.dense1(x))
        x = self.relu2(self.dense2(x))
        return self.dense3(x)


def _dense(n_in: int, n_out: int) -> QuantLinear:
    """Returns a layer whose bias has the scale of the accumulator."""
    return QuantLinear(
        n_in,
        n_out,
        bias=True,
        weight_quant=Int8WeightPerTensorFixedPoint,
        weight_bit_width=BITS,
        bias_quant=Int16Bias,
    )


def _relu() -> QuantReLU:
    """Returns a Relu with an unsigned quantizer, whose range is learned."""
    return QuantReLU(act_quant=Uint8ActPerTensorFixedPoint, bit_width=BITS, return_quant_tensor=True)


def load(training_rows: int, held_out_rows: int) -> tuple[Split, Split]:
    """Returns the first rows for training and the rows after them as held-out rows."""
    with np.load(DATA / "pythia_jets_20k.npz") as data:
        x, y = data["features"], data["labels"].astype(np.int64)
    end = training_rows + held_out_rows
    return Split(x[:training_rows], y[:training_rows]), Split(x[training_rows:end], y[training_rows:end])


def main() -> None:
    """Trains, then writes and checks the file, or with `--validate` scores a model without a look at the test rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--validate", action="store_true", help="hold back the last training rows; write nothing")
    validate = parser.parse_args().validate
    seed_everything(1)
    if validate:
        training, test = load(TRAINING_ROWS - VALIDATION_ROWS, VALIDATION_ROWS)
    else:
        training, test = load(TRAINING_ROWS, 5_000)
    model = JetTagger(training.x.mean(0), training.x.std(0))
    train(model, training, epochs=40, batch=128, rate=2e-3, decay=0.1)
    print(f"training rows {torch_accuracy(model, training):.4f}, held-out rows {torch_accuracy(model, test):.4f}")
    if validate:
        return
    path = MODELS / "jet_tagger.onnx"
    export(model, WIDTHS[:1], path)
    save_split(DATA / "jets_test.npz", test)
    print(describe(path))
    print(f"the file, executed by qonnx, on {len(test.x)} test rows: {onnx_accuracy(path, test):.4f}")


if __name__ == "__main__":
    main()
