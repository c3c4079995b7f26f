import numpy as np
import pytest

from rtl4ml.datapath.delays import Clock, delays_of
from rtl4ml.errors import ConfigurationError
from rtl4ml.operators import Dense
from rtl4ml.planning.settings import Settings, from_file, from_mapping, parse_reuse
from tests.stages.networks import network


def message(call, *arguments, **named):
    with pytest.raises(ConfigurationError) as caught:
        call(*arguments, **named)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"reuse": 0}, "reuse must be an integer of at least 1, not 0"),
        ({"reuse": -3}, "reuse must be an integer of at least 1, not -3"),
        ({"reuse": 2.5}, "reuse must be an integer of at least 1, not 2.5"),
        ({"reuse": True}, "reuse must be an integer of at least 1, not True"),
        ({"reuse": None}, "reuse must be an integer of at least 1, not None"),
        ({"output_lanes": 0}, "output_lanes must be an integer of at least 1, not 0"),
        ({"weights": "soft"}, "weights must be fixed or writable, not 'soft'"),
        ({"layer_reuse": {"fc0": 0}}, "reuse of layer 'fc0' must be an integer of at least 1, not 0"),
        ({"lanes": 0}, "lanes must be an integer of at least 1, not 0"),
        ({"lanes": 1.0}, "lanes must be an integer of at least 1, not 1.0"),
        ({"lanes": True}, "lanes must be an integer of at least 1, not True"),
        ({"output_lanes": 0}, "output_lanes must be an integer of at least 1, not 0"),
        ({"clock_mhz": 0}, "clock_mhz must be a number from 1 to 2000, not 0"),
        ({"clock_mhz": 5000.0}, "clock_mhz must be a number from 1 to 2000, not 5000.0"),
        ({"clock_mhz": float("nan")}, "clock_mhz must be a number from 1 to 2000, not nan"),
        ({"clock_mhz": "fast"}, "clock_mhz must be a number from 1 to 2000, not 'fast'"),
        ({"backpressure": 1}, "backpressure must be true or false, not 1"),
    ],
)
def test_values_without_meaning(values, expected):
    assert message(Settings, **values) == expected


def test_defaults():
    assert from_mapping({}) == Settings() == Settings(1, {}, None, 200.0, True, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8", (8, {})),
        ("fc1=4", (None, {"fc1": 4})),
        ("8,fc1=4", (8, {"fc1": 4})),
        ("default=8,dense=4", (8, {"dense": 4})),
        (" 8 , fc1 = 4 , /layers.0/MatMul=2 ", (8, {"fc1": 4, "/layers.0/MatMul": 2})),
        ("a=b=3", (None, {"a=b": 3})),
        ("default=8,dense=4", (8, {"dense": 4})),
    ],
)
def test_reuse_in_words(text, expected):
    assert parse_reuse(text) == expected


@pytest.mark.parametrize("text", ["", "fast", "fc1=", "fc1=x", "8;9", "2.5", "8,"])
def test_reuse_that_is_none(text):
    assert message(parse_reuse, text) == (
        f"reuse must be an integer or LAYER=integer, several separated by commas, not {text!r}"
    )


@pytest.mark.parametrize("reuse", ["8,fc0=4", {"default": 8, "fc0": 4}], ids=["words", "table"])
def test_reuse_from_words_and_tables(reuse):
    settings = from_mapping({"reuse": reuse, "clock_mhz": 100})
    assert (settings.reuse, dict(settings.layer_reuse), settings.clock_mhz) == (8, {"fc0": 4}, 100)


def test_a_target_says_where_registers_stand():
    assert Settings(clock_mhz=50).clock == Clock(50, delays_of(None))
    assert Settings(clock_mhz=50, target="ecp5-25f").clock == Clock(50, delays_of("ecp5"))
    assert message(Settings, target="gowin").startswith("target must be one of generic, ecp5, ")
    assert message(Settings, target=5) == "target must be the name of a device, not 5"


def test_unknown_settings():
    assert message(from_mapping, {"reuse": 2, "speed": 3}) == (
        "Setting must be one of backpressure, clock_mhz, fit, folding, fps, interval, lanes, latency, multipliers, "
        "output_lanes, reuse, style, target, weights, not 'speed'"
    )


