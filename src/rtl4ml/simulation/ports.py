"""Which port of a wrapper carries what, and how elements lie in its data: all that a simulation knows of a design."""

from dataclasses import dataclass

from rtl4ml.errors import ConfigurationError


@dataclass(frozen=True)
class Side:
    """One stream of a wrapper and the shape of the tensor on it.

    Attributes:
        elements: Elements of a tensor.
        lanes: Elements a beat; lane 0 is in the low bits.
        bits: Bits of an element.
        signed: Whether they are a two's complement number.
        slot: Bits an element takes in ``data``, at least `bits`.
        data: Name of the data port, ``lanes * slot`` bits wide.
        valid: Name of the valid port.
        ready: Name of the ready port, None when nothing ever waits.
        last: Name of the port that marks a frame's last beat, if there is one.
        user: Name of the port that flags a frame, if there is one.
    """

    elements: int
    lanes: int
    bits: int
    signed: bool
    slot: int
    data: str
    valid: str
    ready: str | None = None
    last: str | None = None
    user: str | None = None

    def __post_init__(self) -> None:
        if self.elements < 1 or self.lanes < 1:
            raise ConfigurationError(f"elements and lanes must be at least 1, not {self.elements} and {self.lanes}")
        if not 1 <= self.bits <= self.slot <= 64:
            raise ConfigurationError(f"bits and slot must be 1 <= bits <= slot <= 64, not {self.bits} and {self.slot}")

    @property
    def beats(self) -> int:
        """Beats of a frame."""
        return -(-self.elements // self.lanes)


@dataclass(frozen=True)
class LoadPort:
    """Names of the ports that load weights at run time.

    Attributes:
        valid: A write or a commit is offered.
        ready: It is taken.
        commit: It is a commit.
        address: Of the word.
        data: The word.
    """

    valid: str = "w_valid"
    ready: str = "w_ready"
    commit: str = "w_commit"
    address: str = "w_addr"
    data: str = "w_data"


@dataclass(frozen=True)
class Ports:
    """The ports of a wrapper.

    Attributes:
        clock: Name of the clock; rising edges count.
        reset: Name of the synchronous reset.
        reset_level: Level at which it resets, 0 or 1.
        i: Input stream.
        o: Output stream.
        error: Name of the sticky error output, if there is one.
        load: The port that loads weights, if there is one.
    """

    clock: str
    reset: str
    reset_level: int
    i: Side
    o: Side
    error: str | None = None
    load: LoadPort | None = None


def axis_ports(
    *,
    n_in: int,
    lanes_in: int,
    in_bits: int,
    in_signed: bool,
    in_slot: int,
    n_out: int,
    lanes_out: int,
    out_bits: int,
    out_signed: bool,
    out_slot: int,
) -> Ports:
    """Ports of ``axis_wrapper.v``; the arguments are the template's variables of the same names."""
    return Ports(
        clock="aclk",
        reset="aresetn",
        reset_level=0,
        i=Side(
            n_in,
            lanes_in,
            in_bits,
            in_signed,
            in_slot,
            "s_axis_tdata",
            "s_axis_tvalid",
            "s_axis_tready",
            "s_axis_tlast",
        ),
        o=Side(
            n_out,
            lanes_out,
            out_bits,
            out_signed,
            out_slot,
            "m_axis_tdata",
            "m_axis_tvalid",
            "m_axis_tready",
            "m_axis_tlast",
            "m_axis_tuser",
        ),
        error="error",
    )


def pipeline_ports(
    *,
    n_in: int,
    lanes_in: int,
    in_bits: int,
    in_signed: bool,
    n_out: int,
    lanes_out: int,
    out_bits: int,
    out_signed: bool,
) -> Ports:
    """Ports of ``pipeline_wrapper.v``; the arguments are the template's variables of the same names."""
    return Ports(
        clock="clk",
        reset="rst",
        reset_level=1,
        i=Side(n_in, lanes_in, in_bits, in_signed, in_bits, "i_data", "i_valid"),
        o=Side(n_out, lanes_out, out_bits, out_signed, out_bits, "o_data", "o_valid"),
        error="error",
    )
