import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ModelError
from rtl4ml.frontend.judge import Judge, StrictJudge
from rtl4ml.frontend.lowering import CUSTOM_DOMAINS
from rtl4ml.operators import Dense, Requantize
from tests.frontend.build import QONNX, File, load, proven

DOMAINS = ("", *CUSTOM_DOMAINS)
MODES = ("ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN")


def rng_of(*words):
    return np.random.default_rng(sum(map(ord, "".join(map(str, words)))))


def product(file, x, rng, n_in, n_out, scale=0.25, bits=4):
    return file.add("MatMul", x, file.weights(rng.normal(size=(n_in, n_out)), scale, bits))


def written(mode, case):
    return mode.title() if case == "title" else getattr(mode, case)()


# ---- Quant


@pytest.mark.parametrize("op_type", ["Quant", "IntQuant"])
@pytest.mark.parametrize("domain", DOMAINS)
def test_domains(tmp_path, domain, op_type):
    file = File([1, 6], imports={domain: 1} if domain else {})
    x = file.quant("x", 0.3, 4, domain=domain, op_type=op_type)
    w = file.weights(rng_of(domain).normal(size=(6, 5)), 0.25, 4, domain=domain, op_type=op_type)
    file.quant(file.add("MatMul", x, w), 0.5, 5, domain=domain, op_type=op_type)
    proven(file, tmp_path, samples=100)


@pytest.mark.parametrize("case", ["upper", "lower", "title"])
@pytest.mark.parametrize("mode", MODES)
def test_rounding_modes_on_ties(tmp_path, mode, case):
    """Power-of-two scales put a tie on every other accumulator, of both signs."""
    mode = written(mode, case)
    file = File([1, 6])
    x = file.quant("x", 0.5, 4, rounding_mode=mode)
    w = file.weights(rng_of(mode).normal(size=(6, 5)), 0.5, 4, rounding_mode=mode)
    y = file.quant(file.add("MatMul", x, w), 1.0, 5, rounding_mode=mode)
    y = product(file, y, rng_of(mode, 2), 5, 4, 0.5)
    file.quant(file.add("Relu", y), 1.0, 4, signed=0, rounding_mode=mode)
    assert proven(file, tmp_path, samples=400).judge_required


@pytest.mark.parametrize("mode", ["FLOOR", "HALF_UP"])
def test_floor_and_half_up_with_other_scales(tmp_path, mode):
    rng = rng_of(mode)
    file = File([1, 9])
    x = file.quant("x", 0.37, 5, 2.0, rounding_mode=mode)
    x = file.add(
        "MatMul", x, file.weights(rng.normal(size=(9, 7)), rng.uniform(0.1, 0.4, (1, 7)), 4, rounding_mode=mode)
    )
    x = file.quant(x, rng.uniform(0.4, 0.9, (1, 7)), 5, rounding_mode=mode)
    file.quant(file.add("Mul", x, file.constant(1.7)), 0.9, 4, rounding_mode=mode)
    proven(file, tmp_path)


def test_unknown_rounding_mode(tmp_path):
    file = File([1, 4])
    file.quant("x", 0.5, 4, rounding_mode="STOCHASTIC")
    file.nodes[0].name = "q"
    with pytest.raises(
        ModelError, match=r"^Rounding mode of node 'q' \(Quant\) must be one of ROUND, .*, not 'STOCHASTIC'$"
    ):
        load(file, tmp_path)


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
@pytest.mark.parametrize("narrow", [0, 1])
@pytest.mark.parametrize("signed", [0, 1])
def test_signs_and_narrow(tmp_path, signed, narrow, bits):
    rng = rng_of(signed, narrow, bits)
    file = File([1, 8])
    x = file.quant("x", 0.5, bits, signed=signed, narrow=narrow)
    w = file.weights(rng.normal(size=(8, 6)), 0.5, max(bits, 2), narrow=narrow)
    file.quant(file.add("MatMul", x, w), 0.75, bits, signed=signed, narrow=narrow)
    proven(file, tmp_path, samples=150)


