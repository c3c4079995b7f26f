"""Small hand-written cores behind the rendered wrappers: each with its meaning in NumPy and its timing in cycles."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

from rtl4ml import resources
from rtl4ml.simulation.ports import Ports, axis_ports, pipeline_ports


@dataclass(frozen=True)
class Example:
    """A design to simulate: its files, its meaning, and when its beats move with source and sink always willing."""

    name: str
    verilog: list[Path]
    ports: Ports
    latency: int
    interval: int
    evaluate: Callable[[np.ndarray], np.ndarray]

    def codes(self, frames: int, seed: int = 0) -> np.ndarray:
        side = self.ports.i
        low = -(1 << side.bits - 1) if side.signed else 0
        return np.random.default_rng(seed).integers(low, low + (1 << side.bits), (frames, side.elements))


def render(template: str, **variables: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources.path("rtl_templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(version="0.1.0", **variables)


def write(folder: Path, name: str, wrapper: str, core: str) -> list[Path]:
    files = [folder / f"{name}.v", folder / f"{name}_core.v"]
    files[0].write_text(wrapper)
    files[1].write_text(core)
    return files


# y = 3 * x + 1 on every element, one register; lanes beyond the tensor give 0.
AFFINE_CORE = """
module {name}_core (
    input wire clk, input wire rst,
    input wire i_valid, output wire i_ready, input wire [{lanes}*{bits}-1:0] i_payload,
    output reg o_valid, input wire o_ready, output reg [{lanes}*{out_bits}-1:0] o_payload
);
    assign i_ready = ~o_valid | o_ready;
    reg [7:0] beat;
    integer lane;
    reg {signed} [{bits}-1:0] x;
    reg {signed} [{out_bits}-1:0] wide;
    always @(posedge clk) begin
        if (i_ready) begin
            for (lane = 0; lane < {lanes}; lane = lane + 1) begin
                x = i_payload[lane*{bits} +: {bits}];
                wide = x;
                o_payload[lane*{out_bits} +: {out_bits}] <=
                    (beat * {lanes} + lane < {n}) ? wide + wide + wide + 1 : 0;
            end
        end
        if (rst) begin
            o_valid <= 0;
            beat <= 0;
        end else if (i_ready) begin
            o_valid <= i_valid;
            if (i_valid) beat <= (beat == {beats} - 1) ? 0 : beat + 1;
        end
    end
