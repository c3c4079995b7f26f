import sys

import numpy as np
import pytest

from rtl4ml.board import link
from rtl4ml.board.link import Identity, Link, open_serial
from rtl4ml.errors import ConfigurationError, ToolError
from tests.board.networks import FakeBoard, small


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(link, "SILENCE_MS", 0.1)


@pytest.fixture
def codes():
    return np.random.default_rng(3).integers(0, 4, (40, small().graph.input_tensor.size))


def evaluate(codes):
    return small().graph.evaluate(codes)[small().graph.output]


def linked(timeout=0.02, **options):
    board = FakeBoard(small().metadata(), evaluate, **options)
    return board, Link(board, small().metadata(), timeout)


def test_samples_to_results(codes):
    seen = []
    _, found = linked()
    results = found.run(codes, lambda done, total: seen.append((done, total)))
    assert (results == evaluate(codes)).all()
    assert found.resent == 0
    assert seen[-1] == (40, 40)


def test_no_samples(codes):
    assert linked()[1].run(codes[:0]).shape == (0, 4)


@pytest.mark.parametrize("chatter", [b"", b"\x5a", b"boot: hello\n"])
def test_what_gets_lost_is_sent_again(codes, chatter):
    generator = np.random.default_rng(1)

    def mangle(number, data):
        match int(generator.integers(8)):
            case 0:
                return b""
            case 1:
                return data[:5] + bytes([data[5] ^ 1]) + data[6:]
        return data

    _, found = linked(timeout=0.002, mangle=mangle, chatter=chatter)
    assert (found.run(codes) == evaluate(codes)).all()
    assert found.resent > 0


def test_identity():
    board, found = linked()
    assert found.identify() == found.check() == Identity(board.identity, 2, 1)


def test_another_network():
    board, found = linked()
    board.identity ^= 1
    with pytest.raises(ToolError, match=r"Board must hold net \(\w{8}\), not another network \(\w{8}\): load the"):
        found.check()


def test_a_silent_board(codes):
    _, found = linked(timeout=0.001, mangle=lambda number, data: b"")
    with pytest.raises(ToolError, match="A board must answer on this port, but none does"):
        found.check()
    with pytest.raises(ToolError, match=r"must answer within 0.001 s, but was silent 5 times after 0 of 40 results"):
        found.run(codes)


def test_a_board_that_falls_silent(codes):
    _, found = linked(timeout=0.001, mangle=lambda number, data: data if number < 10 else b"")
    with pytest.raises(ToolError, match="after 10 of 40 results"):
        found.run(codes)


def test_errors(codes):
    with pytest.raises(ConfigurationError, match=r"Codes must have shape \(N, 6\), not \(40, 5\)"):
        linked()[1].run(codes[:, 1:])
    with pytest.raises(ConfigurationError, match="window must be 1 to 4 requests, not 5"):
        Link(FakeBoard(small().metadata(), evaluate), small().metadata(), window=5)


def loadable(**options):
    design = small(weights="writable")
    board = FakeBoard(design.metadata(), evaluate, **options)
    layer = next(operator for operator in design.graph.operators if operator.kind == "Dense")
    words = design.weight_words({layer.name: np.roll(layer.weights, 1, axis=-1)})
    return board, Link(board, design.metadata(), 0.02), words


def test_weights():
    board, found, words = loadable()
    seen = []
    found.load(words, lambda done, total: seen.append((done, total)))
    assert board.committed == words.tolist()
    assert found.resent == 0
    assert seen[-1] == (len(words), len(words))


def test_words_that_get_lost_are_sent_again():
    """A request that is spoiled, and an answer."""

    def mangle(number, data):
        return data[:-1] + bytes([data[-1] ^ 1]) if number == 2 else data

    board, found, words = loadable(mangle=mangle)
    answers, silent = board.answer, [5]

    def answer(tag, payload):
        if len(board.loaded) in silent:
            silent.clear()
        else:
            answers(tag, payload)

    board.answer = answer
    found.load(words)
    assert found.resent == 2
    assert [list(word) for word in dict.fromkeys(map(tuple, board.committed))] == words.tolist()


def test_weights_that_cannot_be_loaded():
    with pytest.raises(ConfigurationError, match="Weights of the board must be writable to be loaded, not fixed"):
        linked()[1].load(np.zeros((1, 2), np.int64))
    _, found, _ = loadable()
    with pytest.raises(ConfigurationError, match=r"must be integers of shape \(N, 2\), not float64 of shape \(1, 2\)"):
        found.load(np.zeros((1, 2)))
    with pytest.raises(ConfigurationError, match=r"must be addresses below .* and data of 32 bits, not others"):
        found.load(np.array([[1 << 31, 0]]))
    _, found, words = loadable(mangle=lambda number, data: b"")
    with pytest.raises(ToolError, match=r"must take a word of weights within 0\.02 s, but did not, 5 times"):
        found.load(words)


def test_ports(monkeypatch):
    pytest.importorskip("serial", reason="pyserial is not installed")
    with open_serial("loop://", 1_000_000, 0.01) as line:
        line.write(b"abc")
        assert line.read(3) == b"abc"
    with pytest.raises(ToolError, match="Port '/dev/none' must be a serial line that can be opened"):
        open_serial("/dev/none", 1_000_000, 0.01)


def test_without_pyserial(monkeypatch):
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(ToolError, match=r'pip install "rtl4ml\[host\]"'):
        open_serial("loop://", 1_000_000, 0.01)
