import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.planning.settings import Settings
from rtl4ml.sweep.points import Point, grid, parse_values, read_grid


def test_every_combination_once():
    points = grid({"reuse": [2, 4], "clock_mhz": [100, 200], "input_format": ["codes", "fixed<8,2>"]})
    assert points == [
        Point(Settings(reuse=reuse, clock_mhz=clock), input_format)
        for reuse in (2, 4)
        for clock in (100, 200)
        for input_format in (None, "fixed<8,2>")
    ]
    assert grid({"reuse": [2, 2, 4]}) == grid({"reuse": [2, 4]})
    assert grid({}) == [Point(Settings())]


def test_a_whole_number_of_megahertz_is_the_same_point():
    assert grid({"clock_mhz": 100})[0].describe() == grid({"clock_mhz": 100.0})[0].describe()
    assert str(grid({"clock_mhz": 100})[0].describe()["clock_mhz"]) == "100.0"


def test_ways_to_fold_stand_side_by_side():
    points = grid({"reuse": [2, "fc1=4,8"], "interval": 10, "multipliers": [3, 5]})
    assert [point.settings for point in points] == [
        Settings(reuse=2),
        Settings(reuse=8, layer_reuse={"fc1": 4}),
        Settings(interval=10),
        Settings(multipliers=3),
        Settings(multipliers=5),
    ]
    assert [point.axes()["folding"] for point in points] == [
        "reuse 2",
        "reuse 8, fc1=4",
        "interval 10",
        "multipliers 3",
        "multipliers 5",
    ]


def test_a_free_running_pipeline_has_no_lanes():
    points = grid({"interface": ["axi", "free-running"], "lanes": ["auto", 2]})
    assert [point.settings for point in points] == [
        Settings(),
        Settings(lanes=2),
        Settings(backpressure=False),
    ]
    assert [point.axes()["interface"] for point in points] == ["axi", "axi", "free-running"]
    assert [point.axes()["lanes"] for point in points] == ["auto", "2", "auto"]
    assert grid({"lanes": [1, 2]}, Settings(backpressure=False)) == [Point(Settings(backpressure=False))]


def test_single_points_stand_beside_the_grid_or_alone():
    single = {"reuse": 16, "clock_mhz": 300, "interface": "free-running"}
    expected = Point(Settings(reuse=16, clock_mhz=300, backpressure=False))
    assert grid({"points": [single]}) == [expected]
    assert grid({"reuse": [2], "points": [single, {"reuse": 2}]}) == [Point(Settings(reuse=2)), expected]


def test_the_base_holds_where_no_axis_says_otherwise():
    base = Settings(clock_mhz=50, output_lanes=2)
    assert grid({"reuse": 4}, base) == [Point(Settings(reuse=4, clock_mhz=50, output_lanes=2))]
    assert grid({"output_lanes": "auto"}, base) == [Point(Settings(clock_mhz=50))]


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"speed": [1]}, "Axis of a sweep must be one of reuse, interval,.* or points, not 'speed'"),
        ({"reuse": []}, "Axis 'reuse' of a sweep must have at least one value, not none"),
        ({"reuse": [0]}, "reuse must be an integer of at least 1, not 0"),
        ({"interface": "pcie"}, "Interface must be axi or free-running, not 'pcie'"),
        ({"input_format": ["fixed<8>"]}, "Input format must be fixed<W,I>, .*, not 'fixed<8>'"),
        ({"input_format": [8]}, "Input format must be a text such as 'fixed<16,6>', not 8"),
        ({"points": [{"reuse": [1, 2]}]}, "A single point of a sweep must have one value an axis, not {'reuse': "),
        ({"points": 3}, "points of a sweep must be a list of tables, not 3"),
    ],
)
def test_slips_are_said(axes, said):
    with pytest.raises(ConfigurationError, match=said):
        grid(axes)


def test_a_point_says_all_that_it_is():
    described = Point(Settings(reuse=4), "int<8>").describe()
    assert described["input_format"] == "int<8>"
    assert Settings(**{k: v for k, v in described.items() if k != "input_format"}) == Settings(reuse=4)


def test_files(tmp_path):
    (tmp_path / "grid.toml").write_text('reuse = [1, 2]\ninput_format = "fixed<8,2>"\n[[points]]\nreuse = 9\n')
    (tmp_path / "grid.yaml").write_text("reuse: [1, 2]\ninput_format: fixed<8,2>\npoints:\n- reuse: 9\n")
    expected = {"reuse": [1, 2], "input_format": "fixed<8,2>", "points": [{"reuse": 9}]}
    assert read_grid(tmp_path / "grid.toml") == read_grid(tmp_path / "grid.yaml") == expected
    assert len(grid(expected)) == 3
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "bad.toml").write_text("reuse = [1,\n")
    with pytest.raises(ConfigurationError, match="must be a table of axes, not list"):
        read_grid(tmp_path / "list.yaml")
    with pytest.raises(ConfigurationError, match=r"bad.toml' must be TOML \(.toml\) or YAML: "):
        read_grid(tmp_path / "bad.toml")
    with pytest.raises(ConfigurationError, match="must be a readable text file: "):
        read_grid(tmp_path / "none.toml")


def test_values_of_the_command_line():
    assert parse_values(["1, 2", "fc1=4,8", "16"], "reuse") == [1, 2, "fc1=4,8", 16]
    assert parse_values(["codes,fixed<16,6>,uint<8>/255"], "input_format") == ["codes", "fixed<16,6>", "uint<8>/255"]
    assert parse_values(["auto,4"], "lanes") == ["auto", 4]
    assert parse_values(["62.5,100"], "clock_mhz") == [62.5, 100]
    with pytest.raises(ConfigurationError, match="reuse must be an integer, several separated by commas, not 'x'"):
        parse_values(["1,x"], "reuse")
    with pytest.raises(ConfigurationError, match="clock_mhz must be a number, several separated by commas, not ''"):
        parse_values(["1,"], "clock_mhz")
