"""Real values to codes and back: both twins as the design itself."""

import subprocess

import numpy as np
import pytest

import rtl4ml
from rtl4ml.export.ip.border import encoder
from rtl4ml.export.ip.files import ip_files
from rtl4ml.simulation.verilator import find_compiler
from tests.export.ip.facts import facts_of_graph
from tests.export.ip.test_twins import STRICT, reference_of
from tests.frontend.build import File, load, mlp

RNG = np.random.default_rng(29)
MAIN = """
#include "model/%(name)s.hpp"
#include <cstdio>
#include <cstdlib>
namespace M = rtl4ml_%(name)s;
int main() {
    float x[M::inputs], y[M::outputs];
    M::Input codes[M::inputs];
    M::Output out[M::outputs];
    while (std::fread(x, sizeof x, 1, stdin) == 1) {
        M::encode(x, codes);
        M::infer(codes, out);
        M::decode(out, y);
        for (auto c : codes) std::printf("%%lld ", static_cast<long long>(c));
        for (auto v : y) std::printf("%%a ", static_cast<double>(v));
        std::printf("\\n");
    }
}
"""


def quantized(**settings):
    file = File([1, 4])
    x = file.quant("x", 0.3, 5, **settings)
    file.add("Gemm", x, file.weights(RNG.normal(size=(4, 3)), 0.3, 4), file.constant([0.1, 0.2, 0.3]))
    return file


def per_element():
    file = File([1, 4])
    x = file.quant("x", [[0.25, 0.5, 0.25, 1.0]], 5, [[1.0, 0.0, -2.0, 3.0]])
    file.quant(file.add("Relu", x), 0.7, 4)
    return file


def channels_first():
    file = File([1, 3, 2, 2])
    x = file.quant("x", 0.25, 4)
    x = file.add("Conv", x, file.weights(RNG.normal(size=(2, 3, 1, 1)), 0.25, 3), kernel_shape=[1, 1])
    file.quant(x, 0.7, 5)
    return file


def bipolar():
    file = File([1, 6])
    x = file.bipolar("x", 0.5)
    file.add("MatMul", x, file.weights(RNG.choice([-1.0, 1.0], (6, 3)), 1.0, 2))
    return file


CASES = {
    "plain": (lambda: quantized(), None),
    "ceil": (lambda: quantized(rounding_mode="CEIL", zero_point=3.0), None),
    "up": (lambda: quantized(rounding_mode="UP"), None),
    "half_up": (lambda: quantized(rounding_mode="HALF_UP"), None),
    "half_down": (lambda: quantized(rounding_mode="HALF_DOWN"), None),
    "elements": (per_element, None),
    "channels": (channels_first, None),
    "bipolar": (bipolar, None),
    "pixels": (lambda: mlp(RNG, [4, 3]), "uint<8>/255"),
    "fixed": (lambda: mlp(RNG, [4, 3]), "fixed<8,3>*0.3"),
}


@pytest.mark.parametrize("name", CASES)
def test_real_values(tmp_path, name):
    file, input_format = CASES[name]
    graph = load(file(), tmp_path, input_format)
    design = rtl4ml.compile(graph, reuse=10**6)
    folder = tmp_path / name
    for path, content in ip_files(facts_of_graph(graph, name)).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    values = np.concatenate(
        [RNG.normal(0, 2, (60, *graph.input_shape)), RNG.integers(-40, 40, (40, *graph.input_shape)) / 8]
    )
    values = values.astype(np.float32)
    codes, real = design.encode(values), design.predict(values).reshape(100, -1)
    model = reference_of(folder).Model()
    assert np.array_equal(model.encode(values), codes)
    assert np.array_equal(model.predict(values).reshape(100, -1), real)
    (folder / "main.cpp").write_text(MAIN % {"name": name})
    # Contraction of products and sums, as a compiler may do it unasked.
    flags = [*STRICT, "-O2", "-march=native", "-ffp-contract=fast"]
    done = subprocess.run(
        [find_compiler(), *flags, "-o", "main", "main.cpp"], cwd=folder, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([folder / "main"], input=values.tobytes(), capture_output=True)
    rows = [line.split() for line in done.stdout.decode().splitlines()]
    n = codes.shape[1]
    assert [[int(c) for c in row[:n]] for row in rows] == codes.tolist()
    assert [[float.fromhex(v) for v in row[n:]] for row in rows] == real.tolist()


def test_a_host_that_only_the_executor_can_run():
    class Graph:
        encode = staticmethod(lambda x: x)
        prologue = type("Prologue", (), {"order": np.arange(2), "shape": (2,), "description": ()})

    assert encoder(Graph()) is None
