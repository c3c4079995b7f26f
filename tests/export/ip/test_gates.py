"""What other tools say of an exported IP: lint, simulators, Yosys, FuseSoC, tclsh."""

import json
import re
import shutil
import subprocess

import numpy as np
import pyosys.libyosys as yosys
import pytest

import rtl4ml
from rtl4ml.errors import ConfigurationError
from tests.export.ip.conftest import WITH_REGISTERS, needs_icarus


def text_files(folder):
    return {p: p.read_text(encoding="utf-8") for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".npz"}


def run(command, folder, environment=None):
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def bench_sources(folder, sim):
    return [f"{folder.name}_tb.v", *(f"../{line}" for line in (sim.parent / "filelist.f").read_text().split())]


def test_the_same_bytes_on_two_runs(designs, ips, tmp_path):
    for name, design in designs.items():
        again = rtl4ml.compile(design.graph, name=name, **settings(design)).export(
            tmp_path, axi_lite=name in WITH_REGISTERS
        )
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


@needs_icarus
@pytest.mark.parametrize("name", ["stream", "maps", "loads"])
def test_the_bench_of_the_registers_passes_in_icarus(ips, tmp_path, name):
    shutil.copytree(ips[name], tmp_path / name)
    done = run(["make", "-C", "sim", f"TOP={name}_axil"], tmp_path / name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^PASS: ", done.stdout, re.MULTILINE)


def ports_of(files, top):
    """Ports as Yosys reads them: direction and bits by name."""
    design = yosys.Design()
    for file in files:
        yosys.run_pass(f"read_verilog {file}", design)
    yosys.run_pass(f"hierarchy -check -top {top}", design)
    return {
        wire.name.str().lstrip("\\"): ("input" if wire.port_input else "output", wire.width)
        for wire in design.top_module().wires_.values()
        if wire.port_input or wire.port_output
    }


def ports_of_tables(text):
    return re.findall(r"^\| (input|output) \| `(\w+)` \| (\d+) \|", text, re.MULTILINE)


def ports_of_vhdl(path):
    pattern = r"^ +(\w+) : (in |out) (std_logic(?:_vector\((\d+) downto 0\))?)[; ]"
    found = re.findall(pattern, path.read_text(), re.MULTILINE)
    return {name: ("input" if way == "in " else "output", int(high or 0) + 1) for name, way, _, high in found}


def ports_of_module(path):
    pattern = r"^ +(?:input|output) +(?:wire|reg) +(?:\[[^]]*\] )?(\w+)"
    return re.findall(pattern, path.read_text(), re.MULTILINE)


def test_every_port_of_the_datasheet_exists(ip):
    found = ports_of([ip / line for line in (ip / "filelist.f").read_text().split()], ip.name)
    core, *registers = (ip / "README.md").read_text().split("\n## Registers\n")
    rows = ports_of_tables(core)
    assert {name: (direction, int(width)) for direction, name, width in rows} == found
    assert ports_of_vhdl(ip / f"{ip.name}.vhd") == found
    assert [name for _, name, _ in rows] == ports_of_module(ip / f"rtl/{ip.name}.v")
    assert bool(registers) == (ip / "axi_lite").exists()


@pytest.mark.parametrize("name", ["stream", "maps", "loads"])
def test_every_port_and_register_of_the_wrapper_exists(ips, name):
    folder, top = ips[name], f"{name}_axil"
    wrapper = folder / f"axi_lite/{top}.v"
    found = ports_of([*sorted((folder / "rtl").iterdir()), wrapper], top)
    core, registers = (folder / "README.md").read_text().split("\n## Registers\n")
    rows = {port: (direction, int(width)) for direction, port, width in ports_of_tables(core + registers)}
    assert found == {port: row for port, row in rows.items() if not port.startswith("w_")}
    assert ports_of_vhdl(folder / f"axi_lite/{top}.vhd") == found
    assert list(ports_of_vhdl(folder / f"axi_lite/{top}.vhd")) == ports_of_module(wrapper)
    control = json.loads((folder / "metadata.json").read_text())["control"]
    offsets = {register["offset"] for register in control["registers"]}
    head = wrapper.read_text().split("\nmodule ")[0]
    assert {int(offset, 16) for offset in re.findall(r"^// 0x(\w\w) ", head, re.MULTILINE)} == offsets
    assert {int(offset, 16) for offset in re.findall(r"^\| 0x(\w\w) \|", registers, re.MULTILINE)} == offsets
    header = (folder / f"driver/{name}_driver.h").read_text()
    assert {int(offset, 16) for offset in re.findall(r"_REG_\w+ 0x(\w\w)u", header)} == offsets


def test_registers_only_where_they_are_asked_for(networks, designs, tmp_path):
    for folder in networks.values():
        texts = "".join(text_files(folder).values())
        assert "_axil" not in texts
        assert "_REG_CONTROL" not in texts
    with pytest.raises(
        ConfigurationError, match=r"must stand around AXI4-Stream, not the free-running pipeline: leave"
    ):
        designs["free"].export(tmp_path, axi_lite=True)
    assert list(tmp_path.iterdir()) == []


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


TCL = ["vivado/package_ip.tcl", "vivado/package_axil.tcl", "vivado/synth_ooc.tcl", "quartus/synth.tcl"]
TCL += ["quartus/{}_hw.tcl", "quartus/{}_axil_hw.tcl"]


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed")
@pytest.mark.parametrize("script", TCL)
def test_tcl_runs_with_the_vendors_commands_recorded(ip, tmp_path, script):
    script = script.format(ip.name)
    registers = "axil" in script
    if registers and not (ip / "axi_lite").exists():
        assert not (ip / script).exists()
        return
    shutil.copytree(ip, tmp_path / ip.name)
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
    assert used == {p.name for p in (ip / "rtl").iterdir()} | ({f"{ip.name}_axil.v"} if registers else set())
    if script.endswith("_hw.tcl"):
        bound = re.findall(r"^add_interface_port \w+ (\w+) \w+ (Input|Output) (\d+)$", done.stdout, re.MULTILINE)
        table = ip / (f"axi_lite/{ip.name}_axil.vhd" if registers else f"{ip.name}.vhd")
        assert {port: (way.lower(), int(width)) for port, way, width in bound} == ports_of_vhdl(table)
    elif "package" in script:
        for bus in ("s_axis", "m_axis", *(["s_axi"] if registers else [])):
            associated = f"ipx::associate_bus_interfaces -busif {bus} -clock aclk -reset aresetn"
            assert (associated in done.stdout) == ("m_axis_tdata" in (ip / f"{ip.name}.vhd").read_text())


def test_vectors_are_the_networks(designs, ips):
    for name, folder in ips.items():
        given, expected = (
            np.loadtxt(folder / "sim" / f, np.int64, ndmin=2) for f in ("input_codes.txt", "output_codes.txt")
        )
        assert np.array_equal(designs[name].graph.evaluate(given)[designs[name].graph.output], expected)
