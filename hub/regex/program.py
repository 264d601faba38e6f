"""From the tree of a pattern to a nondeterministic program, and from that to the rows of an automaton.

A program is a list of nodes: a letter node reads one character of a set and goes on to one node; a fork goes on to two
without reading; a gate goes on where a condition on the place holds; the last node accepts. Sets of nodes are integers,
one bit per node.
"""

from __future__ import annotations

from msgspec import Struct

from hub.regex.bounds import MAX_NODES, Meter, charge, too_complex
from hub.regex.chars import CharSet, Classes, contains, partition
from hub.regex.named import WORD
from hub.regex.tree import (
    BOUNDARY,
    LINE_BEGIN,
    LINE_END,
    NO_BOUNDARY,
    TEXT_BEGIN,
    TEXT_END,
    Choice,
    Edge,
    Node,
    One,
    Row,
    Times,
)

_NEWLINE: CharSet = ((10, 10),)
_OTHER, _WORD, _LINE, _NONE = 0, 1, 2, 3
"""What stands beside a place: another character, a word character, a newline, the end of the text."""


class Rows(Struct):
    """A deterministic automaton in the making: state 0 is the start, -1 as a target is no way on."""

    classes: Classes
    rows: list[tuple[int, ...]]
    accepting: list[bool]


class Program:
    """The nodes of one pattern; node 0 accepts."""

    def __init__(self, tree: Node) -> None:
        self.sets: list[CharSet] = []
        self.reads: list[int] = [-1]  # the number of the set that a letter node reads, -1 for the others
        self.gates: list[int] = [0]
        self.ways: list[list[int]] = [[]]
        self._numbers: dict[CharSet, int] = {}
        self.entry = self._build(tree, 0)
        self.has_gates = any(self.gates)

    def _node(self, ways: list[int], read: int = -1, gate: int = 0) -> int:
        # While building, not after it: a few counted repetitions make thousands of nodes of a short pattern.
        if len(self.ways) >= MAX_NODES:
            raise too_complex(f"is longer than {MAX_NODES} characters when its repetitions are expanded")
        self.ways.append(ways)
        self.reads.append(read)
        self.gates.append(gate)
        return len(self.ways) - 1

    def _build(self, tree: Node, then: int) -> int:
        """Add nodes that read the tree and go on to `then`; the first of them. The recursion is as deep as groups nest."""
        if isinstance(tree, One):
            return self._node([then], read=self._number(tree.chars))
        if isinstance(tree, Edge):
            return self._node([then], gate=tree.condition)
        if isinstance(tree, Row):
            for part in reversed(tree.parts):
                then = self._build(part, then)
            return then
        if isinstance(tree, Choice):
            return self._node([self._build(part, then) for part in tree.parts])
        return self._times(tree, then)

    def _times(self, tree: Times, then: int) -> int:
        if tree.most is None:
            loop = self._node([then])
            self.ways[loop].append(self._build(tree.part, loop))
            first = loop
        else:
            first = then
            # Optional copies are nested, a{2,4} as aa(a(a)?)?, so that there is one way to read each text.
            for _ in range(tree.most - tree.least):
                first = self._node([self._build(tree.part, first), then])
        for _ in range(tree.least):
            first = self._build(tree.part, first)
        return first

    def _number(self, chars: CharSet) -> int:
        if chars not in self._numbers:
            self._numbers[chars] = len(self.sets)
            self.sets.append(chars)
        return self._numbers[chars]


def determinise(tree: Node, start: str, letters: CharSet) -> Rows:
    """The automaton of the texts over `letters` that follow `start` in a match of the tree.

    Subset construction, exponential in the worst case and therefore bounded: `RegexRefusedError` beyond `MAX_STATES`,
    `MAX_NODES` or `MAX_STEPS`.
    """
    program, meter = Program(tree), Meter()
    charge(len(program.ways))
    machine = _Machine(program, letters, meter)
    first = machine.begin()
    for char in start:
        first = machine.read(first, ord(char))
    numbers, rows, accepting = {first: 0}, [], []
    waiting = [first]
    for state in waiting:
        row = []
        for target in machine.targets(state):
            if target is not None and target not in numbers:
                numbers[target] = len(waiting)
                waiting.append(target)
                meter.hold(len(waiting))
            row.append(-1 if target is None else numbers[target])
        rows.append(tuple(row))
        accepting.append(machine.accepts(state))
    return Rows(machine.classes, rows, accepting)


