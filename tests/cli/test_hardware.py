import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import rtl4ml
from rtl4ml.cli import app, hardware
from rtl4ml.design import Design
from rtl4ml.planning import plan
from tests.frontend.build import mlp

OUTPUT_KEYS = {"name", "folder", "plan", "seconds", "verification"}


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return mlp(np.random.default_rng(23), [6, 5, 4]).save(tmp_path_factory.mktemp("cli"))


def test_no_arguments_show_the_help():
    result = CliRunner().invoke(app, [])
    for command in ("inspect", "build", "verify", "doctor"):
        assert command in result.output


def test_version():
    assert run("--version") == (0, f"rtl4ml {rtl4ml.__version__}\n", "")


def test_inspect(model):
    status, out, err = run("inspect", model)
    assert (status, err) == (0, "")
    assert "net: 50 multiplications an inference" in out
    assert "Dense fc0" in out
    assert "host, in front: nothing; behind: nothing" in out


def test_inspect_for_machines(model):
    status, out, _ = run("inspect", model, "--json")
    found = json.loads(out)
    assert status == 0
    assert found["multiplications"] == 50
    assert [o["kind"] for o in found["operators"]] == ["Dense", "Requantize"] * 2


def test_inspect_with_an_input_format(model):
    found = json.loads(run("inspect", model, "--json", "--input-format", "ufixed<6,2>")[1])
    assert found["tensors"][0]["format"] == "uint<6> x 0.0625"


def test_inspect_with_an_input_shape(model):
    status, out, err = run("inspect", model, "--json", "--input-shape", "1,6")
    assert (status, err) == (0, "")
    assert json.loads(out)["tensors"][0]["shape"] == [6]


def test_build(model, tmp_path):
    status, out, err = run("build", model, "-o", tmp_path / "out", "--reuse", 5)
    assert (status, err) == (0, "")
    assert "latency" in out
    assert "written to" in out
    target = tmp_path / "out" / "net"
    assert json.loads((target / "metadata.json").read_text())["plan"]["reuse"] == 5
    assert (target / "rtl" / "net.v").exists()


def test_build_for_machines(model, tmp_path):
    status, out, _ = run("build", model, "-o", tmp_path, "-r", "5,fc1=4", "--name", "tiny", "--clock", 100, "--json")
    found = json.loads(out)
    assert status == 0
    assert set(found) == OUTPUT_KEYS
    assert found["name"] == "tiny"
    assert found["folder"] == str(tmp_path / "tiny")
    assert found["verification"] is None
    assert (found["plan"]["reuse"], found["plan"]["layer_reuse"]) == (5, {"fc1": 4})
    assert found["plan"]["clock_mhz"] == 100
    assert {"load", "plan", "export"} == set(found["seconds"])


