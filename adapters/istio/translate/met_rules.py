"""Which rules stay of policies that somebody edited: those that stand as they are wanted, and of others what two of them both allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from adapters.istio.translate.read_rules import ReadRule, both, covers, read_rule, rule_json, work
from adapters.istio.translate.standing import Place
from hub.api import ObjectRef

MAX_WORK = 200_000
"""Most pairs of rules, and of their parts, that are held against each other: beyond, only equal rules stay."""
Rules = dict[bytes, Any]
"""Rules by their JSON, sorted."""
_MOST_BYTES = 400_000
Places = Mapping[ObjectRef, Place | None]


class Found(Struct, frozen=True, gc=False):
    """A rule of a policy, by its JSON, and the Pods that it is for."""

    key: bytes
    value: Any
    ref: ObjectRef
    place: Place


class _Piece(Struct, frozen=True, gc=False):
    """What a standing rule and a wanted one both allow, and to whose Pods."""

    rule: ReadRule
    ref: ObjectRef
    place: Place


class _Pair(Struct, frozen=True, gc=False):
    """Two rules for Pods of which one's are all among the other's, and what both allow."""

    stands: Found
    wanted: Found
    rule: ReadRule

    @property
    def place(self) -> Place:
        """The Pods of both."""
        first, second = self.stands.place, self.wanted.place
        return first if first.within(second) else second


def rules_of_both(
    standing: Sequence[Found], wanted: Sequence[Found], places: Places, most: int
) -> dict[ObjectRef, Rules]:
    """By policy the rules that allow what both states do; `places` are the Pods of the policies that may have some, `most` each."""
    have = {(one.place, one.key): one.ref for one in standing}
    want = {(one.place, one.key) for one in wanted}
    found: dict[ObjectRef, Rules] = {}
    for one in wanted:
        if (ref := have.get((one.place, one.key))) is not None:
            found.setdefault(one.ref if places.get(one.ref) == one.place else ref, {})[one.key] = one.value
    left = [one for one in standing if (one.place, one.key) not in want]
    _add_met(found, _pairs(left, [one for one in wanted if (one.place, one.key) not in have]), places, most)
    return found


def _add_met(
    found: dict[ObjectRef, Rules], met: Iterable[tuple[Found, list[_Pair]]], places: Places, most: int
) -> None:
    """Add wanted rules of which all stands, in one piece or several, and else what stands of them, as far as there is room."""
    pieces: list[_Piece] = []
    for one, pairs in met:
        if places.get(one.ref) == one.place and _is_whole(one, [pair for pair in pairs if pair.place == one.place]):
            found.setdefault(one.ref, {})[one.key] = one.value
        else:
            pieces += _pieces(pairs, places)
    for ref, rule in _widest(pieces):
        mine, key = found.setdefault(ref, {}), msgspec.json.encode(rule_json(rule), order="sorted")
        if key in mine or (len(mine) < most and sum(map(len, mine)) + len(key) <= _MOST_BYTES):
            mine[key] = msgspec.json.decode(key)


def _pairs(standing: Sequence[Found], wanted: Sequence[Found]) -> Iterator[tuple[Found, list[_Pair]]]:
    """Each wanted rule with what standing ones share with it, as far as that is not too much work."""
    rules = [(one, rule) for one in standing if (rule := read_rule(one.value)) is not None]
    near, left = _by_caller([rule for _, rule in rules]), MAX_WORK
    for one in wanted:
        rule = read_rule(one.value)
        if rule is None:
            continue
        others = [rules[at] for at in near(rule) if _comparable(rules[at][0].place, one.place)]
        left -= sum(1 + work(each, rule) for _, each in others)
        if left < 0:
            return
        yield one, [_Pair(other, one, found) for other, each in others if (found := both(each, rule)) is not None]


def _comparable(one: Place, other: Place) -> bool:
    return one.within(other) or other.within(one)


def _by_caller(rules: Iterable[ReadRule]) -> Callable[[ReadRule], Sequence[int]]:
    """Which of these rules may have a caller of another one."""
    exact: dict[str, list[int]] = {}
    any_caller: list[int] = []
    for at, rule in enumerate(rules):
        callers = _callers(rule)
        if callers is None:
            any_caller.append(at)
        for caller in callers or ():
            exact.setdefault(caller, []).append(at)

    def near(rule: ReadRule) -> Sequence[int]:
        found = (at for caller in _callers(rule) or () for at in exact.get(caller, ()))
        return sorted({*any_caller, *found})

    return near


def _callers(rule: ReadRule) -> frozenset[str] | None:
    """The principals that a rule names; None where it may speak of others."""
    named = [dict(block).get("principals") for block in rule.sources]
    if any(one is None or any("*" in name for name in one) for one in named):
        return None
    return frozenset(name for one in named if one is not None for name in one)


def _is_whole(wanted: Found, pairs: Iterable[_Pair]) -> bool:
    """Whether what stands allows each caller of a rule each of its operations: callers and operations may be split otherwise."""
    rule = read_rule(wanted.value)
    if rule is None:
        return False
    by_caller: dict[str, list[int]] = {}
    parts = [pair.rule for pair in pairs if pair.rule.conditions == rule.conditions]
    for at, part in enumerate(parts):
        for block in part.sources:
            if len(block) == 1:
                for caller in block[0][1]:
                    by_caller.setdefault(caller, []).append(at)
    combined = {tuple(by_caller.get(caller, ())) for caller in _callers(rule) or ()}
    return all({*rule.operations} <= {one for at in some for one in parts[at].operations} for some in combined)


def _pieces(pairs: Iterable[_Pair], places: Places) -> Iterator[_Piece]:
    """What is kept of a wanted rule: in the policy that has the rule which stands, else in that which is to have it."""
    for pair in pairs:
        refs = [ref for ref in (pair.stands.ref, pair.wanted.ref) if places.get(ref) == pair.place]
        yield from (_Piece(pair.rule, ref, pair.place) for ref in refs[:1])


def _widest(pieces: Iterable[_Piece]) -> Iterator[tuple[ObjectRef, ReadRule]]:
    """Pieces without those that another one for the same Pods covers, in order."""
    unique: dict[tuple[Place, ReadRule], ObjectRef] = {}
    for one in pieces:
        unique[one.place, one.rule] = min(one.ref, unique.get((one.place, one.rule), one.ref))
    by_place: dict[Place, list[ReadRule]] = {}
    for place, rule in unique:
        by_place.setdefault(place, []).append(rule)
    kept = [(place, rule) for place, rules in by_place.items() for rule in rules if not _is_covered(rule, rules)]
    yield from sorted((unique[one], one[1]) for one in kept)


def _is_covered(rule: ReadRule, others: Sequence[ReadRule]) -> bool:
    return len(others) ** 2 <= MAX_WORK and any(other != rule and covers(other, rule) for other in others)
