"""Runs a wrapper on millions of samples: a C++ loop around the verilated design.

Every input goes through the real ports of the wrapper, beat by beat, and the cycle of every handover comes back, so the
same run checks codes and timing.
"""

import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rtl4ml.errors import ConfigurationError, Rtl4mlError, ToolError
from rtl4ml.simulation.native_build import build_native, element_type
from rtl4ml.simulation.ports import Ports, Side


@dataclass(frozen=True)
class NativeResult:
    """What came out of a run.

    Attributes:
        codes: int64 ``[frames, n_out]``, the elements of the output tensors.
        accept_cycles: int64, one a beat: the cycle at whose end the design accepted that input beat. Cycle 0 ends with
            the first rising edge after reset.
        handover_cycles: int64, one a beat: the cycle at whose end that output beat was handed over.
        tlast_ok: Whether tlast stood on the last beat of every output frame and nowhere else (True without a tlast).
        tuser: Whether any output frame was flagged.
        error: Level of the sticky error output at the end.
        cycles: Cycles until the last output beat was handed over.
        commits: For each load of weights, the frames begun before it held: the next one is the first that it is for.
    """

    codes: npt.NDArray[np.int64]
    accept_cycles: npt.NDArray[np.int64]
    handover_cycles: npt.NDArray[np.int64]
    tlast_ok: bool
    tuser: bool
    error: bool
    cycles: int
    commits: tuple[int, ...] = ()


@dataclass(frozen=True)
class NativeSimulation:
    """A built simulation; make one with `build`.

    Attributes:
        program: The program, which is run in its own folder.
        ports: Ports of the wrapper it was built for.
    """

    program: Path
    ports: Ports

    @classmethod
    def build(
        cls, top: str, verilog: Sequence[Path], ports: Ports, memories: Sequence[Path] = ()
    ) -> "NativeSimulation":
        """Builds a design with Verilator, or takes the build from the cache.

        Args:
            top: Name of the wrapper module.
            verilog: All Verilog files.
            ports: Ports of the wrapper.
            memories: Files that the Verilog reads with ``$readmemh``.

        Raises:
            ToolError: Verilator or the C++ compiler is missing, or refuses the design.
        """
        return cls(build_native(top, verilog, ports, memories), ports)

    def run(
        self,
        codes: npt.NDArray[np.int64],
        stall_in: float = 0.0,
        stall_out: float = 0.0,
        seed: int = 0,
        spacing: int = 0,
        patience: int = 200_000,
        progress: Callable[[int, int], None] | None = None,
        loads: Sequence[tuple[int, npt.NDArray[np.int64]]] = (),
    ) -> NativeResult:
        """Sends frames through the design, after a reset.

        Without stalls the source is always valid and the sink always ready.

        Args:
            codes: int64 ``[frames, n_in]``.
            stall_in: Probability, each cycle, that the source waits before it offers the next beat.
            stall_out: Probability, each cycle, that the sink is not ready.
            seed: Of the stalls, and of the values that registers without reset start with.
            spacing: Frame k is offered at cycle ``k * spacing`` or later. A free-running pipeline needs its interval
                here.
            patience: Cycles without any handover (beside the spacing) after which the run is given up; more than the
                longest silence of the design.
            progress: Called now and then with the frames that are done and the frames in all.
            loads: New weights: the frame whose begin they wait for, and int64 ``[writes, 2]``, address and data; each
                is committed behind its last write.

        Raises:
            ConfigurationError: An argument has the wrong shape or range.
            Rtl4mlError: Nothing moved for `patience` cycles, or more beats came out than belong to the frames.
            ToolError: The program itself failed.
        """
        frames = _check(codes, self.ports.i, stall_in, stall_out, spacing, patience)
        i, o = self.ports.i, self.ports.o
        if frames == 0:
            none = np.zeros(0, np.int64)
            return NativeResult(np.zeros((0, o.elements), np.int64), none, none, True, False, False, 0)
        with tempfile.TemporaryDirectory(prefix="rtl4ml-") as name:
            folder = Path(name)
            files = [folder / part for part in ("in_codes", "out_codes", "in_cycles", "out_cycles")]
            codes.astype(element_type(i.slot, i.signed)).tofile(files[0])
            numbers = [repr(float(stall_in)), repr(float(stall_out)), str(seed), str(spacing), str(patience + spacing)]
            command = [str(self.program), str(frames), *map(str, files), *numbers]
            if loads:
                _write_loads(folder / "loads", loads)
                command.append(str(folder / "loads"))
            words = _execute(command, frames, progress)
            if words[0] == "stuck":
                accepted, handed_over, moved = map(int, words[1:])
                raise Rtl4mlError(
                    f"a beat must move at least every {patience + spacing} cycles, but none did after cycle {moved}: "
                    f"{accepted} of {frames * i.beats} input beats were accepted and {handed_over} of "
                    f"{frames * o.beats} output beats handed over"
                )
            cycles, surplus, last_wrong, flagged, error, *commits = map(int, words[1:])
            if surplus:
                raise Rtl4mlError(
                    f"{frames} frames must give {frames * o.beats} output beats, but more came within the next cycles"
                )
            results = np.fromfile(files[1], element_type(o.slot, o.signed)).astype(np.int64)
            return NativeResult(
                codes=results.reshape(frames, o.elements),
                accept_cycles=np.fromfile(files[2], np.int64),
                handover_cycles=np.fromfile(files[3], np.int64),
                tlast_ok=last_wrong == 0,
                tuser=flagged > 0,
                error=bool(error),
                cycles=cycles,
                commits=tuple(commits),
            )