def test_build_for_a_part(model, tmp_path):
    status, out, err = run("build", model, "-o", tmp_path, "--fit", "ecp5-25f", "--clock", "50")
    assert (status, err) == (0, "")
    assert "Estimate for ecp5-25f" in out
    assert "chosen" in out
    status, out, _ = run("build", model, "-o", tmp_path, "--reuse", "auto", "--target", "ecp5-25f", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["fit"]["part"] == "ecp5-25f"
    assert found["fit"]["estimate"] == found["estimate"]
    status, _, err = run("build", model, "-o", tmp_path, "--reuse", "auto")
    assert status == 2
    assert err.startswith("rtl4ml: target of reuse auto must be the part to be fitted to")


def test_build_options(model, tmp_path):
    found = json.loads(run("build", model, "-o", tmp_path, "-r", 5, "--lanes", 3, "--json")[1])
    assert found["plan"]["lanes"] == 3
    found = json.loads(run("build", model, "-o", tmp_path, "--free-running", "--json")[1])
    assert found["plan"]["backpressure"] is False


def test_registers_stand_where_the_target_needs_them(model, tmp_path):
    latencies = {}
    for target in ("xcup", "ice40-up5k"):
        found = json.loads(run("build", model, "-o", tmp_path, "--target", target, "--clock", 100, "--json")[1])
        assert found["plan"]["target"] == target
        latencies[target] = found["plan"]["latency_cycles"]
    assert latencies["xcup"] < latencies["ice40-up5k"]
    status, _, err = run("build", model, "-o", tmp_path, "--target", "gowin")
    assert (status, "target must be one of generic, " in err) == (2, True)


def test_registers_and_measured_resources(model, tmp_path):
    arguments = ("--axi-lite", "--weights", "writable", "--measure", "ice40", "--json")
    found = json.loads(run("build", model, "-o", tmp_path, "-r", 5, *arguments)[1])
    assert set(found["seconds"]) == {"load", "plan", "synthesis", "export"}
    metadata = json.loads((tmp_path / "net/metadata.json").read_text())
    assert metadata["control"]["registers"][-1]["name"] == "commit"
    assert (tmp_path / "net" / metadata["control"]["file"]).is_file()
    resources = metadata["resources"]
    assert (resources["target"], resources["fmax_mhz"]) == ("ice40", None)
    line = next(text for text in (tmp_path / "net/README.md").read_text().splitlines() if "| Resources |" in text)
    assert f"{resources['cells']['lut']:,} LUT" in line
    assert "on ice40, before placement (yosys " in line


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", "clock_mhz = 125.0\n[reuse]\ndefault = 6\nfc1 = 2\n"),
        ("a.yaml", "clock_mhz: 125.0\nreuse: {default: 6, fc1: 2}\n"),
    ],
)
def test_configuration_files(model, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    found = json.loads(run("build", model, "-o", tmp_path, "--config", tmp_path / name, "--json")[1])["plan"]
    assert (found["reuse"], found["layer_reuse"], found["clock_mhz"]) == (6, {"fc1": 2}, 125.0)
    found = json.loads(
        run("build", model, "-o", tmp_path, "--config", tmp_path / name, "-r", 3, "--clock", 50, "--json")[1]
    )["plan"]
    assert (found["reuse"], found["clock_mhz"]) == (3, 50)


ERRORS = [
    (("--reuse", "0"), "reuse must be an integer of at least 1, not 0"),
    (("--reuse", "fast"), "reuse must be an integer or LAYER=integer, several separated by commas, not 'fast'"),
    (
        ("--reuse", "fc9=2"),
        "Layer of a reuse must be one of 'fc0', 'fc1', or a kind of layer ('conv', 'dense'), not 'fc9'",
    ),
    (("--reuse", "fc1=21"), "reuse of layer 'fc1' must be at most its 20 multiplications, not 21"),
    (("--lanes", "7"), "lanes must be at most the 6 elements of the input, not 7"),
    (("--input-shape", "1x6"), "Input shape must be whole numbers with commas between them, not '1x6'"),
    (("--clock", "0"), "clock_mhz must be a number from 1 to 2000, not 0.0"),
    (
        ("--name", "a-b"),
        "Name must be a plain Verilog identifier (letters, digits, underscores, no keyword), not 'a-b'",
    ),
    (
        ("--free-running", "--lanes", "2"),
        "lanes of a free-running pipeline must be all 6 elements of the input, not 2",
    ),
    (
        ("--free-running", "--axi-lite"),
        "Registers on AXI4-Lite must stand around AXI4-Stream, not the free-running pipeline: leave out "
        "backpressure=False (--free-running)",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), ERRORS)
def test_errors_are_a_line_and_status_2(model, tmp_path, arguments, message):
    assert run("build", model, "-o", tmp_path, *arguments) == (2, "", f"rtl4ml: {message}\n")
    status, out, err = run("build", model, "-o", tmp_path, *arguments, "--json")
    assert (status, err) == (2, "")
    assert json.loads(out) == {"error": message, "kind": "ConfigurationError"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["inspect", "build", "verify"])
def test_a_missing_model(tmp_path, command):
    path = tmp_path / "absent.onnx"
    assert run(command, path) == (
        2,
        "",
        f"rtl4ml: Model {str(path)!r} must be a readable file: No such file or directory\n",
    )


def test_an_output_folder_that_holds_something_else(model, tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "thesis.tex").write_text("mine")
    status, _, err = run("build", model, "-o", tmp_path, "-r", 5)
    assert status == 2
    assert err == (
        f"rtl4ml: Output folder {str(tmp_path / 'net')!r} must be new, empty or an exported IP, not something else: it "
        "would be replaced\n"
    )


def test_an_output_folder_that_cannot_be_written_to(model, tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    status, _, err = run("build", model, "-o", tmp_path / "out", "-r", 5)
    assert status == 2
    assert err == f"rtl4ml: Output folder {str(tmp_path / 'out')!r} must be writable, but is not: Permission denied\n"


def test_too_little_memory_is_a_line_too(model):
    status, out, err = run("verify", model, "-r", 5, "--samples", 10**15)
    assert (status, out) == (2, "")
    assert err.startswith("rtl4ml: Memory must be enough for what was asked, but ran out: Unable to allocate ")


def test_an_unknown_option_is_status_2(model):
    assert run("build", model, "--fast")[0] == 2


class Watched:
    """`Design.verify` without the hardware, and what it was called with."""

    def __init__(self, monkeypatch, passes=True):
        original = Design.verify

        def verify(design, x=None, labels=None, samples=1000, bench=False, progress=None):
            self.x, self.labels, self.samples, self.bench = x, labels, samples, bench
            result = original(design, x, labels, samples=samples, rtl=False, progress=progress)
            if not passes:
                object.__setattr__(result, "counted_multipliers", -1)
            return result

        monkeypatch.setattr(Design, "verify", verify)


@pytest.mark.parametrize("command", ["build", "verify"])
@pytest.mark.parametrize("passes", [True, False])
def test_the_status_says_whether_everything_held(model, tmp_path, monkeypatch, command, passes):
    Watched(monkeypatch, passes)
    where = ("-o", tmp_path, "--verify") if command == "build" else ()
    status, out, _ = run(command, model, "-r", 5, *where, "--samples", 20)
    assert status == (0 if passes else 1)
    assert ("PASSED" if passes else "FAILED") in out
    status, out, _ = run(command, model, "-r", 5, *where, "--samples", 20, "--json")
    assert status == (0 if passes else 1)
    assert json.loads(out)["verification"]["passed"] is passes


def test_real_data(model, tmp_path, monkeypatch):
    watched = Watched(monkeypatch)
    x = np.random.default_rng(0).integers(0, 255, (30, 6)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x=x, labels=np.arange(30) % 4)
    arguments = ("-r", 5, "--data", tmp_path / "data.npz", "--divide", 255)
    status, out, _ = run("verify", model, *arguments, "--labels", "--json")
    assert status == 0
    assert np.array_equal(watched.x, x.astype(np.float32) / np.float32(255))
    assert watched.labels.tolist() == (np.arange(30) % 4).tolist()
    assert set(json.loads(out)["verification"]["accuracy"]) == {"reference", "onnx"}
    run("verify", model, *arguments, "--samples", 7)
    assert watched.x.shape == (7, 6)
    assert watched.labels is None


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (None, (), "must be a readable .npz or .npy file without pickles: "),
        ({"x": (3, 7)}, (), "must hold one array of 6 elements a sample, or name it x, not x [3, 7]"),
        ({"x": (3, 6), "y": (2,)}, ("--labels",), "must hold 3 labels, as an array named one of "),
    ],
)
@pytest.mark.parametrize("command", ["build", "verify"])
def test_wrong_data_is_found_before_anything_is_done(model, tmp_path, monkeypatch, command, arrays, options, message):
    monkeypatch.setattr(hardware, "design_of", lambda *_: pytest.fail("nothing must be planned"))
    path = tmp_path / "data.npz"
    if arrays is not None:
        np.savez(path, **{name: np.zeros(shape) for name, shape in arrays.items()})
    where = ("-o", tmp_path / "out") if command == "build" else ()
    status, out, err = run(command, model, *where, "--data", path, *options)
    assert (status, out) == (2, "")
    assert err.startswith(f"rtl4ml: Data {str(path)!r} {message}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("options", "name"), [(("--labels",), "--labels"), (("--divide", 255), "--divide")])
def test_options_of_data_that_is_not_there(model, tmp_path, options, name):
    status, _, err = run("build", model, "-o", tmp_path, "--verify", *options)
    assert (status, err) == (2, f"rtl4ml: {name} must stand beside --data, not alone\n")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_looked_at_before_a_measurement(model, tmp_path, monkeypatch):
    monkeypatch.setattr(Design, "synthesize", lambda *_, **__: pytest.fail("it must not be started"))
    (tmp_path / "net").write_text("mine")
    status, _, err = run("build", model, "-o", tmp_path, "-r", 5, "--measure", "ice40")
    assert (status, "must be new, empty or an exported IP" in err) == (2, True)


def test_force(model, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "solving_seconds", lambda *_: 900.0)
    status, _, err = run("build", model, "-o", tmp_path)
    assert status == 2
    assert "unrolling it (reuse 1) takes about 30 minutes together with the others" in err
    assert "--force" in err
    assert run("build", model, "-o", tmp_path, "--force")[0] == 0


@pytest.mark.rtl
def test_build_and_verify(model, tmp_path):
    """The whole way, with the Verilog in Verilator."""
    status, out, _ = run("build", model, "-o", tmp_path, "-r", 10, "--verify", "--samples", 100, "--json")
    found = json.loads(out)
    assert status == 0
    result = found["verification"]
    assert result["passed"]
    assert result["rtl"]["mismatches"] == result["reference"]["mismatches"] == 0
    assert result["latency_cycles"]["planned"] == result["latency_cycles"]["measured"]
    assert result["multipliers"]["planned"] == result["multipliers"]["counted"]
    assert (Path(found["folder"]) / "metadata.json").exists()
