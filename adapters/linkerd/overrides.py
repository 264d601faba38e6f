"""What objects of others do to those of smihub, as far as one of them tells by itself.

Source: https://linkerd.io/2-edge/reference/authorization-policy/, https://linkerd.io/2-edge/reference/service-profiles/. Observed on
Linkerd edge-26.8: the older of two Servers rules a port, policies add up, and a GRPCRoute takes the place of all HTTPRoutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapters.linkerd.config import GATEWAY, POLICY

_SERVER = "rules its port of the Pods that it selects, in place of smihub's Server, if it is older"
_PROFILE = 'takes the place of the splits of Service "{}" for every client that starts'
_EVERYWHERE = "adds its callers to every Server and every route of its namespace"
_ADDS = 'adds its callers to those of {} "{}"'
_SELECTED = "adds its callers to every Server that it selects"
_ROUTE = 'decides requests to Server "{}" that it matches as well as smihub\'s routes, or better'
_GRPC = 'takes the place of the HTTPRoutes of {} "{}"'
_SPLIT = 'is merged with the split of Service "{}"'


def overrides(manifest: Mapping[str, Any]) -> str:
    """What an object that smihub did not write does to what it writes; "" if nothing, or if it cannot be told."""
    version, kind, spec = manifest.get("apiVersion"), manifest.get("kind"), manifest.get("spec")
    group = version.partition("/")[0] if isinstance(version, str) else ""
    spec = spec if isinstance(spec, dict) else {}
    if (group, kind) == ("linkerd.io", "ServiceProfile"):
        return _PROFILE.format(_text(manifest.get("metadata"), "name").partition(".")[0])
    if (group, kind) == (POLICY, "AuthorizationPolicy"):
        return _policy(spec.get("targetRef"))
    if group in {POLICY, GATEWAY} and kind in {"HTTPRoute", "GRPCRoute"}:
        return "; ".join(dict.fromkeys(_parents(str(kind), spec.get("parentRefs"))))
    return {"Server": _SERVER, "ServerAuthorization": _SELECTED}.get(str(kind), "") if group == POLICY else ""


def _policy(target: object) -> str:
    kind, name = _text(target, "kind"), _text(target, "name")
    if kind == "Namespace":
        return _EVERYWHERE
    ours = name.startswith("smihub") and kind in {"Server", "HTTPRoute"}
    return _ADDS.format(kind, name) if ours else ""


def _parents(route: str, parents: object) -> Iterator[str]:
    for parent in parents if isinstance(parents, list) else ():
        kind, name = _text(parent, "kind"), _text(parent, "name")
        if kind not in {"Server", "Service"} or (kind == "Server" and not name.startswith("smihub")):
            continue
        if route == "GRPCRoute":
            yield _GRPC.format(kind, name)
        else:
            yield _ROUTE.format(name) if kind == "Server" else _SPLIT.format(name)


def _text(value: object, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
