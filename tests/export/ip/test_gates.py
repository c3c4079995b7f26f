"""What other tools say of an exported IP: lint, simulators, Yosys, FuseSoC, tclsh."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pyosys.libyosys as yosys
import pytest

import rtl4ml
from rtl4ml.yosys import run_yosys
from tests.export.ip.conftest import needs_icarus


def text_files(folder):
    return {p: p.read_text(encoding="utf-8") for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".npz"}


def run(command, folder, environment=None):
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def bench_sources(folder, sim):
    return [f"{folder.name}_tb.v", *(f"../{line}" for line in (sim.parent / "filelist.f").read_text().split())]


def test_the_same_bytes_on_two_runs(designs, ips, tmp_path):
    for name, design in designs.items():
        again = rtl4ml.compile(design.graph, name=name, **settings(design)).export(tmp_path)
        files = sorted(p.relative_to(ips[name]) for p in ips[name].rglob("*") if p.is_file())
        assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
        assert all((ips[name] / p).read_bytes() == (again / p).read_bytes() for p in files)


def settings(design):
    chosen = design.plan.settings
    return {"reuse": chosen.reuse, "backpressure": chosen.backpressure, "weights": chosen.weights}


def test_nothing_of_the_machine_is_in_any_file(ip):
    for path, text in text_files(ip).items():
        assert not re.search(r"(?<![\w./$])/(root|home|tmp|work|usr|opt)/", text), path
        assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text), path
        assert text.isascii() or path.suffix in (".json", ".yaml"), path


def test_text_is_tidy(ip):
    for path, text in text_files(ip).items():
        assert text.endswith("\n"), path
        assert path.suffix == ".v" or all(line == line.rstrip() for line in text.splitlines()), path


def test_verilator_lint_with_the_shipped_waivers(ip, tools):
    command = ["verilator", "--lint-only", "-Wall", "--quiet", "--top-module", ip.name, "lint.vlt", "-f", "filelist.f"]
    done = run(command, ip, tools)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["stream", "maps", "loads"])
def test_verilator_lint_of_the_registers(ips, tools, name):
    command = ["verilator", "--lint-only", "-Wall", "--quiet", "--top-module", f"{name}_axil", "lint.vlt"]
    done = run([*command, "-f", "filelist.f", f"axi_lite/{name}_axil.v"], ips[name], tools)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_icarus
def test_the_plain_bench_passes_in_icarus(ip, tmp_path):
    out = tmp_path / "bench.vvp"
    command = ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-s", f"{ip.name}_tb", "-o", str(out)]
    done = run([*command, *bench_sources(ip, ip / "sim")], ip / "sim")
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "_tb.v" in line]
    done = run(["vvp", "-N", str(out)], ip / "sim")
    assert done.returncode == 0, done.stdout
    assert re.fullmatch(
        r"PASS: \d+ frames in each of 3 runs, latency \d+, interval \d+\n(.*\$finish called.*\n)?", done.stdout
    )


@needs_icarus
@pytest.mark.parametrize("name", ["slow", "stream"])
@pytest.mark.parametrize("change", ["code", "latency", "interval"])
def test_the_plain_bench_finds_what_is_wrong(ips, tmp_path, name, change):
    folder = ips[name]
    sim = tmp_path / "sim"
    shutil.copytree(folder / "sim", sim)
    if change == "code":
        words = (sim / f"{name}_tb_out.hex").read_text().split()
        words[-1] = f"{int(words[-1], 16) ^ 1:0{len(words[-1])}x}"
        (sim / f"{name}_tb_out.hex").write_text("\n".join(words) + "\n")
    else:
        bench = (sim / f"{name}_tb.v").read_text()
        wrong = re.sub(rf"({change.upper()} = )(\d+)", lambda m: f"{m[1]}{int(m[2]) - 1}", bench)
        assert wrong != bench
        (sim / f"{name}_tb.v").write_text(wrong)
    sources = [f"{name}_tb.v", *(str(p) for p in sorted((folder / "rtl").iterdir()))]
    done = run(["iverilog", "-g2005", "-s", f"{name}_tb", "-o", "bench.vvp", *sources], sim)
    assert done.returncode == 0, done.stderr
    done = run(["vvp", "-N", "bench.vvp"], sim)
    assert done.returncode != 0
    assert "FAIL" in done.stdout
    assert "PASS" not in done.stdout


@pytest.mark.rtl
@pytest.mark.parametrize("name", ["free", "stream"])
def test_the_plain_bench_passes_in_verilator(ips, tools, tmp_path, name):
    shutil.copytree(ips[name], tmp_path / name)
    done = run(["make", "-C", "sim", "verilator"], tmp_path / name, tools)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^PASS: ", done.stdout, re.MULTILINE)


@needs_icarus
@pytest.mark.parametrize("name", ["slow", "stream"])
def test_the_protocol_bench_runs_from_a_copy(ips, tools, tmp_path, name):
    shutil.copytree(ips[name], tmp_path / "copy")
    assert not any("import rtl4ml" in text for text in text_files(tmp_path / "copy").values())
    done = run([sys.executable, "copy/sim/cocotb/run.py", "icarus"], tmp_path, tools)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert done.stdout.splitlines()[-1] == "PASS"


@pytest.mark.parametrize("name", ["free", "stream"])
def test_yosys_runs_the_scripts(ips, tmp_path, name):
    shutil.copytree(ips[name], tmp_path / name)
    for script in ("synth.ys", "synth_ice40.ys") if name == "free" else ("synth.ys",):
        text = (ips[name] / "yosys" / script).read_text()
        commands = [line for line in text.splitlines() if line and not line.startswith("#")]
        run_yosys(commands, tmp_path / name)


def test_every_port_of_the_datasheet_exists(ip):
    design = yosys.Design()
    for line in (ip / "filelist.f").read_text().split():
        yosys.run_pass(f"read_verilog {ip / line}", design)
    yosys.run_pass(f"hierarchy -check -top {ip.name}", design)
    found = {}
    for wire in design.top_module().wires_.values():
        if wire.port_input or wire.port_output:
            found[wire.name.str().lstrip("\\")] = ("input" if wire.port_input else "output", wire.width)
    rows = re.findall(r"^\| (input|output) \| `(\w+)` \| (\d+) \|", (ip / "README.md").read_text(), re.MULTILINE)
    assert {name: (direction, int(width)) for direction, name, width in rows} == found
    vhdl = re.findall(
        r"^ +(\w+) : (in |out) (std_logic(?:_vector\((\d+) downto 0\))?)[; ]", (ip / f"{ip.name}.vhd").read_text(), re.M
    )
    sizes = {name: ("input" if way == "in " else "output", int(high or 0) + 1) for name, way, _, high in vhdl}
    assert sizes == found
    order = re.findall(
        r"^ +(?:input|output) +(?:wire|reg) +(?:\[[^]]*\] )?(\w+)", (ip / f"rtl/{ip.name}.v").read_text(), re.M
    )
    assert [name for _, name, _ in rows] == order


def test_two_ips_in_one_build(ips, tools, tmp_path):
    names = [set(re.findall(r"^module (\w+)", (text), re.M)) for text in map(all_verilog, (ips["stream"], ips["slow"]))]
    assert not names[0] & names[1]
    for name, found in zip(("stream", "slow"), names, strict=True):
        assert all(module == name or module.startswith(f"{name}_") for module in found)
    (tmp_path / "both.v").write_text(
        "module both(input wire clk, output wire a, output wire b);\n"
        "    stream one (.aclk(clk), .error(a));\n    slow two (.clk(clk), .error(b));\nendmodule\n"
    )
    sources = [str(p) for name in ("stream", "slow") for p in sorted((ips[name] / "rtl").iterdir())]
    waivers = [str(ips[name] / "lint.vlt") for name in ("stream", "slow")]
    done = run(
        ["verilator", "--lint-only", "-Wno-PINMISSING", "--top-module", "both", *waivers, *sources, "both.v"],
        tmp_path,
        tools,
    )
    assert done.returncode == 0, done.stderr


def all_verilog(folder):
    return "".join(p.read_text() for p in (folder / "rtl").iterdir())


TCL = ["vivado/package_ip.tcl", "vivado/package_axil.tcl", "vivado/synth_ooc.tcl", "quartus/synth.tcl", "hw"]


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed")
@pytest.mark.parametrize("script", TCL)
def test_tcl_runs_with_the_vendors_commands_recorded(ip, tmp_path, script):
    if not (ip / script).exists() and script != "hw":
        pytest.skip("registers need AXI4-Stream")
    shutil.copytree(ip, tmp_path / ip.name)
    script = f"quartus/{ip.name}_hw.tcl" if script == "hw" else script
    (tmp_path / "stub.tcl").write_text(
        "set argc 0\nset argv {}\nset quartus(args) {}\n"
        "proc unknown {args} {puts [join $args { }]; return 0}\n"
        "rename package real_package\nproc package {args} {puts [join [linsert $args 0 package] { }]}\n"
        "rename load real_load\nrename source real_source\n"
        f"real_source {tmp_path / ip.name / script}\n"
    )
    done = run(["tclsh", str(tmp_path / "stub.tcl")], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    named = set(re.findall(r"(\S+/\S+\.(?:v|xdc|sdc))(?=\s|$)", done.stdout))
    base = (tmp_path / ip.name / script).parent
    assert named
    assert all((base / file).is_file() for file in named), named
    used = {(base / file).resolve().name for file in named if file.endswith(".v")}
    assert used - {f"{ip.name}_axil.v"} == {p.name for p in (ip / "rtl").iterdir()}


@needs_icarus
@pytest.mark.parametrize("target", ["sim", "lint"])
def test_fusesoc_runs_the_core(ips, tools, tmp_path, target):
    pytest.importorskip("fusesoc")
    command = [sys.executable, "-m", "fusesoc.main", "--cores-root", str(ips["stream"]), "run", f"--target={target}"]
    done = run([*command, "rtl4ml:ip:stream"], tmp_path, tools | {"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert target != "sim" or "PASS: " in done.stdout + done.stderr


def test_vectors_are_the_networks(designs, ips):
    for name, folder in ips.items():
        given, expected = (
            np.loadtxt(folder / "sim" / f, np.int64, ndmin=2) for f in ("input_codes.txt", "output_codes.txt")
        )
        assert np.array_equal(designs[name].graph.evaluate(given)[designs[name].graph.output], expected)
