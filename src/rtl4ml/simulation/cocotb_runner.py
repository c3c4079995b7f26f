"""cocotb's runner and where cocotb lies: a file of its own, so that all else works where cocotb is not installed."""

import os
from pathlib import Path

import cocotb_tools.config
from cocotb_tools.runner import Verilator

MAIN: Path = cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"
"""The C++ main function of a simulation under cocotb."""

LIBRARIES: Path = cocotb_tools.config.libs_dir
"""Folder of the libraries that it is linked with."""


class Runner(Verilator):
    """cocotb's runner for Verilator, for tests in a given folder."""

    def __init__(self, modules: Path) -> None:
        super().__init__()
        self._modules = modules

    def _set_env_test(self) -> None:
        super()._set_env_test()
        self.env["PYTHONPATH"] = os.pathsep.join([str(self._modules), self.env["PYTHONPATH"]])
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"  # the modules may lie in a folder that is not ours to write to
