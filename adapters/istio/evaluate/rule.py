"""One rule of an AuthorizationPolicy: what it asks over HTTP, and what is left of it on a TCP filter chain.

Source: https://istio.io/latest/docs/reference/config/security/authorization-policy/ and
https://istio.io/latest/docs/reference/config/security/conditions/; what an HTTP field, an unknown condition or a
port that is no number does to its rule was observed on Istio 1.31.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

from msgspec import Struct

from adapters.istio.evaluate.match import Predicate, Reader, Test, header_values, one_of, path_in
from hub.api import Fields

Action = Literal["ALLOW", "DENY"]
_SCHEME = b"spiffe://"
_LOCAL = "cluster.local"
_HEADER = re.compile(r"request\.headers\[([^\[\]]+)\]")
_RESULT = re.compile(r"experimental\.envoy\.filters\.http\.rbac\[([^\[\]]+)\]")
_PORT = re.compile(r"[0-9]+")
_NAME = re.compile(r"[A-Za-z0-9-]+")
_KNOWN = ("request.", "source.", "remote.", "destination.", "connection.", "experimental.")
Values = tuple[str, ...]


class Setting(Struct, frozen=True):
    """Whose rule it is: the policy, its namespace and action, and our trust domain."""

    where: str
    namespace: str
    action: Action
    trust_domain: str


class CompiledRule(Struct, frozen=True):
    """A compiled rule; None where it does not exist on that kind of filter chain."""

    http: Predicate | None
    tcp: Predicate | None


class _Term(Struct, frozen=True):
    """One condition; `l7` says that only HTTP can be asked for it."""

    test: Predicate
    l7: bool = False


class _VoidError(Exception):
    """Istio drops this rule."""


_Terms = tuple[_Term, ...]


def rule_of(value: Any, setting: Setting) -> CompiledRule:
    """Compile one rule."""
    with Fields(value, setting.where) as left:
        sources, operations, conditions = left.items("from"), left.items("to"), left.items("when")
    try:
        parts = (
            [tuple(term for one in conditions for term in _condition(one, setting))],
            [tuple(_source(_inner(one, "source", setting), setting)) for one in sources] or [()],
            [tuple(_operation(_inner(one, "operation", setting), setting)) for one in operations] or [()],
        )
    except _VoidError:
        return CompiledRule(None, None)
    return CompiledRule(_all(parts), _left_on_tcp(parts, setting.action))


def _left_on_tcp(parts: Sequence[Sequence[_Terms]], action: Action) -> Predicate | None:
    """One HTTP field takes an ALLOW rule away as a whole, and from a DENY rule only itself."""
    l7 = any(term.l7 for part in parts for terms in part for term in terms)
    # On a TCP chain nobody can test an HTTP field. Ignored, it
    # would widen an ALLOW; ignored, it can only sharpen a DENY.
    if l7 and action == "ALLOW":
        return None
    return _all([[tuple(term for term in terms if not term.l7) for terms in part] for part in parts])


def _all(parts: Sequence[Sequence[_Terms]]) -> Predicate:
    """Every part must hold; a part holds if all terms of one of its alternatives do."""
    tests = [_any([[term.test for term in terms] for terms in part]) for part in parts if () not in part]
    return _and(tests)


def _any(alternatives: Sequence[Sequence[Predicate]]) -> Predicate:
    tests = [_and(one) for one in alternatives]
    return tests[0] if len(tests) == 1 else lambda call: any(test(call) for test in tests)


def _and(tests: Sequence[Predicate]) -> Predicate:
    return tests[0] if len(tests) == 1 else lambda call: all(test(call) for test in tests)


def _inner(value: Any, name: str, setting: Setting) -> Fields:
    """The one field of an entry of `from` or `to`; an empty entry means any."""
    with Fields(value, setting.where) as left:
        return Fields(left.pairs(name), setting.where)


# --------------------------------------------------------------------------- from


def _source(fields: Fields, setting: Setting) -> Iterator[_Term]:
    with fields as left:
        for name, test_of in _SOURCES.items():
            values, others = left.texts(name), left.texts(f"not{name[0].upper()}{name[1:]}")
            yield from _terms(values, others, partial(_caller, test_of, setting))


def _caller(test_of: Callable[[Values, Setting], Test], setting: Setting, values: Values) -> Predicate:
    test = test_of(values, setting)
    # Without mutual TLS there is no caller to compare with, so a
    # `principals` never holds and a `notPrincipals` always does.
    return lambda call: call.uri is not None and test(call.uri)


def _principals(values: Values, setting: Setting) -> Test:
    return one_of([_localised(value, setting.trust_domain) for value in values], _SCHEME)


def _localised(principal: str, trust_domain: str) -> str:
    """`cluster.local` points to the trust domain of the mesh, whatever that is called."""
    first, slash, rest = principal.partition("/")
    return f"{trust_domain}/{rest}" if slash and first == _LOCAL and principal.count("/") == 4 else principal


def _namespaces(values: Values, setting: Setting) -> Test:
    patterns = [_quoted(value, setting).replace("*", ".*") for value in values]
    return _pattern(f".*/ns/(?:{'|'.join(patterns)})/.*")


def _accounts(values: Values, setting: Setting) -> Test:
    """`ns/name` or, in the policy's namespace, `name`: under any trust domain."""
    pairs = [value.split("/") if "/" in value else [setting.namespace, value] for value in values]
    if any(len(pair) != 2 or "*" in "".join(pair) for pair in pairs):
        raise Fields({}, setting.where).unmodelled("such a service account")
    quoted = [[_quoted(part, setting) for part in pair] for pair in pairs]
    return _pattern("|".join(f"spiffe://.+/ns/{ns}/(?:.+/)?sa/{name}(?:/.+)?" for ns, name in quoted))


