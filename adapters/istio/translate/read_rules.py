"""Rules of ALLOW policies as they stand, whoever wrote them last, and what two of them both allow.

Fields of a source or operation must all hold, of the values of a field one must; of sources, and of operations, one must hold, and
all conditions must. One field about HTTP takes a whole rule off TCP, and a port that is no number the rule itself.
Source: Istio documentation, reference, AuthorizationPolicy (Rule, Source, Operation, Condition); the last sentence observed on Istio 1.31.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from adapters.istio.translate.match import ANY_METHOD

MAX_PAIRS = 10_000
"""Most pairs of sources, or of operations, of two rules that are held against each other: beyond, only equal ones stay."""
Values = tuple[str, ...]
Block = tuple[tuple[str, Values], ...]
"""The fields of a source or operation, sorted; without any, it is any."""

_Some = Annotated[Values, Meta(min_length=1)]
_SourceField = Literal[
    "principals",
    "notPrincipals",
    "requestPrincipals",
    "notRequestPrincipals",
    "namespaces",
    "notNamespaces",
    "ipBlocks",
    "notIpBlocks",
    "remoteIpBlocks",
    "notRemoteIpBlocks",
]
_OperationField = Literal["hosts", "notHosts", "ports", "notPorts", "methods", "notMethods", "paths", "notPaths"]
_HTTP = frozenset({"hosts", "notHosts", "methods", "notMethods", "paths", "notPaths"})
_OF_TOKENS = frozenset({"requestPrincipals", "notRequestPrincipals"})
_EXACT = {"ports": "notPorts", "paths": "notPaths"}
_PORT, _NUMBER = re.compile(r"[0-9]{1,8}"), re.compile(r"0|[1-9][0-9]{0,4}")


class _From(Struct, frozen=True, forbid_unknown_fields=True):
    source: Annotated[dict[_SourceField, _Some], Meta(min_length=1)]


class _To(Struct, frozen=True, forbid_unknown_fields=True):
    operation: Annotated[dict[_OperationField, _Some], Meta(min_length=1)]


class _When(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    key: str
    values: _Some | UnsetType = UNSET
    not_values: _Some | UnsetType = UNSET


class _Rule(Struct, frozen=True, forbid_unknown_fields=True, rename={"sources": "from", "operations": "to"}):
    sources: Annotated[tuple[_From, ...], Meta(min_length=1)] | UnsetType = UNSET
    operations: Annotated[tuple[_To, ...], Meta(min_length=1)] | UnsetType = UNSET
    when: Annotated[tuple[_When, ...], Meta(min_length=1)] | UnsetType = UNSET


class ReadRule(Struct, frozen=True, order=True, gc=False):
    """A rule; conditions are JSON. `http`: it says nothing of raw bytes."""

    sources: tuple[Block, ...]
    operations: tuple[Block, ...]
    conditions: tuple[bytes, ...]
    http: bool


def read_rule(value: Any) -> ReadRule | None:
    """A rule; None where a field of it is not known, or empty, or no port is one: nobody can tell what it allows."""
    try:
        found = msgspec.convert(value, type=_Rule)
    except msgspec.ValidationError:
        return None
    sources = ((),) if found.sources is UNSET else tuple(_block(one.source) for one in found.sources)
    operations = ((),) if found.operations is UNSET else tuple(_block(one.operation) for one in found.operations)
    when = () if found.when is UNSET else found.when
    conditions = tuple(dict.fromkeys(one for each in when if (one := _condition(each))))
    fields = {name for block in (*sources, *operations) for name, _ in block}
    if len(conditions) < len({*map(_condition, when)}) or not all(map(_has_ports, operations)):
        return None
    return ReadRule(sources, operations, conditions, bool(conditions or fields & (_HTTP | _OF_TOKENS)))


def _block(fields: Mapping[Any, Values]) -> Block:
    """In one form of several that mean the same."""
    simple = _simple(fields)
    return tuple(
        sorted(
            (name, tuple(sorted(set(values)))) for name, values in (simple if all(simple.values()) else fields).items()
        )
    )


def _condition(when: _When) -> bytes:
    """A condition; nothing for one without values."""
    return b"" if (when.values, when.not_values) == (UNSET, UNSET) else msgspec.json.encode(when, order="sorted")


def _has_ports(operation: Block) -> bool:
    ports = (value for name, values in operation if name in {"ports", "notPorts"} for value in values)
    return all(_PORT.fullmatch(port) and int(port) <= 65535 for port in ports)


def rule_json(rule: ReadRule) -> Any:
    """A rule as it is written."""
    value: dict[str, Any] = {"from": [{"source": dict(block)} for block in rule.sources]}
    if rule.operations != ((),):
        value["to"] = [{"operation": dict(block)} for block in rule.operations]
    if rule.conditions:
        value["when"] = [msgspec.Raw(one) for one in rule.conditions]
    return value


# --------------------------------------------------------------------------- what both allow


def both(stands: ReadRule, wanted: ReadRule) -> ReadRule | None:
    """What two rules both allow; None for nothing."""
    http = stands.http or wanted.http
    sources = _blocks(stands.sources, wanted.sources)
    operations = _blocks(stands.operations, wanted.operations)
    if http:
        # An operation about any bytes that stood beside one about HTTP let in no bytes.
        operations = _widest(map(_about_http, operations))
    if not operations or not sources or () in sources:
        return None
    return ReadRule(sources, operations, tuple(dict.fromkeys((*wanted.conditions, *stands.conditions))), http)


def covers(wider: ReadRule, rule: ReadRule) -> bool:
    """Whether one allows all that another one does, as far as their fields tell it."""
    return both(wider, rule) == rule


def work(stands: ReadRule, wanted: ReadRule) -> int:
    """How many pairs are held against each other to tell what both allow."""
    return len(_unlike(stands.sources, wanted.sources)) + len(_unlike(stands.operations, wanted.operations))


def _unlike(some: Sequence[Block], others: Sequence[Block]) -> Sequence[tuple[Block, Block]]:
    """What is only in one of two lists, each with each."""
    left, right = {*some}.difference(others), {*others}.difference(some)
    return [(one, other) for one in left for other in right] if len(left) * len(right) <= MAX_PAIRS else []


def _blocks(some: Sequence[Block], others: Sequence[Block]) -> tuple[Block, ...]:
    """What two lists of alternatives both allow: what is in both, and what is left of any two others."""
    pairs = (_met(one, other) for one, other in _unlike(some, others))
    return _widest([*{*some}.intersection(others), *(met for met in pairs if met is not None)])


def _widest(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """Alternatives without those that another one covers, sorted."""
    found = sorted(set(blocks))
    if len(found) ** 2 > MAX_PAIRS:
        return tuple(found)
    return tuple(one for one in found if not any(other != one and _met(other, one) == one for other in found))


def _met(one: Block, other: Block) -> Block | None:
    """The fields of both; None where nothing can have them all."""
    fields, others = dict(one), dict(other)
    for name, values in others.items():
        mine = fields.get(name)
        if mine is None:
            fields[name] = values
        elif name.startswith("not"):
            fields[name] = tuple(sorted({*mine, *values}))
        else:
            fields[name] = _shared(mine, values)
    return _block(fields) if all(_simple(fields).values()) else None


def _simple(fields: Mapping[str, Values]) -> Mapping[str, Values]:
    """The same with fewer fields where all values are exact, and without a method that is any beside a path."""
    fields = dict(fields)
    for name, other in _EXACT.items():
        values, excluded = fields.get(name), fields.get(other)
        if values and excluded and all(map(_is_exact if name == "paths" else _is_number, (*values, *excluded))):
            fields[name] = tuple(value for value in values if value not in excluded)
            del fields[other]
    if "paths" in fields and fields.get("methods") == ANY_METHOD:
        del fields["methods"]
    return fields


def _is_exact(value: str) -> bool:
    return not {*"*{}"}.intersection(value)


def _is_number(value: str) -> bool:
    return _NUMBER.fullmatch(value) is not None


def _about_http(block: Block) -> Block:
    return block if any(name in _HTTP for name, _ in block) else tuple(sorted((*block, ("methods", ANY_METHOD))))


def _shared(some: Values, others: Values) -> Values:
    return tuple(sorted({*_within(some, others), *_within(others, some)}))


def _within(some: Values, others: Values) -> Iterator[str]:
    """The values that are among others, or of which one of these says more."""
    exact, wild = frozenset(others), [one for one in others if "*" in one and "{" not in one]
    return (one for one in some if one in exact or any(_includes(other, one) for other in wild))


def _includes(wild: str, value: str) -> bool:
    """Whether a text with a star at one end includes another one, which may have its star at the same end."""
    if wild == "*":
        return value != ""
    if not _is_exact(value.removeprefix("*") if wild.startswith("*") else value.removesuffix("*")):
        return False
    if wild.startswith("*"):
        return value.removeprefix("*").endswith(wild[1:])
    return wild.endswith("*") and value.startswith(wild[:-1]) and not value.startswith("*")