_State = tuple[int, int]
"""A set of nodes as bits, and what stands before them. Without gates the set is closed under forks already."""


class _Machine:
    """Moves sets of nodes over classes of letters."""

    def __init__(self, program: Program, letters: CharSet, meter: Meter) -> None:
        self._program, self._meter = program, meter
        # Only gates look at neighbours; without one, splitting the
        # letters further would make a larger automaton for nothing.
        beside = [WORD, _NEWLINE] if program.has_gates else []
        self.classes, masks = partition([*program.sets, *beside], letters)
        self._reading = self._by_set()
        shift = len(program.sets)
        self._moves = [(self._readers(mask), mask >> shift) for mask in masks]
        self._closures: dict[tuple[int, int], int] = {}

    def _by_set(self) -> list[int]:
        nodes = [0] * len(self._program.sets)
        for node, read in enumerate(self._program.reads):
            if read >= 0:
                nodes[read] |= 1 << node
        return nodes

    def _readers(self, mask: int) -> int:
        """The letter nodes that read a class, given the sets that it is in."""
        nodes = 0
        for number in self._bits(mask & ((1 << len(self._reading)) - 1)):
            nodes |= self._reading[number]
        return nodes

    def begin(self) -> _State:
        """The state before the first letter."""
        return (self._entered(self._program.entry), _NONE)

    def _entered(self, node: int) -> int:
        return 1 << node if self._program.has_gates else self._closure(node, 0)

    def _closed(self, state: _State, after: int) -> int:
        nodes, before = state
        if not self._program.has_gates:
            return nodes
        holds, closed = _conditions(before, after), 0
        for node in self._bits(nodes):
            closed |= self._closure(node, holds)
        return closed

    def _bits(self, nodes: int) -> list[int]:
        found = []
        while nodes:
            # The lowest bit that is set.
            low = nodes & -nodes
            found.append(low.bit_length() - 1)
            nodes ^= low
        self._meter.spend(len(found))
        return found

    def _closure(self, node: int, holds: int) -> int:
        """The letter nodes, and the accepting node, that can be reached without reading where these conditions hold."""
        known = self._closures.get((node, holds))
        if known is not None:
            return known
        program, seen, waiting, closed = self._program, {node}, [node], 0
        while waiting:
            at = waiting.pop()
            self._meter.spend()
            if at == 0 or program.reads[at] >= 0:
                closed |= 1 << at
            elif not program.gates[at] & ~holds:
                waiting += [way for way in program.ways[at] if way not in seen]
                seen.update(program.ways[at])
        self._closures[node, holds] = closed
        return closed

    def accepts(self, state: _State) -> bool:
        """Whether the text may end here."""
        return bool(self._closed(state, _NONE) & 1)

    def read(self, state: _State, code: int) -> _State:
        """The state after one letter, which need not be one of the letters of the automaton."""
        program = self._program
        # A node reads one set, so these masks have no bit in common, and their sum is their union.
        readers = sum(self._reading[number] for number, chars in enumerate(program.sets) if contains(chars, code))
        beside = 2 if code == 10 else 1 if contains(WORD, code) else 0
        after = (_OTHER, _WORD, _LINE)[beside] if program.has_gates else _OTHER
        return self._moved(self._closed(state, after) & readers, after)

    def targets(self, state: _State) -> list[_State | None]:
        """The next state per class, None where nothing can follow."""
        closed: dict[int, int] = {}
        moved: dict[tuple[int, int], _State] = {}
        found: list[_State | None] = []
        self._meter.spend(len(self._moves))
        for readers, after in self._moves:
            if after not in closed:
                closed[after] = self._closed(state, after)
            fired = closed[after] & readers
            if fired and (fired, after) not in moved:
                moved[fired, after] = self._moved(fired, after)
            found.append(moved[fired, after] if fired else None)
        return found

    def _moved(self, fired: int, after: int) -> _State:
        nodes = 0
        for node in self._bits(fired):
            nodes |= self._entered(self._program.ways[node][0])
        return (nodes, after)


def _conditions(before: int, after: int) -> int:
    """The conditions that hold between two neighbours."""
    holds = TEXT_BEGIN | LINE_BEGIN if before == _NONE else LINE_BEGIN if before == _LINE else 0
    holds |= TEXT_END | LINE_END if after == _NONE else LINE_END if after == _LINE else 0
    return holds | (BOUNDARY if (before == _WORD) != (after == _WORD) else NO_BOUNDARY)
