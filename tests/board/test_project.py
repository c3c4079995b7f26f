import importlib.util
import json
import re
import shutil
import subprocess
import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from rtl4ml.board import client, link, project
from rtl4ml.board.bitstream import Built
from rtl4ml.board.description import board_names, find_board
from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.synthesis.yosys import Resources
from tests.board.networks import FakeBoard, small

VIVADO = [name for name in board_names() if find_board(name).flow == "vivado"]
STUBS = """
set argv {%s}
set argv0 stub
set argc 0
set names {}
proc unknown {args} {
    puts [join $args { }]
    foreach word $args {
        if {[string match "*.v" $word] || [string match "*.xdc" $word]} {
            if {![file isfile $word]} { error "no file $word" }
        }
    }
    return [lindex $args end]
}
proc get_property {what of} {
    puts "get_property $what"
    return [dict get {PROGRESS 100%% STATS.WNS 0.5 DIRECTORY runs} $what]
}
proc make_wrapper {args} { return "" }
proc add_files {args} {
    set last [lindex $args end]
    if {$last ne "" && ![file isfile $last]} { error "no file $last" }
    puts "add_files $last"
}
rename file real_file
proc file {what args} {
    if {$what eq "copy"} { puts "copy $args"; return }
    return [uplevel 1 [list real_file $what {*}$args]]
}
proc glob {args} { return [list [lindex $args end]] }
"""


@pytest.fixture
def fast(monkeypatch):
    """A bitstream out of nothing."""
    built = Built(
        b"bits", "bin", {"ICESTORM_LC": (1, 10)}, Resources(1, 0, 1, 0, 0, 0, {}), 20.0, 12.0, ("pins\n", "pcf"), {}
    )
    monkeypatch.setattr(project.bitstream, "build", lambda *_: built)


