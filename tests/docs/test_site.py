"""The site builds without a warning, needs nothing from elsewhere, and every link in it leads somewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
import typer.main

from rtl4ml.cli import app
from rtl4ml.planning import settings
from tests.docs.blocks import DOCS, PAGES, ROOT

LOADED = {"script": "src", "link": "href", "img": "src", "source": "src", "iframe": "src"}
"""Attributes whose files a browser fetches by itself."""


class Page(HTMLParser):
    """Anchors, links and files of a page."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.loaded = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag == "a" and values.get("href"):
            self.links.add(values["href"])
        if values.get(LOADED.get(tag, "")) and values.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.add(values[LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def test_every_page_is_there(site):
    for page in PAGES:
        assert (site / page.relative_to(DOCS)).with_suffix(".html").is_file()


def test_links_lead_somewhere(site, pages):
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in page.links | page.loaded:
            parts = urlsplit(link)
            if parts.scheme or link.startswith("//"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path.relative_to(site)}: {link}"
            if parts.fragment and target.suffix == ".html":
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.relative_to(site)}: {link}"


def test_nothing_comes_from_elsewhere(site, pages):
    for path, page in pages.items():
        for name in page.loaded:
            assert not re.match(r"(https?:)?//", name), f"{path.relative_to(site)}: {name}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_reference_has_every_command_and_option(site):
    text = (site / "commands.html").read_text(encoding="utf-8")
    for name, command in typer.main.get_command(app).commands.items():
        begin = text.index(f'id="rtl4ml-{name}"')
        end = text.find("<h2", begin)
        section = text[begin : end if end > 0 else len(text)]
        for parameter in command.params:
            if getattr(parameter, "hidden", False) or not parameter.opts[0].startswith("-"):
                continue
            for word in (*parameter.opts, *parameter.secondary_opts):
                assert re.search(rf"<code>{re.escape(word)}\b", section), f"{name} {word}"


def test_folding_page_has_every_setting():
    text = (DOCS / "folding.md").read_text(encoding="utf-8")
    fields = [
        *settings.Settings.__dataclass_fields__,
        *settings.FOLDS,
        *settings.LAYER_KINDS,
        *settings.GOALS,
        *settings.STYLES,
    ]
    for name in fields:
        assert f"`{name}" in text, name
