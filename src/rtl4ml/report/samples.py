"""Real data for verification: arrays of an .npz file, brought to the file's input shape."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Reals

LABEL_NAMES = ("labels", "y", "label", "targets")


def read_samples(
    path: Path, shape: tuple[int, ...], divide: float | None, *, labels: bool
) -> tuple[Reals, NDArray | None]:
    """Inputs (N, *shape) as float32, and labels (N,) if wanted.

    The inputs are the file's array `x`, or the only one with as many elements a sample as the model takes; `.npy`
    files hold just that one.

    Args:
        path: `.npz` or `.npy` file.
        shape: of one sample in the model.
        divide: divisor for every value, in float32, such as 255 for pixels.
        labels: whether labels must be there, under one of the names in LABEL_NAMES.

    Raises:
        ConfigurationError: the file cannot be read, no array fits, or a value is not finite in float32.
    """
    try:
        # Opened here, since NumPy leaves a file open that it cannot read.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = {"x": loaded} if isinstance(loaded, np.ndarray) else {n: loaded[n] for n in loaded.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        # NumPy takes whatever it does not know for Python objects, and tells how to load those.
        unknown = isinstance(error, ValueError) and "pickle" in str(error)
        said = "it holds Python objects, or is something else" if unknown else error
        raise ConfigurationError(
            f"Data {str(path)!r} must be a readable .npz or .npy file without pickles: {said}"
        ) from error
    size = int(np.prod(shape, dtype=np.int64))
    fitting = {name: a for name, a in arrays.items() if a.ndim > 1 and a.dtype.kind in "fiub" and a[:1].size == size}
    if not fitting or ("x" not in fitting and len(fitting) > 1):
        found = ", ".join(f"{name} {list(a.shape)}" for name, a in arrays.items()) or "none"
        raise ConfigurationError(
            f"Data {str(path)!r} must hold one array of {size} elements a sample, or name it x, not {found}"
        )
    values = fitting.get("x", next(iter(fitting.values())))
    if divide is not None and (divide == 0 or not np.isfinite(divide)):
        raise ConfigurationError(f"Divisor of the data must be finite and not 0, not {divide}")
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        reals = values.astype(np.float32).reshape(len(values), *shape)
        if divide is not None:
            reals = reals / np.float32(divide)
    finite = np.isfinite(reals).reshape(len(reals), -1).all(axis=1)
    if not finite.all():
        raise ConfigurationError(
            f"Data {str(path)!r} must be finite in float32, but is not in sample {int(np.argmin(finite))}"
        )
    if not labels:
        return reals, None
    found_labels = next((arrays[name] for name in LABEL_NAMES if name in arrays), None)
    if found_labels is None or found_labels.size != len(reals):
        raise ConfigurationError(
            f"Data {str(path)!r} must hold {len(reals)} labels, as an array named one of {', '.join(LABEL_NAMES)}"
        )
    return reals, found_labels.reshape(-1)
