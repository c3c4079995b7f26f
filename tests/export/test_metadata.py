import json

import numpy as np
import pytest

import rtl4ml
from tests.frontend.build import File, load, mlp

RNG = np.random.default_rng(20)
KEYS = {
    "schema_version",
    "name",
    "network",
    "rtl4ml",
    "tools",
    "source",
    "interface",
    "files",
    "clock_mhz",
    "latency_cycles",
    "interval_cycles",
    "multipliers",
    "multiplications",
    "input",
    "output",
    "host",
    "plan",
}
SIDE = {
    "tensor": str,
    "shape": list,
    "elements": int,
    "lanes": int,
    "beats": int,
    "element_bits": int,
    "element_signed": bool,
    "slot_bits": int,
    "format": dict,
}


def metadata(file, folder, input_format=None, **settings):
    design = rtl4ml.compile(load(file, folder, input_format), **settings)
    return design, json.loads(json.dumps(design.metadata(), allow_nan=False))


@pytest.mark.parametrize("backpressure", [True, False])
def test_schema(tmp_path, backpressure):
    design, found = metadata(mlp(RNG, [6, 5, 4]), tmp_path, reuse=5, backpressure=backpressure)
    assert set(found) >= KEYS
    assert found["schema_version"] == 1
    assert found["interface"] == ("axi4-stream" if backpressure else "pipeline")
    assert found["name"] == found["network"] == "net"
    assert found["rtl4ml"] == rtl4ml.__version__
    assert found["source"]["file"] == "net.onnx"
    assert found["files"][0] == "rtl/net.v"
    assert found["latency_cycles"] == design.plan.latency
    assert found["interval_cycles"] == design.plan.interval
    assert found["multipliers"] == design.plan.multipliers
    assert found["multiplications"] == 50
    assert found["plan"]["reuse"] == 5
    for side in ("input", "output"):
        for key, kind in SIDE.items():
            assert isinstance(found[side][key], kind), key
        assert found[side]["beats"] == -(-found[side]["elements"] // found[side]["lanes"])
        assert found[side]["slot_bits"] >= found[side]["element_bits"]


def test_formats(tmp_path):
    file = File([1, 4])
    x = file.quant("x", 0.3, 5, 7.0, signed=0, narrow=1)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(4, 3)), RNG.uniform(0.1, 0.2, (1, 3)), 4))
    file.quant(y, [[0.5, 1.0, 2.0]], 4)
    _, found = metadata(file, tmp_path)
    assert found["input"]["format"] == {
        "bits": 5,
        "signed": False,
        "narrow": True,
        "bipolar": False,
        "scale": float(np.float32(0.3)),
        "zero_point": 7,
    }
    assert found["output"]["format"]["scale"] == [0.5, 1.0, 2.0]


def test_the_layout_leads_from_the_stream_to_the_file(tmp_path):
    file = File([1, 2, 3])
    x = file.quant("x", 0.25, 4)
    x = file.add("Flatten", file.add("Transpose", x, perm=[0, 2, 1]))
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(6, 4)), 0.25, 4))
    file.add("Transpose", file.add("Reshape", y, file.constant([1, 2, 2], np.int64)), perm=[0, 2, 1])
    design, found = metadata(file, tmp_path)
    assert found["host"]["file_input_shape"] == [2, 3]
    assert found["host"]["file_output_shape"] == [2, 2]
    x = np.arange(6).reshape(1, 2, 3) * 0.25 - 0.5
    codes = design.encode(x)[0]
    order = found["input"]["order"] or list(range(6))
    assert [codes[e] for e in range(6)] == [round(float(x.reshape(-1)[order[e]]) * 4) for e in range(6)]


def test_what_the_host_does(tmp_path):
    file = File([1, 4])
    x = file.quant(file.add("Div", "x", file.constant(3.0)), 0.3, 5)
    y = file.add("Gemm", x, file.weights(RNG.normal(size=(4, 3)), 0.3, 4), file.constant([0.1, 0.2, 0.3]))
    file.add("Softmax", y)
    _, found = metadata(file, tmp_path)
    assert found["host"]["prologue"] == ["Div"]
    assert found["host"]["epilogue"] == ["Softmax"]
    assert found["host"]["bias"] == np.array([0.1, 0.2, 0.3], np.float32).tolist()
    assert found["host"]["input_format"] is None
    _, found = metadata(file, tmp_path, "uint<8>/255")
    assert found["host"]["prologue"] == []
    assert found["host"]["input_format"]["divisor"] == 255.0
    assert found["input"]["element_bits"] == 8
