"""Keeps what was built (simulations, synthesis results) between runs, a folder per key, for builders side by side."""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import platformdirs

UNUSED_DAYS = 30
"""A build that was not used for this long is removed when the next one is stored."""


def cache_folder() -> Path:
    """Root of the cache: ``$RTL4ML_CACHE``, else the operating system's folder for caches of a user."""
    chosen = os.environ.get("RTL4ML_CACHE")
    return Path(chosen).absolute() if chosen else Path(platformdirs.user_cache_dir("rtl4ml"))


def key_of(parts: Iterable[str | bytes]) -> str:
    """Hash of texts in order; where one ends and the next begins counts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:32]


def cached(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """Folder of the build with this key; built when it is not there yet.

    The build happens in a folder of its own, which is renamed when it is complete: a reader never sees half a build. Of
    two builders with the same key the first to finish wins, and the other takes its result.

    Args:
        kind: Folder below the cache's root, one for each sort of build.
        key: What the build depends on, from `key_of`.
        build: Fills the empty folder it is given. What it raises is passed on, and nothing is kept.
    """
    folder = cache_folder() / kind
    final = folder / key
    if not final.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".building-", dir=folder))
        try:
            build(aside)
            aside.rename(final)
        except OSError:
            if not final.is_dir():
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        _remove_unused(folder)
    os.utime(final)  # used now
    return final


def _remove_unused(folder: Path) -> None:
    """Removes builds, and leavings of interrupted ones, that were not touched for `UNUSED_DAYS`."""
    oldest = time.time() - UNUSED_DAYS * 24 * 3600
    for entry in folder.iterdir():
        try:
            if entry.stat().st_mtime < oldest:
                shutil.rmtree(entry, ignore_errors=True)
        except FileNotFoundError:  # another process removed it, or renamed it into place
            continue
