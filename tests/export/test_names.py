import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.export.names import VERILOG_WORDS, ip_name


@pytest.mark.parametrize("name", ["net", "_a1", "JetTagger"])
def test_given_names(name):
    assert ip_name(name, given=True) == name


@pytest.mark.parametrize("name", ["", "1net", "a-b", "a b", "ü", "module", "endmodule", "wire", "a\n"])
def test_given_names_that_are_none(name):
    with pytest.raises(ConfigurationError) as caught:
        ip_name(name, given=True)
    assert str(caught.value) == (
        f"Name must be a plain Verilog identifier (letters, digits, underscores, no keyword), not {name!r}"
    )


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("jet-tagger v2.1", "jet_tagger_v2_1"),
        ("3layers", "net_3layers"),
        ("module", "module_net"),
        ("ünet", "net"),
        ("---", "net"),
        ("_x_", "x"),
    ],
)
def test_names_from_files(name, plain):
    assert ip_name(name, given=False) == plain
    assert ip_name(plain, given=True) == plain
    assert plain not in VERILOG_WORDS
