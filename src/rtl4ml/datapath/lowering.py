"""A datapath as hardware: one Amaranth expression per node, registers where the pipeline is cut."""

from collections.abc import Callable, Mapping

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.nodes import Node, chain
from rtl4ml.datapath.pipeline import Pipeline
from rtl4ml.datapath.words import Datapath
from rtl4ml.errors import ConfigurationError


def lower(
    m: Module, datapath: Datapath, pipeline: Pipeline, inputs: Mapping[str, Value], prefix: str = "n"
) -> dict[str, Signal]:
    """Adds the hardware of a datapath to a module.

    Node 12 becomes the signal ``n12``; ``n12_3`` is its value in step 3. Registers have neither enable nor reset.

    Args:
        m: The module; its domain ``sync`` clocks the registers.
        datapath: What to compute.
        pipeline: Its cut.
        inputs: The input values; their low bits are used, as many as the input's range needs.
        prefix: First letters of the names; another one for each datapath of the same module.

    Returns:
        The outputs, each as wide as its range needs, ``pipeline.depth`` clock edges after the inputs.

    Raises:
        ConfigurationError: If inputs are missing or unknown.
    """
    if set(inputs) != set(datapath.inputs):
        raise ConfigurationError(f"inputs must be {sorted(datapath.inputs)}, not {sorted(inputs)}")
    return _Lowering(datapath, pipeline, inputs, prefix).run(m)


class _Lowering:
    def __init__(self, datapath: Datapath, pipeline: Pipeline, inputs: Mapping[str, Value], prefix: str) -> None:
        self.datapath = datapath
        self.nodes = datapath.nodes
        self.pipeline = pipeline
        self.inputs = inputs
        self.prefix = prefix
        # The value of each node in its step and the following ones; the first is None if only registers are used.
        self.values: dict[int, list[Value | None]] = {}
        self.comb: list[object] = []
        self.sync: list[object] = []

    def run(self, m: Module) -> dict[str, Signal]:
        needed_at_once = self._needed_at_once()
        step, until = self.pipeline.step, self.pipeline.until
        for index, node in enumerate(self.nodes):
            if needed_at_once[index] is None or node.kind is kinds.CONSTANT or node.kind is kinds.SHIFT_LEFT:
                continue
            value = self._expression(node, step[index])
            shape = Shape(node.bits, node.low < 0)
            values: list[Value | None] = [None]
            if node.kind in kinds.WIRING or (isinstance(value, Signal) and value.shape() == shape):
                values[0] = value  # slices of a signal need no signal of their own
            elif needed_at_once[index]:
                signal = Signal(shape, name=f"{self.prefix}{index}")
                self.comb.append(signal.eq(value))
                values[0] = value = signal
            for later in range(step[index] + 1, until[index] + 1):
                register = Signal(shape, name=f"{self.prefix}{index}_{later}", reset_less=True)
                self.sync.append(register.eq(value))
                values.append(register)
                value = register
            self.values[index] = values
        outputs = {name: self._output(name, word.index) for name, word in self.datapath.outputs.items()}
        m.d.comb += self.comb
        if self.sync:
            m.d.sync += self.sync
        return outputs

    def _needed_at_once(self) -> list[bool | None]:
        """Per node: whether it is used in its own step; None if nothing uses it at all."""
        step = self.pipeline.step
        needed: list[bool | None] = [None] * len(self.nodes)

        def use(index: int, at: int) -> None:
            node = self.nodes[index]
            if node.kind is kinds.SHIFT_LEFT:
                needed[index] = True
                index = node.operands[0]
            needed[index] = bool(needed[index]) or step[index] == at

        for word in self.datapath.outputs.values():
            use(word.index, self.pipeline.depth)
        for index in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[index]
            if needed[index] is not None and node.kind is not kinds.SHIFT_LEFT:
                for operand in node.operands:
                    use(operand, step[index])
        return needed

    def _output(self, name: str, index: int) -> Signal:
        value = self._value(index, self.pipeline.depth)
        if isinstance(value, Signal):
            return value
        node = self.nodes[index]
        signal = Signal(Shape(node.bits, node.low < 0), name=f"{self.prefix}_{name}")
        self.comb.append(signal.eq(value))
        return signal

    def _value(self, index: int, at: int) -> Value:
        """Returns the node's value in the step ``at``, of the shape that its range needs."""
        node = self.nodes[index]
        if node.kind is kinds.CONSTANT:
            return Const(node.low, Shape(node.bits, node.low < 0))
        if node.kind is kinds.SHIFT_LEFT:
            value = Cat(Const(0, node.parameter), self._value(node.operands[0], at))
            return value.as_signed() if node.low < 0 else value
        value = self.values[index][at - self.pipeline.step[index]]
        assert value is not None
        return value

    def _above(self, index: int, at: int, k: int) -> Value:
        """Returns the node's value divided by ``2**k``, rounded down."""
        node = self.nodes[index]
        if node.kind is kinds.SHIFT_LEFT and node.parameter == k:
            return self._value(node.operands[0], at)
        if node.kind is kinds.CONSTANT:
            low = node.low >> k
            return Const(low, Shape(kinds.range_bits(low, low), low < 0))
        value = self._value(index, at)
        if k == 0:
            return value
        if node.low < 0:
            return value[min(k, len(value) - 1) :].as_signed()
        return value[k:] if k < len(value) else Const(0, 1)

    def _expression(self, node: Node, at: int) -> Value:
        return _EXPRESSIONS[node.kind](self, node, at)

    def _input(self, node: Node, at: int) -> Value:
        return Value.cast(self.inputs[node.parameter])

    def _sum(self, node: Node, at: int) -> Value:
        first, second = node.operands
        wired = chain(self.nodes, node).wired
        add = node.kind is kinds.ADD
        if wired == 0:
            b = self._value(second, at)
            if not add and self.nodes[first].kind is kinds.CONSTANT and self.nodes[first].low == 0:
                return -b
            a = self._value(first, at)
            return a + b if add else a - b
        if add and kinds.trailing_zeros(self.nodes[first]) > kinds.trailing_zeros(self.nodes[second]):
            first, second = second, first
        lower = _resize(self._value(first, at), self.nodes[first].low < 0, wired)
        if wired == node.bits:
            return lower
        upper, other = self._above(first, at, wired), self._above(second, at, wired)
        if isinstance(upper, Const) and upper.value == 0:
            # No overlap: a concatenation, or the negated upper part.
            upper = other if add else -other
            return Cat(lower, _resize(upper, self.nodes[second].low < 0 or not add, node.bits - wired))
        return Cat(lower, upper + other if add else upper - other)

    def _shift_right(self, node: Node, at: int) -> Value:
        return _shaped(self._above(node.operands[0], at, node.parameter), node)

    def _low(self, node: Node, at: int) -> Value:
        operand = node.operands[0]
        return _shaped(_resize(self._value(operand, at), self.nodes[operand].low < 0, node.bits), node)

    def _invert(self, node: Node, at: int) -> Value:
        # An unsigned word has no sign bit to turn around: the result's is always set, or never.
        (operand,) = node.operands
        value = self._value(operand, at)
        signed = self.nodes[operand].low < 0
        return _shaped(_resize(~(value if signed else Cat(value, Const(0, 1))), True, node.bits), node)

    def _multiply(self, node: Node, at: int) -> Value:
        return self._value(node.operands[0], at) * self._value(node.operands[1], at)

    def _at_least(self, node: Node, at: int) -> Value:
        first, second = node.operands
        if self.nodes[second].kind is kinds.CONSTANT:
            return self._reaches(first, at, self.nodes[second].low)
        if self.nodes[first].kind is kinds.CONSTANT:
            return ~self._reaches(second, at, self.nodes[first].low + 1)
        return self._value(first, at) >= self._value(second, at)

    def _reaches(self, index: int, at: int, value: int) -> Value:
        """Returns the bit ``node >= value`` for a constant, without a comparator where some upper bits tell."""
        signed = self.nodes[index].low < 0
        if value == 0:
            return ~self._value(index, at)[-1]
        zeros = (value & -value).bit_length() - 1
        upper, value = self._above(index, at, zeros), value >> zeros
        if value == 1:
            return ~upper[-1] & upper[:-1].any() if signed else upper.any()
        if value == -1:
            return ~upper[-1] | upper.all()
        return upper >= value

    def _equal(self, node: Node, at: int) -> Value:
        return self._value(node.operands[0], at) == self._value(node.operands[1], at)

    def _select(self, node: Node, at: int) -> Value:
        condition, if_true, if_false = (self._value(operand, at) for operand in node.operands)
        return Mux(condition, if_true, if_false)

    def _table(self, node: Node, at: int) -> Value:
        """Returns a bit select of one long constant: shorter than a case statement, quicker to synthesise, as small.

        Words stand at multiples of a power of two, so that the index needs no multiplier.
        """
        index = self.nodes[node.operands[0]]
        pitch = (node.bits - 1).bit_length()
        mask = (1 << node.bits) - 1
        packed = 0
        for position, entry in enumerate(node.parameter):
            # The index as the unsigned number that its bits make: no subtraction of its least value.
            address = (index.low + position) & ((1 << index.bits) - 1)
            packed |= (entry & mask) << (address << pitch)
        offset = Cat(Const(0, pitch), self._value(node.operands[0], at))
        return Const(packed, 1 << (index.bits + pitch)).bit_select(offset, node.bits)

    def _clip(self, node: Node, at: int) -> Value:
        operand = node.operands[0]
        source = self.nodes[operand]
        shape = Shape(node.bits, node.low < 0)
        value = _shaped(_resize(self._value(operand, at), source.low < 0, node.bits), node)
        if source.high > node.high:
            value = Mux(self._reaches(operand, at, node.high + 1), Const(node.high, shape), value)
        if source.low < node.low:
            value = Mux(self._reaches(operand, at, node.low), value, Const(node.low, shape))
        return value