TOML = 'lanes = 4\nclock_mhz = 320.0\nbackpressure = false\n[reuse]\ndefault = 8\n"fc0" = 2\n'
YAML = "lanes: 4\nclock_mhz: 320.0\nbackpressure: false\nreuse:\n  default: 8\n  fc0: 2\n"


@pytest.mark.parametrize(("name", "text"), [("a.toml", TOML), ("a.yaml", YAML), ("a.yml", YAML)])
def test_files(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    assert from_file(path) == from_file(str(path)) == Settings(8, {"fc0": 2}, 4, 320.0, False)


def test_reuse_as_a_number_in_a_file(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("reuse: 16\n")
    assert from_file(path).reuse == 16


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.toml", "reuse = \n", "must be TOML (.toml) or YAML: "),
        ("a.yaml", "reuse: [1\n", "must be TOML (.toml) or YAML: "),
        ("a.yaml", "- 1\n- 2\n", "must be a table of settings, not list"),
        ("a.yaml", "", "must be a table of settings, not NoneType"),
        ("a.yaml", "8\n", "must be a table of settings, not int"),
    ],
)
def test_files_without_meaning(tmp_path, name, text, expected):
    path = tmp_path / name
    path.write_text(text)
    assert message(from_file, path).startswith(f"Configuration {str(path)!r} {expected}")


def test_a_file_that_is_not_there(tmp_path):
    path = tmp_path / "a.toml"
    assert message(from_file, path) == (
        f"Configuration {str(path)!r} must be a readable text file: [Errno 2] No such file or directory: {str(path)!r}"
    )


def test_a_binary_file(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert message(from_file, path).startswith(f"Configuration {str(path)!r} must be a readable text file: ")


def test_reuse_of_layers():
    graph, _ = network([6, 5, 1], 0)
    first, second = (o for o in graph.operators if o.kind == "Dense")
    settings = Settings(16, {"fc1": 3})
    assert (settings.reuse_of(first), settings.reuse_of(second)) == (16, 3)
    # A layer with fewer multiplications than the network's reuse gets one multiplier.
    assert (Settings(1000).reuse_of(first), Settings(1000).reuse_of(second)) == (30, 5)


def test_reuse_of_a_kind():
    """A layer's own reuse wins; the kind's goes as far as the layer has multiplications."""
    graph, _ = network([6, 5, 1], 0)
    first, second = (o for o in graph.operators if o.kind == "Dense")
    settings = Settings(2, {"dense": 16, "fc0": 3})
    settings.check(graph)
    assert (settings.reuse_of(first), settings.reuse_of(second)) == (3, 5)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            Settings(1, {"fc9": 2}),
            "Layer of a reuse must be one of 'fc0', 'fc1', or a kind of layer ('conv', 'dense'), not 'fc9'",
        ),
        (Settings(1, {"fc1": 6}), "reuse of layer 'fc1' must be at most its 5 multiplications, not 6"),
        (
            Settings(output_lanes=2),
            "output_lanes must be at most the 1 elements of the output, not 2",
        ),
        (Settings(lanes=7), "lanes must be at most the 6 elements of the input, not 7"),
        (Settings(output_lanes=2), "output_lanes must be at most the 1 elements of the output, not 2"),
    ],
)
def test_settings_that_do_not_fit(settings, expected):
    graph, _ = network([6, 5, 1], 0)
    assert message(settings.check, graph) == expected


def test_settings_that_fit():
    graph, _ = network([6, 5, 1], 0)
    Settings(10**9, {"fc0": 30, "fc1": 5}, lanes=6).check(graph)
    assert np.prod(graph.operators[0].weights.shape) == 30


@pytest.mark.parametrize(
    ("reuse", "expected"),
    [
        ({"dense": 8, "default": 2}, [8, 5]),
        ({"dense": 3, "fc1": 1, "default": 2}, [3, 1]),
        ({"fc0": 4, "default": 2}, [4, 2]),
        ({"dense": 1000}, [30, 5]),
    ],
)
def test_a_name_wins_over_a_kind_and_a_kind_over_the_default(reuse, expected):
    graph, _ = network([6, 5, 1], 0)
    settings = from_mapping({"reuse": reuse})
    settings.check(graph)
    layers = [operator for operator in graph.operators if isinstance(operator, Dense)]
    assert [settings.reuse_of(layer) for layer in layers] == expected
