"""Trains `digits_mlp.onnx`: a 64-32-32-10 classifier of the 8x8 handwritten digits that come with scikit-learn.

Weights and activations have 4 bits. The hidden layers' weights have a learned float scale per output, a batch
normalisation follows each, and the activations' scales are learned too: nothing here is a power of two, so that what
stands between two layers is more than a shift. The input quantizer has 4 unsigned bits and scale 1: a pixel of 0 to 16
is its own code, and 16 saturates to 15.

Split: rows whose index is 2 modulo 3 are the test set (599 rows), the others are for training (1,198 rows). Steps of 3
meet all digits alike, although the first rows count 0 to 9 again and again; the same people wrote both parts.

Run: `python examples/train/digits.py` (about half a minute on one core).
"""

import argparse

import numpy as np
import torch
from brevitas.nn import QuantIdentity, QuantLinear, QuantReLU
from brevitas.quant.scaled_int import (
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
    Uint8ActPerTensorFloat,
)
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
from sklearn.datasets import load_digits
from torch import nn

BITS = 4


class DigitsMlp(nn.Module):
    """The network; float32 pixels `[batch, 64]` to logits `[batch, 10]`."""

    def __init__(self) -> None:
        super().__init__()
        self.input = QuantIdentity(
            act_quant=Uint8ActPerTensorFloat,
            bit_width=BITS,
            scaling_impl_type="CONST",
            scaling_init=2.0**BITS - 1,
            return_quant_tensor=True,
        )
        self.dense0 = QuantLinear(64, 32, bias=False, weight_quant=Int8WeightPerChannelFloat, weight_bit_width=BITS)
        self.norm0 = nn.BatchNorm1d(32)
        self.relu0 = QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=BITS, return_quant_tensor=True)
        self.dense1 = QuantLinear(32, 32, bias=False, weight_quant=Int8WeightPerChannelFloat, weight_bit_width=BITS)
        self.norm1 = nn.BatchNorm1d(32)
        self.relu1 = QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=BITS, return_quant_tensor=True)
        # One scale for all logits: the largest accumulator is the largest logit.
        self.dense2 = QuantLinear(32, 10, bias=False, weight_quant=Int8WeightPerTensorFloat, weight_bit_width=BITS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the logits."""
        x = self.relu0(self.norm0(self.dense0(self.input(x))))
        x = self.relu1(self.norm1(self.dense1(x)))
        return self.dense2(x)


def load() -> tuple[Split, Split]:
    """Returns the training and the test rows."""
    x, y = load_digits(return_X_y=True)
    x, y = x.astype(np.float32), y.astype(np.int64)
    test = np.arange(len(x)) % 3 == 2
    return Split(x[~test], y[~test]), Split(x[test], y[test])


def main() -> None:
    """Trains, then writes and checks the file, or with `--validate` scores a model without a look at the test rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--validate", action="store_true", help="hold back every fifth training row; write nothing")
    validate = parser.parse_args().validate
    seed_everything(1)
    training, test = load()
    if validate:
        held = np.arange(len(training.x)) % 5 == 4
        training, test = Split(training.x[~held], training.y[~held]), Split(training.x[held], training.y[held])
    model = DigitsMlp()
    train(model, training, epochs=120, batch=32, rate=4e-3, decay=2e-2)
    print(f"training rows {torch_accuracy(model, training):.4f}, held-out rows {torch_accuracy(model, test):.4f}")
    if validate:
        return
    path = MODELS / "digits_mlp.onnx"
    export(model, (64,), path)
    save_split(DATA / "digits_test.npz", test)
    print(describe(path))
    print(f"the file, executed by qonnx, on {len(test.x)} test rows: {onnx_accuracy(path, test):.4f}")


if __name__ == "__main__":
    main()
