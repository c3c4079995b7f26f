import pytest

from rtl4ml import resources
from rtl4ml.errors import ToolError


def test_folders_of_data_are_found():
    assert resources.path("rtl_templates", "axis_wrapper.v.j2").is_file()
    assert resources.path("sim", "native", "harness.cpp").is_file()
    assert resources.path("sim", "cocotb").is_dir()


def test_the_package_comes_before_the_checkout(tmp_path, monkeypatch):
    package = tmp_path / "src" / "rtl4ml"
    for folder in (package / "_data" / "sim", tmp_path / "sim"):
        folder.mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert resources.path("sim") == package / "_data" / "sim"


def test_a_missing_file_is_an_incomplete_installation():
    with pytest.raises(ToolError) as caught:
        resources.path("sim", "nothing.txt")
    assert str(caught.value) == (
        "rtl4ml must be installed with its data files: sim/nothing.txt was not found; reinstall the package"
    )