def test_one_bit_signed_weights_and_activations(tmp_path):
    """Bipolar, by the executor's own rule: X / scale + zero point >= 0."""
    rng = rng_of("bipolar")
    file = File([1, 8])
    x = file.quant("x", 0.5, 1, 3.0)
    w = file.weights(rng.normal(size=(8, 6)), 0.3, 1)
    file.quant(file.add("MatMul", x, w), 0.7, 1, -1.0)
    proven(file, tmp_path)
    assert load(file, tmp_path).output_tensor.format.bipolar


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_bit_widths_that_are_tensors(tmp_path, shape):
    """Computed by constants: Ceil, as Brevitas writes it for biases."""
    file = File([1, 8])
    width = file.add("Ceil", file.add("Mul", file.constant(np.full(shape, 1.7)), file.constant(2.0)))
    x = file.add("Quant", "x", file.constant(0.25), file.constant(0.0), width, domain=QONNX, signed=1, narrow=0)
    x = product(file, x, rng_of(shape), 8, 5)
    file.add("Quant", x, file.constant(0.25), file.constant(0.0), width, domain=QONNX, signed=1, narrow=0)
    proven(file, tmp_path)
    assert load(file, tmp_path).output_tensor.format.bits == 4


def test_a_width_whose_type_does_not_hold_the_limits(tmp_path):
    """With an unsigned one the lowest code wraps to the highest."""
    file = File([1, 4])
    width = file.constant(3, np.uint32)
    file.add("Quant", "x", file.constant(0.25), file.constant(0.0), width, domain=QONNX, name="q")
    with pytest.raises(
        ModelError,
        match=r"^Bit width of node 'q' \(Quant\) must be float32, float64, int32, int64, not uint32: qonnx computes "
        r"the limits of codes in it$",
    ):
        load(file, tmp_path)


@pytest.mark.parametrize("width", [2.5, 0.0, 65.0, -3.0, np.nan])
def test_widths_without_a_meaning(tmp_path, width):
    file = File([1, 4])
    file.quant("x", 0.5, width)
    file.nodes[0].name = "q"
    with pytest.raises(ModelError) as error:
        load(file, tmp_path)
    assert str(error.value) == f"Bit width of node 'q' (Quant) must be one integer from 1 to 64, not [{width}]"


def test_several_widths(tmp_path):
    file = File([1, 2])
    file.quant("x", 0.5, [4.0, 5.0])
    file.nodes[0].name = "q"
    with pytest.raises(
        ModelError, match=r"^Bit width of node 'q' \(Quant\) must be one integer from 1 to 64, not \[4.0, 5.0\]$"
    ):
        load(file, tmp_path)


@pytest.mark.parametrize("shape", [(), (1, 1), (1, 6), (6,)])
def test_scales_per_tensor_and_per_element(tmp_path, shape):
    rng = rng_of(shape)
    file = File([1, 9])
    x = product(file, file.quant("x", 0.3, 4), rng, 9, 6)
    x = file.quant(x, 0.4 * 2.0 ** rng.integers(-1, 2, shape), 4, rng.integers(-2, 3, shape))
    file.quant(product(file, x, rng, 6, 4), 0.9, 4)
    proven(file, tmp_path)


@pytest.mark.parametrize("n", [1, 6])
def test_per_channel_weight_scale_on_matmul(tmp_path, n):
    rng = rng_of(n)
    file = File([1, 9])
    w = file.weights(rng.normal(size=(9, 6)), rng.uniform(0.1, 0.4, (1, n)), 4)
    file.quant(file.add("MatMul", file.quant("x", 0.3, 4), w), 0.4, 4)
    proven(file, tmp_path)


