"""Finds the files that rtl4ml uses but never imports: Verilog templates, simulation benches, boards.

In a checkout they are the top-level folders ``rtl_templates/``, ``sim/`` and ``boards/``. A wheel carries the same
folders as package data below ``rtl4ml/_data``.
"""

from pathlib import Path

from rtl4ml.errors import ToolError

_PACKAGE = Path(__file__).resolve().parent


def path(*parts: str) -> Path:
    """Location of a data file or folder, in the installed package or in the checkout.

    Args:
        *parts: The path below the data root, beginning with the top-level folder:
            ``path("sim", "native", "harness.cpp")``.

    Raises:
        ToolError: The file is in neither place, so the installation is incomplete.
    """
    # The wheel first: an installed package must not pick up folders that happen to lie two levels above it.
    for root in (_PACKAGE / "_data", _PACKAGE.parent.parent):
        found = root.joinpath(*parts)
        if found.exists():
            return found
    name = "/".join(parts)
    raise ToolError(f"rtl4ml must be installed with its data files: {name} was not found; reinstall the package")
