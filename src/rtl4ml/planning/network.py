"""Stages and the streams between them: any graph without cycles, one tensor in, one out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rtl4ml.errors import ConfigurationError
from rtl4ml.stages.base import Stage


@dataclass(frozen=True)
class Placed:
    """A stage and what it is connected to.

    Parameters:
        stage: the hardware to be.
        inputs: names of the tensors of its streams in.
        output: name of the tensor that it makes.
    """

    stage: Stage
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Branch:
    """A stream from where a tensor comes from to one of several consumers.

    Parameters:
        tensor: name.
        stage: position of the consumer among the stages; None: the network's output.
        side: which of its streams in.
    """

    tensor: str
    stage: int | None
    side: int


@dataclass(frozen=True)
class Network:
    """Stages in topological order and how they are wired.

    A tensor that several stages read is forked; a FIFO stands on each branch whose depth is not 0.

    Parameters:
        stages: each reads the input or what earlier ones make.
        input: name of the tensor that comes in.
        output: name of the tensor that goes out.
        fifos: beats that the FIFO on a branch holds; branches without an entry have none; None: any number of beats.
    """

    stages: tuple[Placed, ...]
    input: str
    output: str
    fifos: Mapping[Branch, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that streams fit each other.

        Raises:
            ConfigurationError: a tensor is not made before it is read, or lanes or elements of neighbours differ.
        """
        made: dict[str, tuple[int, int] | None] = {self.input: None}
        for placed in self.stages:
            sides = placed.stage.timing.sides
            if len(sides) != len(placed.inputs):
                raise ConfigurationError(
                    f"Stage {placed.stage.name!r} must have {len(sides)} tensors in, not {len(placed.inputs)}"
                )
            for name, side in zip(placed.inputs, sides, strict=True):
                if name not in made:
                    raise ConfigurationError(
                        f"Stage {placed.stage.name!r} must read a tensor made before, not {name!r}"
                    )
                before = made[name] or (side.n, side.lanes_in)
                made[name] = before
                if before != (side.n, side.lanes_in):
                    raise ConfigurationError(
                        f"Stage {placed.stage.name!r} must take {before[0]} elements in beats of {before[1]}, "
                        f"not {side.n} in beats of {side.lanes_in}"
                    )
            made[placed.output] = (placed.stage.n_out, placed.stage.lanes_out)
        if self.output not in made:
            raise ConfigurationError(f"Output of a network must be one of its tensors, not {self.output!r}")

    @classmethod
    def chain(cls, stages: Sequence[Stage]) -> "Network":
        """Stages in a row."""
        names = [f"edge_{index}" for index in range(len(stages) + 1)]
        placed = [Placed(stage, (names[index],), names[index + 1]) for index, stage in enumerate(stages)]
        return cls(tuple(placed), names[0], names[-1])

    def with_fifos(self, fifos: Mapping[Branch, int | None]) -> "Network":
        """The same with other FIFOs."""
        return replace(self, fifos=dict(fifos))

    def consumers(self, tensor: str) -> list[Branch]:
        """Streams that a tensor goes to, stages first."""
        found = [
            Branch(tensor, index, side)
            for index, placed in enumerate(self.stages)
            for side, name in enumerate(placed.inputs)
            if name == tensor
        ]
        return [*found, Branch(tensor, None, 0)] if tensor == self.output else found

    @property
    def tensors(self) -> list[str]:
        """Tensors on streams: the input, then every stage's."""
        return [self.input, *(placed.output for placed in self.stages)]

    @property
    def branches(self) -> list[Branch]:
        """Streams that come from a fork."""
        every = (self.consumers(tensor) for tensor in self.tensors)
        return [branch for found in every if len(found) > 1 for branch in found]

    def beats(self, tensor: str) -> int:
        """Beats of a frame of a tensor."""
        for placed in self.stages:
            if placed.output == tensor:
                return placed.stage.timing.beats_out
            for name, side in zip(placed.inputs, placed.stage.timing.sides, strict=True):
                if name == tensor:
                    return side.beats
        raise ConfigurationError(f"Tensor of a network must be on one of its streams, not {tensor!r}")

    def width(self, tensor: str) -> int:
        """Bits of a beat of a tensor."""
        for placed in self.stages:
            stage = placed.stage
            if placed.output == tensor:
                return stage.lanes_out * stage.out_shape.width
            shapes = (stage.in_shape, *stage.other_shapes)
            for name, shape, side in zip(placed.inputs, shapes, stage.timing.sides, strict=True):
                if name == tensor:
                    return side.lanes_in * shape.width
        raise ConfigurationError(f"Tensor of a network must be on one of its streams, not {tensor!r}")
