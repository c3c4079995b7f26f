import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtl4ml.cli import app

ROOT = Path(__file__).resolve().parents[2]
MODEL = str(ROOT / "examples/models/digits_mlp.onnx")
DATA = str(ROOT / "examples/data/digits_test.npz")


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_profile_prints_a_table() -> None:
    status, out, err = run("profile", MODEL, "--data", DATA)
    assert status == 0 and not err
    assert "digits_mlp: codes on 599 samples" in out
    assert "input_out: 9.10 % is clipped" in out


def test_profile_as_json() -> None:
    status, out, _ = run("profile", MODEL, "--data", DATA, "--samples", "10", "--json")
    found = json.loads(out)
    assert status == 0 and found["samples"] == 10
    assert found["tensors"][0]["tensor"] == "input_out"
    assert all(sum(t["histogram"]["counts"]) == 10 * t["shape"][0] for t in found["tensors"])


def test_profile_takes_format_and_divisor() -> None:
    status, out, _ = run("profile", MODEL, "--data", DATA, "--input-format", "ufixed<6,5>", "--divide", "2", "--json")
    assert status == 0
    assert json.loads(out)["tensors"][0]["format"] == "uint<6> x 0.5"


def test_profile_draws(tmp_path: Path) -> None:
    status, out, _ = run("profile", MODEL, "--data", DATA, "--plot", str(tmp_path / "p.png"))
    assert status == 0 and "drawn into" in out
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", DATA, "--plot", "p.txt"), "rtl4ml: Plot must be a file .svg, .png or .pdf, not 'p.txt'\n"),
        (("--data", DATA, "--input-format", "float"), "rtl4ml: Input format must be "),
        (("--data", "nowhere.npz"), "rtl4ml: Data 'nowhere.npz' must be a readable .npz or .npy file"),
    ],
)
def test_errors_are_one_line(arguments: tuple[str, ...], message: str) -> None:
    status, out, err = run("profile", MODEL, *arguments)
    assert status == 2 and not out
    assert err.startswith(message) and err.count("\n") == 1


def test_inspect_still_shows_the_graph() -> None:
    status, out, _ = run("inspect", MODEL)
    assert status == 0 and "relu0_quant_out" in out
