import numpy as np
import onnx
import pytest
from onnx import helper

from rtl4ml.errors import ConfigurationError, ModelError
from rtl4ml.frontend.judge import Judge
from tests.frontend.judge_files import executed, model, quant, same_bits, shared

MLPS = [
    "TFC_1W1A.onnx",
    "TFC_2W2A.onnx",
    "kwsmlp_w3a3.onnx",
    "unsw_nb15-mlp-w2a2.onnx",
    "brevitas_mlp_w4a4.onnx",
    "qkeras_jettagging.onnx",
    "gamma_neutron_student.onnx",
    "ad01_int8_qdq.onnx",
]


def assert_equal_to_qonnx(onnx_model, x):
    """x: samples with the batch of 1."""
    judge = Judge(onnx_model)
    results = judge.run(x[:, 0])
    for i, context in enumerate(executed(onnx_model, x)):
        wrong = [name for name, value in results.items() if not same_bits(value[i], context[name])]
        wrong += [name for name, value in judge.constants.items() if not same_bits(value, context[name])]
        assert not wrong
        produced = {name for node in onnx_model.graph.node for name in node.output}
        assert produced <= set(results) | set(judge.constants)


@pytest.mark.parametrize("name", MLPS)
def test_shared_models_give_the_bits_of_qonnx(name):
    onnx_model = onnx.load(shared(name))
    shape = Judge(onnx_model).input_shape
    rng = np.random.default_rng(1)
    if name.startswith("unsw"):  # its input is annotated as bipolar, and qonnx refuses other values
        x = rng.choice([-1.0, 1.0], (3, *shape))
    elif name.startswith("gamma"):
        x = np.stack([rng.integers(0, 4096, shape), np.full(shape, 65535), rng.integers(0, 70000, shape)])
    else:
        x = np.stack([rng.random(shape), rng.normal(size=shape) * 4, rng.choice([-1e6, 0, 0.5, 1e6], shape)])
    assert_equal_to_qonnx(onnx_model, x.astype(np.float32))


HARD = np.array(
    [
        0.0,
        -0.0,
        0.25,
        -0.25,
        0.75,
        -0.75,
        1.25,
        2.5,
        -2.5,
        3.75,
        -3.75,
        1e30,
        -1e30,
        1e-40,
        -1e-40,
        0.37499997,
        7.0,
        -9.0,
    ]
)


@pytest.mark.parametrize("mode", ["ROUND", "half_even", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "Half_Down"])
@pytest.mark.parametrize("domain", ["qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general", ""])
def test_quant_in_all_modes_and_domains(mode, domain):
    nodes, constants = [], {}
    for i, (scale, zero_point, signed, narrow, bits) in enumerate(
        [
            (0.5, 0, 1, 0, 4),
            (0.3, 3, 0, 1, 4),
            (0.125, 0, 1, 1, 32),
            (1, 0.5, 1, 0, 1),
            (np.full((1, 18), 0.7), 0, 1, 0, 3),
        ]
    ):
        node, more = quant("x", f"y{i}", scale, bits, zero_point, signed, narrow, mode, domain)
        nodes.append(node)
        constants.update(more)
    onnx_model = model(nodes, [1, 18], constants, [node.output[0] for node in nodes])
    rng = np.random.default_rng(0)
    x = np.stack([HARD, -HARD, rng.normal(size=18) * 3, rng.integers(-20, 20, 18) / 4])
    assert_equal_to_qonnx(onnx_model, x[:, np.newaxis].astype(np.float32))


def test_bipolar_and_trunc():
    nodes = [
        helper.make_node("BipolarQuant", ["x", "s"], ["b"], domain="onnx.brevitas"),
        helper.make_node(
            "Trunc", ["x", "s", "z", "in", "out"], ["y"], domain="qonnx.custom_op.general", rounding_mode="FLOOR"
        ),
    ]
    constants = {name: np.float32(v) for name, v in {"s": 0.25, "z": 0, "in": 8, "out": 4}.items()}
    x = np.stack([HARD, -HARD])[:, np.newaxis].astype(np.float32)
    assert_equal_to_qonnx(model(nodes, [1, 18], constants, ["b", "y"]), x)


