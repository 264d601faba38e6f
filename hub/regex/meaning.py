"""The forms themselves, and the language that they mean."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from hub.regex.algebra import difference, intersection, nothing, union
from hub.regex.automaton import Language, Universe, frozen
from hub.regex.bounds import Meter
from hub.regex.chars import SCALARS, CharSet, char_set, char_set_of, join
from hub.regex.minimal import minimal
from hub.regex.program import determinise
from hub.regex.tree import Choice, Node, One, Row, Times

TEMPLATE_LETTERS: CharSet = join(
    char_set_of("-._~%!$&'()*+,;:@="), char_set([(0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)])
)
"""What `{*}` matches, one or more; observed on Envoy 1.40, the star among them. `{**}` also matches "/", and nothing."""

ANY: Node = Times(One(SCALARS), 0, None)


class Between(Struct, frozen=True, order=True):
    """Texts that have one of the prefixes and one of the suffixes; the two may overlap in a short text."""

    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]


class Forms(Struct, frozen=True):
    """A text matches if it is one of `exact`, matches a template, or matches another form and is not `excepted`.

    All texts are literal: a star in them is a star. The prefix "" (of a path: "/") means any text. Without any form
    nothing matches. Templates are written `/literal/{*}/{**}`: leading slash, no empty segment, `{**}` at most once and
    last. `narrowed` is a shortest text that the language has and the forms have not, None if they are equal.
    """

    exact: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    between: tuple[Between, ...] = ()
    excepted: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    narrowed: str | None = None


def language_of_forms(forms: Forms, universe: Universe) -> Language:
    """The texts of the universe that the forms match. Raises `RegexRefusedError` beyond the engine's bounds."""
    affixes = [*forms.between, Between(forms.prefixes, ("",)), Between(("",), forms.suffixes)]
    found = nothing(universe)
    for one in affixes:
        if one.prefixes and one.suffixes:
            found = union(found, _between(one, universe))
    if forms.excepted:
        found = difference(found, meaning([literal(word) for word in forms.excepted], universe))
    fixed = [*map(literal, forms.exact), *map(template, forms.templates)]
    return union(found, meaning(fixed, universe)) if fixed else found


def _between(one: Between, universe: Universe) -> Language:
    begins = meaning([Row((literal(word), ANY)) for word in one.prefixes], universe)
    ends = meaning([Row((ANY, literal(word))) for word in one.suffixes], universe)
    return intersection(begins, ends)


def meaning(choices: Iterable[Node], universe: Universe) -> Language:
    """The texts of the universe that match any of the trees."""
    raw = determinise(Choice(tuple(choices)), universe.start, universe.letters)
    return frozen(minimal(raw, Meter()), universe)


def literal(word: str) -> Node:
    """The tree of one text."""
    return Row(tuple(One(char_set_of(char)) for char in word))


def template(text: str) -> Node:
    """The tree of a path template."""
    deep = Times(One(join(TEMPLATE_LETTERS, char_set_of("/"))), 0, None)
    operators = {"{*}": Times(One(TEMPLATE_LETTERS), 1, None), "{**}": deep}
    nodes: list[Node] = []
    for segment in text.split("/")[1:]:
        nodes += [literal("/"), operators.get(segment) or literal(segment)]
    return Row(tuple(nodes))
