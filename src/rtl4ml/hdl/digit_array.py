"""Digit-serial distributed arithmetic: registers for a word, sums of a matrix, shifting accumulators."""

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.datapath.lowering import lower
from rtl4ml.hdl.delay import delay
from rtl4ml.hdl.digit_plan import DigitPlan
from rtl4ml.hdl.tables import shape_of_range


class DigitArray(wiring.Component):
    """Takes d bits of every element of a word a cycle through a matrix of constants; never stalls.

    Words may be loaded `plan.cycles` edges after each other, or later. The outputs of a word are there `plan.depth`
    edges after its load.

    Parameters:
        plan: the digits, datapaths and their cuts.
        in_shape: shape of an element.
        out_shape: shape of an output.

    Members:
        load: a word is there, for this cycle only.
        word: S elements.
        o_valid: the outputs are there, for this cycle only.
        o_payload: F outputs.
    """

    def __init__(self, plan: DigitPlan, in_shape: Shape, out_shape: Shape) -> None:
        self._plan = plan
        super().__init__(
            {
                "load": In(1),
                "word": In(data.ArrayLayout(in_shape, len(plan.low))),
                "o_valid": Out(1),
                "o_payload": Out(data.ArrayLayout(out_shape, plan.outputs)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        """Hold the word, choose digits, add, accumulate, finish; flags of the word go along."""
        m = Module()
        plan = self._plan
        m.submodules.kernel = kernel = Module()
        products = lower(kernel, plan.kernel, plan.kernel_pipeline, self._held(m) | self._phase(m))
        clear = delay(m, "loaded", self.load, plan.accumulate_step)
        sums = {p: self._accumulate(m, p, products[f"p_{p}"], clear) for p in plan.columns}
        accumulators = {}
        for name, word in plan.tail.inputs.items():
            value: Value = Const(0)
            if name in plan.live:
                value = Signal(shape_of_range(word.low, word.high), name=f"accumulator_{plan.accumulators[name][0]}")
                m.d.comb += value.eq(sums[plan.accumulators[name][0]])
            accumulators[name] = value
        m.submodules.tail = tail = Module()
        outputs = lower(tail, plan.tail, plan.tail_pipeline, accumulators)
        m.d.comb += self.o_valid.eq(delay(m, "ended", clear, plan.cycles + plan.tail_pipeline.depth + 1))
        m.d.comb += [self.o_payload[p].eq(outputs[f"o_{p}"]) for p in range(plan.outputs)]
        return m

    def _held(self, m: Module) -> dict[str, Value]:
        """Registers that hold a word until the next is loaded."""
        held: dict[str, Value] = {}
        for s in self._plan.elements:
            low, high = int(self._plan.low[s]), int(self._plan.high[s])
            element = Signal(shape_of_range(low, high), name=f"x_{s}", reset_less=True)
            with m.If(self.load):
                m.d.sync += element.eq(self.word[s])
            held[element.name] = element
        return held

    def _phase(self, m: Module) -> dict[str, Value]:
        """Number of the digit that is next, from 0 after a load."""
        phase = Signal(range(self._plan.cycles), name="phase")
        m.d.sync += phase.eq(Mux(self.load, 0, phase + 1))
        return {f"phase_{bit}": phase[bit] for bit in range(len(phase))}

    def _accumulate(self, m: Module, p: int, product: Value, clear: Value) -> Value:
        """Add the products of a word; `clear` at the edge before its first. The sum stands for a cycle behind its last.

        The bias is what the register is reset to: on most devices that takes no logic, unlike a choice in front of the
        adder. So the sum is not this register but a copy of what goes into it.
        """
        plan = self._plan
        d, start, (low, high) = plan.digit, int(plan.start[p]), plan.totals[p]
        if plan.sum_register:
            register = Signal.like(product, name=f"product_{p}", reset_less=True)
            m.d.sync += register.eq(product)
            product = register
        ends = low >> d, high >> d
        carried = Signal(shape_of_range(min(start, ends[0]), max(start, ends[1])), name=f"carried_{p}", reset_less=True)
        total = Signal(shape_of_range(low, high), name=f"total_{p}")
        upper = Signal(shape_of_range(*ends), name=f"upper_{p}", reset_less=True)
        lower_bits = Signal(plan.cycles * d, name=f"lower_{p}", reset_less=True)
        digit = Signal(d, name=f"digit_{p}")
        # Two inverters, which cost nothing, keep Yosys from merging the last addition of the matrix with this one.
        m.d.comb += [total.eq(carried + ~(~product)), digit.eq(total)]
        m.d.sync += [upper.eq(total >> d), lower_bits.eq(Cat(lower_bits[d:], digit))]
        with m.If(clear):
            m.d.sync += carried.eq(start)
        with m.Else():
            m.d.sync += carried.eq(total >> d)
        whole = Cat(lower_bits, upper)
        return whole.as_signed() if low < 0 else whole
