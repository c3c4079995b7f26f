"""The file of a sweep's results: a JSON object a line, on the disk before the next one is waited for.

Whatever ends a sweep, what was finished is there. A line that was being written when the machine stopped is no result:
it is cut off when the file is opened again.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from rtl4ml.errors import ConfigurationError

Record = dict[str, Any]
"""A finished point: `key`, `point`, and `result` or `error`."""


class Results:
    """Results by key, and the file behind them; a context, in which the file is this process' alone.

    Parameters:
        path: the file; made when it is not there.

    Raises:
        ConfigurationError: the file cannot be opened, another sweep writes it, or a line in it is no result.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._records: dict[str, Record] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self.path.open("a+b")
        except OSError as error:
            raise ConfigurationError(f"Results {str(path)!r} must be writable: {error.strerror}") from error
        try:
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        # The system gives the lock back when the process ends, however it ends.
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"Results {str(self.path)!r} must be written by one sweep at a time, not by two"
            ) from error

    def _read(self) -> None:
        self._file.seek(0)
        lines = self._file.read().splitlines(keepends=True)
        end = 0
        for number, line in enumerate(lines, 1):
            whole = line.endswith(b"\n")
            try:
                record = json.loads(line)
                key = record["key"]
            except (ValueError, TypeError, KeyError) as error:
                if whole or number < len(lines):
                    raise ConfigurationError(
                        f"Line {number} of results {str(self.path)!r} must be a JSON object with a key, not "
                        f"{line[:40].decode(errors='replace').strip()!r}"
                    ) from error
                break
            self._records[key] = record
            end += len(line)
            if not whole:  # an editor's doing: the line is good, and the next one must not run into it
                self._write(b"\n")
                end += 1
        self._file.truncate(end)
        self._sync()

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())

    def append(self, record: Mapping[str, Any]) -> None:
        """Put a finished point onto the disk; it is there when this returns.

        Raises:
            ConfigurationError: the disk does not take it.
        """
        try:
            self._write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
            self._sync()
        except OSError as error:
            raise ConfigurationError(f"Results {str(self.path)!r} must be writable: {error.strerror}") from error
        self._records[record["key"]] = dict(record)

    def get(self, key: str) -> Record | None:
        """The record of a point; of several the last; None: not there."""
        return self._records.get(key)

    def __len__(self) -> int:
        """How many points have a record."""
        return len(self._records)

    def __enter__(self) -> Self:
        """The results themselves."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file; another sweep may have it then."""
        self._file.close()
