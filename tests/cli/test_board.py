import json

import numpy as np
import pytest
from typer.testing import CliRunner

from rtl4ml.board import client, link, project, simulation
from rtl4ml.board.bitstream import Built
from rtl4ml.cli import app
from rtl4ml.simulation.cocotb_bench import BenchCase, BenchResult
from rtl4ml.synthesis.yosys import Resources
from tests.board.networks import FakeBoard
from tests.frontend.build import mlp


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return mlp(np.random.default_rng(23), [6, 5, 4]).save(tmp_path_factory.mktemp("cli"))


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """A bitstream out of nothing, and a line without pauses."""
    resources = Resources(1, 0, 1, 0, 0, 0, {})
    built = Built(b"bits", "bin", {"ICESTORM_LC": (5, 10)}, resources, 40.0, 24.0, ("pins\n", "pcf"), {})
    monkeypatch.setattr(project.bitstream, "build", lambda *_: built)
    monkeypatch.setattr(link, "SILENCE_MS", 0.1)


@pytest.fixture
def folder(model, tmp_path):
    assert run("board", "icebreaker", model, "-r", 5, "-o", tmp_path)[0] == 0
    return tmp_path / "net-icebreaker"


def test_a_bitstream(model, tmp_path):
    status, out, err = run("board", "icebreaker", model, "-r", 5, "-o", tmp_path)
    assert (status, err) == (0, "")
    folder = tmp_path / "net-icebreaker"
    assert "     ICESTORM_LC:      5 of     10   50%\nclock: 40 MHz reached, 24 MHz on iCEBreaker\n" in out
    assert f"written to {folder}\nnext: iceprog {folder / 'net.bin'}\nthen: rtl4ml host --port" in out


def test_for_machines(model, tmp_path):
    found = json.loads(run("board", "fifo-node", model, "-r", 5, "-o", tmp_path, "--name", "tiny", "--json")[1])
    assert set(found) == {"name", "board", "folder", "plan", "build", "simulation", "next"}
    assert (found["name"], found["board"], found["build"]) == ("tiny", "fifo-node", None)
    assert found["plan"]["clock_mhz"] == 100  # the board's


@pytest.mark.parametrize(("state", "status"), [("passed", 0), ("failed", 1)])
def test_verify_comes_first(model, tmp_path, monkeypatch, state, status):
    cases = BenchResult((BenchCase("identity", state, "wrong", 0.1),))
    monkeypatch.setattr(simulation, "simulate", lambda *_: cases)
    found, out, _ = run("board", "icebreaker", model, "-r", 5, "-o", tmp_path / "out", "--verify")
    assert found == status
    assert f"simulation at the serial pins: 1 tests, {status} failed" in out
    assert (tmp_path / "out" / "net-icebreaker").exists() == (status == 0)


def test_a_board_without_a_simulation_is_found_before_planning(tmp_path):
    status, _, err = run("board", "zu3", tmp_path / "absent.onnx", "--verify")
    assert (status, "but AUP-ZU3 has none: prove the network by itself, with rtl4ml verify" in err) == (2, True), err


def test_errors(model, tmp_path):
    status, _, err = run("board", "de10", model)
    assert (status, err.startswith("rtl4ml: Board must be one of arty-z7-20")) == (2, True)
    found = json.loads(run("board", "zu3", model, "-r", 5, "--lanes", 3, "-o", tmp_path, "--json")[1])
    assert found["kind"] == "ConfigurationError"


@pytest.mark.parametrize("wrong", [0, 1])
def test_host(folder, tmp_path, monkeypatch, wrong):
    found = client.read_client(folder / "metadata.json")
    graph = found.graph
    opened = []

    class Port(FakeBoard):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            opened.append("closed")

    def open_port(port, baud, timeout):
        opened.append((port, baud))
        return Port(found.metadata, lambda codes: graph.evaluate(codes)[graph.output] + wrong * (codes[0, 0] > 0))

    monkeypatch.setattr(client, "open_serial", open_port)
    x = np.abs(np.random.default_rng(1).normal(size=(8, *graph.input_shape)).astype(np.float32)) + 1
    np.savez(tmp_path / "x.npz", x=x)
    arguments = ("host", folder / "metadata.json", "--port", "COM7", "--data", tmp_path / "x.npz", "--compare")
    status, out, err = run(*arguments, "--save", tmp_path / "y.npz")
    assert (status, err) == (wrong, "")
    assert opened == [("COM7", 1_000_000), "closed"]
    lines = out.splitlines()
    assert len(lines) == 8 + 2
    assert lines[0].startswith("0 ")
    assert ("compared with the reference: 0 wrong" in out) == (not wrong)
    with np.load(tmp_path / "y.npz") as saved:
        assert (np.array_equal(saved["codes"], found.graph_codes(x))) == (not wrong)
    shown = json.loads(run(*arguments, "--json", "--samples", 3)[1])
    assert set(shown) == {"samples", "wrong", "resent", "lost", "seconds", "values"}
    assert (shown["samples"], shown["resent"]) == (3, 0)
    assert (shown["wrong"] > 0) == bool(wrong)


def test_host_loads_weights(folder, tmp_path):
    arguments = ("host", folder / "metadata.json", "--port", "loop://", "--data", tmp_path / "x.npz", "--json")
    for more, message in (
        (("--compare",), "--compare must be left out with --load: the reference has the weights of the file"),
        ((), f"Weights {str(tmp_path / 'w.npy')!r} must be a .npy file, but are not: "),
    ):
        status, out, _ = run(*arguments, "--load", tmp_path / "w.npy", *more)
        assert status == 2
        assert json.loads(out)["error"].startswith(message)
    np.savez(tmp_path / "w.npz", words=np.zeros((1, 2), np.int64))
    status, out, _ = run(*arguments, "--load", tmp_path / "w.npz")
    assert "must be a .npy file with one array, not an archive" in json.loads(out)["error"]


def test_a_folder_that_holds_something_else_is_found_before_the_simulation(model, tmp_path, monkeypatch):
    monkeypatch.setattr(simulation, "simulate", lambda *_: pytest.fail("it must not be started"))
    (tmp_path / "net-icebreaker").mkdir()
    (tmp_path / "net-icebreaker" / "thesis.tex").write_text("mine")
    status, _, err = run("board", "icebreaker", model, "-r", 5, "-o", tmp_path, "--verify")
    assert (status, "must be new, empty or an exported IP" in err) == (2, True)


@pytest.mark.parametrize("where", ["absent/y.npz", "."])
def test_a_place_for_answers_is_looked_at_before_the_board(folder, tmp_path, where):
    arguments = ("--port", "none", "--data", tmp_path / "absent.npz", "--save", tmp_path / where)
    status, _, err = run("host", folder / "metadata.json", *arguments)
    assert status == 2
    assert err == f"rtl4ml: --save must be a file in a folder that exists, not {str(tmp_path / where)!r}\n"


def test_host_without_a_board(tmp_path):
    status, _, err = run("host", tmp_path / "metadata.json", "--port", "COM7", "--data", tmp_path / "x.npz")
    assert status == 2
    assert "must be the metadata.json of a board's folder" in err
