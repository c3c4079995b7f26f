"""A graph as a file: one `.npz` with the arrays and a JSON tree, so that a definition once made can be kept and shared.

Staircases are what the executor of the day said; the file keeps them, and with them the promise, whatever executor
comes later. The tree names classes of rtl4ml only, and reading it runs no code of the file.
"""

import dataclasses
import enum
import importlib
import io
import json
import os
import tempfile
import types
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rtl4ml.errors import ModelError
from rtl4ml.graph import Graph

VERSION = 1
_PACKAGE = "rtl4ml."


def save(graph: Graph, path: str | Path) -> None:
    """Write a graph, whole or not at all.

    Raises:
        ModelError: the place cannot be written to.
    """
    arrays: dict[str, Any] = {}
    tree = {"version": VERSION, "graph": _pack(graph, arrays)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, tree=np.frombuffer(json.dumps(tree).encode(), np.uint8), **arrays)
    path = Path(path)
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as aside:
            aside.write(buffer.getvalue())
        os.replace(aside.name, path)
    except OSError as error:
        raise ModelError(f"Graph file {str(path)!r} must be writable, but is not: {error.strerror}") from error


def load(path: str | Path) -> Graph:
    """Read a graph that `save` wrote.

    Raises:
        ModelError: the file cannot be read, or is no graph of this version.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            tree = json.loads(bytes(arrays["tree"]))
            if tree.get("version") != VERSION:
                raise ModelError(f"Graph file {str(path)!r} must be of version {VERSION}, not {tree.get('version')!r}")
            graph = _unpack(tree["graph"], arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"Graph file {str(path)!r} must be one that rtl4ml saved, not something else: {error}"
        ) from error
    if not isinstance(graph, Graph):
        raise ModelError(f"Graph file {str(path)!r} must hold a graph, not a {type(graph).__name__}")
    return graph


def _class_name(kind: type) -> str:
    return f"{kind.__module__.removeprefix(_PACKAGE)}:{kind.__qualname__}"


def _find_class(name: str) -> Any:
    module, _, kind = name.partition(":")
    found = getattr(importlib.import_module(_PACKAGE + module), kind)
    if not (isinstance(found, type) and (dataclasses.is_dataclass(found) or issubclass(found, enum.Enum))):
        raise ModelError(f"Class in a graph file must be one of rtl4ml's data classes, not {name!r}")
    return found


def _pack(value: Any, arrays: dict[str, Any]) -> Any:
    """A value as JSON; arrays and bytes go aside."""
    if isinstance(value, np.generic):  # float64 is a float too, but must stay what it is
        value = np.asarray(value)
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.ndarray():
            arrays[f"a{len(arrays)}"] = value
            return {"array": f"a{len(arrays) - 1}"}
        case bytes():
            arrays[f"a{len(arrays)}"] = np.frombuffer(value, np.uint8)
            return {"bytes": f"a{len(arrays) - 1}"}
        case enum.Enum():
            return {"enum": _class_name(type(value)), "name": value.name}
        case tuple() | list():
            return {"tuple" if isinstance(value, tuple) else "list": [_pack(item, arrays) for item in value]}
        case Mapping():
            return {"map": [[_pack(key, arrays), _pack(item, arrays)] for key, item in value.items()]}
        case types.MethodType():
            return {"method": value.__func__.__name__, "of": _pack(value.__self__, arrays)}
    if dataclasses.is_dataclass(value) and type(value).__module__.startswith(_PACKAGE):
        fields = {f.name: _pack(getattr(value, f.name), arrays) for f in dataclasses.fields(value) if f.init}
        return {"class": _class_name(type(value)), "fields": fields}
    raise ModelError(
        "Values of a graph must be arrays, numbers, text or rtl4ml's data classes to be saved, not "
        f"{type(value).__name__}"
    )


def _unpack(tree: Any, arrays: Mapping[str, Any]) -> Any:
    """The value of a JSON tree."""
    if not isinstance(tree, dict):
        return tree
    match tree:
        case {"array": name}:
            return arrays[name]
        case {"bytes": name}:
            return arrays[name].tobytes()
        case {"enum": kind, "name": name}:
            return _find_class(kind)[name]
        case {"tuple": items}:
            return tuple(_unpack(item, arrays) for item in items)
        case {"list": items}:
            return [_unpack(item, arrays) for item in items]
        case {"map": pairs}:
            return {_unpack(key, arrays): _unpack(item, arrays) for key, item in pairs}
        case {"method": name, "of": owner}:
            owner = _unpack(owner, arrays)
            if name.startswith("_") or not isinstance(getattr(owner, name, None), types.MethodType):
                raise ModelError(f"Method in a graph file must be a public one of {type(owner).__name__}, not {name!r}")
            return getattr(owner, name)
        case {"class": kind, "fields": fields}:
            return _find_class(kind)(**{name: _unpack(item, arrays) for name, item in fields.items()})
    raise ModelError(f"Entry of a graph file must be a known kind, not {sorted(tree)}")
