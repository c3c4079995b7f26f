"""The primitives of a component, taken from what it elaborates to: counts cannot drift away from the hardware.

Datapaths, which make up nearly all of it, are not written out but handed over as they are: that takes milliseconds
where writing them takes seconds. The rest is walked statement by statement.

Amaranth's expressions and statements are not part of its public interface; this is the only file that looks into them.
"""

from collections.abc import Iterable, Mapping

from amaranth.hdl import Const, Elaboratable, Fragment, Module, Shape, Signal, Value
from amaranth.hdl._ast import Assign, Concat, Operator, Part, Slice, Statement, Switch, SwitchValue
from amaranth.lib import memory

from rtl4ml.datapath.lowering import observed
from rtl4ml.datapath.pipeline import Pipeline
from rtl4ml.datapath.words import Datapath
from rtl4ml.planning.estimates.datapaths import added_inputs, count_datapath
from rtl4ml.planning.estimates.primitives import (
    Add,
    Compare,
    Equal,
    Gates,
    Memory,
    Multiply,
    Primitive,
    ProductPair,
    Reduce,
    Register,
    Select,
    Structure,
)
from rtl4ml.planning.estimates.tables import bits_of, table_of


def count_component(structure: Structure, component: Elaboratable) -> list[tuple[Datapath, Pipeline]]:
    """Add a component's primitives to a structure.

    Args:
        structure: what is added to.
        component: not elaborated before.

    Returns:
        Its datapaths and how they are cut.
    """
    counter = _Counter(structure)
    with observed(counter.datapath):
        fragment = Fragment.get(component, counter)
    counter.walk(fragment)
    counter.pair_products()
    return counter.datapaths


