"""Which features of the grammar of worlds and requests a search has met: counted, printed, and held to a share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from hub.model import ObjectRef, Request
from hub.smi import Decoded, decode
from hub.smi.doubts import DOUBTED
from hub.smi.names import is_label, is_subdomain
from hub.smi.types import Doubt
from hub.testing.close import AnsweredRequest
from hub.testing.flows import dig
from hub.testing.worlds import documents_of

LEAST = 0.01
"""The share of all requests that each feature must have."""
_SIDES = 0.3
_CLOSE = 1 / 3
Value = dict[str, Any]


# ------------------------------------------------------------------------------------------------- features of worlds


class WorldFeatures:
    """What the objects of a world have: those around a request always, those that decide it where it is about them."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._objects = [value for value in values if isinstance(value, dict)]
        self._around = frozenset(self._surroundings(values))
        self._about: dict[str, frozenset[str]] = {}

    def by(self, one: AnsweredRequest) -> Iterator[str]:
        """The features of the world that count for a request."""
        yield from self._around
        for name in one.about:
            if name not in self._about:
                self._about[name] = frozenset(self._of(name))
            yield from self._about[name]

    def every(self) -> frozenset[str]:
        """What a request of this world may meet, if it is the right one."""
        kinds = ("TrafficTarget", "TrafficSplit")
        read = [one.object.ref for one in map(decode, documents_of(self._objects)) if one.object]
        refs = [ref for ref in read if ref.kind in kinds]
        return self._around.union(*(self._of(f"{ref.kind}/{ref.namespace}/{ref.name}") for ref in refs))

    def _surroundings(self, values: Sequence[Any]) -> Iterator[str]:
        yield from (name for name, has in _AROUND.items() if any(map(has, self._objects)))
        read = [decode(document) for document in documents_of(values)]
        if any(one.ref and one.object is None for one in read):
            yield "an object that cannot be decoded"
        if any(number > 1 for number in Counter(one.ref for one in read if one.ref).values()):
            yield "an object that is there twice"
        yield from (name for name, has in _DOUBTS.items() if any(one.doubt and has(one.doubt) for one in read))
        if any(number > 1 for number in Counter(ref for ref, _ in _versions(read)).values()):
            yield "unequal copies of a Service or workload"

    def _of(self, name: str) -> Iterator[str]:
        """Features of a TrafficTarget or TrafficSplit (`Kind/namespace/name`) and of what it refers to."""
        kind, namespace, short = name.split("/")
        found = [one for one in self._objects if _is(one, kind, namespace, short)]
        found += [other for one in found for other in self._referred(one, namespace)]
        texts = [text for one in found for text in _patterns(one)]
        yield from (feature for feature, has in _ABOUT.items() if any(map(has, found)))
        yield from (feature for feature, pattern in _TEXTS.items() if any(map(pattern.search, texts)))
        yield from (f"version {version}" for one in found for version in _VERSION.findall(str(one.get("apiVersion"))))
        if any(_written(text) in self._twins() for one in found for text in _leaves(one)):
            yield "matches or labels that read alike"

    def _referred(self, value: Value, namespace: str) -> Iterator[Value]:
        names = {(str(one["kind"]), str(one["name"])) for one in _leaves(value) if "kind" in one and "name" in one}
        for one in self._objects:
            if any(_is(one, kind, namespace, name) for kind, name in names):
                yield one

    def _twins(self) -> frozenset[str]:
        """What two unequal matches, or two unequal selectors, are to a careless reader."""
        spellings: dict[str, set[str]] = {}
        for one in (inner for value in self._objects for inner in _leaves(value)):
            if line := _written(one):
                spellings.setdefault(line, set()).add(str({key: one[key] for key in sorted(one) if key != "name"}))
        return frozenset(line for line, wholes in spellings.items() if len(wholes) > 1)


def _versions(read: Iterable[Decoded]) -> set[tuple[ObjectRef, bytes]]:
    """What Services and workloads of one key say, each once."""
    return {(one.ref, one.digest) for one in read if one.ref and (one.ref.group, one.ref.kind) in DOUBTED}


def _has_no_name(doubt: Doubt) -> bool:
    ref = doubt.ref
    return not is_label(ref.namespace) or not (is_label if ref.kind == "Service" else is_subdomain)(ref.name)


_DOUBTS: Mapping[str, Callable[[Doubt], bool]] = {
    "an unreadable selector of a Service": lambda doubt: doubt.kind == "service" and doubt.selector is None,
    "an unreadable account of a workload": lambda doubt: doubt.kind == "workload" and doubt.account is None,
    "a Service or workload without a valid name": _has_no_name,
}
"""What keeps other objects from being trusted, wherever it is in a world."""