def test_scales_per_element_of_the_input_and_of_weights(tmp_path):
    """As HGQ has them: powers of two, also along the dimension that is summed."""
    rng = rng_of("element")
    file = File([1, 9])
    x = file.quant("x", 2.0 ** rng.integers(-3, 0, (1, 9)), 5)
    w = file.weights(rng.normal(size=(9, 6)), 2.0 ** rng.integers(-4, 0, (9, 6)), 4)
    x = file.quant(file.add("MatMul", x, w), 2.0 ** rng.integers(-2, 1, (1, 6)), 5)
    file.quant(product(file, x, rng, 6, 4), 1.0, 5)
    assert proven(file, tmp_path).judge_required


@pytest.mark.parametrize("zero_point", [3.0, -5.0])
def test_zero_point_with_a_power_of_two_scale(tmp_path, zero_point):
    """The rounding comes after the zero point is added: an odd one moves the ties."""
    rng = rng_of(zero_point)
    file = File([1, 9])
    x = product(file, file.quant("x", 0.25, 5, zero_point), rng, 9, 6, 0.5)
    x = file.quant(file.add("Relu", x), 0.5, 4, zero_point if zero_point > 0 else 7.0, signed=0)
    file.quant(product(file, x, rng, 6, 4, 0.5), 0.5, 6, zero_point)
    assert proven(file, tmp_path, samples=500).judge_required


def test_zero_point_on_weights(tmp_path):
    rng = rng_of("weights")
    file = File([1, 9])
    w = file.weights(rng.normal(size=(9, 6)), 0.25, 4, zero_point=2.0)
    file.quant(file.add("MatMul", file.quant("x", 0.25, 5, 1.0), w), 0.5, 5)
    proven(file, tmp_path)


@pytest.mark.parametrize("negative", [False, True])
def test_batch_normalization_before_a_bipolar_layer(tmp_path, negative):
    rng = rng_of("bn", negative)
    file = File([1, 12])
    x = file.bipolar("x")
    for n_in, n_out in ((12, 8), (8, 6)):
        x = file.add("MatMul", x, file.bipolar(file.constant(rng.normal(size=(n_in, n_out)))))
        gains = rng.uniform(0.4, 1.4, n_out) * (rng.choice([-1, 1], n_out) if negative else 1)
        values = (gains, rng.normal(size=n_out), rng.integers(-3, 3, n_out), rng.uniform(0.5, 20, n_out))
        x = file.bipolar(file.add("BatchNormalization", x, *(file.constant(v) for v in values)))
    file.add("MatMul", x, file.bipolar(file.constant(rng.normal(size=(6, 3)))))
    proven(file, tmp_path)


# ---- Trunc


def truncated(file, x, scale, zero_point, widths, *, version, output_scale=None, domain=QONNX, **attributes):
    attributes.setdefault("rounding_mode", "FLOOR")
    inputs = [scale, zero_point, widths[0]] + ([] if version == 1 else [output_scale]) + [widths[1]]
    return file.add("Trunc", x, *(file.constant(v) for v in inputs), domain=domain, **attributes)


