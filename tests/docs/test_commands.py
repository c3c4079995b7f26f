"""Every command and every line of Python in the documentation runs, page by page, as a user would run it."""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rtl4ml.cli import app
from tests.docs.blocks import PAGES, ROOT, Block, Command, blocks, commands

SLOW = re.compile(
    r"^\$ .*(--verify|--bench|--measure)|^\$ rtl4ml (verify|synth|board|sweep)|\.(verify|emulate|synthesize)\(",
    re.MULTILINE,
)
"""What makes a page one that builds a simulation."""

RUN = ("console", "python")
READ = ("shell", "sh", "text", "toml", "yaml", "json", "verilog", "vhdl", "c", "cpp", "diff", "tcl")
"""Kinds of blocks."""

SCRIPT = 'if __name__ == "__main__":'
"""Python that starts processes of its own is run as a file."""

PATIENCE_SECONDS = 600
COLUMNS = "160"

PLAIN = re.compile(r"rtl4ml (?!doctor)[^|&;<>$`]*")
"""Commands without a shell in them run in this process: what they spare is the import, seconds each."""


def parameter(page):
    marks = [pytest.mark.rtl] if SLOW.search(page.read_text(encoding="utf-8")) else []
    return pytest.param(page, id=page.stem, marks=marks)


def words(text):
    """A line without what only makes it a table."""
    return " ".join(re.sub(r"[─│]+", " ", text).split())


def check_output(command: Command, said: str):
    found = iter([words(line) for line in said.splitlines()])
    for line in command.output:
        if line.strip() not in ("", "..."):
            pattern = ".*".join(re.escape(part.strip()) for part in words(line).split("..."))
            assert any(re.fullmatch(pattern, seen) for seen in found), f"{command.where}: no line {line!r} in\n{said}"


class Session:
    """A user in a folder that holds the examples, with the tools of this environment."""

    def __init__(self, folder: Path):
        self.folder = self.here = folder
        bin_folder = Path(sys.executable).parent
        path = os.pathsep.join([str(bin_folder), os.environ["PATH"]])
        self.environment = {**os.environ, "PATH": path, "COLUMNS": COLUMNS, "NO_COLOR": "1", "PYTHONWARNINGS": ""}
        self.names: dict[str, object] = {"__name__": "docs"}
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("pythia*", "train"))

    def take(self, block: Block):
        if block.needs is not None and shutil.which(block.needs, path=self.environment["PATH"]) is None:
            return
        if block.title is not None:
            (self.here / block.title).write_text(block.text, encoding="utf-8")
        elif block.kind == "console":
            for command in commands(block):
                self.run(command)
        elif block.kind == "python":
            # Padded, so that an error tells the page's own line.
            code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
            if SCRIPT in block.text:
                (self.here / "script.py").write_text(block.text, encoding="utf-8")
                status, said = self.shell("python script.py")
                assert status == 0, f"{block.where}\n{said}"
                return
            # Every IP has a model of this name; another test's is none of this page's.
            sys.modules.pop("reference", None)
            with contextlib.chdir(self.here):
                exec(code, self.names)

    def run(self, command: Command):
        status, said = self.inside(command.text) if PLAIN.fullmatch(command.text) else self.shell(command.text)
        assert status == command.status, f"{command.where}: status {status}\n$ {command.text}\n{said}"
        check_output(command, said)

    def inside(self, text: str) -> tuple[int, str]:
        """A command of rtl4ml: its status and what it said."""
        said, status = io.StringIO(), 0
        environment = pytest.MonkeyPatch()
        environment.setenv("COLUMNS", COLUMNS)
        environment.setenv("NO_COLOR", "1")
        with contextlib.chdir(self.here), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                app(shlex.split(text.replace("\\\n", " "))[1:], prog_name="rtl4ml")
            except SystemExit as left:
                status = int(left.code or 0)
            finally:
                environment.undo()
        return status, said.getvalue()

    def shell(self, text: str) -> tuple[int, str]:
        """A command of the shell, which may change the folder: its status and what it said."""
        left = self.folder / ".left"
        done = subprocess.run(
            ["bash", "-c", f'set -eo pipefail\n{text}\npwd > "{left}"'],
            cwd=self.here,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if not done.returncode:
            self.here = Path(left.read_text().strip())
        return done.returncode, done.stdout


@pytest.mark.parametrize("page", [parameter(page) for page in PAGES])
def test_page(page, tmp_path):
    session = Session(tmp_path)
    for block in blocks(page):
        session.take(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_kinds_of_blocks(page):
    """A command in a block of another kind would not be run."""
    for block in blocks(page):
        assert block.kind in (*RUN, *READ), f"{block.where}: {block.kind!r}"
        if block.kind == "text":
            assert not block.text.startswith("$ "), block.where
        if block.kind == "console":
            assert block.text.startswith("$ "), f"{block.where}: a console begins with a command"


def test_installation_names_what_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for page in PAGES:
        for block in blocks(page):
            if block.kind not in ("shell", "sh"):
                continue
            for target in re.findall(r"^\$ make (\w+)", block.text, re.MULTILINE):
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{block.where}: make {target}"
            for named in re.findall(r"rtl4ml\[([\w,]+)\]", block.text):
                assert set(named.split(",")) <= set(extras), f"{block.where}: {named}"