def _write_loads(path: Path, loads: Sequence[tuple[int, npt.NDArray[np.int64]]]) -> None:
    """Records of four int64: frame to wait for, address, data, whether it is a commit."""
    records = []
    for frame, writes in loads:
        block = np.zeros((len(writes) + 1, 4), np.int64)
        block[:, 0], block[:-1, 1:3], block[-1, 3] = frame, writes, 1
        records.append(block)
    np.concatenate(records).tofile(path)


def _check(
    codes: npt.NDArray[np.int64], side: Side, stall_in: float, stall_out: float, spacing: int, patience: int
) -> int:
    """Number of frames, when the arguments of a run are sound."""
    if codes.ndim != 2 or codes.shape[1] != side.elements:
        raise ConfigurationError(f"input codes must have the shape [frames, {side.elements}], not {list(codes.shape)}")
    for probability in (stall_in, stall_out):
        if not 0 <= probability < 1:
            raise ConfigurationError(f"the probability of a stall must be at least 0 and below 1, not {probability}")
    if spacing < 0 or patience < 1:
        raise ConfigurationError(
            f"spacing must be at least 0 and patience at least 1 cycles, not {spacing} and {patience}"
        )
    low = -(1 << side.bits - 1) if side.signed else 0
    high = (1 << side.bits - (1 if side.signed else 0)) - 1
    if codes.size and (codes.min() < low or codes.max() > high):
        raise ConfigurationError(
            f"input codes must be in {low} .. {high}, not in {codes.min()} .. {codes.max()}: "
            f"the port carries {side.bits} {'signed' if side.signed else 'unsigned'} bits an element"
        )
    return codes.shape[0]


def _execute(command: Sequence[str], frames: int, progress: Callable[[int, int], None] | None) -> list[str]:
    """Runs the program and returns the words of its last line, which begins with ``done`` or ``stuck``."""
    last: list[str] = []
    with subprocess.Popen(
        command,
        cwd=Path(command[0]).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        complaints: list[str] = []
        stderr = process.stderr
        # Read aside: a design that prints much to stderr must not block the pipe.
        reader = threading.Thread(target=lambda: complaints.extend(stderr))
        reader.start()
        try:
            for line in process.stdout:
                words = line.split()
                if words[:1] == ["progress"]:
                    if progress is not None:
                        progress(int(words[1]), frames)
                elif words:
                    last = words
        except BaseException:  # an interrupt, or what progress() raised: do not leave the program running
            process.kill()
            raise
        finally:
            reader.join()
    if not last or last[0] not in ("done", "stuck"):
        said = " ".join(last) or "".join(complaints).strip() or "nothing"
        raise ToolError(
            f"the simulation must run to its end, not stop with status {process.returncode}: it said {said}"
        )
    if progress is not None and last[0] == "done":
        progress(frames, frames)
    return last
