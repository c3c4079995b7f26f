"""The primitives of the text around the stages: bus, framing and the core's own registers.

As the templates `axis_wrapper.v.j2` and `core.v.j2` write them.
"""

from rtl4ml.planning.estimates.primitives import (
    Add,
    Equal,
    Gates,
    Memory,
    Register,
    Select,
    Structure,
)


def count_wrapper(structure: Structure, beats_in: int, beats_out: int, payload_bits: int, flags: int) -> None:
    """Add the AXI4-Stream wrapper.

    Args:
        structure: what is added to.
        beats_in: beats of a frame in.
        beats_out: beats of a frame out.
        payload_bits: of a beat in.
        flags: frames that are remembered.
    """
    structure[Register(1, control=True)] += 3  # last_seen, discard, error
    structure[Gates(1)] += 8
    if beats_in > 1:
        _counter(structure, beats_in)
        structure[Register(1, control=True)] += 1  # fill
        structure[Gates(payload_bits)] += 1
        bits = max(1, (flags - 1).bit_length())
        structure[Memory(1 << bits, 1, 1, registered=False, contents=None)] += 1
        for _ in range(2):
            structure[Register(bits, control=True)] += 1
            structure[Add(bits, 0, subtracts=False)] += 1
        structure[Gates(1)] += 6
    if beats_out > 1:
        _counter(structure, beats_out)


def count_gate(structure: Structure, interval: int) -> None:
    """Add what keeps frames apart in a pipeline without handshake."""
    if interval > 1:
        bits = (interval - 1).bit_length()
        structure[Register(bits, control=True)] += 1
        structure[Register(1, control=True)] += 1
        structure[Add(bits, 0, subtracts=True)] += 1
        structure[Select(bits, 1)] += 1
        structure[Equal(bits, constant=True)] += 1
        structure[Gates(4)] += 1


def _counter(structure: Structure, beats: int) -> None:
    bits = max(1, (beats - 1).bit_length())
    structure[Register(bits, control=True)] += 1
    structure[Add(bits, 0, subtracts=False)] += 1
    structure[Equal(bits, constant=True)] += 1
    structure[Select(bits, 1)] += 1
