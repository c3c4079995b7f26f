import rtl4ml
from rtl4ml.sweep import versions as module
from rtl4ml.sweep.versions import sources_digest, versions
from rtl4ml.yosys import yosys_version


def test_what_decides_a_result_is_named():
    own = f"{rtl4ml.__version__}+{sources_digest()}"
    assert versions(tools=False) == {"rtl4ml": own}
    assert versions(tools=True, target="ecp5") == {"rtl4ml": own, "yosys": yosys_version()}


def test_sources_that_build_designs_count_and_others_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PACKAGE", tmp_path)
    (tmp_path / "hdl").mkdir()
    (tmp_path / "cli").mkdir()
    digests = []
    for name, text in (("hdl/fifo.py", "a"), ("cli/sweep.py", "a"), ("cli/sweep.py", "b"), ("hdl/fifo.py", "b")):
        (tmp_path / name).write_text(text)
        digests.append(sources_digest.__wrapped__())
    assert digests[0] == digests[1] == digests[2] != digests[3]
