import rtl4ml
from rtl4ml.export.wiring import wire
from tests.networks.branched import MODELS, graph_of


def test_a_fork_a_fifo_and_a_join():
    network = rtl4ml.compile(graph_of(MODELS["residual"]()), reuse=4).plan.network
    wired = wire("net", network)
    assert (wired.first, wired.last) == ("s0", "s3")
    assert [w.name for w in wired.wires] == ["s0", "s0_b0", "s0_b1", "s0_b1_late", "s1", "s2", "s3"]
    ports = {instance.name: instance.ports for instance in wired.instances}
    assert ports == {
        "fork_s0": (("i", "s0"), ("o0", "s0_b0"), ("o1", "s0_b1")),
        "fifo_s0_b1": (("i", "s0_b1"), ("o", "s0_b1_late")),
        "stage_0": (("i", "s0_b0"), ("o", "s1")),
        "stage_1": (("i", "s0_b1_late"), ("i1", "s1"), ("o", "s2")),
        "stage_2": (("i", "s2"), ("o", "s3")),
    }
    width = network.width(network.input)
    depth = network.fifos[network.branches[1]]
    assert list(wired.parts) == [f"net_fork_2x{width}", f"net_fifo_{depth}x{width}"]


def test_equal_parts_are_written_once():
    network = rtl4ml.compile(graph_of(MODELS["accumulators"]()), reuse=4).plan.network
    wired = wire("net", network)
    modules = [instance.module for instance in wired.instances]
    assert len(wired.parts) == len({m for m in modules if "fork" in m or "fifo" in m})