@pytest.mark.parametrize("name", VIVADO)
@pytest.mark.parametrize(("argument", "weights"), [("", "fixed"), ("design", "fixed"), ("", "writable")])
@pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed")
def test_vivado_script_runs_with_its_commands_recorded(name, argument, weights, tmp_path):
    design = small(lanes=4, output_lanes=2, weights=weights)
    written = project.write(design, find_board(name), tmp_path)
    script = written.folder / "net.tcl"
    assert written.next_step == f"vivado -mode batch -source {script}"
    (tmp_path / "stub.tcl").write_text(STUBS % argument + f"source {{{script}}}\n")
    done = subprocess.run(["tclsh", tmp_path / "stub.tcl"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout
    assert f"create_project net {written.folder / 'vivado'} -part {find_board(name).processor.part} -force" in said
    added = re.findall(r"add_files .*/(\w+\.(?:v|xdc))\n", said)
    registers = weights == "writable"
    assert sorted(added) == sorted([*design.verilog, "net.xdc", *(["net_axil.v"] if registers else [])])
    core = "net_axil" if registers else "net"
    assert f"create_bd_cell -type module -reference {core} ip" in said
    assert ("ip/s_axi\n" in said) == registers
    for pin in ("ip/aclk", "ip/aresetn", "dma/axi_resetn", "resets/ext_reset_in"):
        assert pin in said
    for nets in ("dma/M_AXIS_MM2S ip/s_axis", "ip/m_axis dma/S_AXIS_S2MM"):
        assert f"connect_bd_intf_net {nets.split()[0]}" in said or nets.split()[0] in said
    assert ("launch_runs impl_1" in said) == (argument == "")


@pytest.mark.parametrize("weights", ["fixed", "writable"])
def test_the_drivers_stand_beside_the_bitstream(tmp_path, monkeypatch, weights):
    """The driver of the folder, with a stub of PYNQ's API whose hardware is the graph."""
    design = small(lanes=4, output_lanes=2, weights=weights)
    folder = project.write(design, find_board("pynq-z2"), tmp_path).folder
    model = design.graph

    class Channel:
        def __init__(self, act):
            self.act = act

        def transfer(self, buffer):
            self.buffer = buffer

        def wait(self):
            self.act(self.buffer)

    class Registers(dict):
        def start(self):
            self["started"] = True

    class Buffer(np.ndarray):
        def flush(self):
            pass

        invalidate = freebuffer = flush

    sent = []

    def answer(buffer):
        codes = sent.pop()[:, : model.input_tensor.size].view(np.int8).astype(np.int64)
        buffer[:, : model.output_tensor.size] = model.evaluate(codes)[model.output].astype(np.uint8)

    class Overlay:
        def __init__(self, bitfile):
            self.bitfile, self.ip = bitfile, Registers()
            self.dma = types.SimpleNamespace(sendchannel=Channel(sent.append), recvchannel=Channel(answer))

    stub = types.ModuleType("pynq")
    stub.Overlay, stub.DefaultIP = Overlay, object
    stub.allocate = lambda shape, dtype: np.zeros(shape, dtype).view(Buffer)
    monkeypatch.setitem(sys.modules, "pynq", stub)
    monkeypatch.delitem(sys.modules, "reference", raising=False)
    spec = importlib.util.spec_from_file_location("net_pynq", folder / "net_pynq.py")
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    overlay = driver.netOverlay("net.bit")
    assert overlay.ip.get("started", False) == (weights == "writable")
    x = np.random.default_rng(0).normal(size=(5, *model.input_shape)).astype(np.float32)
    assert (overlay.network.predict(x) == design.predict(x)).all()
    assert 'netOverlay("net.bit")' in driver.__doc__
    assert (folder / "net_driver.h").is_file()


def test_beats_that_no_dma_has(tmp_path):
    with pytest.raises(ConfigurationError, match="or 1024 bits, not 24: 3 elements of 8; say another --lanes"):
        project.write(small(lanes=3), find_board("zu3"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_node(tmp_path):
    written = project.write(small(), find_board("fifo-node"), tmp_path)
    assert written.next_step == "instantiate net_node"
    metadata = json.loads((written.folder / "metadata.json").read_text())
    assert metadata["files"][0] == "rtl/net_node.v"
    assert all((written.folder / file).is_file() for file in metadata["files"])
    assert "baud" not in metadata["board"]


def test_a_bitstream_and_its_host(fast, tmp_path, monkeypatch):
    monkeypatch.setattr(link, "SILENCE_MS", 0.1)
    written = project.write(small(), find_board("icebreaker"), tmp_path)
    assert written.folder == tmp_path / "net-icebreaker"
    assert (written.folder / "net.bin").read_bytes() == b"bits"
    assert (written.folder / "net.pcf").read_text() == "pins\n"
    assert written.next_step == f"iceprog {written.folder / 'net.bin'}"
    found = client.read_client(written.folder / "metadata.json")
    assert found.baud == 1_000_000
    assert found.metadata["board"]["build"]["fmax_mhz"] == 20.0
    design = small()
    x = np.random.default_rng(0).normal(size=(5, *design.graph.input_shape)).astype(np.float32)
    board = FakeBoard(found.metadata, lambda codes: design.graph.evaluate(codes)[design.graph.output])
    answer = client.run(found, "nowhere", x, stream=board)
    assert (answer.codes == design.predict(x, codes=True)).all()
    assert (answer.codes == found.graph_codes(x)).all()
    assert (answer.values == design.predict(x)).all()
    assert (answer.resent, answer.lost) == (0, 2)
    with pytest.raises(ConfigurationError, match="Weights of the board must be writable to be loaded, not fixed"):
        client.run(found, "nowhere", x, words=np.zeros((1, 2), np.int64))  # before the port is opened


def test_a_host_loads_weights_before_it_sends(fast, tmp_path, monkeypatch):
    monkeypatch.setattr(link, "SILENCE_MS", 0.1)
    design = small(weights="writable")
    written = project.write(design, find_board("icebreaker"), tmp_path)
    found = client.read_client(written.folder / "metadata.json")
    layer = next(operator for operator in design.graph.operators if operator.kind == "Dense")
    new = {layer.name: np.roll(layer.weights, 1, axis=-1)}
    words, graph = design.weight_words(new), design.with_weights(new)

    def evaluate(codes):
        assert board.committed == words.tolist()
        return graph.evaluate(codes)[graph.output]

    board = FakeBoard(found.metadata, evaluate)
    x = np.random.default_rng(0).normal(size=(3, *graph.input_shape)).astype(np.float32)
    answer = client.run(found, "nowhere", x, stream=board, words=words)
    assert (answer.codes == graph.evaluate(design.encode(x))[graph.output]).all()


def test_nothing_is_written_when_a_tool_fails(tmp_path, monkeypatch):
    def fail(*_):
        raise ToolError("nextpnr stopped")

    monkeypatch.setattr(project.bitstream, "build", fail)
    with pytest.raises(ToolError):
        project.write(small(), find_board("icebreaker"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_metadata_of_something_else(tmp_path, fast):
    with pytest.raises(ConfigurationError, match=r"must be the metadata\.json of a board's folder, not something else"):
        client.read_client(tmp_path / "none.json")
    folder = project.write(small(), replace(find_board("fifo-node")), tmp_path).folder
    with pytest.raises(ConfigurationError, match="must be of a board with a serial line"):
        client.read_client(folder / "metadata.json")
    assert client.read_client(folder / "metadata.json", baud=9600).baud == 9600
