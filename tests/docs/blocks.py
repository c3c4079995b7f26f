"""Fenced blocks of the documentation's pages, and what a user would do with them.

- ```console: lines that begin with `$ ` are commands; those below are lines of their output, in order, `...` for any
  number of others, within a line for any text. A command whose first line of output begins with `rtl4ml: ` must fail
  with status 2, any other must succeed.
- ```python: runs in one interpreter a page.
- ```shell and ```sh: installation, which needs a network, or a cluster: not run, but its targets and extras must exist.
- any other with `title="FILE"`: the user saves it under that name.

`<!-- needs: TOOL -->` in front of a block: it is left out where that tool is not on the path.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

FENCE = re.compile(r"^( *)(`{3,})(\w*)(.*)$")
NEEDS = re.compile(r"^ *<!-- needs: (\w+) -->$")
TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    kind: str
    title: str | None
    needs: str | None
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    where: str
    text: str
    output: tuple[str, ...]

    @property
    def status(self) -> int:
        return 2 if self.output and self.output[0].startswith("rtl4ml: ") else 0


def blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        opened = FENCE.match(lines[number])
        number += 1
        if opened is None:
            continue
        indent, fence, kind, rest = opened.groups()
        start = number
        needs = NEEDS.match(lines[start - 2]) if start > 1 else None
        while lines[number].strip() != fence:
            number += 1
        text = "\n".join(line[len(indent) :] for line in lines[start:number]) + "\n"
        title = TITLE.search(rest)
        yield Block(page, start + 1, kind, title and title[1], needs and needs[1], text)
        number += 1


def commands(block: Block) -> Iterator[Command]:
    command, output, line = "", [], block.line
    for offset, text in enumerate(block.text.splitlines()):
        if command.endswith("\\"):
            command += "\n" + text.removeprefix("> ")
        elif text.startswith("$ "):
            if command:
                yield Command(f"{block.page.relative_to(ROOT)}:{line}", command, tuple(output))
            command, output, line = text.removeprefix("$ "), [], block.line + offset
        else:
            output.append(text)
    yield Command(f"{block.page.relative_to(ROOT)}:{line}", command, tuple(output))
