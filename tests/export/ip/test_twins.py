"""The software twins give the graph's codes, alone and side by side."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtl4ml.export.ip.files import ip_files
from rtl4ml.export.ip.graph_json import PARAMETERS
from rtl4ml.graph import Operator
from rtl4ml.simulation.verilator import find_compiler
from tests.export.ip.facts import facts_of_graph
from tests.export.ip.graphs import graphs

GRAPHS = graphs()
STRICT = ["-std=c++17", "-Wall", "-Wextra", "-Wshadow", "-Wpedantic", "-Werror"]
MAIN = """
#include <cstdio>
#include <fstream>
%(includes)s

template <class Input, class Output, std::size_t N, std::size_t M, class Infer, class Valid>
int check(const char* folder, Infer infer, Valid valid) {
    std::ifstream in(std::string(folder) + "/sim/input_codes.txt"), out(std::string(folder) + "/sim/output_codes.txt");
    int frames = 0;
    for (long long code; in >> code; ++frames) {
        std::array<Input, N> x;
        for (std::size_t e = 0; e < N; ++e) {
            if (e) in >> code;
            x[e] = static_cast<Input>(code);
        }
        if (!valid(x.data())) return -1;
        const std::array<Output, M> y = infer(x);
        for (std::size_t e = 0; e < M; ++e)
            if (!(out >> code) || code != static_cast<long long>(y[e])) return -1;
    }
    return frames;
}

int main() {
    int failed = 0;
%(checks)s
    return failed;
}
"""
CHECK = """
    {
        namespace M = rtl4ml_%(name)s;
        const int frames = check<M::Input, M::Output, M::inputs, M::outputs>("%(name)s",
            [](const std::array<M::Input, M::inputs>& x) { return M::infer(x); }, M::valid);
        std::printf("%(name)s %%d\\n", frames);
        failed += frames < 1;
    }"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("twins")
    for name, graph in GRAPHS.items():
        for path, content in ip_files(facts_of_graph(graph, name)).items():
            target = root / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def reference_of(folder):
    """The module that an IP carries."""
    spec = importlib.util.spec_from_file_location(f"reference_{folder.name}", folder / "model/reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_operator_is_among_the_graphs():
    used = {type(operator) for graph in GRAPHS.values() for operator in graph.operators}
    assert used == set(PARAMETERS) == set(Operator.__subclasses__())


@pytest.mark.parametrize("name", GRAPHS)
def test_reference_gives_the_codes_of_every_tensor(folder, name):
    graph = GRAPHS[name]
    facts = facts_of_graph(graph, name, frames=50)
    got = reference_of(folder / name).Model().evaluate(facts.codes, keep=True)
    names = [graph.input, *(o.output for o in graph.operators)]
    expected = graph.evaluate(facts.codes, keep=names)
    assert list(got) == names
    for tensor in names:
        assert np.array_equal(got[tensor], expected[tensor]), tensor


def test_reference_checks_itself_without_rtl4ml(folder):
    command = [sys.executable, "-I", "-S", "-c", "import sys; sys.path.append(sys.argv.pop(1)); "]
    numpy_folder = str(importlib.util.find_spec("numpy").submodule_search_locations[0]).removesuffix("/numpy")
    code = "import runpy, sys; sys.path.append(sys.argv[1]); sys.modules['rtl4ml'] = None; " + (
        "sys.argv = sys.argv[2:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    for name in GRAPHS:
        path = str(folder / name / "model/reference.py")
        done = subprocess.run([*command[:3], "-c", code, numpy_folder, path], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("PASS: ")


def test_reference_finds_a_wrong_number(folder, tmp_path):
    source = folder / "layers"
    (tmp_path / "model").mkdir()
    (tmp_path / "sim").symlink_to(source / "sim")
    text = json.loads((source / "model/graph.json").read_text())
    text["operators"][-2]["bias"][0] += 1000
    text["operators"][-1]["first"][0] += 1
    (tmp_path / "model/graph.json").write_text(json.dumps(text))
    (tmp_path / "model/reference.py").write_text((source / "model/reference.py").read_text())
    assert reference_of(tmp_path).self_test() > 0


def test_all_models_in_one_program_give_the_codes(folder):
    """One program holds them all: no two share a name. Twice the same header is the same as once."""
    compiler = find_compiler()
    for name in GRAPHS:
        include = f'#include "{name}/model/{name}.hpp"\n'
        (folder / f"{name}_other.cpp").write_text(include * 2)
        (folder / f"{name}.cpp").write_text(include)
    includes = "".join(f'#include "{name}/model/{name}.hpp"\n' for name in GRAPHS)
    checks = "".join(CHECK % {"name": name} for name in GRAPHS)
    (folder / "main.cpp").write_text(MAIN % {"includes": f"#include <string>\n{includes}", "checks": checks})
    (folder / "second.cpp").write_text(f"{includes}\nint unused() {{ return 0; }}\n")
    command = [compiler, *STRICT, "-O1", "-o", "main", "main.cpp", "second.cpp"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([folder / "main"], cwd=folder, capture_output=True, text=True)
    assert done.stdout == "".join(f"{name} 24\n" for name in GRAPHS)
    assert done.returncode == 0


def test_a_model_compiles_alone(folder):
    (folder / "alone.cpp").write_text('#include "spatial/model/spatial.hpp"\n')
    command = [find_compiler(), *STRICT, "-fsyntax-only", "alone.cpp"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_arithmetic_without_undefined_behaviour(folder):
    (folder / "checked.cpp").write_text((folder / "main.cpp").read_text())
    flags = ["-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all"]
    done = subprocess.run(
        [find_compiler(), *STRICT, *flags, "-o", "checked", "checked.cpp"], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip("the compiler has no sanitizer")
    done = subprocess.run([folder / "checked"], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.rtl
def test_the_jet_tagger_runs_a_million_times_a_second():
    """The fastest of short runs, in seconds of the processor: others may use the machine meanwhile."""
    script = Path(__file__).parents[3] / "benchmarks/twins.py"
    command = [sys.executable, script, "--goal", "--runs", "10", "--seconds", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(json.loads(done.stdout)["rates"]) > 1_000_000
