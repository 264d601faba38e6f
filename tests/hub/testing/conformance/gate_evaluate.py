"""What the objects of the gate mesh mean, from its rules alone: it shares nothing with what writes them.

A workload whose identity has a Lock receives what a Pass lets in. A Pass names its receiver, its callers, where it counts
(ports with the variants of `Placement.inbound`, and what holds for ports that a workload does not name), labels of the receiver and a
List; without a List it lets raw bytes in. A field that is not known is not guessed: it raises UnmodelledError.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import re2
from msgspec import Struct

from hub.api import (
    Answer,
    Endpoint,
    Facts,
    NativeObject,
    Placement,
    Request,
    Source,
    UnmodelledError,
)

_FIELDS = {
    "Lock": ({"receiver"}, {"doubtful"}),
    "Pass": ({"receiver", "callers", "at"}, {"elsewhere", "labels", "list"}),
    "List": ({"requests"}, set[str]()),
    "Way": ({"ports"}, set[str]()),
    "place": ({"port", "variants"}, set[str]()),
    "request": (set[str](), {"path", "methods", "headers"}),
    "elsewhere": ({"but"}, set[str]()),
    "header": ({"name", "value"}, set[str]()),
    "port": ({"port", "layers"}, set[str]()),
    "layer": ({"shares"}, {"when"}),
    "share": ({"to", "weight"}, set[str]()),
}
"""By kind of object or part: the fields that it must have, and those that it may have."""
_FIRST = ("Workload", "Pod")


def evaluator(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Index the objects once. Raises UnmodelledError for what is not modelled."""
    return Gates(objects, facts)


def read(kind: str, value: Any) -> dict[str, Any]:
    """A part with the fields that it must have, and no others. Raises UnmodelledError."""
    needed, known = _FIELDS.get(kind, (set(), set()))
    if kind not in _FIELDS or not isinstance(value, dict) or needed - value.keys() or value.keys() - needed - known:
        raise UnmodelledError(f"{kind}: {value!r}")
    return value


def listed(value: Any, *, empty: bool = False) -> list[Any]:
    """A list that has something in it. Raises UnmodelledError."""
    if not isinstance(value, list) or not (value or empty):
        raise UnmodelledError(f"expected a list, got {value!r}")
    return value


class Http(Struct, frozen=True):
    """What a request is matched by; text that is not UTF-8 is None."""

    method: str
    path: str | None
    headers: tuple[tuple[str, str | None], ...]


def http_of(request: Request) -> Http:
    """A request as conditions see it."""
    path = request.path.partition("?")[0].partition("#")[0]
    lines = tuple((name.lower(), _text(value.strip(" \t"))) for name, value in request.headers)
    return Http(request.method, _text(path), lines)


