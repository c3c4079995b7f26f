import numpy as np
import pytest

from rtl4ml.board.frames import ANSWER, Answers, Layout, crc8, request


def answer(tag, payload):
    return bytes([ANSWER]) + request(tag, payload)[1:]


@pytest.mark.parametrize(("slot", "signed"), [(1, True), (1, False), (2, True), (4, False), (8, True)])
def test_codes_survive_packing(slot, signed):
    bits = 8 * slot
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << min(bits, 63)) - 1)
    codes = np.array([[low, high, 0], [1, low, high]], np.int64)
    layout = Layout(elements=3, slots=4, slot=slot, signed=signed, bipolar=False)
    frames = layout.pack(codes)
    assert [len(frame) for frame in frames] == [4 * slot] * 2 == [layout.size] * 2
    assert frames[0][3 * slot :] == bytes(slot)
    assert (layout.unpack(frames) == codes).all()


def test_low_bytes_come_first():
    assert Layout(2, 2, 2, True, False).pack(np.array([[0x1234, -2]])) == [b"\x34\x12\xfe\xff"]


def test_bipolar_codes_are_bits():
    layout = Layout(3, 3, 1, False, True)
    codes = np.array([[-1, 1, -1]])
    assert layout.pack(codes) == [b"\0\1\0"]
    assert (layout.unpack([b"\0\1\0"]) == codes).all()


def test_a_request():
    assert request(7, b"\1\2") == b"\xa5\x07\x02\x00\x01\x02" + bytes([crc8(b"\x07\x02\x00\x01\x02")])


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_answers_are_found_in_pieces_and_behind_garbage(chunk):
    broken = bytearray(answer(3, b"abcd"))
    broken[6] ^= 1
    garbage = [b"", b"noise", b"Z" * 3, b"Z\x01\x04\x00xx", bytes(broken)]
    data = b"".join(noise + answer(tag, b"%4d" % tag) for tag, noise in enumerate(garbage))
    parser = Answers({4})
    found = [pair for at in range(0, len(data), chunk) for pair in parser.feed(data[at : at + chunk])]
    assert found == [(tag, b"%4d" % tag) for tag in range(len(garbage))]


def test_what_is_cleared_is_forgotten():
    parser = Answers({4})
    whole = answer(1, b"abcd")
    assert list(parser.feed(whole[:5])) == []
    parser.clear()
    assert list(parser.feed(whole[5:] + whole)) == [(1, b"abcd")]
