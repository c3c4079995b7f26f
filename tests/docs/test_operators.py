"""The page on adding an operator: its change works on the sources as they are, and what it names exists."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.docs.blocks import DOCS, ROOT, blocks

PAGE = DOCS / "operators.md"


def hunks(diff):
    """(file, old text, new text) of each hunk."""
    name = ""
    for part in re.split(r"^(?=--- a/|@@)", diff, flags=re.MULTILINE):
        if part.startswith("--- a/"):
            name = part.splitlines()[0].removeprefix("--- a/")
        elif part.startswith("@@"):
            lines = part.splitlines()[1:]
            old, new = ("\n".join(line[1:] for line in lines if line[:1] != sign) for sign in "+-")
            yield name, old, new


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A copy of the sources with the page's change."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("src", "tests", "rtl_templates", "sim", "boards"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (block,) = (b for b in blocks(PAGE) if b.kind == "diff")
    found = list(hunks(block.text))
    assert len(found) == 4
    for name, old, new in found:
        file = folder / name
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name} must have once:\n{old}"
        file.write_text(text.replace(old, new), encoding="utf-8")
    return folder


def test_the_change_works(changed):
    code = (
        "import sys; sys.path[:0] = ['src', '.']\n"
        "import pytest, rtl4ml; assert rtl4ml.__file__.startswith(sys.argv[1])\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', 'tests/frontend/test_elementwise_functions.py', "
        "'-k', 'Shrink']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(changed)], cwd=changed, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_without_the_change_it_is_refused():
    from rtl4ml.frontend import elementwise, lowering

    assert elementwise and ("", "Shrink") not in lowering.HANDLERS


def test_files_that_the_page_names_exist():
    text = PAGE.read_text(encoding="utf-8")
    names = re.findall(r"`((?:\w+/)+(?:\w+(?:\.\w+)+)?)`", text)
    assert len(names) > 20
    for name in (name for name in names if "NAME" not in name):
        places = [ROOT / name, ROOT / "src" / "rtl4ml" / name]
        assert any(place.exists() for place in places), name


def test_names_of_the_code_exist():
    text = PAGE.read_text(encoding="utf-8")
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    for name in {*re.findall(r"`(_?[A-Z]{3,}(?:_[A-Z]+)*|\w+)`", text)} - {"build_", "NAME", "Shrink", "lambd", "bias"}:
        assert re.search(rf"\b{name}\b", sources), name
