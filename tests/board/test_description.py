import tomllib

import pytest

from rtl4ml import resources
from rtl4ml.board.description import board_names, find_board
from rtl4ml.cli.board import BOARD_HELP
from rtl4ml.errors import ConfigurationError
from rtl4ml.synthesis.targets import find_target


@pytest.mark.parametrize("name", board_names())
def test_every_board_is_complete(name):
    board = find_board(name)
    assert board.name == name
    assert name in BOARD_HELP
    match board.flow:
        case "open":
            assert find_target(board.target).placed
            assert board.baud >= 1_000_000
            pins = board.pins
            places = [
                pins.clock,
                pins.reset,
                pins.rx,
                pins.tx,
                *pins.leds,
                *(pin for pin, _ in pins.constants.values()),
            ]
            assert len(set(places)) == len(places)
            assert "{bitstream}" in board.program
        case "vivado":
            assert board.processor.family in ("zynq7", "zynqmp")


def test_the_clock_of_a_pll_is_what_its_dividers_make():
    for path in resources.path("boards").glob("*.toml"):
        clock = tomllib.loads(path.read_text())["clock"]
        if pll := clock.get("pll"):
            assert clock["out_mhz"] == clock["mhz"] * pll["feedback"] / pll["reference"]
            assert 400 <= clock["out_mhz"] * pll["output"] <= 800  # MHz of an ECP5's oscillator


def test_a_board_of_ones_own(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text((resources.path("boards") / "icebreaker.toml").read_text().replace("12.0", "16.0"))
    assert (find_board(str(mine)).name, find_board(str(mine)).clock_mhz) == ("mine", 16.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "must be TOML"),
        ('title = "x"\nflow = "open"\n', "must be complete, but lacks or misuses 'clock'"),
        ('title = "x"\nflow = "magic"\n[clock]\nmhz = 1\n', "must be open, vivado or node, not 'magic'"),
    ],
)
def test_errors(tmp_path, text, message):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        find_board(str(tmp_path / "x.toml"))


def test_an_unknown_board():
    with pytest.raises(ConfigurationError, match=r"Board must be one of arty-z7-20, .*, or a \.toml file, not 'de10'"):
        find_board("de10")
