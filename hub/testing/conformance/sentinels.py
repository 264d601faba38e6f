"""Small worlds in which each field has a value that stands nowhere else, so that it is found again in native objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hub.features import Feature
from hub.model import Destination, Request, Source


class Sentinel(Struct, frozen=True):
    """One part of a world: the value that it has, another one, and a third that stands nowhere; the feature that it needs."""

    part: str
    value: str
    other: str
    third: str
    feature: Feature | None = None

    def held_by(self, leaf: object) -> bool:
        """Whether a field of a body carries it."""
        if isinstance(leaf, bool) or not isinstance(leaf, str | int):
            return False
        return re.search(rf"(?<![0-9]){re.escape(self.value)}(?![0-9])", str(leaf)) is not None

    def changed_in(self, leaf: Any) -> Any:
        """The field with the other value."""
        if isinstance(leaf, int):
            return int(self.other)
        return leaf.replace(self.value, self.other)

    def other_world(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The world in which objects of SMI have the other value, and Pods and Services stay as they are."""
        return tuple(
            self._changed(value) if ".smi-spec.io/" in value.get("apiVersion", "") else value for value in values
        )

    def _changed(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._changed(key): self._changed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._changed(item) for item in value]
        return self.changed_in(value) if self.held_by(value) else value


CALLER = Sentinel("caller", "zqcaller", "zqother", "zqthird")
PORT = Sentinel("port", "17071", "17072", "17073", Feature.ACCESS_HTTP_PORT)
RAW_PORT = Sentinel("port", "17071", "17072", "17073", Feature.ACCESS_TCP)
METHOD = Sentinel("method", "PATCH", "DELETE", "GET", Feature.ACCESS_HTTP_METHOD)
PATH = Sentinel("path", "/zqpath", "/zqelse", "/zqthird", Feature.ACCESS_HTTP_PATH)
NAME = Sentinel("header name", "x-zqname", "x-zqelse", "x-zqthird", Feature.ACCESS_HTTP_HEADER)
VALUE = Sentinel("header value", "zqgold", "zqiron", "zqlead", Feature.ACCESS_HTTP_HEADER)
WEIGHT = Sentinel("weight", "71", "13", "97", Feature.SPLIT_HTTP)
WHEN_PATH = Sentinel("path", "/zqpath", "/zqelse", "/zqthird", Feature.SPLIT_MATCHES)
WHEN_METHOD = Sentinel("method", "PATCH", "DELETE", "GET", Feature.SPLIT_MATCHES)
WHEN_NAME = Sentinel("header name", "x-zqname", "x-zqelse", "x-zqthird", Feature.SPLIT_MATCHES)
WHEN_VALUE = Sentinel("header value", "zqgold", "zqiron", "zqlead", Feature.SPLIT_MATCHES)
BOUND = Sentinel("labels of the receiver", "zqtier", "zqelse", "zqthird", Feature.ACCESS_LABEL_DESTINATION)
SPIFFE = Sentinel("caller", "zqcaller", "zqother", "zqthird", Feature.ACCESS_SPIFFE_SOURCE)


class SentinelWorld(Struct, frozen=True):
    """A world as YAML, the request that it is about (which SMI allows), and the parts that have sentinels."""

    name: str
    text: str
    request: Request
    parts: tuple[Sentinel, ...]

    @property
    def features(self) -> frozenset[Feature]:
        """What a mesh must carry out for this world."""
        return frozenset(part.feature for part in self.parts if part.feature is not None)

    def requests(self) -> Iterator[Request]:
        """The request, those that differ from it in one part, and raw bytes; also to Pods without ports or labels."""
        yield from self._beside(self.request)
        if self.request.dst.pod is not None:
            for other in _OTHERS:
                yield from self._beside(replace(self.request, dst=other))

    def _beside(self, request: Request) -> Iterator[Request]:
        yield request
        if request.protocol == "http":
            yield replace(request, protocol="tcp")
            yield replace(request, headers=())
        else:
            yield replace(request, protocol="http")
        for part in self.parts:
            for value in (part.other, part.third):
                yield from _with(request, part, value)


_OTHERS = (Destination(pod="d/bare"), Destination(pod="d/plain"))