def _quoted(text: str, setting: Setting) -> str:
    """A name that stands for itself inside a regex."""
    if _NAME.fullmatch(text.replace("*", "a")) is None:
        raise Fields({}, setting.where).unmodelled(f'the name "{text}" in a source')
    return text


def _pattern(text: str) -> Test:
    compiled = re.compile(text.encode())
    return lambda uri: compiled.fullmatch(uri) is not None


_SOURCES: dict[str, Callable[[Values, Setting], Test]] = {
    "principals": _principals,
    "namespaces": _namespaces,
    "serviceAccounts": _accounts,
}


# --------------------------------------------------------------------------- to


def _operation(fields: Fields, setting: Setting) -> Iterator[_Term]:
    with fields as left:
        ports, other_ports = (_numbers(left.texts(name), setting) for name in ("ports", "notPorts"))
        yield from _terms(ports, other_ports, _port)
        yield from _terms(left.texts("methods"), left.texts("notMethods"), _method, l7=True)
        paths, other_paths = left.texts("paths"), left.texts("notPaths")
        yield from _terms(paths, other_paths, partial(_path, setting.where), l7=True)


def _numbers(values: Values, setting: Setting) -> Values:
    """The values that are port numbers; one that is none voids an ALLOW rule, and is missing from a DENY rule."""
    good = tuple(str(int(value)) for value in values if _PORT.fullmatch(value) and int(value) <= 65535)
    # Either way it errs on the side of refusing: less is allowed, or more is denied.
    if len(good) < len(values) and setting.action == "ALLOW":
        raise _VoidError
    return good


def _port(values: Values) -> Predicate:
    ports = frozenset(map(int, values))
    return lambda call: call.port in ports


def _method(values: Values) -> Predicate:
    test = one_of(values)
    return lambda call: test(call.http.method)


def _path(where: str, values: Values) -> Predicate:
    test = path_in(values, where)
    return lambda call: test(call.http.plain)


# --------------------------------------------------------------------------- when


def _condition(value: Any, setting: Setting) -> Iterable[_Term]:
    with Fields(value, setting.where) as left:
        key, values, others = left.text("key"), left.texts("values"), left.texts("notValues")
    header, result = _HEADER.fullmatch(key), _RESULT.fullmatch(key)
    if result is not None:
        if others or not values or setting.action == "DENY" or any("*" in value for value in values):
            raise left.unmodelled(f'"{key}" with other than exact values in an ALLOW rule')
        return (_Term(_result(result.group(1), frozenset(values)), l7=True),)
    if header is None and (key == "any" or key.startswith(_KNOWN)):
        raise left.unmodelled(f'the condition "{key}"')
    if header is None:
        raise _VoidError
    return _terms(values, others, partial(_header, header_values(header.group(1), setting.where)), l7=True)


def _result(key: str, values: frozenset[str]) -> Predicate:
    """What an RBAC filter with shadow rules found; on a TCP chain nothing did."""
    return lambda call: call.results.get(key) in values


def _header(read: Reader, values: Values) -> Predicate:
    """One line with such a value is enough."""
    test = one_of(values)
    return lambda call: any(test(one) for one in read(call.http))


def _terms(
    values: Values, others: Values, test_of: Callable[[Values], Predicate], *, l7: bool = False
) -> Iterator[_Term]:
    """The conditions that `x` and `notX` make; an empty list asks nothing."""
    if values:
        yield _Term(test_of(values), l7)
    if others:
        yield _Term(_negated(test_of(others)), l7)


def _negated(test: Predicate) -> Predicate:
    return lambda call: not test(call)