def _text(text: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return text


Test = Callable[[Http], bool]


def condition(value: Any) -> Test:
    """Whether a request is one of those that an entry of a List means."""
    body = read("request", value)
    methods = None if "methods" not in body else listed(body["methods"])
    path = None if "path" not in body else re2.compile(body["path"])
    headers = [read("header", one) for one in listed(body.get("headers", []), empty=True)]
    wanted = [(one["name"], re2.compile(one["value"])) for one in headers]

    def holds(http: Http) -> bool:
        if methods is not None and http.method not in methods:
            return False
        if path is not None and (http.path is None or not path.fullmatch(http.path)):
            return False
        return all(
            any(key == name and text is not None and pattern.fullmatch(text) for key, text in http.headers)
            for name, pattern in wanted
        )

    return holds


class Pass(Struct, frozen=True):
    """A Pass, compiled; `tests` None lets raw bytes in."""

    label: str
    receiver: str
    callers: frozenset[str]
    at: Mapping[int, frozenset[str]]
    elsewhere: frozenset[int] | None
    but: frozenset[int]
    labels: Mapping[str, str]
    tests: tuple[Test, ...] | None

    def admits(self, caller: str, placed: Placement | None, port: int, http: Http | None) -> bool:
        """Whether it lets this through to that workload (None: an identity that no workload has)."""
        carried = dict(placed.labels) if placed else {}
        if caller not in self.callers or not self.labels.items() <= carried.items() or not self._counts(placed, port):
            return False
        return self.tests is None or (http is not None and any(test(http) for test in self.tests))

    def _counts(self, placed: Placement | None, port: int) -> bool:
        variant = _variant(placed, port)
        if variant is not None:
            return variant in self.at.get(port, ())
        return port not in self.but if self.elsewhere is None else port in self.elsewhere


def _variant(placed: Placement | None, port: int) -> str | None:
    return next((one[2] for one in placed.inbound if one[:2] == (port, "TCP")), None) if placed else None


class Gates:
    """Judges requests by the objects of a mesh."""

    def __init__(self, objects: Sequence[NativeObject], facts: Facts) -> None:
        self._facts = facts
        bodies = [(native.ref, read(native.ref.kind, _parsed(native.body))) for native in objects]
        lists = {
            (ref.namespace, ref.name): tuple(condition(one) for one in listed(body["requests"], empty=True))
            for ref, body in bodies
            if ref.kind == "List"
        }
        locks = [body for ref, body in bodies if ref.kind == "Lock"]
        self._locked = {body["receiver"]: body.get("doubtful", False) for body in locks}
        self._ways = {(ref.namespace, ref.name): _ports(body) for ref, body in bodies if ref.kind == "Way"}
        self._passes: dict[str, list[Pass]] = {}
        for ref, body in bodies:
            if ref.kind == "Pass":
                tests = None if "list" not in body else lists.get((ref.namespace, body["list"]), ())
                one = _pass(str(ref), body, tests)
                self._passes.setdefault(one.receiver, []).append(one)

    def judge(self, request: Request) -> Answer:
        """See hub.api.Evaluator."""
        if request.protocol == "udp":
            return Answer("deny", losses=("gate.udp",))
        http = http_of(request) if request.protocol == "http" else None
        if request.dst.service is not None:
            return self._at_service(request, http)
        caller, receivers = self._caller(request.src), self._receivers(request)
        answers = [self._at(identity, placed, caller, (request.port, http)) for identity, placed in receivers]
        if not answers or any(one.verdict == "deny" for one in answers):
            return Answer("deny", losses=_all(one.losses for one in answers))
        word: Any = "ungoverned" if any(one.verdict == "ungoverned" for one in answers) else "allow"
        return Answer(word, _all(one.by for one in answers))

    # ---------------------------------------------------------------------------------------- who and whom

    def _spiffe(self, name: str) -> str:
        return f"spiffe://{self._facts.trust_domain}/ns/{name.replace('/', '/sa/', 1)}"

    def _caller(self, source: Source) -> str:
        if source.spiffe is not None:
            return source.spiffe
        if source.identity is not None:
            return self._spiffe(source.identity)
        placed = self._pod(source.pod or "")
        return placed.identity.spiffe if placed else ""

    def _pod(self, name: str) -> Placement | None:
        found = [one for ref, one in self._facts.placements.items() if f"{ref.namespace}/{ref.name}" == name]
        return min(
            found, key=lambda one: (one.ref.kind not in _FIRST, one.ref.kind != "Workload", one.ref.kind), default=None
        )

    def _receivers(self, request: Request) -> list[tuple[str, Placement | None]]:
        if request.dst.pod is not None:
            placed = self._pod(request.dst.pod)
            return [(placed.identity.spiffe, placed)] if placed else []
        spiffe = self._spiffe(request.dst.identity or "")
        found = [one for one in self._facts.placements.values() if one.identity.spiffe == spiffe]
        return [(spiffe, one) for one in found] or [(spiffe, None)]

    def _at(self, identity: str, placed: Placement | None, caller: str, asked: tuple[int, Http | None]) -> Answer:
        """The answer at one workload, or at an identity that nobody has."""
        port, http = asked
        if placed and placed.ref.kind == "Workload" and _variant(placed, port) is None:
            return Answer("deny", losses=("gate.unlisted-port",))
        if identity not in self._locked:
            return Answer("ungoverned" if placed else "deny")
        found = sorted(one.label for one in self._passes.get(identity, ()) if one.admits(caller, placed, port, http))
        doubtful = not found and self._locked[identity] and _variant(placed, port) is None
        losses = ("gate.doubtful-port",) if doubtful else ()
        return Answer("allow" if found else "deny", tuple(found), losses=losses)

    # ------------------------------------------------------------------------------------------- Services

    def _at_service(self, request: Request, http: Http | None) -> Answer:
        namespace, _, service = (request.dst.service or "").partition("/")
        ports = self._ways.get((namespace, service))
        if ports is None or request.port not in ports:
            return Answer("deny", route="no-service" if ports is None else "no-port", weights={}, backends={})
        layers = () if request.src.outside else ports[request.port]
        shares = next((shares for tests, shares in layers if _chosen(tests, http)), None)
        parts = {service: Fraction(1)} if shares is None else shares
        caller = self._caller(request.src)
        judged = {name: self._behind((namespace, name, request.port), caller, http) for name in sorted(parts)}
        words = {name: _word([one.verdict for one in answers]) for name, answers in judged.items()}
        return Answer(
            _verdict([one.verdict for answers in judged.values() for one in answers], words.values()),
            by=_all(one.by for answers in judged.values() for one in answers),
            route="root" if shares is None else "split" if shares else "unavailable",
            weights={name: str(parts[name]) for name in sorted(parts)},
            backends=words,  # type: ignore[arg-type] # the words of an Answer
            losses=_all(one.losses for answers in judged.values() for one in answers),
        )

    def _behind(self, place: tuple[str, str, int], caller: str, http: Http | None) -> list[Answer]:
        exposed = self._facts.exposed.get(place)
        found: Iterable[Endpoint] = (
            self._facts.endpoints.get(place, ()) if exposed and exposed.transport == "TCP" else ()
        )
        return [self._endpoint(one, caller, http) for one in found]

    def _endpoint(self, endpoint: Endpoint, caller: str, http: Http | None) -> Answer:
        placed = self._facts.placements.get(endpoint.workload)
        if placed is None or not endpoint.spiffe:
            return Answer("deny")
        return self._at(endpoint.spiffe, placed, caller, (endpoint.port, http))


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise UnmodelledError(f"not JSON: {error}") from error


def _all(texts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(sorted({text for each in texts for text in each}))


def _pass(label: str, body: dict[str, Any], tests: tuple[Test, ...] | None) -> Pass:
    places = [read("place", one) for one in listed(body["at"], empty=True)]
    elsewhere = body.get("elsewhere", [])
    but = listed(read("elsewhere", elsewhere)["but"]) if isinstance(elsewhere, dict) else []
    return Pass(
        label,
        body["receiver"],
        frozenset(listed(body["callers"])),
        {one["port"]: frozenset(listed(one["variants"])) for one in places},
        None if but or elsewhere == "any" else frozenset(listed(elsewhere, empty=True)),
        frozenset(but),
        body.get("labels", {}),
        tests,
    )


_Layer = tuple[tuple[Test, ...] | None, Mapping[str, Fraction]]


def _ports(body: dict[str, Any]) -> dict[int, tuple[_Layer, ...]]:
    ports = [read("port", one) for one in listed(body["ports"])]
    return {one["port"]: tuple(_layer(each) for each in listed(one["layers"], empty=True)) for one in ports}


def _layer(value: Any) -> _Layer:
    body = read("layer", value)
    tests = tuple(condition(one) for one in listed(body["when"], empty=True)) if "when" in body else None
    weights: dict[str, Fraction] = {}
    for one in (read("share", each) for each in listed(body["shares"], empty=True)):
        weights[one["to"]] = weights.get(one["to"], Fraction(0)) + Fraction(one["weight"])
    total = sum(weights.values())
    return tests, {name: weight / total for name, weight in weights.items() if weight}


def _chosen(tests: tuple[Test, ...] | None, http: Http | None) -> bool:
    return tests is None or (http is not None and any(test(http) for test in tests))


def _word(verdicts: Sequence[str]) -> str:
    if not verdicts:
        return "no-endpoint"
    if "deny" not in verdicts:
        return "allow"
    return "deny" if set(verdicts) == {"deny"} else "mixed"


def _verdict(verdicts: Sequence[str], words: Iterable[str]) -> Any:
    """The word for a Service, from the answers behind it and the words of its backends."""
    said = set(words)
    if verdicts and set(verdicts) == {"ungoverned"}:
        return "ungoverned"
    if said == {"allow"}:
        return "allow"
    return "mixed" if said & {"allow", "mixed"} else "deny"
