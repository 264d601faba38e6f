"""The flows that a world's TrafficTargets allow and its TrafficSplits share out, as far as a random search needs to know them.

Reads objects in the most forgiving way, since it only makes random requests likelier to be allowed: a wrong guess is one more denied request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from msgspec import Struct

from hub.model import Destination, Source
from hub.testing.patterns import HEADERS, PATHS

_SAMPLES = {**dict(PATHS), **dict(HEADERS)}
Place = tuple[Destination, tuple[int, ...]]
"""A destination and the ports at which it may be called."""


class Line(Struct, frozen=True):
    """What one match of a group asks for: texts near its path, its methods, header lines that may satisfy it."""

    paths: tuple[str, ...] = ("/api",)
    methods: tuple[str, ...] = ("GET",)
    headers: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Flow(Struct, frozen=True):
    """The traffic that one object is about: who calls, whom at which ports, with what."""

    sources: tuple[Source, ...]
    places: tuple[Place, ...]
    lines: tuple[Line, ...]


def samples(pattern: str) -> tuple[str, ...]:
    """Texts that a pattern (nearly) matches."""
    return _SAMPLES.get(pattern, (pattern, pattern.replace(".*", "x"), "/aa/b", "/a"))


def flows_of(values: Sequence[Any]) -> tuple[Flow, ...]:
    """One flow per TrafficTarget and per TrafficSplit that has somebody on either side."""
    index = _ObjectIndex(values)
    targets = [flow for value in index.of("TrafficTarget") if (flow := index.target(value)) is not None]
    callers = tuple(source for flow in targets for source in flow.sources)
    splits = [index.split(value, callers) for value in index.of("TrafficSplit")] if callers else []
    return (*targets, *(flow for flow in splits if flow.places))


def dig(value: Any, *keys: str) -> Any:
    """The value at these nested keys; None where a mapping or a key is absent."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _entries(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _space(value: Any) -> str:
    return word_or(dig(value, "metadata", "namespace"), "default")


def word_or(value: Any, default: str) -> str:
    """A text that can be a part of a name, or else what is taken in its place."""
    return value if isinstance(value, str) and value and "/" not in value else default


def _pair(value: Any) -> str:
    return f"{_space(value)}/{word_or(dig(value, 'metadata', 'name'), 'none')}"


