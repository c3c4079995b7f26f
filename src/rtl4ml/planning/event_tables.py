"""A network as tables of events: stages, forks, FIFOs and the two ends."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from rtl4ml.planning.network import Branch, Network
from rtl4ml.planning.recurrence import NOT_AWAITED, Array, Tables
from rtl4ml.planning.table_builder import AT_ONCE, Builder, Reference
from rtl4ml.stages.timing import Process, beats_name, offer_name


@dataclass(frozen=True)
class Buffer:
    """Waits that say how deep the FIFO on a branch is.

    Parameters:
        inside: process of the beats written.
        outside: process of the beats handed over.
        room: wait of `inside` for the handover that makes room.
        written: wait of the reader for `inside`.
    """

    inside: int
    outside: int
    room: int
    written: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class NetworkTables:
    """Tables of a network, of which only depths of FIFOs and the pace of frames change.

    Parameters:
        tables: with FIFOs without limit and a source that is always valid.
        accepted: processes of the transfers of the network's input: the latest of them is the transfer.
        handed_over: process of the transfers of its output.
        source: process of the offers of frames.
        offered: waits for it.
        buffers: of the branches of forks.
        stages: of the network.
    """

    tables: Tables
    accepted: tuple[int, ...]
    handed_over: int
    source: int
    offered: tuple[int, ...]
    buffers: dict[Branch, Buffer]
    stages: int

    def with_depths(self, depths: Mapping[Branch, int | None]) -> Tables:
        """Tables with FIFOs of some depths, in beats; None: any number of beats."""
        shift, delay_at = self.tables.shift.copy(), self.tables.delay_at.copy()
        for branch, depth in depths.items():
            buffer = self.buffers[branch]
            if depth is None:
                continue
            shift[buffer.room] += -NOT_AWAITED - depth
            if depth <= 1:
                # One place is free at the edge that hands its beat over.
                delay_at[buffer.room] = AT_ONCE
            if depth == 0:
                # A wire: a beat is written at the edge that hands it over, and offered by the fork itself.
                shift[list(buffer.written)] += NOT_AWAITED
        return replace(self.tables, shift=shift, delay_at=delay_at)

    def offered_every(self, tables: Tables, interval: int) -> Tables:
        """Tables whose source offers a frame every so many cycles."""
        shift, gap_at = tables.shift.copy(), tables.gap_at.copy()
        shift[list(self.offered)] -= NOT_AWAITED
        delays = np.append(tables.delays, interval)
        gap_at[self.source] = len(tables.delays)
        return replace(tables, shift=shift, gap_at=gap_at, delays=delays)


class _Compiler:
    """Makes the tables of a network: first all processes, then what they wait for."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._builder = builder = Builder()
        self._consumers = {tensor: network.consumers(tensor) for tensor in network.tensors}
        self._beats = {tensor: network.beats(tensor) for tensor in network.tensors}
        self._offered: list[tuple[int, int]] = []
        self._written: dict[int, list[tuple[int, int]]] = {}
        self._rooms: dict[Branch, tuple[int, int]] = {}
        self._shown: dict[str, int] = {}
        self._fifos: dict[Branch, int] = {}
        self._own: dict[tuple[int | None, str], int] = {}
        self._source = builder.add("source", 1, 0)
        self._add_fork(network.input)
        for number, placed in enumerate(network.stages):
            for process in self._processes(number):
                name = f"{placed.stage.name}.{process.name}"
                self._own[number, process.name] = builder.add(name, process.events, process.gap)
            self._add_fork(placed.output)
        self._own[None, beats_name(0)] = builder.add("sink", self._beats[network.output])

    def _processes(self, number: int) -> tuple[Process, ...]:
        """Processes of a stage, those of its streams that it says nothing about too."""
        timing = self._network.stages[number].stage.timing
        named = {process.name for process in timing.processes}
        sides = {beats_name(k): side.beats for k, side in enumerate(timing.sides)}
        return (*(Process(name, beats) for name, beats in sides.items() if name not in named), *timing.processes)

    def _add_fork(self, tensor: str) -> None:
        if len(self._consumers[tensor]) > 1:
            self._shown[tensor] = self._builder.add(f"{tensor}.fork", self._beats[tensor])
            for branch in self._consumers[tensor]:
                self._fifos[branch] = self._builder.add(f"{tensor}.fifo", self._beats[tensor])
                self._written[self._fifos[branch]] = []

    def _reader(self, branch: Branch) -> int:
        """Process of the transfers of a branch into its consumer."""
        return self._own[branch.stage, beats_name(branch.side)]

    def _moved(self, tensor: str) -> list[int]:
        """Processes that take the beats of a tensor from where it is made."""
        return [self._fifos.get(branch, self._reader(branch)) for branch in self._consumers[tensor]]

    def _made(self, tensor: str, maker: int | None) -> Reference:
        """When the beats of a tensor are valid where it is made."""
        if maker is None:
            return Reference(self._source, np.zeros(self._beats[tensor], np.int64), 0, NOT_AWAITED)
        result = self._network.stages[maker].stage.timing.result
        return Reference(self._own[maker, result.on], result.index, result.delay)

    def _offer(self, process: int, references: list[Reference], index: Array, delay: int | Array = 0) -> None:
        """Let a process wait for offers of a stream."""
        for reference in references:
            found = reference.of(index, delay, self._builder.events[reference.on])
            wait = self._builder.wait(process, found)
            if reference.on == self._source:
                self._offered.append(wait)
            if reference.on in self._written:
                self._written[reference.on].append(wait)

    def _connect(self, tensor: str, maker: int | None) -> dict[Branch, list[Reference]]:
        """Waits of a fork and of the FIFOs behind it; returns when the consumers are offered a tensor's beats."""
        made, consumers = self._made(tensor, maker), self._consumers[tensor]
        if tensor not in self._shown:
            return {branch: [made] for branch in consumers}
        beats, shown = np.arange(self._beats[tensor]), self._shown[tensor]
        # Every branch sees a beat when it is there and the one before has gone to all.
        self._offer(shown, [made], beats)
        for process in self._moved(tensor):
            self._builder.wait(shown, Reference(process, beats - 1, 1))
        offers = {}
        for branch in consumers:
            fifo = self._fifos[branch]
            self._builder.wait(fifo, Reference(shown, beats))
            # A full FIFO takes a beat at the edge after a handover; with one place, see `with_depths`.
            self._rooms[branch] = self._builder.wait(fifo, Reference(self._reader(branch), beats, 1, NOT_AWAITED))
            offers[branch] = [Reference(shown, beats), Reference(fifo, beats, 1)]
        return offers

    def tables(self) -> NetworkTables:
        """All waits."""
        network, builder = self._network, self._builder
        offers = self._connect(network.input, None)
        for number, placed in enumerate(network.stages):
            streams = [offers[Branch(name, number, side)] for side, name in enumerate(placed.inputs)]
            for process in self._processes(number):
                own = self._own[number, process.name]
                for side, stream in enumerate(streams):
                    if process.name == beats_name(side):
                        self._offer(own, stream, np.arange(process.events))
                for wait in process.waits:
                    side_of = {offer_name(side): stream for side, stream in enumerate(streams)}
                    if wait.on in side_of:
                        self._offer(own, side_of[wait.on], wait.index, wait.delay)
                        continue
                    out = self._moved(placed.output) if wait.on == "out" else [self._own[number, wait.on]]
                    for on in out:
                        builder.wait(own, Reference(on, wait.index, wait.delay))
            offers |= self._connect(placed.output, number)
        sink = self._own[None, beats_name(0)]
        self._offer(sink, offers[Branch(network.output, None, 0)], np.arange(builder.events[sink]))
        tables = builder.tables()

        def number_of(wait: tuple[int, int]) -> int:
            return int(tables.wait_from[wait[0]]) + wait[1]

        buffers = {
            branch: Buffer(
                inside=fifo,
                outside=self._reader(branch),
                room=number_of(self._rooms[branch]),
                written=tuple(map(number_of, self._written[fifo])),
            )
            for branch, fifo in self._fifos.items()
        }
        accepted, offered = tuple(self._moved(network.input)), tuple(map(number_of, self._offered))
        return NetworkTables(tables, accepted, sink, self._source, offered, buffers, len(network.stages))


def compile_network(network: Network) -> NetworkTables:
    """Tables of a network, its FIFOs without limit."""
    return _Compiler(network).tables()
