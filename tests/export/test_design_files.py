import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from amaranth.hdl import signed

import rtl4ml
from rtl4ml.export.design_files import PortShape, sides
from rtl4ml.export.verilog import count_multipliers
from rtl4ml.yosys import run_yosys
from tests.frontend.build import File, mlp
from tests.frontend.build import load as load_file

RNG = np.random.default_rng(19)
REUSE = [1, 5, "3,fc0=1", 10**6]
VERILOG_2001 = re.compile(r"\b(logic|always_ff|always_comb|interface|typedef|unique|priority|bit|byte|int)\b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def graph(folder):
    return load_file(mlp(np.random.default_rng(19), [6, 5, 4]), folder)


@pytest.fixture(scope="module", params=[(r, b) for r in REUSE for b in (True, False)], ids=str)
def design(request, graph):
    reuse, backpressure = request.param
    return rtl4ml.compile(graph, reuse=reuse, backpressure=backpressure, name="tiny")


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", re.sub(r"//.*", "", text), flags=re.DOTALL)


def test_names(design):
    files = list(design.verilog)
    assert files[:2] == ["tiny.v", "tiny_core.v"]
    for name, text in design.verilog.items():
        modules = re.findall(r"^\s*module (\S+?)[\s(;]", without_comments(text), re.MULTILINE)
        assert modules
        assert all(m.startswith("tiny") for m in modules)
        assert name.removesuffix(".v") in modules
        assert text.startswith("//")
        assert text.endswith("\n")
        assert text.isascii()


def test_the_text_is_verilog_2001_with_plain_identifiers(design):
    for text in design.verilog.values():
        code = without_comments(text)
        assert "\\" not in code
        assert not VERILOG_2001.search(re.sub(r'"[^"]*"', "", code))


def test_the_same_bytes_on_every_run(graph, design):
    settings = design.plan.settings
    again = rtl4ml.compile(
        graph,
        reuse={"default": settings.reuse, **settings.layer_reuse},
        backpressure=settings.backpressure,
        name="tiny",
    )
    assert again.verilog == design.verilog
    assert again.metadata() == design.metadata()


def test_no_paths_and_no_dates(design):
    for text in design.verilog.values():
        assert not re.search(r"/(root|home|tmp|work|usr)/", text)
        assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text)


def test_yosys_reads_it_and_counts_the_multipliers(design):
    assert count_multipliers(design.verilog, "tiny") == design.plan.multipliers


def test_yosys_finds_nothing_wrong(design, tmp_path):
    for name, text in design.verilog.items():
        (tmp_path / name).write_text(text)
    run_yosys(
        [*(f"read_verilog {f}" for f in design.verilog), "hierarchy -check -top tiny", "proc", "check -assert"],
        tmp_path,
    )


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
def test_icarus_reads_it(design, tmp_path):
    for name, text in design.verilog.items():
        (tmp_path / name).write_text(text)
    command = ["iverilog", "-g2001", "-Wall", "-Wno-timescale", "-s", "tiny", "-o", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, *(str(tmp_path / f) for f in design.verilog)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_another_name_changes_the_names_only(graph):
    one = rtl4ml.compile(graph, reuse=5, name="alpha").verilog
    two = rtl4ml.compile(graph, reuse=5, name="omega").verilog
    assert [f.replace("alpha", "omega") for f in one] == list(two)
    for name, text in one.items():
        assert text.replace("alpha", "omega") == two[name.replace("alpha", "omega")]


def test_node_names_of_any_kind_give_plain_modules(folder):
    file = File([1, 4])
    x = file.quant("x", 0.25, 4)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(4, 3)), 0.25, 4), name="/layers.0/Mat Mul:ünïcode?")
    file.quant(y, 0.5, 4)
    y = rtl4ml.compile(load_file(file, folder), reuse=3, name="odd")
    for name, text in y.verilog.items():
        assert re.fullmatch(r"odd\w*\.v", name, re.ASCII)
        assert "\\" not in without_comments(text)
    count_multipliers(y.verilog, "odd")


@pytest.mark.parametrize(("bits", "slot"), [(1, 8), (8, 8), (9, 16), (17, 32), (33, 64)])
def test_slots_are_whole_bytes(bits, slot):
    assert PortShape.of(signed(bits), 4, packed=False) == PortShape(4, bits, True, slot)
    assert PortShape.of(signed(bits), 4, packed=True).slot == bits


def test_export(graph, folder):
    design = rtl4ml.compile(graph, reuse=5, name="tiny")
    target = design.export(folder / "out")
    assert target == folder / "out" / "tiny"
    metadata = json.loads((target / "metadata.json").read_text())
    assert metadata == json.loads(json.dumps(design.metadata()))
    assert sorted(f"rtl/{p.name}" for p in (target / "rtl").iterdir()) == sorted(metadata["files"])
    for name, text in design.verilog.items():
        assert (target / "rtl" / name).read_text() == text
    before = {p: p.read_bytes() for p in target.rglob("*") if p.is_file()}
    design.export(folder / "out")
    assert {p: p.read_bytes() for p in target.rglob("*") if p.is_file()} == before
    assert sides(design.plan)[0].lanes == metadata["input"]["lanes"]
