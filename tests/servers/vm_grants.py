"""Grants and splits that mean the standing Workloads, because chance alone seldom makes all that a call needs at once."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from random import Random
from typing import Any

from hub.testing.cluster import LABELS
from hub.testing.patterns import any_header, any_path
from hub.testing.small_worlds import MATCHES, twins

Value = dict[str, Any]
CALLER_LABELS: Mapping[str, str] = {"app": "caller"}
SERVER_PORTS = (8088, 8080, 9090, 5432)
_EVERY: Value = {"name": "every", "pathRegex": "/.*", "methods": ["*"]}
_HEADERS = ("x-tier", "x-t", "x-region", "cookie")
_PARTNERS = ("spiffe://partner.example/billing", "cluster.local/vm/7", "spiffe://cluster.local/ns/x/sa/api")


def _object(api: str, kind: str, name: str, body: Value) -> Value:
    return {"apiVersion": api, "kind": kind, "metadata": {"namespace": "d", "name": name}, **body}


def _account(name: str) -> Value:
    return {"kind": "ServiceAccount", "name": name, "namespace": "d"}


# ------------------------------------------------------------------------------------------------------------- grants


def grant(rng: Random, name: str, caller: str) -> list[Value]:
    """A TrafficTarget on the account `api`, or on some of those who carry it, and what it refers to; all of one name."""
    made = [_group(rng, name)]
    rules = [{"kind": "HTTPRouteGroup", "name": name}]
    if rng.randrange(3) == 0:
        made.append(_ports(rng, "TCPRoute", name))
        rules = [{"kind": "TCPRoute", "name": name}, *rules[rng.randrange(2) :]]
    if rng.randrange(4) == 0:
        made.append(_ports(rng, "UDPRoute", name))
        rules.append({"kind": "UDPRoute", "name": name})
    version = rng.choice((2, 2, 3, 4, 4, 4))
    source, destination = _account(caller), _account("api")
    if version == 4 and (bound := rng.choice(("", "from", "from", "to", "to"))):
        made.append(_binding(rng, name, caller, bound))
        other = {"kind": "IdentityBinding", "name": name, "namespace": "d"}
        source, destination = (other, destination) if bound == "from" else (source, other)
    if version == 2:
        destination["port"] = rng.choice(SERVER_PORTS)
    body = {"spec": {"destination": destination, "sources": [source], "rules": rules}}
    return [*made, _object(f"access.smi-spec.io/v1alpha{version}", "TrafficTarget", name, body)]


def _group(rng: Random, name: str) -> Value:
    if rng.randrange(3) == 0:
        matches = [{"name": f"m-{at}", **deepcopy(match)} for at, match in enumerate(twins(rng))]
    else:
        matches = [_match(rng, f"m-{one}") for one in range(rng.randrange(1, 4))]
    return _object("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", name, {"spec": {"matches": matches}})


def _match(rng: Random, name: str) -> Value:
    match: Value = {"name": name, "pathRegex": any_path(rng)[0]}
    if rng.randrange(3) == 0:
        match["methods"] = rng.choice((["*"], ["GET"], ["GET", "POST"]))
    if rng.randrange(3) == 0:
        match["headers"] = {rng.choice(_HEADERS): any_header(rng)[0]}
    return match


def _ports(rng: Random, kind: str, name: str) -> Value:
    ports = rng.sample(SERVER_PORTS, rng.randrange(3))
    return _object("specs.smi-spec.io/v1alpha4", kind, name, {"spec": {"matches": {"ports": ports}} if ports else {}})


def _binding(rng: Random, name: str, caller: str, bound: str) -> Value:
    if bound == "to":
        scheme: Value = {"podLabelSelector": {"matchLabels": {"app": "api"}}}
        if rng.randrange(4) == 0:
            scheme = {"serviceAccount": "api"}
    elif rng.randrange(4):
        scheme = {"spiffeIdentities": [rng.choice(_PARTNERS), f"spiffe://cluster.local/ns/d/sa/{caller}"]}
    else:
        scheme = {"podLabelSelector": {"matchLabels": dict(CALLER_LABELS)}}
    return _object("access.smi-spec.io/v1alpha4", "IdentityBinding", name, {"spec": {"schemes": scheme}})


# ------------------------------------------------------------------------------------------------------------- splits


def shared(rng: Random, caller: str) -> list[Value]:
    """A Service that is split among two others, with a condition or without, and a grant on it."""
    kind, port = rng.choice((("http", 8080), ("http", 8080), ("http", 9090), ("tcp", 5432), ("tcp", 9090)))
    ports = [{"name": f"{kind}-raw", "port": 7000, "targetPort": port}]
    services = [
        _object("v1", "Service", name, {"spec": {"selector": dict(label), "ports": ports}})
        for name, label in (
            ("raw", {"app": "api"}),
            ("raw-1", {"app": "api"}),
            ("raw-2", rng.choice(({"app": "api"}, rng.choice(LABELS)))),
        )
    ]
    route = "HTTPRouteGroup" if kind == "http" else "TCPRoute"
    body = {"spec": {"matches": [_EVERY]}} if kind == "http" else {"spec": {}}
    rules = [{"kind": route, "name": "raw"}]
    access = {"spec": {"destination": _account("api"), "sources": [_account(caller)], "rules": rules}}
    return [
        *services,
        _object("specs.smi-spec.io/v1alpha4", route, "raw", body),
        _object("access.smi-spec.io/v1alpha3", "TrafficTarget", "raw", access),
        *_split(rng, conditional=kind == "http" and rng.randrange(6) != 0),
    ]


def _split(rng: Random, *, conditional: bool) -> list[Value]:
    shares = [
        {"service": "raw-1", "weight": rng.choice((0, 1, 1, 2))},
        {"service": "raw-2", "weight": rng.randrange(1, 3)},
    ]
    spec: Value = {"service": "raw", "backends": shares}
    if not conditional:
        return [_object("split.smi-spec.io/v1alpha2", "TrafficSplit", "raw", {"spec": spec})]
    spec["matches"] = [{"kind": "HTTPRouteGroup", "name": "raw-if"}]
    plain: Value = {"name": "m", **deepcopy(rng.choice(MATCHES))}
    group = {"spec": {"matches": [_match(rng, "m") if rng.randrange(3) == 0 else plain]}}
    return [
        _object("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "raw-if", group),
        _object("split.smi-spec.io/v1alpha4", "TrafficSplit", "raw", {"spec": spec}),
    ]
