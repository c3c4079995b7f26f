"""The network of a sweep, on every worker: its file goes there once, whatever disks the workers see."""

import functools
import hashlib
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rtl4ml.errors import ConfigurationError, ModelError
from rtl4ml.frontend.load import load
from rtl4ml.graph import Graph


@dataclass(frozen=True)
class Reading:
    """How the file is read, the same for all points; see `rtl4ml.load`."""

    chains: str = "float32"
    argmax: bool = False
    input_shape: tuple[int, ...] | None = None

    def describe(self) -> dict[str, Any]:
        """The reading as plain types."""
        return asdict(self)


@dataclass(frozen=True)
class Model:
    """A model's file.

    Parameters:
        file: name without its folder.
        data: what is in it.
        digest: SHA-256 of that, in hexadecimal.
    """

    file: str
    data: bytes
    digest: str

    @classmethod
    def of(cls, path: str | Path) -> "Model":
        """Read a file.

        Raises:
            ModelError: it cannot be read.
        """
        path = Path(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(f"Model {str(path)!r} must be a readable file: {error.strerror}") from error
        return cls(path.name, data, hashlib.sha256(data).hexdigest())

    @property
    def name(self) -> str:
        """Of the network: the file's name without its ending."""
        return Path(self.file).stem


_MODELS: dict[str, Model] = {}
"""Those that came to this process, by digest."""


def keep(model: Model) -> None:
    """Have a model at hand in this process."""
    _MODELS[model.digest] = model


@functools.lru_cache(maxsize=16)
def graph_of(digest: str, reading: Reading, input_format: str | None) -> Graph:
    """The graph of a model that `keep` was given; the few that a sweep needs are made once a process.

    Raises:
        ConfigurationError: the model never came here.
        ModelError: it cannot be built exactly.
    """
    if digest not in _MODELS:
        raise ConfigurationError(f"Model must be sent to the worker before its points, not missing: {digest}")
    model = _MODELS[digest]
    with tempfile.TemporaryDirectory(prefix="rtl4ml-sweep-") as folder:
        path = Path(folder) / model.file
        path.write_bytes(model.data)
        shape = None if reading.input_shape is None else list(reading.input_shape)
        return load(path, input_format, reading.chains, argmax=reading.argmax, input_shape=shape)
