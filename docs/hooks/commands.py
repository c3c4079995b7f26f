"""Writes the command reference from the command line itself: what the page says is what the program takes."""

import inspect
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer.main

from rtl4ml.cli import app

MARK = "<!-- commands -->"
"""Line of docs/commands.md that the reference takes the place of."""

VALUES = {int: "N", float: "X", Path: "FILE", str: "TEXT"}
"""What stands for a value, by its type."""


def on_page_markdown(markdown: str, **_: object) -> str:
    """MkDocs calls this with the text of every page."""
    return markdown.replace(MARK, "\n".join(_reference())) if MARK in markdown else markdown


def _reference() -> Iterator[str]:
    functions = {_name(info): info.callback for info in app.registered_commands}
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        yield from (f"## rtl4ml {name}", "", inspect.cleandoc(command.help or ""), "")
        arguments = [p for p in command.params if not p.opts[0].startswith("-")]
        options = [p for p in command.params if p.opts[0].startswith("-") and not getattr(p, "hidden", False)]
        usage = " ".join((p.metavar or p.name.upper()) if p.required else f"[{p.name.upper()}]" for p in arguments)
        yield from ("```text", f"rtl4ml {name}{' ' if usage else ''}{usage} [OPTIONS]", "```", "")
        types = _types(functions[name])
        for argument in arguments:
            yield from (f"`{argument.metavar or argument.name.upper()}`: {argument.help}", "")
        if options:
            yield from ("| option | meaning | default |", "| --- | --- | --- |")
            yield from (_row(option, types.get(option.name)) for option in options)
            yield ""


def _name(info: Any) -> str:
    return info.name or info.callback.__name__.replace("_", "-")


def _types(function: Callable[..., Any] | None) -> dict[str, type | None]:
    """Type of each parameter's value, without None; nothing for switches."""
    assert function is not None
    found: dict[str, type | None] = {}
    for name, hint in typing.get_type_hints(function).items():
        kinds = [kind for kind in (*typing.get_args(hint), hint) if kind is not type(None)]
        found[name] = None if bool in kinds or not kinds else kinds[0]
    return found


def _row(option: Any, kind: type | None) -> str:
    value = "" if kind is None else f" {option.metavar or VALUES.get(kind, 'TEXT')}"
    words = ", ".join(f"`{word}{value if word == option.opts[0] else ''}`" for word in option.opts)
    if option.secondary_opts:
        words += ", " + ", ".join(f"`{word}`" for word in option.secondary_opts)
    if isinstance(option.show_default, str):
        default = option.show_default
    elif option.required:
        default = "must be given"
    elif option.default in (None, False):
        default = ""
    else:
        default = "on" if option.default is True else f"`{option.default}`"
    return f"| {words} | {_cell(option.help or '')} | {_cell(default)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
