"""What becomes of memories: by rules, and as Yosys maps them."""

import pytest

from rtl4ml.planning.estimates.families import resources_of
from rtl4ml.planning.estimates.memories import Mapped
from rtl4ml.planning.estimates.primitives import Memory
from rtl4ml.synthesis.yosys import synthesize


@pytest.mark.parametrize(
    ("target", "memory", "mapped"),
    [
        ("ecp5", Memory(8, 9, 1, False, None), Mapped(lut_memory=18)),
        ("ecp5", Memory(2, 3, 1, False, None), Mapped(logic=True)),
        ("ecp5", Memory(32, 4, 1, False, None), Mapped(lut_memory=12, banks=2)),
        ("ecp5", Memory(1024, 6, 0, True, None), Mapped(bram=1)),
        ("ecp5", Memory(1024, 6, 0, False, None), Mapped(logic=True)),
        ("ecp5", Memory(512, 4, 0, True, None), Mapped(logic=True)),
        ("ecp5", Memory(1024, 18, 1, True, None), Mapped(bram=1, emulates=True)),
        ("ice40", Memory(8, 8, 1, False, None), Mapped(logic=True)),
        ("ice40", Memory(256, 16, 0, True, None), Mapped(bram=1)),
        ("ice40", Memory(256, 17, 0, True, None), Mapped(bram=2)),
        ("xcup", Memory(32, 14, 1, False, None), Mapped(lut_memory=8)),
        ("xcup", Memory(64, 15, 1, True, None), Mapped(lut_memory=24)),
        ("xcup", Memory(1024, 18, 1, True, None), Mapped(bram=1)),
    ],
)
def test_rules(target: str, memory: Memory, mapped: Mapped) -> None:
    assert resources_of(target, memory) == mapped


MEMORIES = [
    Memory(depth, width, writes, registered=True, contents=None)
    for depth, width in ((16, 40), (64, 18), (200, 9), (256, 33), (512, 12), (900, 20), (2048, 3), (3000, 7))
    for writes in (0, 1)
]


def _verilog(memories: list[Memory]) -> str:
    """One module with all of them, each with ports of its own."""
    ports, body = [], []
    state = 1
    for k, memory in enumerate(memories):
        bits = (memory.depth - 1).bit_length()
        ports += [f"input [{bits - 1}:0] a{k}", f"output reg [{memory.width - 1}:0] q{k}"]
        body.append(f"reg [{memory.width - 1}:0] m{k} [0:{memory.depth - 1}];")
        body.append(f"always @(posedge clk) q{k} <= m{k}[a{k}];")
        if memory.writes:
            ports += [f"input [{bits - 1}:0] w{k}", f"input [{memory.width - 1}:0] d{k}", f"input e{k}"]
            body.append(f"always @(posedge clk) if (e{k}) m{k}[w{k}] <= d{k};")
        else:
            words = []
            for address in range(memory.depth):
                state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
                words.append(f"m{k}[{address}] = {memory.width}'h{state >> 20 & (1 << memory.width) - 1:x};")
            body.append("initial begin\n" + "\n".join(words) + "\nend")
    return "module memories(input clk, " + ", ".join(ports) + ");\n" + "\n".join(body) + "\nendmodule\n"


@pytest.mark.rtl
@pytest.mark.parametrize("target", ["ecp5", "ice40", "xcup"])
def test_as_many_block_memories_as_yosys_takes(target: str) -> None:
    found = synthesize({"memories.v": _verilog(MEMORIES)}, "memories", target)
    assert found.bram == sum(resources_of(target, memory).bram for memory in MEMORIES)
