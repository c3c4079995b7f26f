"""What the training scripts share: reproducible training, export to a clean file, and the check of QONNX files.

The files are exported by torch's TorchScript exporter, because its node names carry the names of the modules.
"""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from brevitas.export import export_qonnx
from onnx import numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from torch import nn

EXAMPLES = Path(__file__).resolve().parents[1]
MODELS = EXAMPLES / "models"
DATA = EXAMPLES / "data"

# Parts of a node's name that say how Brevitas is built, not what the node does.
_INNER_MODULES = frozenset({"export_handler", "activation_impl", "act_quant"})
_REPEATED = re.compile(rf"^({'|'.join(sorted(_INNER_MODULES))})_(\d+)$")
# Constants that the exporter numbers instead of naming: inputs by position.
_CONSTANTS = {
    "Conv": (None, "weight", "bias"),
    "Quant": (None, "scale", "zero_point", "bits"),
    "Trunc": (None, "scale", "zero_point", "in_bits", "out_scale", "out_bits"),
}


class Split(NamedTuple):
    """Rows of one part of a data set.

    Attributes:
        x: Features, float32 `[rows, features]`, or images, float32 `[rows, channels, height, width]`.
        y: Class numbers, int64 `[rows]`.
    """

    x: np.ndarray
    y: np.ndarray


def seed_everything(seed: int) -> None:
    """Makes a run repeatable on one machine: one thread, deterministic kernels, a fixed seed."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)


def train(model: nn.Module, data: Split, *, epochs: int, batch: int, rate: float, decay: float) -> None:
    """Trains a classifier with AdamW on the cross entropy; the learning rate falls to zero along a cosine.

    Args:
        model: Maps float32 rows to logits `[batch, classes]`. Left in evaluation mode.
        data: The training rows.
        epochs: Passes over all rows.
        batch: Rows a step; the incomplete last batch of an epoch is left out.
        rate: Learning rate at the start.
        decay: Weight decay of matrices and kernels. Biases, normalisations and quantizers' scales are not decayed.
    """
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate)
    steps = len(x) // batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
    model.eval()


def torch_accuracy(model: nn.Module, data: Split) -> float:
    """Returns the share of rows that a model in evaluation mode classifies correctly."""
    with torch.no_grad():
        return float((model(torch.from_numpy(data.x)).argmax(1).numpy() == data.y).mean())


def onnx_accuracy(path: Path, data: Split) -> float:
    """Returns the share of rows that a QONNX file classifies correctly when qonnx executes it.

    All rows go through in one batch: qonnx builds a session for every node of every execution.
    """
    model = ModelWrapper(str(path))
    name = model.graph.input[0].name
    del model.graph.value_info[:]
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = len(data.x)
    model = model.transform(InferShapes())
    logits = execute_onnx(model, {name: data.x})[model.graph.output[0].name]
    return float((logits.argmax(1) == data.y).mean())


def export(model: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Writes a model in evaluation mode as a QONNX file with input `x` `[1, *shape]` and output `logits`.

    Args:
        model: Brevitas model that returns a plain tensor.
        shape: Of one row.
        path: File to write; its stem becomes the name of the graph.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    export_qonnx(
        model, args=torch.zeros(1, *shape), export_path=str(path), opset_version=18, dynamo=False, input_names=["x"]
    )
    exported = onnx.load(path)
    exported.graph.name = path.stem
    clean(exported)
    # qonnx knows the shapes of Quant, but it also sorts the nodes and lists every constant: only the shapes are taken.
    constants = {tensor.name for tensor in exported.graph.initializer}
    inferred = ModelWrapper(exported, make_deepcopy=True).transform(InferShapes()).graph.value_info
    exported.graph.value_info.extend(value for value in inferred if value.name not in constants)
    onnx.checker.check_model(exported)
    onnx.save(exported, path)


def save_split(path: Path, data: Split) -> None:
    """Writes rows as `x`, in the type and shape they have, and `y` uint8 `[rows]`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, x=data.x, y=data.y.astype(np.uint8))


def clean(model: onnx.ModelProto) -> None:
    """Strips a file as torch exports it, and names its nodes after the modules of the network."""
    strip(model)
    _rename(model.graph)


def strip(model: onnx.ModelProto) -> None:
    """Removes what says where and how a file was made, shapes under old names, and initializers listed as inputs."""
    graph = model.graph
    initializers = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in initializers]
    del graph.input[:]
    graph.input.extend(inputs)
    del graph.value_info[:]
    del model.metadata_props[:]
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("doc_string")
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]


def _rename(graph: onnx.GraphProto) -> None:
    """Names nodes after modules, tensors after the node that makes them, constants after the node that uses them.

    A constant that several quantizers share is copied, so that each has its own. What a module does more than once is
    numbered.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    del graph.initializer[:]
    modules = Counter(_module(node) for node in graph.node)
    calls = Counter((_module(node), node.op_type) for node in graph.node)
    seen: Counter[tuple[str, str]] = Counter()
    tensors = {graph.input[0].name: "x", graph.output[0].name: "logits"}
    for node in graph.node:
        module, operator = _module(node), node.op_type.lower()
        node.name = module if module and modules[module] == 1 else f"{module}_{operator}".removeprefix("_")
        if calls[module, node.op_type] > 1:
            node.name += f"_{seen[module, node.op_type]}"
            seen[module, node.op_type] += 1
        for position, name in enumerate(node.input):
            if name not in constants:
                node.input[position] = tensors[name]
                continue
            numbered = name.startswith("/") or "::" in name
            if numbered:
                kinds = _CONSTANTS.get(node.op_type, ())
                kind = kinds[position] if position < len(kinds) else f"input{position}"
                node.input[position] = f"{node.name}_{kind}"
            else:
                node.input[position] = name.replace(".", "_")
            if all(tensor.name != node.input[position] for tensor in graph.initializer):
                graph.initializer.append(numpy_helper.from_array(constants[name], node.input[position]))
        for position, name in enumerate(node.output):
            node.output[position] = tensors.setdefault(name, f"{node.name}_out")
    graph.input[0].name = "x"
    graph.output[0].name = "logits"


def _module(node: onnx.NodeProto) -> str:
    """Returns `dense0_weight_quant` from the exporter's `/dense0/weight_quant/export_handler/Quant`.

    A quantizer's second call, `/addends/export_handler_1/Quant`, is `addends_1`.
    """
    parts = (_REPEATED.sub(r"\2", part) for part in node.name.split("/")[1:-1] if part not in _INNER_MODULES)
    return "_".join(parts)


def describe(path: Path) -> str:
    """Returns a file's operators in order, with the size of the file."""
    operators = " ".join(node.op_type for node in onnx.load(path).graph.node)
    return f"{path.name}: {path.stat().st_size} bytes: {operators}"
