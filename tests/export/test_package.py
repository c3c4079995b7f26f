import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from rtl4ml.errors import ConfigurationError
from rtl4ml.export import package
from rtl4ml.export.package import check_target, whole_folder, write

FOLDING = {"lanes": 2, "folding": {"a/b": {"outputs": 1, "taps": [3, 1]}, "c": {"lanes": 4}}}


def content(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def message(call, *arguments):
    with pytest.raises(ConfigurationError) as caught:
        call(*arguments)
    return str(caught.value)


@pytest.fixture
def old(tmp_path):
    """An IP that is there already."""
    return write(tmp_path / "build" / "net", {"net.v": "old\n", "gone.v": "old\n"}, {"version": 1}, FOLDING)


def test_an_ip_is_its_verilog_and_its_metadata(tmp_path):
    folder = write(tmp_path / "a" / "b" / "net", {"net.v": "module net;\n"}, {"name": "netz ä"}, FOLDING)
    files = content(folder)
    assert yaml.safe_load(files["folding.yaml"]) == FOLDING
    assert files.pop("folding.yaml").splitlines()[-2:] == ["  a/b: {outputs: 1, taps: [3, 1]}", "  c: {lanes: 4}"]
    assert files == {"metadata.json": '{\n  "name": "netz ä"\n}\n', "rtl/net.v": "module net;\n"}
    assert folder.stat().st_mode & 0o777 == 0o755
    assert [p.name for p in folder.parent.iterdir()] == ["net"]


def test_an_older_ip_is_replaced_whole(old):
    write(old, {"net.v": "new\n"}, {"version": 2}, FOLDING)
    files = content(old)
    del files["folding.yaml"]
    assert files == {"metadata.json": '{\n  "version": 2\n}\n', "rtl/net.v": "new\n"}
    assert [p.name for p in old.parent.iterdir()] == ["net"]


def test_an_empty_folder_may_be_there(tmp_path):
    (tmp_path / "net").mkdir()
    assert (write(tmp_path / "net", {}, {}, FOLDING) / "metadata.json").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_an_interrupted_export_leaves_the_old_ip(old, error):
    before = content(old)
    with pytest.raises(error), whole_folder(old) as folder:
        (folder / "half.v").write_text("half")
        raise error
    assert content(old) == before
    assert [p.name for p in old.parent.iterdir()] == ["net"]


def test_an_interrupted_first_export_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "net") as folder:
        (folder / "half.v").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_between_the_two_moves(old, monkeypatch):
    """The old IP is aside already: it comes back."""
    before, moves = content(old), []
    replace = os.replace

    def interrupted(source, target):
        moves.append(Path(target).name)
        if len(moves) == 2:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(package.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(old, {"net.v": "new\n"}, {}, FOLDING)
    assert len(moves) == 3
    assert content(old) == before
    assert [p.name for p in old.parent.iterdir()] == ["net"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_place_that_holds_something_else(tmp_path, kind):
    target = tmp_path / "net"
    if kind == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "thesis.tex").write_text("mine")
    expected = (
        f"Output folder {str(target)!r} must be new, empty or an exported IP, not something else: it would be replaced"
    )
    assert message(check_target, target) == expected
    assert message(write, target, {}, {}, FOLDING) == expected
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_a_place_below_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    target = tmp_path / "file" / "net"
    assert message(check_target, target) == (
        f"Output folder {str(target.parent)!r} must be writable, but is not: File exists"
    )


def test_a_place_that_cannot_be_written_to(tmp_path, monkeypatch):
    """As where the rights are missing; whoever runs the tests may have all of them."""

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert message(check_target, tmp_path / "net") == (
        f"Output folder {str(tmp_path)!r} must be writable, but is not: Permission denied"
    )


WAITS = """
import pathlib, sys, time
from rtl4ml.export.package import whole_folder
with whole_folder(pathlib.Path(sys.argv[1])) as folder:
    (folder / "half.v").write_text("half")
    print("waiting", flush=True)
    time.sleep(60)
"""


def test_a_terminated_export_leaves_nothing(tmp_path):
    with subprocess.Popen([sys.executable, "-c", WAITS, tmp_path / "net"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "waiting\n"
        assert len(list(tmp_path.iterdir())) == 1
        child.terminate()
        assert child.wait(30) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_handlers_of_others_stay(tmp_path):
    def theirs(number, frame):
        raise AssertionError

    before = signal.signal(signal.SIGTERM, theirs)
    try:
        with whole_folder(tmp_path / "net"):
            assert signal.getsignal(signal.SIGTERM) is theirs
    finally:
        signal.signal(signal.SIGTERM, before)
    with whole_folder(tmp_path / "other"):
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, theirs)
    assert signal.getsignal(signal.SIGTERM) is before
