import pytest

from rtl4ml import resources
from rtl4ml.board.description import board_names, find_board
from rtl4ml.board.pll import Ice40Pll
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


def with_changes(path, *changes):
    """The file of the iCEBreaker with other text in some places."""
    text = (resources.path("boards") / "icebreaker.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return str(path)


def test_a_board_of_ones_own(tmp_path):
    mine = find_board(with_changes(tmp_path / "mine.toml", ("out_mhz = 24.0", "out_mhz = 30.0"), ("= 64", "= 80")))
    assert (mine.name, mine.pin_mhz, mine.clock_mhz) == ("mine", 12.0, 30.0)
    assert mine.pll == Ice40Pll(1, 80, 32, 1)
    lines = (resources.path("boards") / "icebreaker.toml").read_text().splitlines(keepends=True)
    slow = tmp_path / "slow.toml"
    slow.write_text("".join(line for line in lines if not line.startswith(("out_mhz", "pll"))))
    assert (find_board(str(slow)).pll, find_board(str(slow)).clock_mhz) == (None, 12.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("out_mhz = 24.0", "out_mhz = 25.0"), "out_mhz of the board's clock must be 24, as its PLL gives, not 25"),
        (("feedback = 64, output = 32", "feedback = 32, output = 16"), "must run at 533 to 1066 MHz, not 384"),
        (("feedback = 64, output = 32", "feedback = 60, output = 30"), "must be a power of two, not 30"),
        ((", filter = 1", ""), "must be complete, but lacks or misuses .*'filter'"),
    ],
)
def test_plls(tmp_path, change, message):
    with pytest.raises(ConfigurationError, match=message):
        find_board(with_changes(tmp_path / "x.toml", change))


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