def _is(value: Value, kind: str, namespace: str, name: str) -> bool:
    meta = value.get("metadata")
    return isinstance(meta, dict) and (value.get("kind"), meta.get("namespace", "default"), meta.get("name")) == (
        kind,
        namespace,
        name,
    )


def _written(one: Value) -> str:
    """A match or a selector in one careless line; "" for anything else."""
    labels, headers = one.get("matchLabels"), one.get("headers")
    if isinstance(labels, dict):
        return ",".join(f"{key}={text}" for key, text in sorted(labels.items()))
    if "pathRegex" not in one and "methods" not in one:
        return ""
    lines = "".join(f" {key}={text}" for key, text in headers.items()) if isinstance(headers, dict) else ""
    return f"{one.get('methods', 'any method')} {one.get('pathRegex', 'any path')}{lines}"


def _leaves(value: Any) -> Iterator[Value]:
    """Every mapping inside a value, itself first."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _leaves(item)


def _holds(*keys: str) -> Callable[[Value], bool]:
    """Whether any mapping inside an object has these keys, one within the other."""
    return lambda value: any(dig(one, *keys) not in (None, "", [], {}) for one in _leaves(value))


def _of(kind: str, has: Callable[[Value], bool]) -> Callable[[Value], bool]:
    return lambda value: value.get("kind") == kind and has(value)


def _names(part: str, kind: str) -> Callable[[Value], bool]:
    """Whether a TrafficTarget names a subject of this kind as its source or destination."""

    def has(value: Value) -> bool:
        found = dig(value, "spec", part) or value.get(part)
        return any(dig(one, "kind") == kind for one in (found if isinstance(found, list) else [found]))

    return _of("TrafficTarget", has)


def _target_port_is_a_name(value: Value) -> bool:
    return any(isinstance(one.get("targetPort"), str) and one["targetPort"] for one in _leaves(value))


_AROUND: Mapping[str, Callable[[Value], bool]] = {
    "a target port by name": _of("Service", _target_port_is_a_name),
    "a Service with appProtocol": _of("Service", _holds("appProtocol")),
    "a Service without selector": _of("Service", lambda value: dig(value, "spec", "selector") is None),
    "a Workload with appProtocol": _of("Workload", _holds("appProtocol")),
    "a Workload with an application address": _of("Workload", _holds("appAddress")),
    "a sidecar container": _holds("initContainers"),
    "an EndpointSlice": lambda value: value.get("kind") == "EndpointSlice",
    "Endpoints": lambda value: value.get("kind") == "Endpoints",
}
"""What counts wherever it is in a world."""
_ABOUT: Mapping[str, Callable[[Value], bool]] = {
    "a binding as destination": _names("destination", "IdentityBinding"),
    "a binding as source": _names("sources", "IdentityBinding"),
    "a binding by labels": _of("IdentityBinding", _holds("podLabelSelector")),
    "a binding by SPIFFE ids": _of("IdentityBinding", _holds("spiffeIdentities")),
    "a destination port": _of("TrafficTarget", _holds("destination", "port")),
    "a split with conditions": _of("TrafficSplit", _holds("spec", "matches")),
    "a TCPRoute with ports": _of("TCPRoute", _holds("ports")),
    "a UDPRoute": lambda value: value.get("kind") == "UDPRoute",
    "header conditions": _of("HTTPRouteGroup", _holds("headers")),
}
"""What counts where a request is allowed by it, or close to one that is."""
_STRAY = re.compile("[\udc80-\udcff]")
_VERSION = re.compile(r"smi-spec\.io/(v1alpha[1-4])")
_TEXTS: Mapping[str, re.Pattern[str]] = {
    "a pattern that ignores case": re.compile(r"\(\?[a-zA-Z-]*i"),
    "a pattern with a negated class": re.compile(r"\[\^|\\[WDSP]"),
    "a pattern that ignores case in a negated class": re.compile(r"\(\?[a-zA-Z-]*i.*(\[\^|\\[WDSP])"),
    "a pattern beyond ASCII": re.compile(r"[^\x00-\x7f]|\\x\{|\\[pP]"),
    "a pattern of any character": re.compile(r"(?<!\\)\.(?![*])"),
    "an alternation": re.compile(r"(?<!\\)\|"),
    "an anchor or a border": re.compile(r"[$^]|\\[bBAz]"),
}


def _patterns(value: Value) -> Iterator[str]:
    for one in _leaves(value):
        headers = one.get("headers")
        maps = headers if isinstance(headers, list) else [headers]
        for text in (
            one.get("pathRegex"),
            *(text for part in maps if isinstance(part, dict) for text in part.values()),
        ):
            if isinstance(text, str):
                yield text


# ----------------------------------------------------------------------------------------------- features of requests

_REQUESTS: Mapping[str, Callable[[Request], bool]] = {
    "http": lambda one: one.protocol == "http",
    "tcp": lambda one: one.protocol == "tcp",
    "udp": lambda one: one.protocol == "udp",
    "to an account": lambda one: one.dst.identity is not None,
    "to a pod": lambda one: one.dst.pod is not None,
    "to a Service": lambda one: one.dst.service is not None,
    "by an account": lambda one: one.src.identity is not None,
    "by a pod": lambda one: one.src.pod is not None,
    "by a SPIFFE id": lambda one: one.src.spiffe is not None,
    "by nobody": lambda one: one.src.outside,
    "a path beyond ASCII": lambda one: not one.path.isascii(),
    "a path that is no UTF-8": lambda one: _STRAY.search(one.path) is not None,
    "a path of another normal form": lambda one: re.search(r"%|//|/\.\.?(/|$)|;|\\", one.path) is not None,
    "a path with a query": lambda one: "?" in one.path,
    "header lines": lambda one: bool(one.headers),
    "a header twice": lambda one: len({name.lower() for name, _ in one.headers}) < len(one.headers),
    "a header beyond ASCII": lambda one: not all(value.isascii() for _, value in one.headers),
    "a header that is no UTF-8": lambda one: any(_STRAY.search(value) for _, value in one.headers),
    "an odd method": lambda one: one.method not in {"GET", "POST", "HEAD", "PUT", "DELETE"},
}
FEATURES = (
    *_REQUESTS,
    *_AROUND,
    "an object that cannot be decoded",
    "an object that is there twice",
    *_DOUBTS,
    "unequal copies of a Service or workload",
    *_ABOUT,
    *_TEXTS,
    *(f"version v1alpha{number}" for number in range(1, 5)),
    "matches or labels that read alike",
)


class Count(Struct):
    """Of how many requests SMI allows which, how close the others are, and what was in them."""

    asked: int = 0
    allowed: int = 0
    denied: int = 0
    close: int = 0
    parts: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)

    def add(self, met: WorldFeatures, one: AnsweredRequest) -> None:
        """Count one request in a world."""
        self.asked += 1
        self.allowed += one.answer.verdict == "allow"
        self.denied += one.answer.verdict == "deny"
        if one.part and one.answer.verdict == "deny":
            self.close += 1
            self.parts[one.part] += 1
        named = _REQUESTS if one.request.protocol == "http" else _OTHERWISE
        self.features.update({name for name in named if _REQUESTS[name](one.request)}.union(met.by(one)))

    def join(self, other: Count) -> None:
        """Add another count to this one."""
        self.asked, self.allowed = self.asked + other.asked, self.allowed + other.allowed
        self.denied, self.close = self.denied + other.denied, self.close + other.close
        self.parts.update(other.parts)
        self.features.update(other.features)

    def lagging(self) -> frozenset[str]:
        """The features of which there is less than twice the least."""
        return frozenset(name for name in FEATURES if self.features[name] < 2 * LEAST * self.asked)

    def faults(self, least: float = LEAST, features: Sequence[str] = FEATURES) -> Iterator[str]:
        """What there was too little of."""
        for name, number, share in (("allowed", self.allowed, _SIDES), ("denied", self.denied, _SIDES)):
            if number < share * self.asked:
                yield f"only {number} of {self.asked} requests are {name} by SMI"
        if self.close < _CLOSE * self.denied:
            yield f"only {self.close} of {self.denied} denied requests differ in one part from an allowed one"
        for name in features:
            if self.features[name] < least * self.asked:
                yield f'only {self.features[name]} of {self.asked} requests have the feature "{name}"'

    def table(self) -> str:
        """The counts as lines."""
        rows = [("requests", self.asked), ("allowed by SMI", self.allowed), ("denied by SMI", self.denied)]
        rows += [("denied, and close to an allowed one", self.close)]
        rows += [(f"... in one {part}", number) for part, number in sorted(self.parts.items())]
        rows += [(name, self.features[name]) for name in FEATURES]
        return "\n".join(f"{name:<50} {number:>9} {100 * number / max(self.asked, 1):6.2f} %" for name, number in rows)


_OTHERWISE = tuple(_REQUESTS)[:10]
"""Features of requests that are no HTTP."""
