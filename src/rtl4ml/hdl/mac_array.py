"""Time-multiplexed matrix-vector products: multipliers, weights in ROM, adder trees, accumulators."""

from amaranth.hdl import Elaboratable, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.datapath.lowering import lower
from rtl4ml.hdl.delay import delay
from rtl4ml.hdl.mac_plan import MacPlan
from rtl4ml.hdl.tables import cycle_rows, read_rows, shape_of_range


class MacArray(wiring.Component):
    """P x S multipliers that work through a matrix, a word of S elements at a time; never stalls.

    Words come in the order of the plan: for each group of outputs all words of x. The result of a group is in
    `o_payload`, flagged by `o_valid`, `plan.depth` edges after the issue of the group's last word.

    Parameters:
        plan: weights, ranges, datapaths and their cuts.
        in_shape: shape of an element of x.
        out_shape: shape of an output.

    Members:
        issue: the next word is issued at this edge; any rate.
        first: it is the first word of its group.
        last: it is the last word of its group.
        word: the word issued at the edge before.
        o_valid: a group's outputs are there, for this cycle only.
        o_payload: P outputs.
    """

    def __init__(self, plan: MacPlan, in_shape: Shape, out_shape: Shape) -> None:
        self._plan = plan
        super().__init__(
            {
                "issue": In(1),
                "first": In(1),
                "last": In(1),
                "word": In(data.ArrayLayout(in_shape, plan.lanes)),
                "o_valid": Out(1),
                "o_payload": Out(data.ArrayLayout(out_shape, plan.outputs)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        """Build ROM, multipliers, trees, accumulators and the function that follows."""
        m = Module()
        plan = self._plan
        products = self._products(m)
        if plan.words == 1:
            sampled = delay(m, "issued", self.issue, plan.product_step)
            inputs = products | self._parameters(m, sampled)
            result = sampled
        else:
            result, accumulators = self._accumulators(m, products)
            inputs = accumulators | self._parameters(m, result)
        m.submodules.tail = tail = Module()
        outputs = lower(tail, plan.tail, plan.tail_pipeline, inputs)
        for p in range(plan.outputs):
            m.d.comb += self.o_payload[p].eq(outputs[f"o_{p}"])
        m.d.comb += self.o_valid.eq(delay(m, "result", result, plan.tail_pipeline.depth))
        return m

    def _products(self, m: Module) -> dict[str, Value]:
        """Registers behind the multipliers, found `plan.product_step` edges after the issue."""
        plan = self._plan
        passes = plan.groups * plan.words
        address = Signal(range(max(2, passes)))
        if passes > 1:
            with m.If(self.issue):
                m.d.sync += address.eq(Mux(address == passes - 1, 0, address + 1))
        rows = plan.weights.reshape(passes, plan.outputs * plan.lanes)
        weights = read_rows(m, "weights", rows, plan.weight_shape, address[: max(passes - 1, 1).bit_length()])
        # Like the products: neither reset nor enable, so that registers can be those of memories and multipliers.
        operands = m.d.sync if plan.operand_register else m.d.comb
        elements = []
        for s in range(plan.lanes):
            element = Signal.like(self.word[s], name=f"x_{s}", reset_less=True)
            operands += element.eq(self.word[s])
            elements.append(element)
        if plan.operand_register:
            for index, value in enumerate(weights):
                p, s = divmod(index, plan.lanes)
                weights[index] = Signal(plan.weight_shape, name=f"weight_{p}_{s}", reset_less=True)
                operands += weights[index].eq(value)
        products: dict[str, Value] = {}
        for p in range(plan.outputs):
            for s, element in enumerate(elements):
                name = plan.product_name(p, s)
                product = Signal(shape_of_range(*plan.product_range(p, s)), name=name, reset_less=True)
                m.d.sync += product.eq(element * weights[p * plan.lanes + s])
                products[name] = product
        return products

    def _accumulators(self, m: Module, products: dict[str, Value]) -> tuple[Value, dict[str, Value]]:
        """Add the words' sums up; return the flag that accumulators are final, and the accumulators."""
        plan = self._plan
        m.submodules.trees = trees = Module()
        sums = lower(trees, plan.trees, plan.trees_pipeline, products)
        step = plan.accumulate_step
        enable = delay(m, "issued", self.issue, step)
        first = delay(m, "first_issued", self.first, step)
        last = delay(m, "last_issued", self.issue & self.last, step)
        bias = cycle_rows(m, "bias", [plan.bias[:, p] for p in range(plan.outputs)], last)
        accumulators: dict[str, Value] = {}
        for p in range(plan.outputs):
            addend: Value = sums[f"sum_{p}"]
            if plan.sum_register:
                register = Signal.like(addend, name=f"sum_register_{p}", reset_less=True)
                m.d.sync += register.eq(addend)
                addend = register
            word = plan.tail.inputs[f"accumulator_{p}"]
            accumulator = Signal(shape_of_range(*plan.accumulator_ranges[p]), name=f"total_{p}", reset_less=True)
            with m.If(enable):
                m.d.sync += accumulator.eq(Mux(first, bias[p], accumulator) + addend)
            # The final value may have a narrower range than the sums on the way.
            final = Signal(shape_of_range(word.low, word.high), name=f"accumulator_{p}")
            m.d.comb += final.eq(accumulator)
            accumulators[final.name] = final
        return delay(m, "final", last, 1), accumulators

    def _parameters(self, m: Module, advance: Value) -> dict[str, Value]:
        columns = self._plan.parameter_columns()
        values = cycle_rows(m, "parameters", list(columns.values()), advance)
        return dict(zip(columns, values, strict=True))
