"""Time-multiplexed matrix-vector products: multipliers, weights in ROM, adder trees, accumulators."""

from amaranth.hdl import Const, Elaboratable, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.datapath.lowering import lower
from rtl4ml.hdl.delay import delay
from rtl4ml.hdl.finish import hand_over
from rtl4ml.hdl.mac_plan import MacPlan
from rtl4ml.hdl.mac_products import ProductKind
from rtl4ml.hdl.tables import cycle_rows, read_columns, shape_of_range
from rtl4ml.hdl.weight_ram import FRAME_BITS, BankedTable, Codes, LoadBus, Table, load_signature


class MacArray(wiring.Component):
    """P x S products that work through a matrix, a word of S elements at a time; never stalls.

    Words come in the order of the plan: for each group of outputs all words of x. The result of a group is in
    `o_payload`, flagged by `o_valid`, `plan.depth` edges after the issue of the group's last word; where it takes
    several beats, they follow each other without a gap.

    Parameters:
        plan: weights, ranges, datapaths and their cuts.
        in_shape: shape of an element of x.
        out_shape: shape of an output.
        tables: where weights and biases lie behind the port that loads them; None: they stay.
        address_bits: of that port.

    Members:
        issue: the next word is issued at this edge; any rate.
        first: it is the first word of its group.
        last: it is the last word of its group.
        word: the word issued at the edge before.
        o_valid: a beat of a group's outputs is there, for this cycle only.
        o_payload: F outputs.
        w_address, w_data, w_write, w_switch, w_pending: the load bus, with `tables`.
        w_swapped: both tables have changed banks since the last commit; with `tables`.
    """

    def __init__(
        self,
        plan: MacPlan,
        in_shape: Shape,
        out_shape: Shape,
        tables: tuple[Table, Table] | None = None,
        address_bits: int = 1,
    ) -> None:
        self._plan = plan
        self._tables = tables
        super().__init__(
            (load_signature(address_bits) if tables else {})
            | {
                "issue": In(1),
                "first": In(1),
                "last": In(1),
                "word": In(data.ArrayLayout(in_shape, plan.lanes)),
                "o_valid": Out(1),
                "o_payload": Out(data.ArrayLayout(out_shape, plan.finish_lanes)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        """Build ROM, products, trees, accumulators and the function that follows."""
        m = Module()
        plan = self._plan
        self._swapped: list[Signal] = []
        products = self._products(m)
        if plan.words == 1:
            sampled = delay(m, "issued", self.issue, plan.product_step)
            start = {f"bias_{p}": value for p, value in enumerate(self._start(m, sampled))}
            inputs = products | self._parameters(m, sampled)
            inputs |= {name: value for name, value in start.items() if name in plan.tail.inputs}
            result = sampled
        else:
            result, accumulators = self._accumulators(m, products)
            inputs = accumulators | self._parameters(m, result)
        m.submodules.tail = tail = Module()
        outputs = lower(tail, plan.tail, plan.tail_pipeline, inputs)
        for lane in range(plan.finish_lanes):
            m.d.comb += self.o_payload[lane].eq(outputs[f"o_{lane}"])
        m.d.comb += self.o_valid.eq(delay(m, "result", result, plan.tail_pipeline.depth))
        return m

    def _products(self, m: Module) -> dict[str, Value]:
        """What goes into the adder trees, found `plan.product_step` edges after the issue."""
        plan = self._plan
        passes = plan.passes
        address = Signal(range(max(2, passes)))
        if passes > 1:
            with m.If(self.issue):
                m.d.sync += address.eq(Mux(address == passes - 1, 0, address + 1))
        weights = self._weights(m, address[: max(passes - 1, 1).bit_length()], address == passes - 1)
        elements = {s: self.word[s] for s in range(plan.lanes)}
        if plan.operand_register:
            weights = {(p, s): _register(m, f"weight_{p}_{s}", value) for (p, s), value in weights.items()}
            elements = {s: _register(m, f"x_{s}", value) for s, value in elements.items()}

        inputs: dict[str, Value] = {}
        paired = set()
        for pair in plan.pairs:
            (p, s), (other, _) = pair.upper, pair.lower
            both = Signal(shape_of_range(*pair.product), name=f"products_{p}_{other}_{s}", reset_less=True)
            m.d.sync += both.eq(elements[s] * weights[p, s])
            low = both[: pair.bits]
            inputs[f"product_{p}_{s}"] = both >> pair.bits
            inputs[f"product_{other}_{s}"] = low.as_signed() if pair.borrows else low
            if pair.borrows:
                inputs[f"borrow_{p}_{s}"] = low[-1]
            paired |= {pair.upper, pair.lower}
        for p, s in plan.kinds(ProductKind.MULTIPLIER):
            if (p, s) in paired:
                continue
            word = plan.trees.inputs[f"product_{p}_{s}"]
            product = Signal(shape_of_range(word.low, word.high), name=f"product_{p}_{s}", reset_less=True)
            m.d.sync += product.eq(elements[s] * weights[p, s])
            inputs[product.name] = product
        # What is no multiplier's operand waits for the products, if there are any.
        plain = {f"x_{s}": elements[s] for s in plan.plain_elements}
        plain |= {f"weight_{p}_{s}": weights[p, s] for p, s in plan.kinds(ProductKind.LOGIC)}
        if plan.has_multipliers:
            plain = {name: _register(m, f"plain_{name}", value) for name, value in plain.items()}
        return inputs | plain

    def _accumulators(self, m: Module, products: dict[str, Value]) -> tuple[Value, dict[str, Value]]:
        """Add the words' sums up; return the flag that results are there, and the results on the lanes that follow."""
        plan = self._plan
        m.submodules.trees = trees = Module()
        sums = lower(trees, plan.trees, plan.trees_pipeline, products)
        step = plan.accumulate_step
        enable = delay(m, "issued", self.issue, step)
        first = delay(m, "first_issued", self.first, step)
        last = delay(m, "last_issued", self.issue & self.last, step)
        bias = self._start(m, last)
        totals: list[Value] = []
        for p in range(plan.outputs):
            addend: Value = sums[f"sum_{p}"]
            if plan.sum_register:
                register = Signal.like(addend, name=f"sum_register_{p}", reset_less=True)
                m.d.sync += register.eq(addend)
                addend = register
            accumulator = Signal(shape_of_range(*plan.accumulator_ranges[p]), name=f"total_{p}", reset_less=True)
            with m.If(enable):
                m.d.sync += accumulator.eq(Mux(first, bias[p], accumulator) + addend)
            # The final value may have a narrower range than the sums on the way.
            final = Signal(shape_of_range(*plan.final_ranges[p]), name=f"accumulator_{p}")
            m.d.comb += final.eq(accumulator)
            totals.append(final)
        result = delay(m, "final", last, 1)
        if plan.copies:
            result, totals = hand_over(m, result, totals, plan.final_ranges, plan.finish_lanes, plan.beats)
        return result, {f"accumulator_{lane}": total for lane, total in enumerate(totals)}

    def _weights(self, m: Module, address: Value, at_end: Value) -> dict[tuple[int, int], Value]:
        """Weights of the pass at `address`, an edge later."""
        plan = self._plan
        stored = plan.stored
        if self._tables is None:
            shapes = [shape_of_range(*limits) for _, limits in plan.columns.values()]
            columns = [column[plan.kept] for column, _ in plan.columns.values()]
            return dict(zip(plan.columns, read_columns(m, "weights", columns, shapes, address), strict=True))
        frame = Signal(FRAME_BITS, name="weights_frame")
        with m.If(self.issue & at_end & self._last_round(m, "weights", self.issue & at_end)):
            m.d.sync += frame.eq(frame + 1)
        contents, _ = plan.contents(plan.weights, plan.bias)
        numbers = self._banked(m, "weights", self._tables[0], contents).read(address, frame)
        narrow = {}
        for position, number in zip(plan.positions, numbers, strict=True):
            if position in stored:
                shape = shape_of_range(*plan.products[position].stored_range)
                bits = number[: shape.width]
                narrow[position] = bits.as_signed() if shape.signed else bits
        return narrow

    def _last_round(self, m: Module, name: str, end: Value) -> Value:
        """Whether the passes gone through are the last of a frame; `end` at an edge moves on to the next round."""
        rounds = self._plan.rounds
        if rounds == 1:
            return Const(1)
        current = Signal(range(rounds), name=f"{name}_round")
        last = Signal(name=f"{name}_last_round")
        m.d.comb += last.eq(current == rounds - 1)
        with m.If(end):
            m.d.sync += current.eq(Mux(last, 0, current + 1))
        return last

    def _start(self, m: Module, advance: Value) -> list[Value]:
        """What the accumulators of the current group start from; `advance` at an edge moves on to the next group."""
        plan = self._plan
        if self._tables is None:
            return cycle_rows(m, "bias", [plan.start[:, p] for p in range(plan.outputs)], advance)
        group = Signal(range(max(2, plan.groups)), name="bias_row")
        next_group = Signal.like(group, name="bias_next_row")
        frame = Signal(FRAME_BITS, name="bias_frame")
        next_frame = Signal.like(frame, name="bias_next_frame")
        at_end = group == plan.groups - 1
        m.d.comb += [
            next_group.eq(Mux(advance, Mux(at_end, 0, group + 1), group)),
            next_frame.eq(frame + (advance & at_end & self._last_round(m, "bias", advance & at_end))),
        ]
        m.d.sync += [group.eq(next_group), frame.eq(next_frame)]
        return self._banked(m, "bias", self._tables[1], plan.start).read(next_group, next_frame)

    def _banked(self, m: Module, name: str, table: Table, init: Codes) -> BankedTable:
        bus = LoadBus(self.w_address, self.w_data, self.w_write, self.w_switch, self.w_pending)
        banked = BankedTable(m, name, table, init, bus)
        self._swapped.append(banked.swapped)
        if len(self._swapped) == 2:
            m.d.comb += self.w_swapped.eq(self._swapped[0] & self._swapped[1])
        return banked

    def _parameters(self, m: Module, advance: Value) -> dict[str, Value]:
        columns = self._plan.parameter_columns()
        values = cycle_rows(m, "parameters", list(columns.values()), advance)
        return dict(zip(columns, values, strict=True))


def _register(m: Module, name: str, value: Value) -> Signal:
    """The value an edge later, without reset or enable: such registers can be those of memories and multipliers."""
    register = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register
