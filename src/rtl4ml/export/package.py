"""The folder of an IP: written aside, moved into place whole."""

import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from rtl4ml.errors import ConfigurationError


def check_target(target: Path) -> None:
    """Find out early whether an IP can be written there.

    Raises:
        ConfigurationError: the place cannot be written to, or holds something that is no exported IP.
    """
    if target.exists() and not (target / "metadata.json").is_file() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigurationError(
            f"Output folder {str(target)!r} must be new, empty or an exported IP, not something else: it would be "
            "replaced"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"Output folder {str(target.parent)!r} must be writable, but is not: {error.strerror}"
        ) from error


@contextmanager
def _termination_unwinds() -> Iterator[None]:
    """SIGTERM raises SystemExit meanwhile, as Ctrl-C raises KeyboardInterrupt: half-written things can be cleared away.

    Only where the signal would end the process at once, and in the main thread: other handlers stay.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def unwind(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder to write into: takes the place of `target` when the block ends well, and vanishes when it does not.

    That holds for Ctrl-C and SIGTERM too.

    Raises:
        ConfigurationError: the place cannot be written to, or holds something that is no exported IP.
    """
    check_target(target)
    with _termination_unwinds():
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        old = aside.with_name(f"{aside.name}.old")
        try:
            aside.chmod(0o755)
            yield aside
            if target.exists():
                os.replace(target, old)
            os.replace(aside, target)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            if old.exists() and not target.exists():
                os.replace(old, target)
            raise
        shutil.rmtree(old, ignore_errors=True)


FOLDING_COMMENT = """# How the layers of this IP are folded. Edited or not, it can be given back:
# rtl4ml build MODEL --config folding.yaml
"""


def folding_text(folding: Mapping[str, Any]) -> str:
    """Settings as YAML, a line for each node."""

    def line(key: str, value: object) -> str:
        return yaml.safe_dump({key: value}, default_flow_style=True, sort_keys=False, width=1 << 20).strip()[1:-1]

    lines = [line(key, value) for key, value in folding.items() if key != "folding"]
    nodes = [f"  {line(name, fold)}" for name, fold in folding["folding"].items()]
    return FOLDING_COMMENT + "\n".join([*lines, "folding:" if nodes else "folding: {}", *nodes]) + "\n"


def write(
    target: Path,
    verilog: Mapping[str, str],
    metadata: Mapping[str, object],
    folding: Mapping[str, Any],
    others: Mapping[str, str | bytes] | None = None,
) -> Path:
    """Write the IP: `rtl/*.v`, `metadata.json`, `folding.yaml` and what comes beside them.

    Args:
        target: folder of the IP.
        verilog: text by file name.
        metadata: what goes into metadata.json.
        folding: settings that give this IP again.
        others: content of further files by path in the folder.

    Returns:
        The folder.

    Raises:
        ConfigurationError: the place cannot be written to.
    """
    with whole_folder(target) as folder:
        (folder / "rtl").mkdir()
        for name, text in verilog.items():
            (folder / "rtl" / name).write_text(text, encoding="utf-8")
        text = json.dumps(metadata, indent=2, ensure_ascii=False)
        (folder / "metadata.json").write_text(text + "\n", encoding="utf-8")
        (folder / "folding.yaml").write_text(folding_text(folding), encoding="utf-8")
        for path, content in (others or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    return target