@pytest.mark.parametrize("case", ["upper", "lower"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", [1, 2])
def test_trunc_rounding_modes(tmp_path, version, mode, case):
    rng = rng_of(mode, version)
    file = File([1, 9], imports={QONNX: version})
    x = file.quant(product(file, file.quant("x", 0.25, 5), rng, 9, 6), 0.125, 8)
    x = truncated(file, x, 0.125, 0.0, (8.0, 5.0), version=version, output_scale=1.0, rounding_mode=written(mode, case))
    file.quant(product(file, x, rng, 6, 4), 2.0, 6)
    proven(file, tmp_path)


@pytest.mark.parametrize(("domain", "imports"), [("", {}), *((d, {d: v}) for d in CUSTOM_DOMAINS for v in (1, 2))])
def test_trunc_version_is_that_of_the_import(tmp_path, domain, imports):
    rng = rng_of(domain)
    version = imports.get(domain, 1)
    file = File([1, 9], imports={QONNX: 1, **imports})
    x = file.quant("x", 0.25, 6, 4.0)
    x = truncated(file, x, 0.25, 4.0, (6.0, 4.0), version=version, output_scale=1.0, domain=domain)
    file.quant(product(file, x, rng, 9, 4), 2.0, 6)
    proven(file, tmp_path)
    trunc = next(o for o in load(file, tmp_path).operators if isinstance(o, Requantize))
    assert trunc.format.scale == (0.25 if version == 1 else 1.0)
    assert trunc.format.zero_point == (4 if version == 1 else 1)


@pytest.mark.parametrize("narrow", [0, 1])
@pytest.mark.parametrize("signed", [0, 1])
def test_trunc_saturates_in_version_2(tmp_path, signed, narrow):
    rng = rng_of(signed, narrow)
    file = File([1, 9], imports={QONNX: 2})
    x = file.quant("x", 0.25, 8)
    x = truncated(file, x, 0.25, 0.0, (8.0, 3.0), version=2, output_scale=0.5, signed=signed, narrow=narrow)
    file.quant(product(file, x, rng, 9, 4), 2.0, 6)
    proven(file, tmp_path)


@pytest.mark.parametrize("version", [1, 2])
def test_trunc_per_channel_behind_a_chain(tmp_path, version):
    """Its input need not be quantized: it rounds for itself."""
    rng = rng_of("chain", version)
    scale = rng.uniform(0.2, 0.4, (1, 6)).astype(np.float32)
    file = File([1, 9], imports={QONNX: version})
    x = file.add("Relu", product(file, file.quant("x", 0.3, 5), rng, 9, 6))
    truncated(file, x, scale, 0.0, (8.0, 5.0), version=version, output_scale=scale * 8)
    proven(file, tmp_path)


@pytest.mark.parametrize("version", [1, 2])
def test_trunc_of_weights(tmp_path, version):
    rng = rng_of("constant", version)
    file = File([1, 9], imports={QONNX: version})
    w = file.weights(rng.normal(size=(9, 6)), 2.0**-7, 8)
    w = truncated(file, w, 2.0**-7, 0.0, (8.0, 4.0), version=version, output_scale=2.0**-3)
    file.quant(file.add("MatMul", file.quant("x", 0.3, 5), w), 0.3, 6)
    proven(file, tmp_path)


@pytest.mark.parametrize("version", [1, 2])
def test_trunc_in_the_judges(version):
    """Codes times their meaning are the executor's values, and the strict judge takes them as a product's operand."""
    rng = rng_of("judges", version)
    file = File([1, 9], imports={QONNX: version})
    x = file.quant("x", 0.25, 6)
    t = truncated(file, x, 0.25, 0.0, (6.0, 4.0), version=version, output_scale=1.0)
    y = product(file, t, rng, 9, 4)
    model = file.model()
    values = rng.normal(size=(40, 9), scale=5).astype(np.float32)
    reals, codes = Judge(model).run_codes(values, [t, y])
    np.testing.assert_array_equal(codes[t] * (0.25 if version == 1 else 1.0), reals[t])
    strict = StrictJudge(model)
    assert strict.products == (y,)
    np.testing.assert_array_equal(strict.run(values, [y])[0][y], reals[y])


def test_trunc_needs_bounds(tmp_path):
    file = File([1, 4])
    truncated(file, "x", 0.25, 0.0, (6.0, 4.0), version=1, name="t")
    with pytest.raises(
        ModelError, match=r"^Input 'x' of node 't' \(Trunc\) must be quantized: nothing bounds its codes; "
    ):
        load(file, tmp_path)


def test_trunc_with_a_fraction_as_zero_point(tmp_path):
    file = File([1, 4], imports={QONNX: 2})
    truncated(file, file.quant("x", 0.25, 6), 0.25, 3.0, (6.0, 4.0), version=2, output_scale=1.0, name="t")
    with pytest.raises(ModelError, match=r"^Zero point of node 't' \(Trunc\) must be an integer behind it, not 0.75$"):
        load(file, tmp_path)


def test_trunc_without_a_rounding_mode(tmp_path):
    file = File([1, 4])
    inputs = [file.constant(v) for v in (0.25, 0.0, 6.0, 4.0)]
    file.add("Trunc", file.quant("x", 0.25, 6), *inputs, domain=QONNX, name="t")
    with pytest.raises(ModelError, match=r"^Rounding mode of node 't' \(Trunc\) must be given: qonnx requires it$"):
        load(file, tmp_path)


def test_inputs_of_the_other_version(tmp_path):
    file = File([1, 4], imports={QONNX: 1})
    truncated(file, file.quant("x", 0.25, 6), 0.25, 3.0, (6.0, 4.0), version=2, output_scale=1.0, name="t")
    with pytest.raises(ModelError, match=r"^Node 't' \(Trunc\) must have 5 inputs, not 6$"):
        load(file, tmp_path)


# ---- Exact arithmetic in front of a product


def affine(file, x, *steps):
    for op_type, constant, first in steps:
        c = file.constant(constant)
        x = file.add(op_type, *((c, x) if first else (x, c)))
    return x


@pytest.mark.parametrize("input_format", ["bipolar", "int<2>", "uint<1>", "int<8>", "fixed<6,2>", "uint<4>*0.5"])
def test_half_of_the_next_number(tmp_path, input_format):
    """The network intrusion file's way from -1 and 1 to 0 and 1: it joins the weights of the first product."""
    rng = rng_of(input_format)
    file = File([1, 9])
    x = affine(file, "x", ("Add", 1.0, False), ("Div", 2.0, False))
    file.quant(product(file, x, rng, 9, 5), 0.5, 4)
    proven(file, tmp_path, input_format)
    graph = load(file, tmp_path, input_format)
    assert [type(o) for o in graph.operators] == [Dense, Requantize]


@pytest.mark.parametrize(
    "steps",
    [
        [("Sub", 4.0, True)],
        [("Mul", 3.0, False), ("Add", 0.5, True)],
        [("Sub", np.arange(9) / 4, False), ("Mul", 2.0 ** np.arange(-2, 7), False)],
        [("Mul", -0.75, False), ("Div", 0.5, False)],
    ],
)
def test_exact_steps_behind_a_quantizer(tmp_path, steps):
    rng = rng_of("steps")
    file = File([1, 9])
    x = affine(file, file.quant("x", 0.25, 4, 2.0), *steps)
    file.quant(product(file, x, rng, 9, 5), 0.5, 4)
    proven(file, tmp_path)


@pytest.mark.parametrize("step", [("Div", 3.0, False), ("Mul", 0.1, False), ("Add", 1e-6, False)])
def test_steps_that_round(tmp_path, step):
    file = File([1, 9])
    x = affine(file, file.quant("x", 0.25, 4), step)
    file.quant(product(file, x, rng_of("round"), 9, 5), 0.5, 4)
    with pytest.raises(
        ModelError, match=r"must be quantized, not the output of node .* put a Quant node in front of it$"
    ):
        load(file, tmp_path)


def test_the_file_says_which_input_format(tmp_path):
    file = File([1, 9])
    file.quant(product(file, affine(file, "x", ("Add", 1.0, False)), rng_of("says"), 9, 5), 0.5, 4)
    model = file.model()
    annotation = model.graph.quantization_annotation.add(tensor_name="x")
    annotation.quant_parameter_tensor_names.add(key="finn_datatype", value="INT3")
    path = tmp_path / "annotated.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        ModelError, match=r"an input format must be given, such as int<3>, as the file annotates it \(--input"
    ):
        rtl4ml.load(path)
