"""Trains `digits_cnn.onnx`: a residual convolutional classifier of the 8x8 digits that come with scikit-learn.

A convolution, a residual block of two, a maximum, a depthwise and a pointwise convolution, an average that is truncated
to 4 bits, and a matrix. Activations have 4 unsigned bits, weights 4 (the first convolution 8), all with learned float
scales; the two tensors that the residual block adds share a quantizer of 5 signed bits. Batch normalisation follows
every convolution but the pointwise one, which has a bias on the grid of its accumulators. The input quantizer is that
of `digits.py`: 4 unsigned bits and scale 1.

Data and split are those of `digits.py`, which writes the test rows.

Run: `python examples/train/digits_cnn.py` (about a minute on one core).
"""

import argparse

import numpy as np
import torch
from brevitas.nn import QuantConv2d, QuantIdentity, QuantLinear, QuantReLU, TruncAvgPool2d
from brevitas.quant.scaled_int import (
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
    Int16Bias,
    Uint8ActPerTensorFloat,
)
from common import MODELS, Split, describe, export, onnx_accuracy, seed_everything, torch_accuracy, train
from digits import load
from torch import nn

BITS = 4
SHAPE = (1, 8, 8)


class DigitsCnn(nn.Module):
    """The network; float32 pixels `[batch, 1, 8, 8]` to logits `[batch, 10]`."""

    def __init__(self) -> None:
        super().__init__()
        self.input = QuantIdentity(
            act_quant=Uint8ActPerTensorFloat,
            bit_width=BITS,
            scaling_impl_type="CONST",
            scaling_init=2.0**BITS - 1,
            return_quant_tensor=True,
        )
        self.conv0, self.norm0, self.relu0 = _conv(1, 8, 3, bits=8), nn.BatchNorm2d(8), _relu()
        self.conv1, self.norm1, self.relu1 = _conv(8, 8, 3), nn.BatchNorm2d(8), _relu()
        self.conv2, self.norm2, self.relu2 = _conv(8, 8, 3), nn.BatchNorm2d(8), _relu()
        # One quantizer for both operands: the sum of two codes is the code of the sum.
        self.addends = QuantIdentity(act_quant=Int8ActPerTensorFloat, bit_width=BITS + 1, return_quant_tensor=True)
        self.pool = nn.MaxPool2d(2)
        self.depthwise, self.norm3, self.relu3 = _conv(8, 8, 3, groups=8), nn.BatchNorm2d(8), _relu()
        self.pointwise, self.relu4 = _conv(8, 16, 1, bias=True), _relu()
        self.average = TruncAvgPool2d(2, bit_width=BITS, return_quant_tensor=True)
        # One scale for all logits: the largest accumulator is the largest logit.
        self.dense = QuantLinear(64, 10, bias=False, weight_quant=Int8WeightPerTensorFloat, weight_bit_width=BITS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the logits."""
        x = self.relu0(self.norm0(self.conv0(self.input(x))))
        y = self.relu1(self.norm1(self.conv1(x)))
        x = self.relu2(self.addends(x) + self.addends(self.norm2(self.conv2(y))))
        x = self.relu3(self.norm3(self.depthwise(self.pool(x))))
        x = self.average(self.relu4(self.pointwise(x)))
        return self.dense(x.flatten(1))


def _conv(n_in: int, n_out: int, kernel: int, *, groups: int = 1, bits: int = BITS, bias: bool = False) -> QuantConv2d:
    """Returns a convolution that keeps the size of the image; a bias has the scale of the accumulator."""
    return QuantConv2d(
        n_in,
        n_out,
        kernel,
        padding=kernel // 2,
        groups=groups,
        bias=bias,
        weight_quant=Int8WeightPerChannelFloat,
        weight_bit_width=bits,
        bias_quant=Int16Bias if bias else None,
    )


def _relu() -> QuantReLU:
    """Returns a Relu with an unsigned quantizer, whose range is learned."""
    return QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=BITS, return_quant_tensor=True)


def images(rows: Split) -> Split:
    """Returns the rows as images of one channel."""
    return Split(rows.x.reshape(-1, *SHAPE), rows.y)


def main() -> None:
    """Trains, then writes and checks the file, or with `--validate` scores a model without a look at the test rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--validate", action="store_true", help="hold back every fifth training row; write nothing")
    validate = parser.parse_args().validate
    seed_everything(1)
    training, test = (images(rows) for rows in load())
    if validate:
        held = np.arange(len(training.x)) % 5 == 4
        training, test = Split(training.x[~held], training.y[~held]), Split(training.x[held], training.y[held])
    model = DigitsCnn()
    train(model, training, epochs=60, batch=32, rate=4e-3, decay=2e-2)
    print(f"training rows {torch_accuracy(model, training):.4f}, held-out rows {torch_accuracy(model, test):.4f}")
    if validate:
        return
    path = MODELS / "digits_cnn.onnx"
    export(model, SHAPE, path)
    print(describe(path))
    print(f"the file, executed by qonnx, on {len(test.x)} test rows: {onnx_accuracy(path, test):.4f}")


if __name__ == "__main__":
    main()
