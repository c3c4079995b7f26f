"""The registers on AXI4-Lite, against cocotbext-axi."""

import shutil

import numpy as np
import pytest
from cocotb_tools.runner import get_runner

from rtl4ml.export.ip.facts import Stream
from rtl4ml.export.ip.vectors import beats
from tests.export.ip.conftest import needs_icarus


@needs_icarus
@pytest.mark.parametrize("name", ["stream", "maps", "loads"])
def test_registers(designs, ips, tmp_path, name):
    folder = tmp_path / name
    shutil.copytree(ips[name], folder)
    design = designs[name]
    if name == "loads":
        random = np.random.default_rng(5)
        layers = [o for o in design.graph.operators if o.kind == "Dense"]
        new = {o.name: random.choice(o.limits.values, o.weights.shape) for o in layers}
        biases = {o.name: random.integers(o.limits.bias_low, o.limits.bias_high + 1, o.bias.shape) for o in layers}
        np.save(folder / "new_words.npy", design.weight_words(new, biases))
        graph = design.with_weights(new, biases)
        codes = np.loadtxt(folder / "sim/input_codes.txt", np.int64, ndmin=2)
        side = Stream(**design.ports.o.__dict__, bipolar=False)
        words = beats(side, graph.evaluate(codes)[graph.output], unused=0)
        np.save(folder / "new_outputs.npy", np.reshape(np.array(words, object), (len(codes), -1)))
    runner = get_runner("icarus")
    sources = [*sorted((folder / "rtl").iterdir()), folder / f"axi_lite/{name}_axil.v"]
    top = {"hdl_toplevel": f"{name}_axil", "build_dir": tmp_path / "build"}
    runner.build(sources=sources, build_args=["-g2005"], timescale=("1ns", "1ps"), **top)
    results = runner.test(
        test_module="tests.export.ip.axil_bench", test_dir=tmp_path, **top,
        extra_env={"IP_FOLDER": str(folder)}, results_xml=str(tmp_path / "results.xml"), log_file=tmp_path / "log.txt",
    )  # fmt: skip
    text = results.read_text()
    assert text.count("<testcase") == 5
    assert not ("<failure" in text or "<error" in text), (tmp_path / "log.txt").read_text()[-3000:]