def _with(request: Request, part: Sentinel, value: str) -> Iterator[Request]:
    change = _CHANGES.get(part.part)
    if change is not None:
        yield change(request, value)


_CHANGES: Mapping[str, Callable[[Request, str], Request]] = {
    "caller": lambda request, value: replace(request, src=Source(identity=f"d/{value}")),
    "port": lambda request, value: replace(request, port=int(value)),
    "method": lambda request, value: replace(request, method=value),
    "path": lambda request, value: replace(request, path=value),
    "header name": lambda request, value: replace(request, headers=((value, VALUE.value),)),
    "header value": lambda request, value: replace(request, headers=((NAME.value, value),)),
}

# ------------------------------------------------------------------------------------------------------------- worlds

_POD = """\
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: d, labels: {app: %s, tier: zqtier}}
spec:
  serviceAccountName: zqapi
  containers: [{name: a, ports: [{containerPort: 17071}, {containerPort: 17072}, {containerPort: 17073}]}]
---
"""
_GROUP = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: %s, namespace: d}
spec: {matches: [{name: m, %s}]}
---
"""
_PORTS = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: ports, namespace: d}
spec: {matches: {ports: [17071]}}
---
"""
_TARGET = """\
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: zqtarget, namespace: d}
spec:
  destination: {kind: %s, name: %s, namespace: d}
  sources: [{kind: %s, name: %s, namespace: d}]
  rules: [%s]
---
"""
_BINDING = """\
apiVersion: access.smi-spec.io/v1alpha4
kind: IdentityBinding
metadata: {name: bound, namespace: d}
spec: {schemes: {%s}}
---
"""
_SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: d}
spec: {selector: {app: %s}, ports: [{name: %s-all, port: 80, targetPort: 17071}]}
---
"""
_SPLIT = """\
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: s, namespace: d}
spec: {service: zqroot, backends: [{service: zqold, weight: 71}, {service: zqnew, weight: 29}]%s}
---
"""
_ALL = "pathRegex: /zqpath, methods: [PATCH], headers: {x-zqname: zqgold}"
_RULES = "{kind: TCPRoute, name: ports}, {kind: HTTPRouteGroup, name: r}"
_ACCOUNTS = ("ServiceAccount", "zqapi", "ServiceAccount", "zqcaller")
_BARE = re.sub(r"ports: .*\]}\]", "}]", _POD % ("bare", "bare")).replace("a, }", "a}")
_PLAIN = (_POD % ("plain", "plain")).replace(", tier: zqtier", "")
_API = _POD % ("api", "api") + _BARE + _PLAIN
_ASKED = Request(
    Source(identity="d/zqcaller"),
    Destination(pod="d/api"),
    17071,
    "http",
    "PATCH",
    "/zqpath",
    ((NAME.value, VALUE.value),),
)
_ASKED_ALONE = replace(_ASKED, dst=Destination(pod="d/zqapi"))
_CALLED = replace(_ASKED, dst=Destination(service="d/zqroot"), port=80)


def _granting(match: str, rules: str = _RULES, subjects: tuple[str, ...] = _ACCOUNTS) -> str:
    return _API + _GROUP % ("r", match) + _PORTS + _TARGET % (*subjects, rules)


def _splitting(kind: str, rule: str, more: str = "") -> str:
    behind = "".join(_POD % (name, name) + _SERVICE % (name, name, kind) for name in ("zqroot", "zqold", "zqnew"))
    every = _GROUP % ("r", "methods: ['*']") + _GROUP % ("when", _ALL) + _PORTS
    return behind + every + _TARGET % (*_ACCOUNTS, rule) + _SPLIT % more


def _alone(port: str, *names: str) -> str:
    """Accounts with one port, each behind a Service of its name."""
    ports = re.compile(r"ports: \[\{.*\}\]\}\]")
    pods = (ports.sub("ports: [{containerPort: 17071}]}]", _POD % (name, name)) for name in names)
    owned = (
        pod.replace("serviceAccountName: zqapi", f"serviceAccountName: {name}")
        for pod, name in zip(pods, names, strict=True)
    )
    return "".join(map("".join, zip(owned, (_SERVICE % (name, name, port) for name in names), strict=True)))


def _granting_alone(match: str) -> str:
    return _alone("http", "zqapi") + _GROUP % ("r", match) + _TARGET % (*_ACCOUNTS, "{kind: HTTPRouteGroup, name: r}")


def _splitting_alone(more: str = "") -> str:
    when = _GROUP % ("r", "methods: ['*']") + _GROUP % ("when", _ALL)
    targets = "".join(
        (_TARGET % ("ServiceAccount", name, *_ACCOUNTS[2:], "{kind: HTTPRouteGroup, name: r}")).replace(
            "zqtarget", f"to-{name}"
        )
        for name in ("zqroot", "zqold", "zqnew")
    )
    return _alone("http", "zqroot", "zqold", "zqnew") + when + targets + _SPLIT % more


_WHEN = ", matches: [{kind: HTTPRouteGroup, name: when}]"
_BY_LABEL = ("IdentityBinding", "bound", "ServiceAccount", "zqcaller")
_BY_SPIFFE = ("ServiceAccount", "zqapi", "IdentityBinding", "bound")
SENTINELS = (
    SentinelWorld(
        "HTTP by path, method, header and port", _granting(_ALL), _ASKED, (CALLER, PORT, METHOD, PATH, NAME, VALUE)
    ),
    SentinelWorld("HTTP by path", _granting("pathRegex: /zqpath"), _ASKED, (CALLER, PORT, PATH)),
    SentinelWorld("HTTP by method", _granting("methods: [PATCH]"), _ASKED, (CALLER, PORT, METHOD)),
    SentinelWorld("HTTP by header", _granting("headers: {x-zqname: zqgold}"), _ASKED, (CALLER, PORT, NAME, VALUE)),
    SentinelWorld(
        "raw TCP by port",
        _granting(_ALL, "{kind: TCPRoute, name: ports}"),
        replace(_ASKED, protocol="tcp"),
        (CALLER, RAW_PORT),
    ),
    SentinelWorld(
        "a receiver by labels",
        _BINDING % "podLabelSelector: {matchLabels: {tier: zqtier}}" + _granting(_ALL, subjects=_BY_LABEL),
        _ASKED,
        (CALLER, PORT, METHOD, PATH, NAME, VALUE, BOUND),
    ),
    SentinelWorld(
        "a caller by SPIFFE id",
        _BINDING % 'spiffeIdentities: ["spiffe://cluster.local/ns/d/sa/zqcaller"]'
        + _granting(_ALL, subjects=_BY_SPIFFE),
        _ASKED,
        (SPIFFE, PORT, METHOD, PATH, NAME, VALUE),
    ),
    SentinelWorld(
        "HTTP split by weight", _splitting("http", "{kind: HTTPRouteGroup, name: r}"), _CALLED, (CALLER, WEIGHT)
    ),
    SentinelWorld(
        "HTTP split with a condition",
        _splitting("http", "{kind: HTTPRouteGroup, name: r}", _WHEN),
        _CALLED,
        (CALLER, WEIGHT, WHEN_PATH, WHEN_METHOD, WHEN_NAME, WHEN_VALUE),
    ),
    SentinelWorld(
        "TCP split by weight",
        _splitting("tcp", "{kind: TCPRoute, name: ports}"),
        replace(_CALLED, protocol="tcp"),
        (CALLER, replace(WEIGHT, feature=Feature.SPLIT_TCP)),
    ),
    # For meshes in which a service has one identity and one port.
    SentinelWorld(
        "HTTP to a service of one port", _granting_alone(_ALL), _ASKED_ALONE, (CALLER, METHOD, PATH, NAME, VALUE)
    ),
    SentinelWorld(
        "raw TCP to a service of one port",
        _alone("tcp", "zqapi") + _PORTS + _TARGET % (*_ACCOUNTS, "{kind: TCPRoute, name: ports}"),
        replace(_ASKED_ALONE, protocol="tcp"),
        (CALLER,),
    ),
    SentinelWorld("HTTP split among services of one port", _splitting_alone(), _CALLED, (WEIGHT,)),
    SentinelWorld(
        "HTTP split with a condition among services of one port",
        _splitting_alone(_WHEN),
        _CALLED,
        (WEIGHT, WHEN_PATH, WHEN_METHOD, WHEN_NAME, WHEN_VALUE),
    ),
)