class _ObjectIndex:
    """The objects of a world by kind, and who carries which account and labels."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = [value for value in values if isinstance(value, dict)]
        self._standing = [one for value in self._values if (one := _standing(value)) is not None]
        self._ports: dict[int, tuple[int, ...]] = {}

    def of(self, kind: str) -> Iterator[Any]:
        return (value for value in self._values if value.get("kind") == kind)

    def ports(self, value: Any) -> tuple[int, ...]:
        """The ports that one of these objects names; asked for many times."""
        if id(value) not in self._ports:
            self._ports[id(value)] = _ports(value)
        return self._ports[id(value)]

    def target(self, value: Any) -> Flow | None:
        body = value if "destination" in value else dig(value, "spec")
        namespace = _space(value)
        sources = tuple(one for subject in _entries(dig(body, "sources")) for one in self._sources(subject))
        places = tuple(self._places(dig(body, "destination"), namespace))
        rules = _entries(dig(body, "rules") or dig(body, "specs"))
        lines = tuple(line for rule in rules for line in self._lines(namespace, rule))
        return Flow(sources, places, lines or (Line(),)) if sources and places else None

    def split(self, value: Any, callers: tuple[Source, ...]) -> Flow:
        namespace, body = _space(value), dig(value, "spec")
        root = word_or(dig(body, "service"), "none").partition(".")[0]
        lines = tuple(line for rule in _entries(dig(body, "matches")) for line in self._lines(namespace, rule))
        every = tuple(line for group in self.of("HTTPRouteGroup") for line in _lines_of(group))
        places = tuple(
            (Destination(service=f"{namespace}/{root}"), ports)
            for service in self.of("Service")
            if _pair(service) == f"{namespace}/{root}" and (ports := self.ports(service))
        )
        return Flow(callers, places, (*lines, *lines, *every) or (Line(),))

    def _sources(self, subject: Any) -> Iterator[Source]:
        namespace, name = word_or(dig(subject, "namespace"), ""), word_or(dig(subject, "name"), "")
        if not namespace or not name:
            return
        if dig(subject, "kind") == "IdentityBinding":
            for binding in self.of("IdentityBinding"):
                if _pair(binding) == f"{namespace}/{name}":
                    yield from self._bound(binding)
            return
        yield from self._account(namespace, name)

    def _account(self, namespace: str, account: str) -> Iterator[Source]:
        yield Source(identity=f"{namespace}/{account}")
        yield Source(spiffe=f"spiffe://cluster.local/ns/{namespace}/sa/{account}")
        yield from (Source(pod=_pair(one)) for one, held, _ in self._standing if held == (namespace, account))

    def _bound(self, binding: Any) -> Iterator[Source]:
        schemes, namespace = dig(binding, "spec", "schemes"), _space(binding)
        if isinstance(account := dig(schemes, "serviceAccount"), str) and account and "/" not in account:
            yield from self._account(namespace, account)
        for text in _entries(dig(schemes, "spiffeIdentities")):
            yield Source(spiffe=str(text) if "://" in str(text) else f"spiffe://{text}")
        labels = dig(schemes, "podLabelSelector", "matchLabels")
        for one, _, carried in self._standing:
            if isinstance(labels, dict) and labels.items() <= carried.items() and _space(one) == namespace:
                yield Source(pod=_pair(one))

    def _places(self, subject: Any, namespace: str) -> Iterator[Place]:
        name = word_or(dig(subject, "name"), "none")
        if dig(subject, "kind") == "IdentityBinding":
            standing = [one for one in self._standing if _space(one[0]) == namespace]
        else:
            standing = [one for one in self._standing if one[1] == (namespace, name)]
            yield Destination(identity=f"{namespace}/{name}"), (80, 8080, 9090, 5432)
        for value, (_, account), labels in standing:
            yield Destination(pod=_pair(value)), self.ports(value)
            yield Destination(identity=f"{namespace}/{account}"), self.ports(value)
            for service in self.of("Service"):
                selector = dig(service, "spec", "selector")
                chosen = isinstance(selector, dict) and selector.items() <= labels.items()
                if chosen and _space(service) == namespace:
                    yield Destination(service=_pair(service)), self.ports(service)

    def _lines(self, namespace: str, rule: Any) -> Iterator[Line]:
        for group in self.of("HTTPRouteGroup"):
            if _pair(group) == f"{namespace}/{dig(rule, 'name')}":
                yield from _lines_of(group)


def _standing(value: Any) -> tuple[Any, tuple[str, str], Mapping[str, Any]] | None:
    """A Pod, template or Workload with its (namespace, account) and labels; None for any other object."""
    kind, spec = str(value.get("kind")), dig(value, "spec")
    meta = dig(value, "metadata")
    if kind in {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}:
        meta, spec = dig(spec, "template", "metadata"), dig(spec, "template", "spec")
    elif kind not in {"Pod", "Workload"}:
        return None
    account = dig(spec, "serviceAccount") if kind == "Workload" else dig(spec, "serviceAccountName")
    labels = dig(meta, "labels")
    return value, (_space(value), word_or(account, "default")), labels if isinstance(labels, dict) else {}


def _ports(value: Any) -> tuple[int, ...]:
    """Every number that may be a port of this object; never empty."""
    found = [number for number in numbers(dig(value, "spec")) if 1 <= number <= 65535]
    return tuple(found) or (8080,)


def numbers(value: Any) -> Iterator[int]:
    """Every number in JSON-like data."""
    if isinstance(value, int) and not isinstance(value, bool):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers(item)


def _lines_of(group: Any) -> Iterator[Line]:
    for match in _entries(group.get("matches") or dig(group, "spec", "matches")):
        path = dig(match, "pathRegex")
        methods = tuple(
            method for method in _entries(dig(match, "methods")) if isinstance(method, str) and method != "*"
        )
        headers = dig(match, "headers")
        maps = [one for one in (headers if isinstance(headers, list) else [headers]) if isinstance(one, dict)]
        yield Line(
            samples(path) if isinstance(path, str) else ("/api", "/x/y"),
            methods or ("GET", "POST"),
            tuple(
                (name, samples(text)) for one in maps for name, text in one.items() if name and isinstance(text, str)
            ),
        )


def pick(rng: Random, line: Line) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Method, path and header lines that one match asks for (nearly)."""
    headers = tuple((name, rng.choice(texts)) for name, texts in line.headers)
    return rng.choice(line.methods), rng.choice(line.paths), headers
