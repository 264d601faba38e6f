"""Small worlds in which a change of one object changes what another one means, and objects' other versions.

A few callers and receivers, a port that others may or may not call HTTP, raw and HTTP grants for it, grants bound to
labels, and texts that read alike. `again` gives another version of an object, as an editor would leave it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from random import Random
from typing import Any, Literal

from hub.model import Destination, Request, Source

Value = dict[str, Any]

NAMESPACE = "d"
ACCOUNTS = ("web", "peer", "nobody")
LABELS: Sequence[Mapping[str, str]] = ({"a": "b", "c": "d"}, {"tier": "gold"}, {}, {"tier": "plain"})
"""Labels that a workload may carry besides the one that Services select by."""
SELECTORS: Sequence[Mapping[str, str]] = ({"tier": "gold"}, {"a": "b,c=d"}, {"a": "b", "c": "d"}, {"tier": "plain"})
"""Labels of bindings; the second reads like the third."""
MATCHES: Sequence[Value] = (
    {"methods": ["GET"]},
    {"methods": ["GET"], "pathRegex": "any path"},
    {"pathRegex": "/a", "headers": {"x-t": ".*"}},
    {"pathRegex": "/a x-t=.*"},
    {"pathRegex": "/a"},
    {"pathRegex": "/a.*"},
    {"pathRegex": "/a", "methods": ["GET", "POST"]},
    {"pathRegex": "/a", "methods": ["GET"], "headers": {"x-t": "gold"}},
    {"pathRegex": "/a", "headers": {"x-t": "(?i)[^k]*"}},
    {"pathRegex": "/a", "headers": {"accept": ".* b"}},
)
"""Matches, some of which read alike or lie within each other; the last two are about letters that fold, and about blanks."""
PORT, RAW = 8080, 5432
SERVED: Mapping[int, int] = {80: PORT, RAW: RAW}
"""Where the ports of the Service lead to, as a rule."""
_WORDS = ("http", "tcp", None, None, "odd")
_NAMES = ("http-web", "web", "tcp-web", "grpc-web")


def make_small_world(rng: Random) -> list[Value]:
    """The objects of a small world, each with a name of its own."""
    workloads = [
        _workload("web-1", "web", 1, {"app": "web"}),
        _workload("peer-1", "peer", 2, {"app": "peer"}),
        *(_workload(f"api-{n}", "api", 2 + n, {"app": "api", **rng.choice(LABELS)}) for n in (1, 2)),
    ]
    pods = [_pod("web-p", "web"), _pod("peer-p", "peer"), _template(rng)]
    rules = [_group(rng), _raw_route(rng), *(_binding(rng, name) for name in ("gold", "who"))]
    grants = [
        _target("web", ["web"], "HTTPRouteGroup"),
        _target("peer", ["peer"], "TCPRoute"),
        _target("bound", [rng.choice(ACCOUNTS)], rng.choice(("HTTPRouteGroup", "TCPRoute")), binding="gold"),
    ]
    splits = [_service(rng, "api-b"), _split(rng)] if rng.randrange(2) else []
    objects = [*workloads, *pods, _service(rng), *rules, *grants, *splits]
    return [again(rng, value) if rng.randrange(4) == 0 else value for value in objects]


def _object(api: str, kind: str, name: str, spec: Value, labels: Mapping[str, str] | None = None) -> Value:
    meta: Value = {"name": name, "namespace": NAMESPACE} | ({"labels": dict(labels)} if labels else {})
    return {"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec}


def _workload(name: str, account: str, number: int, labels: Mapping[str, str]) -> Value:
    ports = [
        {"port": port, "name": text, "appAddress": f"127.0.1.{number}"} for port, text in ((PORT, "web"), (RAW, "raw"))
    ]
    spec: Value = {"serviceAccount": account, "addresses": [f"127.0.0.{number}"], "ports": ports}
    if account != "api":
        place = {"service": "api", "address": f"127.0.2.{number}", "shared": "host"}
        spec["upstreams"] = [{**place, "port": port, "localPort": 9000 + port} for port in SERVED]
    return _object("smihub.io/v1alpha1", "Workload", name, spec, labels)


def _pod_spec(account: str, name: str = "web") -> Value:
    ports = [{"containerPort": PORT, "name": name}, {"containerPort": RAW}]
    return {"serviceAccountName": account, "containers": [{"name": "main", "image": "main", "ports": ports}]}


def _bound(account: str, labels: Mapping[str, str]) -> Mapping[str, str]:
    """Labels of a Pod of an account, with the one by which meshes find it."""
    return {**labels, "smihub.io/sa": account}


def _pod(name: str, account: str) -> Value:
    return _object("v1", "Pod", name, _pod_spec(account), _bound(account, {"app": account}))


def _template(rng: Random) -> Value:
    labels = _bound("api", {"app": "api", **rng.choice(LABELS)})
    template = {"metadata": {"labels": dict(labels)}, "spec": _pod_spec("api")}
    return _object(
        "apps/v1", "Deployment", "api-t", {"selector": {"matchLabels": {"app": "api"}}, "template": template}
    )


def _service(rng: Random, name: str = "api") -> Value:
    port: Value = {"port": 80, "targetPort": rng.choice(("web", "web", PORT)), "name": rng.choice(_NAMES)}
    if (word := rng.choice(_WORDS)) is not None:
        port["appProtocol"] = word
    raw = {"port": RAW, "name": "tcp-raw"}
    return _object("v1", "Service", name, {"selector": {"app": "api"}, "ports": [port, raw]})


def _split(rng: Random) -> Value:
    """Some calls of the Service go to the one beside it."""
    spec: Value = {"service": "api", "backends": [{"service": "api-b", "weight": rng.randrange(1, 3)}]}
    if rng.randrange(3):
        spec["matches"] = [{"kind": "HTTPRouteGroup", "name": "r"}]
    return _object("split.smi-spec.io/v1alpha4", "TrafficSplit", "s", spec)


def _group(rng: Random) -> Value:
    first = rng.choice(MATCHES)
    matches = [{"name": "m", **deepcopy(first)}, {"name": "n", **_beside(rng, first)}][: rng.randrange(1, 3)]
    return _object("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "r", {"matches": matches})


def _raw_route(rng: Random) -> Value:
    ports = rng.choice(({}, {}, {"matches": {"ports": [PORT]}}, {"matches": {"ports": [RAW]}}))
    return _object("specs.smi-spec.io/v1alpha4", "TCPRoute", "t", dict(ports))


def _binding(rng: Random, name: str) -> Value:
    scheme: Value = {"podLabelSelector": {"matchLabels": dict(rng.choice(SELECTORS))}}
    if name == "who" and rng.randrange(2):
        scheme = {"serviceAccount": rng.choice(ACCOUNTS)}
    return _object("access.smi-spec.io/v1alpha4", "IdentityBinding", name, {"schemes": scheme})


def _target(name: str, sources: Sequence[str], kind: str, binding: str = "") -> Value:
    destination = {"kind": "ServiceAccount", "name": "api", "namespace": NAMESPACE}
    if binding:
        destination = {"kind": "IdentityBinding", "name": binding, "namespace": NAMESPACE}
    spec = {
        "destination": destination,
        "sources": [{"kind": "ServiceAccount", "name": source, "namespace": NAMESPACE} for source in sources],
        "rules": [{"kind": kind, "name": "r" if kind == "HTTPRouteGroup" else "t"}],
    }
    return _object("access.smi-spec.io/v1alpha4", "TrafficTarget", name, spec)


def twins(rng: Random) -> tuple[Value, Value]:
    """Two matches that read alike, or one within the other."""
    at = rng.choice((0, 2, 4))
    return MATCHES[at], MATCHES[at + 1]


# ------------------------------------------------------------------------------------------------- other versions


def again(rng: Random, value: Value) -> Value:
    """Another version of an object, under its name; the same one if this kind has no other."""
    changed = deepcopy(value)
    edit = _EDITS.get(str(value.get("kind")))
    if edit is not None:
        edit(rng, changed)
    return changed


def _edit_service(rng: Random, value: Value) -> None:
    port = value["spec"]["ports"][0]
    dice = rng.randrange(8)
    if dice < 4:
        port.pop("appProtocol", None)
        if (word := rng.choice(_WORDS)) is not None:
            port["appProtocol"] = word
    elif dice < 6:
        port["name"] = rng.choice(_NAMES)
    elif dice == 6:
        port["targetPort"] = rng.choice(("web", PORT, "raw", RAW))
    else:
        value["spec"]["selector"] = rng.choice(({"app": "api"}, {"app": "api", "tier": "gold"}))


def _edit_workload(rng: Random, value: Value) -> None:
    spec, dice, app = value["spec"], rng.randrange(6), value["metadata"]["labels"]["app"]
    if dice < 2 and app == "api":
        spec["ports"][0].pop("appProtocol", None)
        if (word := rng.choice(_WORDS)) is not None:
            spec["ports"][0]["appProtocol"] = word
    elif dice < 3 or app != "api":
        known = {app, *ACCOUNTS} - {spec["serviceAccount"]}
        spec["serviceAccount"] = rng.choice(sorted(known))
    elif dice == 4:
        value["metadata"]["labels"] = {"app": "api", **rng.choice(LABELS)}
    else:
        spec["ports"][0]["name"] = rng.choice(("web", "main"))


def _edit_pod(rng: Random, value: Value) -> None:
    account = rng.choice((value["metadata"]["name"].partition("-")[0], *ACCOUNTS))
    value["spec"]["serviceAccountName"] = account
    value["metadata"]["labels"] = dict(_bound(account, {"app": account}))


def _edit_template(rng: Random, value: Value) -> None:
    template = value["spec"]["template"]
    if rng.randrange(2):
        template["spec"] = _pod_spec("api", rng.choice(("web", "web", "main")))
    else:
        template["metadata"]["labels"] = dict(_bound("api", {"app": "api", **rng.choice(LABELS)}))


def _edit_group(rng: Random, value: Value) -> None:
    matches = value["spec"]["matches"]
    at = rng.randrange(len(matches))
    matches[at] = {"name": matches[at]["name"], **_beside(rng, matches[at])}


def _beside(rng: Random, match: Value) -> Value:
    """Any match; every other time another one that reads alike, where there is one."""
    same = {key: part for key, part in match.items() if key != "name"}
    alike = [one for one in MATCHES if one != same and _reads(one) == _reads(match)]
    return deepcopy(rng.choice(alike if alike and rng.randrange(2) else MATCHES))


def _reads(match: Value) -> str:
    """How a match is written in a line for people, by a careless hand."""
    headers = "".join(f" {name}={text}" for name, text in match.get("headers", {}).items())
    return f"{match.get('methods', 'any method')} {match.get('pathRegex', 'any path')}{headers}"


def _edit_raw_route(rng: Random, value: Value) -> None:
    value["spec"] = _raw_route(rng)["spec"]


def _edit_binding(rng: Random, value: Value) -> None:
    value["spec"] = _binding(rng, value["metadata"]["name"])["spec"]


def _edit_target(rng: Random, value: Value) -> None:
    spec, dice = value["spec"], rng.randrange(6)
    if dice < 2:
        spec["sources"] = [
            {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}
            for name in rng.sample(ACCOUNTS, rng.randrange(1, 3))
        ]
    elif dice == 2:
        spec["sources"] = [{"kind": "IdentityBinding", "name": "who", "namespace": NAMESPACE}]
    elif dice == 3:
        kind = rng.choice(("HTTPRouteGroup", "TCPRoute"))
        spec["rules"] = [{"kind": kind, "name": "r" if kind == "HTTPRouteGroup" else "t"}]
    elif dice == 4:
        spec["rules"] = [{"kind": "HTTPRouteGroup", "name": "r", "matches": [rng.choice("mn")]}]
    else:
        spec["destination"] = _target("", (), "TCPRoute", rng.choice(("", "", "gold")))["spec"]["destination"]


_EDITS: Mapping[str, Callable[[Random, Value], None]] = {
    "Service": _edit_service,
    "Workload": _edit_workload,
    "Pod": _edit_pod,
    "Deployment": _edit_template,
    "HTTPRouteGroup": _edit_group,
    "TCPRoute": _edit_raw_route,
    "IdentityBinding": _edit_binding,
    "TrafficTarget": _edit_target,
}


def corrupted(rng: Random, value: Value) -> Value:
    """The object as a slip of the hand leaves it: it cannot be decoded any more, whatever its kind."""
    broken = deepcopy(value)
    kind, spec = broken["kind"], broken["spec"]
    if kind == "Service":
        port = spec["ports"][0]
        port[rng.choice(("port", "appProtocol"))] = rng.choice((["80"], {"a": 1}))
    elif kind == "Workload":
        spec[rng.choice(("serviceAcount", "port"))] = "web"
    elif kind == "Pod":
        spec["containers"] = "main"
    elif kind == "Deployment":
        spec["template"]["spec"]["containers"] = rng.choice(("main", [7]))
    else:
        spec[rng.choice(("unknown", "source"))] = []
    if kind == "Service" and rng.randrange(2):
        broken["spec"]["ports"][0] |= {"port": "80"}
    return broken


# ------------------------------------------------------------------------------------------------------- requests

_NAMED = (*(Source(identity=f"{NAMESPACE}/{name}") for name in ACCOUNTS), Source(outside=True))
_WORKLOADS = tuple(Source(pod=f"{NAMESPACE}/{name}") for name in ("web-1", "peer-1"))
_TEXTS = (("GET", "/a", ()), ("POST", "/a", ()), ("GET", "/a", (("x-t", "gold"),)), ("POST", "/a", (("x-t", "x"),)))
_OTHERS = (("GET", "/b", ()), ("GET", "any path", ()), ("DELETE", "/ab", ()), ("GET", "/a x-t=x", ()))


def small_world_requests(family: Literal["Workload", "Pod"]) -> tuple[Request, ...]:
    """Every request to a Workload, or to a Pod, that a town's objects speak about, and those beside them.

    Who calls a Pod is named by account: who a Pod is, no mesh but its own says.
    """
    workloads = family == "Workload"
    return tuple(
        Request(source, Destination(pod=f"{NAMESPACE}/{pod}"), port, *asked)
        for source in ((*_WORKLOADS, *_NAMED) if workloads else _NAMED)
        for pod in (("api-1", "api-2", "web-1") if workloads else ("api-t", "web-p"))
        for port in (PORT, RAW)
        for asked in (("tcp",), *(("http", *one) for one in (*_TEXTS, *_OTHERS)))
    )
