"""The page on the exported folder has every file of it, and none that is not there."""

import fnmatch
import re

import pytest

import rtl4ml
from tests.docs.blocks import DOCS, ROOT

NAME = "digits_mlp"


def patterns():
    """Names in the first column of the page's table; `.sdc` behind `constraints/NAME.xdc` is its neighbour."""
    found = []
    for line in (DOCS / "ip-folder.md").read_text(encoding="utf-8").splitlines():
        column = line.split("|")[1] if line.startswith("| `") else ""
        for token in re.findall(r"`([^`]+)`", column):
            found.append(found[-1].rsplit(".", 1)[0] + token if token.startswith(".") else token)
    return [token.replace("NAME", NAME) + ("*" if token.endswith("/") else "") for token in found]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    graph = rtl4ml.load(ROOT / "examples" / "models" / f"{NAME}.onnx")
    folder = rtl4ml.compile(graph, reuse=256).export(tmp_path_factory.mktemp("ip"), axi_lite=True)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_every_file_is_explained(files):
    known = patterns()
    assert [name for name in files if not any(fnmatch.fnmatch(name, pattern) for pattern in known)] == []


def test_every_explained_file_is_there(files):
    assert [pattern for pattern in patterns() if not fnmatch.filter(files, pattern)] == []