def _resize(value: Value, signed: bool, bits: int) -> Value:
    """Returns the lowest ``bits`` bits of a value, extended if it has fewer; unsigned unless nothing changes."""
    width = len(value)
    if width == bits:
        return value
    if width > bits:
        return value[:bits]
    return Cat(value, value[-1].replicate(bits - width) if signed else Const(0, bits - width))


def _shaped(value: Value, node: Node) -> Value:
    """Returns the low bits of a value in the shape that the node's range needs."""
    value = value[: node.bits] if len(value) > node.bits else value
    if value.shape().signed == (node.low < 0):
        return value
    return value.as_signed() if node.low < 0 else value.as_unsigned()


_EXPRESSIONS: dict[str, Callable[[_Lowering, Node, int], Value]] = {
    kinds.INPUT: _Lowering._input,
    kinds.ADD: _Lowering._sum,
    kinds.SUBTRACT: _Lowering._sum,
    kinds.SHIFT_RIGHT: _Lowering._shift_right,
    kinds.LOW_BITS: _Lowering._low,
    kinds.NARROW: _Lowering._low,
    kinds.INVERT: _Lowering._invert,
    kinds.MULTIPLY: _Lowering._multiply,
    kinds.AT_LEAST: _Lowering._at_least,
    kinds.EQUAL: _Lowering._equal,
    kinds.SELECT: _Lowering._select,
    kinds.TABLE: _Lowering._table,
    kinds.CLIP: _Lowering._clip,
}