class _Counter:
    """Counts; and Amaranth's platform, which is asked for memories."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._seen: dict[int, Value] = {}
        self._sums: list[tuple[Value, Value]] = []
        self._products: dict[int, Multiply] = {}
        self.datapaths: list[tuple[Datapath, Pipeline]] = []

    def get_memory(self, words: memory.Memory) -> Elaboratable:
        """Count a memory; nothing is built."""
        width, depth = Shape.cast(words.shape).width, words.depth
        writes = len(words.write_ports)
        contents = None
        if not writes:
            contents = table_of(bits_of([int(word) for word in words.init], width))
            # Yosys drops bits that are always the same.
            width = contents.varying
        for port in words.read_ports if width else ():
            self._structure[Memory(depth, width, writes, port.domain != "comb", contents)] += 1
        return Module()

    def datapath(self, datapath: Datapath, pipeline: Pipeline, inputs: Mapping[str, Value]) -> None:
        """Count a datapath and what its inputs are made of."""
        self.datapaths.append((datapath, pipeline))
        count_datapath(self._structure, datapath, pipeline)
        for name, value in inputs.items():
            self._value(Value.cast(value), datapath.inputs[name].bits)
        self._sums += [(inputs[first], inputs[second]) for first, second in added_inputs(datapath)]

    def pair_products(self) -> None:
        """Count products that are added to one another."""
        for first, second in self._sums:
            if id(first) in self._products and id(second) in self._products:
                self._structure[ProductPair(self._products[id(first)], self._products[id(second)])] += 1

    def walk(self, fragment: Fragment) -> None:
        """Count a fragment and those inside it."""
        for domain, statements in fragment.statements.items():
            assigned: dict[int, tuple[Signal, int, int]] = {}
            self._statements(statements, assigned, conditional=False)
            for signal, bits, conditional in assigned.values():
                self._driven(signal, bits, conditional, domain)
        for inner, *_ in fragment.subfragments:
            self.walk(inner)

    def _driven(self, signal: Signal, bits: int, conditional: int, domain: str) -> None:
        """Registers of a signal, and the choices between what is assigned to it."""
        width = min(len(signal), bits)
        if domain != "comb":
            control = not signal.reset_less or conditional > 0
            self._structure[Register(width, control)] += 1
            self._add(Select(1, 2), bits - width)
        elif conditional:
            # The first choice is between the value and 0: a gate.
            self._add(Gates(1), width)
            self._add(Select(1, 2), bits - width)

    def _add(self, primitive: Primitive, times: int = 1) -> None:
        if times > 0:
            self._structure[primitive] += times

    def _statements(
        self,
        statements: Iterable[Statement],
        assigned: dict[int, tuple[Signal, int, int]],
        *,
        conditional: bool,
    ) -> None:
        for statement in statements:
            if isinstance(statement, Assign):
                self._value(statement.rhs, len(statement.lhs))
                if isinstance(statement.lhs, Signal) and (product := _product(statement.rhs, len(statement.lhs))):
                    self._products[id(statement.lhs)] = product
                for signal, bits in _targets(statement.lhs):
                    _, before, conditions = assigned.get(id(signal), (signal, 0, 0))
                    assigned[id(signal)] = (signal, before + bits, conditions + conditional)
            elif isinstance(statement, Switch):
                self._value(statement.test, len(statement.test))
                for patterns, inner, *_ in statement.cases:
                    self._patterns(patterns, len(statement.test))
                    self._statements(inner, assigned, conditional=True)

    def _patterns(self, patterns: tuple[str, ...] | None, bits: int) -> None:
        if patterns is not None and bits > 1:
            self._add(Equal(bits, constant=True), len(patterns))

    def _value(self, value: Value, bits: int) -> bool:
        """Count what makes the low `bits` bits of a value; whether it varies."""
        if isinstance(value, Const):
            return False
        if isinstance(value, Signal):
            return True
        if isinstance(value, Slice):
            return self._value(value.value, value.stop)
        if isinstance(value, Concat):
            varying = [self._value(part, len(part)) for part in value.parts]
            return any(varying)
        if id(value) in self._seen:
            return True
        # Values are kept, so that no other one gets their identity.
        self._seen[id(value)] = value
        if isinstance(value, SwitchValue):
            self._value(value.test, len(value.test))
            for patterns, _ in value.cases:
                self._patterns(patterns, len(value.test))
            bits = min(bits, len(value))
            words = sum(self._value(inner, bits) for _, inner in value.cases)
            if words:
                self._add(Select(bits, min(words, 2)), len(value.cases) - 1)
            return True
        if isinstance(value, Part):
            self._value(value.offset, len(value.offset))
            if self._value(value.value, len(value.value)):
                self._add(Select(min(bits, len(value)), 2), len(value.value) // max(1, value.width) - 1)
            return True
        if isinstance(value, Operator):
            return self._operator(value, min(bits, len(value)))
        return True

    def _operator(self, value: Operator, bits: int) -> bool:
        kind, operands = value.operator, value.operands
        narrow = kind in ("+", "-", "&", "|", "^", "~", "u", "s")
        varying = [self._value(operand, bits if narrow else len(operand)) for operand in operands]
        if not any(varying):
            return False
        widths = [len(operand) for operand in operands]
        if kind in ("+", "-"):
            signs = [operand.shape().signed for operand in operands]
            reach = [bits if sign else min(bits, width) for sign, width in zip(signs, widths, strict=True)]
            both = min(reach) if all(varying) and len(operands) > 1 else 0
            self._add(Add(bits, both, kind == "-"))
        elif kind in ("&", "|", "^"):
            self._add(Gates(min(bits, *widths)) if all(varying) else Gates(0))
        elif kind in ("==", "!="):
            self._add(Equal(max(widths), not all(varying)))
        elif kind in ("<", "<=", ">", ">="):
            self._add(Compare(max(widths), not all(varying)))
        elif kind in ("b", "r|", "r&", "r^"):
            if widths[0] > 1:
                self._add(Reduce(widths[0]))
        elif kind == "*":
            product = _product(value, bits)
            assert product is not None
            self._add(product)
        return True


def _product(value: Value, bits: int) -> Multiply | None:
    """The primitive of a product of which so many bits are used; None for anything else."""
    if not isinstance(value, Operator) or value.operator != "*":
        return None
    first, second = value.operands
    signs = [operand.shape().signed for operand in (first, second)]
    return Multiply(len(first), signs[0], len(second), signs[1], min(bits, len(value)))


def _targets(value: Value) -> Iterable[tuple[Signal, int]]:
    """Signals that an assignment drives, and how many bits of each."""
    if isinstance(value, Signal):
        yield value, len(value)
    elif isinstance(value, Slice):
        for signal, _ in _targets(value.value):
            yield signal, len(value)
    elif isinstance(value, Concat):
        for part in value.parts:
            yield from _targets(part)
    elif isinstance(value, Operator):
        for operand in value.operands:
            yield from _targets(operand)
