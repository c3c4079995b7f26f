"""The LiteX module, converted to Verilog and put in the place of the core into its own bench."""

import importlib.util
import re
import shutil
import subprocess

import pytest

from tests.export.ip.conftest import needs_icarus

pytest.importorskip("litex")
# LiteX is a library of others, and Migen looks into frames of the interpreter while it names signals.
pytestmark = pytest.mark.filterwarnings("ignore")


class Platform:
    """What a module asks of a platform."""

    def __init__(self):
        self.sources = []

    def add_source(self, path):
        self.sources.append(path)


def converted(module, pins, name):
    """Verilog of a module with its pins, clock and reset by these names."""
    from migen import ClockDomain
    from migen.fhdl.verilog import convert

    domain = ClockDomain("sys")
    module.clock_domains += domain
    for signal, pin in pins.items():
        pin.name_override = signal
    domain.clk.name_override, domain.rst.name_override = "sys_clk", "sys_rst"
    return str(convert(module, {*pins.values(), domain.clk, domain.rst}, name=name))


def stream_pins(core):
    sink, source = core.sink, core.source
    return {
        "s_axis_tdata": sink.data, "s_axis_tvalid": sink.valid, "s_axis_tready": sink.ready, "s_axis_tlast": sink.last,
        "m_axis_tdata": source.data, "m_axis_tvalid": source.valid, "m_axis_tready": source.ready,
        "m_axis_tlast": source.last, "m_axis_tuser": source.user, "error": core.error,
    }  # fmt: skip


def bus_pins(bus):
    fields = {"aw": ("addr", "prot", "valid", "ready"), "w": ("data", "strb", "valid", "ready")}
    fields |= {"b": ("resp", "valid", "ready"), "ar": ("addr", "prot", "valid", "ready")}
    fields["r"] = ("data", "resp", "valid", "ready")
    return {f"s_axi_{c}{f}": getattr(getattr(bus, c), f) for c, names in fields.items() for f in names}


@needs_icarus
@pytest.mark.parametrize(
    ("ip", "registers"),
    [("mlp_free", False), ("mlp_stream", False), ("stream", True), ("loads", False), ("loads", True)],
)
def test_the_bench_passes_through_litex(networks, ips, ip, registers, tmp_path):
    folder = shutil.copytree((networks | ips)[ip], tmp_path / ip)
    spec = importlib.util.spec_from_file_location(f"{ip}_litex", folder / f"litex/{ip}_litex.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    platform = Platform()
    core = getattr(made, f"{ip}AxilCore" if registers else f"{ip}Core")(platform)
    if ip == "mlp_free":
        pins = {name: getattr(core, name) for name in ("i_valid", "i_data", "o_valid", "o_data", "error")}
    else:
        pins = stream_pins(core)
    if registers:
        pins |= bus_pins(core.bus) | {"irq": core.irq}
    elif ip == "loads":
        pins |= {name: getattr(core, name) for name in ("w_valid", "w_ready", "w_commit", "w_addr", "w_data")}
    (tmp_path / "litex_top.v").write_text(converted(core, pins, "litex_top"))
    top = f"{ip}_axil" if registers else ip
    bench = (folder / f"sim/{top}_tb.v").read_text()
    bench, count = re.subn(rf"^    {top} dut \($", "    litex_top dut (", bench, flags=re.MULTILINE)
    assert count == 1
    if ip == "mlp_free":
        bench = bench.replace(".clk(", ".sys_clk(").replace(".rst(", ".sys_rst(")
    else:
        bench = bench.replace(".aclk(aclk)", ".sys_clk(aclk)").replace(".aresetn(aresetn)", ".sys_rst(~aresetn)")
    (folder / f"sim/{top}_tb.v").write_text(bench)
    sources = [*platform.sources, str(tmp_path / "litex_top.v"), f"{top}_tb.v"]
    command = ["iverilog", "-g2005", "-s", f"{top}_tb", "-o", "bench.vvp", *sources]
    done = subprocess.run(command, cwd=folder / "sim", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(["vvp", "-N", "bench.vvp"], cwd=folder / "sim", capture_output=True, text=True)
    assert done.stdout.startswith("PASS: "), done.stdout