endmodule
"""


def affine(folder: Path, name: str, n: int, lanes: int, bits: int, signed: bool, out_bits: int) -> Example:
    beats = -(-n // lanes)
    shape = {
        "n_in": n, "lanes_in": lanes, "in_bits": bits, "in_signed": signed, "in_slot": 8,
        "n_out": n, "lanes_out": lanes, "out_bits": out_bits, "out_signed": signed,
        "out_slot": next(slot for slot in (8, 16, 32, 64) if out_bits <= slot),
    }  # fmt: skip
    wrapper = render("axis_wrapper.v.j2", name=name, latency=beats, interval=beats, frames_in_flight=3, **shape)
    core = AFFINE_CORE.format(
        name=name, n=n, lanes=lanes, bits=bits, out_bits=out_bits, beats=beats, signed="signed" if signed else ""
    )
    files = write(folder, name, wrapper, core)
    return Example(name, files, axis_ports(**shape), beats, beats, lambda x: 3 * x + 1)


# out[j] = sum of the frame + j: four beats of input before the first of three beats of output; sums wait in a FIFO.
SUM_CORE = """
module {name}_core (
    input wire clk, input wire rst,
    input wire i_valid, output wire i_ready, input wire [23:0] i_payload,
    output wire o_valid, input wire o_ready, output wire [21:0] o_payload
);
    reg signed [10:0] fifo [0:3];
    reg [2:0] head, tail;
    reg [1:0] in_beat, out_beat;
    reg signed [10:0] sum;
    assign i_ready = (tail - head) != 3'd4;
    assign o_valid = tail != head;

    wire signed [10:0] x0 = {{{{5{{i_payload[5]}}}}, i_payload[5:0]}};
    wire signed [10:0] x1 = {{{{5{{i_payload[11]}}}}, i_payload[11:6]}};
    wire signed [10:0] x2 = {{{{5{{i_payload[17]}}}}, i_payload[17:12]}};
    wire signed [10:0] x3 = {{{{5{{i_payload[23]}}}}, i_payload[23:18]}};
    wire in_last = in_beat == 2'd3;
    wire signed [10:0] all = (in_beat == 0 ? 11'sd0 : sum) + x0 + (in_last ? 11'sd0 : x1 + x2 + x3);
    wire signed [10:0] base = fifo[head[1:0]];
    assign o_payload[10:0] = base + {{8'd0, out_beat, 1'b0}};
    assign o_payload[21:11] = out_beat == 2'd2 ? 11'd0 : base + {{8'd0, out_beat, 1'b1}};

    always @(posedge clk) begin
        if (i_valid & i_ready) begin
            sum <= all;
            if (in_last) fifo[tail[1:0]] <= all;
        end
        if (rst) begin
            head <= 0; tail <= 0; in_beat <= 0; out_beat <= 0;
        end else begin
            if (i_valid & i_ready) begin
                in_beat <= in_beat + 2'd1;
                if (in_last) tail <= tail + 3'd1;
            end
            if (o_valid & o_ready) begin
                out_beat <= out_beat == 2'd2 ? 2'd0 : out_beat + 2'd1;
                if (out_beat == 2'd2) head <= head + 3'd1;
            end
        end
    end
endmodule
"""


def total(folder: Path, name: str) -> Example:
    shape = {
        "n_in": 13, "lanes_in": 4, "in_bits": 6, "in_signed": True, "in_slot": 8,
        "n_out": 5, "lanes_out": 2, "out_bits": 11, "out_signed": True, "out_slot": 16,
    }  # fmt: skip
    wrapper = render("axis_wrapper.v.j2", name=name, latency=6, interval=4, frames_in_flight=5, **shape)
    files = write(folder, name, wrapper, SUM_CORE.format(name=name))
    return Example(name, files, axis_ports(**shape), 6, 4, lambda x: x.sum(1, keepdims=True) + np.arange(5))


# y[j] = x[j] + x[n-1-j], two register levels; a new input at most every INTERVAL cycles.
MIRROR_CORE = """
module {name}_core (
    input wire clk, input wire rst,
    input wire i_valid, input wire [{n}*5-1:0] i_payload,
    output wire o_valid, output reg [{n}*6-1:0] o_payload,
    output reg error
);
    reg [{n}*5-1:0] held;
    reg [1:0] valid;
    reg [3:0] wait_for;
    wire take = i_valid & (wait_for == 0);
    integer lane;
    assign o_valid = valid[1];
    always @(posedge clk) begin
        held <= i_payload;
        for (lane = 0; lane < {n}; lane = lane + 1)
            o_payload[lane*6 +: 6] <= {{1'b0, held[lane*5 +: 5]}} + {{1'b0, held[({n}-1-lane)*5 +: 5]}};
        if (rst) begin
            valid <= 0;
            error <= 0;
            wait_for <= 0;
        end else begin
            valid <= {{valid[0], take}};
            wait_for <= take ? {interval} - 1 : wait_for == 0 ? 0 : wait_for - 1;
            if (i_valid & ~take) error <= 1;
        end
    end
endmodule
"""


def mirror(folder: Path, name: str, n: int, interval: int) -> Example:
    shape = {
        "n_in": n, "lanes_in": n, "in_bits": 5, "in_signed": False,
        "n_out": n, "lanes_out": n, "out_bits": 6, "out_signed": False,
    }  # fmt: skip
    wrapper = render("pipeline_wrapper.v.j2", name=name, latency=2, interval=interval, **shape)
    files = write(folder, name, wrapper, MIRROR_CORE.format(name=name, n=n, interval=interval))
    return Example(name, files, pipeline_ports(**shape), 2, interval, lambda x: x + x[:, ::-1])
