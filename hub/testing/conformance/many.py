"""Worlds with many of a thing, or with one that is long, and worlds in which parts are crossed.

Random worlds have two or three of everything. An adapter that keeps the first eight header conditions of a match, or takes a long path
for any path, lets callers in only here; one that joins parts of two matches, or of two TrafficTargets, is met here for certain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hub.model import Destination, Request, Source

MANY, LONG = 24, 400
"""How many there are of each thing, and how long texts are: more than the limits that meshes have (Gateway API: 16 of most lists)."""
METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
_PORTS = tuple(range(8000, 8000 + MANY))
_SHARES = tuple((f"b{number}", 2**number + 1) for number in range(MANY))


class ManyWorld(Struct, frozen=True):
    """Objects of which there are many, and requests at the first, at the last, and beside them."""

    name: str
    values: tuple[Any, ...]
    requests: tuple[Request, ...]


def many_worlds() -> Iterator[ManyWorld]:
    """One world for each thing, and the crossed ones."""
    yield from _of_matches()
    yield from _alternatives()
    yield from _of_labels()
    yield from _crossed()
    yield from _of_grants()
    yield from _of_splits()


# ------------------------------------------------------------------------------------------------------------- objects


def _object(api: str, kind: str, name: str, spec: Any) -> Any:
    return {"apiVersion": api, "kind": kind, "metadata": {"namespace": "d", "name": name}, "spec": spec}


def _pod(name: str, ports: Sequence[int] = (8080,)) -> Any:
    containers = [{"name": "a", "ports": [{"containerPort": port} for port in ports]}]
    pod = _object("v1", "Pod", f"{name}-1", {"serviceAccountName": name, "containers": containers})
    pod["metadata"]["labels"] = {"app": name}
    return pod


def _service(name: str) -> Any:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return _object("v1", "Service", name, {"selector": {"app": name}, "ports": ports})


def _group(matches: Sequence[Mapping[str, Any]], name: str = "r") -> Any:
    named = [{"name": f"m{number}", **match} for number, match in enumerate(matches)]
    return _object("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", name, {"matches": named})


def _target(name: str, account: str = "api", sources: Sequence[str] = ("web",), rule: str = "HTTPRouteGroup/r") -> Any:
    kind, _, rule_name = rule.partition("/")
    subject = {"kind": "ServiceAccount", "namespace": "d"}
    return _object(
        "access.smi-spec.io/v1alpha4",
        "TrafficTarget",
        name,
        {
            "destination": {**subject, "name": account},
            "sources": [{**subject, "name": each} for each in sources],
            "rules": [{"kind": kind, "name": rule_name}],
        },
    )


_API = (_pod("api"), _service("api"))


# ------------------------------------------------------------------------------------------------- parts of one match

ASKED = Request(Source(identity="d/web"), Destination(pod="d/api-1"), 8080)


def _of_matches() -> Iterator[ManyWorld]:
    """Many headers, methods and matches; a long path, and a long value."""
    lines = tuple((f"x-{number:02}", f"v{number}") for number in range(MANY))
    one = [replace(ASKED, headers=lines[:at] + lines[at + 1 :]) for at in range(MANY)]
    yield matching("headers in a match", [{"headers": dict(lines)}], (replace(ASKED, headers=lines), *one))
    for left_out in METHODS[1::3]:
        methods = [name for name in METHODS if name != left_out]
        yield matching("methods in a match", [{"methods": methods}], [replace(ASKED, method=each) for each in METHODS])
    paths = [f"/p{number}" for number in range(MANY + 1)]
    asked = [replace(ASKED, path=path) for path in paths]
    yield matching("matches", [{"pathRegex": path} for path in paths[:-1]], asked)
    long = "/" + "a" * LONG
    near = [replace(ASKED, path=path) for path in (long, long + "a", long[:-1], long[:-1] + "b", "/", "/b")]
    yield matching("characters in a path", [{"pathRegex": long}], near)
    value = "a" * LONG
    values = (value, value + "a", value[:-1], value[:-1] + "b", "", "b")
    headed = [replace(ASKED, headers=(("x-a", each),)) for each in values]
    yield matching("characters in a header's value", [{"headers": {"x-a": value}}], headed)


def matching(name: str, matches: Sequence[Mapping[str, Any]], requests: Sequence[Request]) -> ManyWorld:
    """A receiver, a grant of these matches to `web`, and requests to it."""
    return ManyWorld(name, (*_API, _group(matches), _target("t")), tuple(requests))


def _alternatives() -> Iterator[ManyWorld]:
    """Patterns of several texts: an anchor before the first and one behind the last of them hold for neither."""
    texts = ("a", "b", "ax", "xb", "xa", "bx", "xax", "xbx", "c", "")
    paths = [replace(ASKED, path=f"/{text}") for text in texts]
    yield matching("alternatives of a path", [{"pathRegex": "/a|/b"}], (*paths, replace(ASKED, path="/x/b")))
    values = [replace(ASKED, headers=(("x-t", text),)) for text in texts]
    yield matching("alternatives of a value", [{"headers": {"x-t": "a|b"}}], values)


def _of_labels() -> Iterator[ManyWorld]:
    """A receiver by many labels, and Pods that lack one of them."""
    labels = {f"l{number}": "x" for number in range(MANY)}
    pods: list[Any] = []
    for at in (None, 0, 1, MANY - 1):
        pod = _pod("api")
        pod["metadata"] = {**pod["metadata"], "name": f"api-{len(pods)}"}
        pod["metadata"]["labels"] = {name: text for name, text in labels.items() if name != f"l{at}"}
        pods.append(pod)
    binding = _object(
        "access.smi-spec.io/v1alpha4",
        "IdentityBinding",
        "b",
        {"schemes": {"podLabelSelector": {"matchLabels": labels}}},
    )
    target = _target("t")
    target["spec"]["destination"] |= {"kind": "IdentityBinding", "name": "b"}
    asked = [replace(ASKED, dst=Destination(pod=f"d/{pod['metadata']['name']}")) for pod in pods]
    yield ManyWorld("labels of a receiver", (*pods, _group([{"methods": ["*"]}]), binding, target), tuple(asked))


# ------------------------------------------------------------------------------------------------------------- grants


def _of_grants() -> Iterator[ManyWorld]:
    """Many callers, TrafficTargets, and ports."""
    names = [f"web-{number}" for number in range(MANY)]
    callers = [replace(ASKED, src=Source(identity=f"d/{name}")) for name in (*names, "web", "api", "default", "peer")]
    every = _group([{"methods": ["*"]}])
    yield ManyWorld("callers", (*_API, every, _target("t", sources=names)), tuple(callers))
    groups = [_group([{"pathRegex": f"/{name}"}], name) for name in names]
    targets = [_target(name, sources=(name,), rule=f"HTTPRouteGroup/{name}") for name in names]
    asked = [replace(each, path=f"/{name}") for each, name in zip(callers, [*names[1:], *names[:5]], strict=True)]
    met = [replace(each, path=f"/{name}") for each, name in zip(callers, names, strict=False)]
    yield ManyWorld("TrafficTargets", (*_API, *groups, *targets), (*met, *asked))
    route = _object("specs.smi-spec.io/v1alpha4", "TCPRoute", "t", {"matches": {"ports": list(_PORTS[:-1])}})
    calls = [replace(ASKED, protocol="tcp", port=port) for port in (*_PORTS, 7999, 9000)]
    yield ManyWorld("ports", (_pod("api", _PORTS), route, _target("t", rule="TCPRoute/t")), tuple(calls))


def _crossed() -> Iterator[ManyWorld]:
    """Two matches that differ in all parts, and two TrafficTargets that do; requests with the parts of either."""
    parts = (("/a", "GET", "gold"), ("/b", "POST", "iron"))
    matches = [{"pathRegex": path, "methods": [method], "headers": {"x-t": value}} for path, method, value in parts]
    sent = [
        replace(ASKED, method=method, path=path, headers=(("x-t", value),))
        for path, method, value in product(*zip(*parts, strict=True))
    ]
    yield matching("crossed parts of matches", matches, sent)
    groups = [_group([match], name) for match, name in zip(matches, ("one", "two"), strict=True)]
    targets = [_target(f"t-{name}", sources=(name,), rule=f"HTTPRouteGroup/{name}") for name in ("one", "two")]
    asked = [replace(each, src=Source(identity=f"d/{name}")) for each, name in product(sent, ("one", "two"))]
    yield ManyWorld("crossed TrafficTargets", (*_API, *groups, *targets), tuple(asked))


# ------------------------------------------------------------------------------------------------------------- splits


def _of_splits() -> Iterator[ManyWorld]:
    """Many backends, with weights that differ much; many splits of one Service."""
    every = _group([{"methods": ["*"]}])
    names = ("root", *(name for name, _ in _SHARES))
    behind = [one for name in names for one in (_pod(name), _service(name), _target(f"to-{name}", name))]
    called = replace(ASKED, dst=Destination(service="d/root"), port=80)
    for count, least in ((MANY, 1), (2, 2**33 + 1)):
        weighed = [{"service": name, "weight": weight * least} for name, weight in _SHARES[: count - 1]]
        backends = [*weighed, {"service": _SHARES[count - 1][0], "weight": 1}]
        split = _object("split.smi-spec.io/v1alpha4", "TrafficSplit", "s", {"service": "root", "backends": backends})
        yield ManyWorld("backends, and large weights", (every, *behind, split), (called,))
    groups = [_group([{"pathRegex": f"/{name}"}], f"when-{name}") for name, _ in _SHARES]
    splits = [_conditional(name) for name, _ in _SHARES]
    calls = [replace(called, path=f"/{name}") for name in (*names, "x")]
    yield ManyWorld("TrafficSplits of a Service", (every, *groups, *behind, *splits), tuple(calls))


def _conditional(name: str) -> Any:
    when = [{"kind": "HTTPRouteGroup", "name": f"when-{name}"}]
    spec = {"service": "root", "backends": [{"service": name, "weight": 1}], "matches": when}
    return _object("split.smi-spec.io/v1alpha4", "TrafficSplit", f"s-{name}", spec)
