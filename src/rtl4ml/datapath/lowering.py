"""A datapath as hardware: one Amaranth expression per node, registers where the pipeline is cut."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.clip_cell import clip
from rtl4ml.datapath.nodes import Node, chain
from rtl4ml.datapath.pipeline import Pipeline
from rtl4ml.datapath.ternary_adder import add_three
from rtl4ml.datapath.words import Datapath
from rtl4ml.errors import ConfigurationError

Observer = Callable[[Datapath, Pipeline, Mapping[str, Value]], None]
_OBSERVER: ContextVar[Observer | None] = ContextVar("observer", default=None)


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Meanwhile `lower` hands what it is given to the observer and builds nothing: for counting hardware."""
    token = _OBSERVER.set(observer)
    try:
        yield
    finally:
        _OBSERVER.reset(token)


def lower(
    m: Module, datapath: Datapath, pipeline: Pipeline, inputs: Mapping[str, Value], prefix: str = "n"
) -> dict[str, Signal]:
    """Adds the hardware of a datapath to a module.

    Node 12 becomes the signal ``n12``; ``n12_3`` is its value in step 3. Registers have neither enable nor reset.

    An addition whose operand is another one that nothing else uses takes it through two inverters, which cost nothing.
    Without them Yosys would merge both into one sum of three words (its pass ``alumacc``), and so on along the tree,
    and build that in lookup tables rather than carry chains: a sum of 16 words is then half as large again.

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
    if (observer := _OBSERVER.get()) is not None:
        observer(datapath, pipeline, inputs)
        return {name: Signal(Shape(word.bits, word.low < 0)) for name, word in datapath.outputs.items()}
    return _Lowering(m, datapath, pipeline, inputs, prefix).run()


class _Lowering:
    def __init__(
        self, m: Module, datapath: Datapath, pipeline: Pipeline, inputs: Mapping[str, Value], prefix: str
    ) -> None:
        self.m = m
        self.datapath = datapath
        self.nodes = datapath.nodes
        self.pipeline = pipeline
        self.inputs = inputs
        self.prefix = prefix
        # The value of each node in its step and the following ones; the first is None if only registers are used.
        self.values: dict[int, list[Value | None]] = {}
        self.users = self._count_users()
        self.sums_of_three = 0
        self.clips = 0
        self.comb: list[object] = []
        self.sync: list[object] = []

    def run(self) -> dict[str, Signal]:
        needed_at_once = self._needed_at_once()
        step, until = self.pipeline.step, self._last_uses()
        for index, node in enumerate(self.nodes):
            if needed_at_once[index] is None or node.kind is kinds.CONSTANT or node.kind is kinds.SHIFT_LEFT:
                continue
            if node.kind is kinds.INVERT:
                self.values[index] = [self._expression(node, at) for at in range(step[index], until[index] + 1)]
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
        self.m.d.comb += self.comb
        if self.sync:
            self.m.d.sync += self.sync
        return outputs

    def _last_uses(self) -> list[int]:
        """Per node: the last step of its value. Registers hold what is inverted: behind them inverters are free."""
        until = list(self.pipeline.until)
        for index in range(len(self.nodes) - 1, -1, -1):
            if self.nodes[index].kind is kinds.INVERT:
                (operand,) = self.nodes[index].operands
                if self.nodes[operand].kind is kinds.SHIFT_LEFT:
                    (operand,) = self.nodes[operand].operands
                until[operand] = max(until[operand], until[index])
        return until

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

    def _count_users(self) -> list[int]:
        """Per node: how many nodes and outputs use it, shifted or not."""
        live = [False] * len(self.nodes)
        users = [0] * len(self.nodes)
        for word in self.datapath.outputs.values():
            live[word.index] = True
            users[word.index] += 1
        for index in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[index]
            if live[index]:
                for operand in node.operands:
                    live[operand] = True
                    users[operand] += users[index] if node.kind is kinds.SHIFT_LEFT else 1
        return users

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
            b = self._addend(second, at, 0)
            if not add and self.nodes[first].kind is kinds.CONSTANT and self.nodes[first].low == 0:
                return -b
            a = self._addend(first, at, 0)
            if add:
                return b + a if self._is_inverted(first) else a + b
            return a - b
        if add and kinds.trailing_zeros(self.nodes[first]) > kinds.trailing_zeros(self.nodes[second]):
            first, second = second, first
        lower = _resize(self._value(first, at), self.nodes[first].low < 0, wired)
        if wired == node.bits:
            return lower
        upper, other = self._addend(first, at, wired), self._addend(second, at, wired)
        if isinstance(upper, Const) and upper.value == 0:
            # No overlap: a concatenation, or the negated upper part.
            upper = other if add else -other
            return Cat(lower, _resize(upper, self.nodes[second].low < 0 or not add, node.bits - wired))
        if add:
            return Cat(lower, other + upper if self._is_inverted(first) else upper + other)
        return Cat(lower, upper - other)

    def _is_inverted(self, index: int) -> bool:
        """Whether a word comes out of inverters: the second of two words takes them in, the first one feeds carries."""
        node = self.nodes[index]
        source = node.operands[0] if node.kind is kinds.SHIFT_LEFT else index
        return self.nodes[source].kind is kinds.INVERT

    def _ternary(self, node: Node, at: int) -> Value:
        wired, bits = chain(self.nodes, node)
        least = min(node.operands, key=lambda operand: kinds.trailing_zeros(self.nodes[operand]))
        lower = _resize(self._value(least, at), self.nodes[least].low < 0, wired)
        if not bits:
            return lower
        operands, inverted, units = [], [], 0
        for operand, sign in zip(node.operands, (1, *node.parameter), strict=True):
            source, shift = operand, 0
            if self.nodes[operand].kind is kinds.SHIFT_LEFT:
                source, shift = self.nodes[operand].operands[0], self.nodes[operand].parameter
            # An inverted word enters as it was; so do the zeros below it.
            turned = self.nodes[source].kind is kinds.INVERT and self.pipeline.step[source] == at
            source = self.nodes[source].operands[0] if turned else source
            value, signed = self._value(source, at), self.nodes[source].low < 0
            below = Const((1 << shift) - 1 if turned else 0, shift)
            above = Cat(below, _resize(value, signed, max(wired + bits - shift, 0)))
            operands.append(above[wired : wired + bits])
            inverted.append(turned != (sign < 0))
            units += sign < 0
        first, second, third = inverted
        name = f"{self.prefix}_sum{self.sums_of_three}"
        self.sums_of_three += 1
        return Cat(lower, add_three(self.m, operands, (first, second, third), units, name))

    def _addend(self, index: int, at: int, k: int) -> Value:
        """Returns ``_above``, out of reach for passes that look for additions of additions."""
        value = self._above(index, at, k)
        node = self.nodes[index]
        if node.kind is kinds.SHIFT_LEFT:
            k -= node.parameter
            index = node.operands[0]
            node = self.nodes[index]
        if node.kind not in (kinds.ADD, kinds.SUBTRACT, kinds.WEIGHTED):
            return value
        if self.users[index] > 1 or self.pipeline.step[index] != at or chain(self.nodes, node).wired != k:
            return value
        inverted = ~(~value)
        return inverted.as_signed() if value.shape().signed else inverted.as_unsigned()

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

    def _weighted(self, node: Node, at: int) -> Value:
        """Returns a word plus a table, which the adder's own lookup tables take in where they have inputs to spare.

        For that the word has to be what carries are generated from. Of a sum Yosys takes the operand that comes first
        in an order of its own, of a difference the first: so what is added is the difference from the table's
        complement, and one less stands in the table.
        """
        word, *bits = node.operands
        zeros, added = chain(self.nodes, node)
        values = [(node.parameter[0] >> zeros) - (added > 0)]
        for weight in node.parameter[1:]:
            values += [value + (weight >> zeros) for value in values]
        low = min(values)
        shape = Shape(kinds.range_bits(low, max(values)), low < 0)
        pitch = (shape.width - 1).bit_length()
        packed = sum((value & ((1 << shape.width) - 1)) << (place << pitch) for place, value in enumerate(values))
        index = Cat(Const(0, pitch), *(self._value(bit, at) for bit in bits))
        table = Const(packed, len(values) << pitch).bit_select(index, shape.width)
        lower = _resize(self._value(word, at), self.nodes[word].low < 0, zeros)
        if not added:
            return Cat(lower, _resize(table, shape.signed, node.bits - zeros))
        table = table if shape.signed else Cat(table, Const(0, 1))
        return Cat(lower, self._addend(word, at, zeros) - ~table.as_signed())

    def _clip(self, node: Node, at: int) -> Value:
        operand = node.operands[0]
        source = self.nodes[operand]
        shape = Shape(node.bits, node.low < 0)
        value = _shaped(_resize(self._value(operand, at), source.low < 0, node.bits), node)
        if node.parameter is kinds.PAIRED:
            under = ~self._reaches(operand, at, node.low) if source.low < node.low else Const(0)
            name = f"{self.prefix}_clip{self.clips}"
            self.clips += 1
            limits = node.low, node.high
            return _shaped(clip(self.m, Cat(value), under, self._over(node, at), limits, name), node)
        if source.high > node.high:
            value = Mux(self._reaches(operand, at, node.high + 1), Const(node.high, shape), value)
        if source.low < node.low:
            value = Mux(self._reaches(operand, at, node.low), value, Const(node.low, shape))
        return value

    def _over(self, node: Node, at: int) -> Value:
        """Returns two bits, one of which at least is 1 where a word that is not too low is too high."""
        (operand,) = node.operands
        source = self.nodes[operand]
        if source.high <= node.high:
            return Const(0, 2)
        zeros = node.high.bit_length()
        if node.high + 1 == 1 << zeros and (source.low >= 0 or node.low >= 0):
            # The upper bits but the sign, as they are: often there are no more than two.
            upper = self._above(operand, at, zeros)
            upper = upper[:-1] if source.low < 0 else upper
            return Cat(upper[0], upper[1:].any() if len(upper) > 1 else Const(0))
        return Cat(self._reaches(operand, at, node.high + 1), Const(0))


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
    kinds.TERNARY: _Lowering._ternary,
    kinds.SHIFT_RIGHT: _Lowering._shift_right,
    kinds.LOW_BITS: _Lowering._low,
    kinds.NARROW: _Lowering._low,
    kinds.INVERT: _Lowering._invert,
    kinds.MULTIPLY: _Lowering._multiply,
    kinds.AT_LEAST: _Lowering._at_least,
    kinds.EQUAL: _Lowering._equal,
    kinds.SELECT: _Lowering._select,
    kinds.TABLE: _Lowering._table,
    kinds.WEIGHTED: _Lowering._weighted,
    kinds.CLIP: _Lowering._clip,
}