def hard_samples(n, shape):
    """Samples of every magnitude, with zeros of both signs, ties and subnormal numbers."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(n, *shape)) * 2.0 ** rng.integers(-30, 30, (n, *shape))
    special = rng.choice(np.concatenate([HARD, [1e38, -1e38, 2.0**-126, -(2.0**-149)]]), x.shape)
    return np.where(rng.random(x.shape) < 0.3, special, x).astype(np.float32)


@pytest.mark.parametrize("size", [1, 3, 16, 67])
@pytest.mark.parametrize(
    "op_type, constants, attributes",
    [
        ("Add", [(1, 67)], {}),
        ("Add", [()], {}),
        ("Sub", [(67,)], {}),
        ("Mul", [(1,)], {}),
        ("Mul", [(1, 67)], {}),
        ("Div", [()], {}),
        ("Div", [(67,)], {}),
        ("Max", [(67,)], {}),
        ("Min", [()], {}),
        ("Relu", [], {}),
        ("Neg", [], {}),
        ("Abs", [], {}),
        ("LeakyRelu", [], {"alpha": 0.3}),
        ("PRelu", [(67,)], {}),
        ("Clip", ["low", "high"], {}),
        ("BatchNormalization", ["scale", "bias", "mean", "variance"], {"epsilon": 1e-5}),
        ("Transpose", [], {"perm": [1, 0]}),
        ("Flatten", [], {"axis": 0}),
    ],
)
def test_batching_changes_no_bit(op_type, constants, attributes, size):
    rng = np.random.default_rng(3)
    arrays = {}
    for i, what in enumerate(constants):
        if isinstance(what, tuple):
            value = rng.normal(size=tuple(size if n == 67 else n for n in what)) + 0.3
        elif what in ("low", "high"):
            value = {"low": -1.5, "high": 6.0}[what]
        else:
            value = np.abs(rng.normal(size=size)) + 1e-3 if what == "variance" else rng.normal(size=size)
        arrays[f"c{i}"] = np.asarray(value, np.float32)
    onnx_model = model([helper.make_node(op_type, ["x", *arrays], ["y"], **attributes)], [1, size], arrays)
    judge = Judge(onnx_model)
    assert judge.producers["y"].batched
    x = hard_samples(150, (1, size))
    together = judge.run(x[:, 0])["y"]
    one_by_one = [judge.run(sample)["y"] for sample in x]
    assert all(same_bits(a, b) for a, b in zip(together, one_by_one, strict=True))
    assert_equal_to_qonnx(onnx_model, x[:3])


def test_nodes_of_two_inputs_and_of_unequal_ranks():
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("Add", ["x", "flat"], ["sum"]),
        helper.make_node("Mul", ["sum", "sum"], ["square"]),
        helper.make_node("Sub", ["flat", "wide"], ["broad"]),
        helper.make_node("Sigmoid", ["broad"], ["y"]),
        helper.make_node("Shape", ["x"], ["size"]),
        helper.make_node("Clip", ["sum", "low"], ["clipped"]),
        helper.make_node("Concat", ["x", "square"], ["both"], axis=1),
    ]
    constants = {"shape": np.array([6]), "wide": np.ones((2, 1, 6), np.float32), "low": np.float32(0)}
    onnx_model = model(nodes, [1, 6], constants, ["y", "square", "both"])
    x = np.random.default_rng(0).normal(size=(5, 1, 6)).astype(np.float32)
    assert_equal_to_qonnx(onnx_model, x)
    judge = Judge(onnx_model)
    assert judge.constants["size"].tolist() == [1, 6]
    assert not judge.producers["y"].batched  # onnxruntime's Sigmoid differs between batch sizes


def test_annotated_tensors_are_rounded():
    onnx_model = model([helper.make_node("Mul", ["x", "two"], ["y"])], [1, 4], {"two": np.float32(2)})
    note = onnx_model.graph.quantization_annotation.add(tensor_name="x")
    note.quant_parameter_tensor_names.add(key="finn_datatype", value="INT4")
    x = np.array([[[1, 2.001, -8, 0]], [[3, 4, 5, -0.004]]], np.float32)
    with pytest.warns(UserWarning, match="will be rounded"):
        assert_equal_to_qonnx(onnx_model, x)
    with pytest.raises(ModelError, match="annotated data type"), pytest.warns(UserWarning, match="will be rounded"):
        Judge(onnx_model).run(np.full((1, 4), 0.5, np.float32))


def test_names_chunks_and_progress():
    node, constants = quant("x", "q", 0.5, 4)
    onnx_model = model([node, helper.make_node("Relu", ["q"], ["y"])], ["batch", 3], constants)
    judge = Judge(onnx_model)
    calls = []
    x = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)
    found, codes = judge.run_codes(x, ["y", "q_scale"], progress=lambda done, total: calls.append((done, total)))
    assert list(found) == ["y", "q_scale"]
    assert found["y"].shape == (3000, 3)
    assert calls[-1] == (3000, 3000)
    assert len(calls) > 1
    assert codes["q"].dtype == np.int64
    assert (judge.run(x)["q"] == codes["q"] * 0.5).all()
    assert judge.run(x[:0])["y"].shape == (0, 3)


def test_refusals():
    relu = helper.make_node("Relu", ["x"], ["y"])
    with pytest.raises(ConfigurationError, match=r"x must be of shape \(n, \*\(3,\)\), not \(2, 4\)"):
        Judge(model([relu], [1, 3], {})).run(np.zeros((2, 4), np.float32))
    with pytest.raises(ConfigurationError, match=r"names must be .*, not \['z'\]"):
        Judge(model([relu], [1, 3], {})).run(np.zeros((2, 3), np.float32), ["z"])
    with pytest.raises(ModelError, match=r"node 'y' \(Nonsense\) must be an operator that onnxruntime or qonnx runs"):
        Judge(model([helper.make_node("Nonsense", ["x"], ["y"])], [1, 3], {}))
    with pytest.raises(ModelError, match=r"must come after the nodes that make its inputs, not before \['z'\]"):
        Judge(model([helper.make_node("Add", ["x", "z"], ["y"])], [1, 3], {}))
    with pytest.raises(ModelError, match="must be fixed"):
        Judge(model([relu], [1, "n"], {}))
    node, constants = quant("x", "y", 0.5, 4)
    with pytest.raises(ModelError, match="codes of y must be integers"):
        Judge(model([node], [1, 3], constants)).run_codes(np.full((1, 3), np.nan, np.float32))
