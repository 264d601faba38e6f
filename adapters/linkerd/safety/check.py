"""The last look at an object before it leaves the hub: final bytes against a closed list of shapes (shapes.py).

Linkerd's validation is a webhook whose failure lets objects pass. Observed on Linkerd edge-26.8: it takes a policy that
requires nothing, which allows everybody; an update that cannot be read leaves the old grant; and weights that are all zero
end the routing of a client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_network
from typing import Any

import msgspec
from msgspec import UNSET

from adapters.linkerd.config import POLICY
from adapters.linkerd.regex import is_anchored
from adapters.linkerd.safety import shapes
from adapters.linkerd.vocabulary import is_managed
from hub.api import SERVICE_ACCOUNT_LABEL, UnsafeResourceError

_MAX_MATCHES = 127
"""Most matches of one route (Gateway API, HTTPRoute: fewer than 128)."""
_MANIFEST: Any = shapes.Manifest  # a union, which the signature of `convert` takes for no type


class _ShapeError(Exception):
    """What is wrong, and where."""


def check(body: bytes) -> None:
    """Refuse bytes that are not exactly an object as smihub makes them.

    Raises UnsafeResourceError that names the object and what is wrong with it.
    """
    try:
        raw = msgspec.json.decode(body)
        manifest = msgspec.convert(raw, _MANIFEST)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnsafeResourceError(f"a Linkerd object must not be written: {error}") from error
    label = f'{type(manifest).__name__} "{manifest.metadata.namespace}/{manifest.metadata.name}"'
    try:
        # Compared as bytes: a duplicate key may be read differently elsewhere than it was here.
        _demand(msgspec.json.encode(raw, order="sorted") == body, "its bytes are not canonical")
        _CHECKS[type(manifest)](manifest)
    except _ShapeError as finding:
        raise UnsafeResourceError(f"{label} must not be written: {finding}") from finding


def _demand(held: object, otherwise: str) -> None:
    if not held:
        raise _ShapeError(otherwise)


def _server(manifest: shapes.Server) -> None:
    labels = manifest.spec.pod_selector.match_labels
    _demand(list(labels) == [SERVICE_ACCOUNT_LABEL], f"its selector is not {SERVICE_ACCOUNT_LABEL} alone")


def _authentication(manifest: shapes.MeshTLSAuthentication) -> None:
    refs = manifest.spec.identity_refs
    _demand(len(set(refs)) == len(refs), "a service account is listed twice")


def _networks(manifest: shapes.NetworkAuthentication) -> None:
    cidrs = [one.cidr for one in manifest.spec.networks]
    _demand(len(set(cidrs)) == len(cidrs), "a network is listed twice")
    _demand(all(map(_is_network, cidrs)), "a network is not one, or has addresses beside its prefix")


def _is_network(cidr: str) -> bool:
    try:
        return str(ip_network(cidr)) == cidr
    except ValueError:
        return False


def _authorization(manifest: shapes.AuthorizationPolicy) -> None:
    target, (required,) = manifest.spec.target_ref, manifest.spec.required_authentication_refs
    by_address = required.kind == "NetworkAuthentication"
    _demand(not by_address or target.kind == "HTTPRoute", "callers without identity are allowed on all of a Server")
    _demand(target.kind != "Server" or target.group == POLICY, "its target is a Server of another API group")


def _http_route(manifest: shapes.HTTPRoute) -> None:
    (parent,), rules = manifest.spec.parent_refs, manifest.spec.rules
    _demand(sum(len(rule.matches) for rule in rules) <= _MAX_MATCHES, "it has too many matches")
    for match in (match for rule in rules for match in rule.matches):
        _match(match)
    if isinstance(parent, shapes.ServerParent):
        _demand(all(rule.backend_refs is UNSET for rule in rules), "a route of a Server has backends")
        return
    _demand(all(rule.backend_refs is not UNSET for rule in rules), "a rule of a Service has no backends")
    group = "core" if manifest.api_version.startswith(f"{POLICY}/") else ""
    _service(parent, manifest.metadata, group, [rule.backend_refs or () for rule in rules])
    _fallback(rules)


def _tcp_route(manifest: shapes.TCPRoute) -> None:
    (parent,) = manifest.spec.parent_refs
    _service(parent, manifest.metadata, "", [rule.backend_refs for rule in manifest.spec.rules])


def _service(
    parent: shapes.ServiceParent,
    metadata: shapes.Metadata,
    group: str,
    rules: Iterable[tuple[shapes.BackendRef, ...]],
) -> None:
    _demand(parent.group == group, f'the group of its parent is not "{group}"')
    # In another namespace it would be for the callers of that namespace alone.
    _demand(parent.namespace == metadata.namespace, "its parent is in another namespace")
    for backends in rules:
        names = [one.name for one in backends]
        _demand(len(set(names)) == len(names), "a backend is listed twice")
        _demand(all(one.port == parent.port for one in backends), "a request would change its port")


def _fallback(rules: tuple[shapes.HttpRule, ...]) -> None:
    """The last rule, and no other, is for everything, or the rest of the calls would get 404."""
    whole = [any(_is_everything(match) for match in rule.matches) for rule in rules]
    _demand(whole[-1] and len(rules[-1].matches) == 1, "requests that no rule matches would get 404")
    _demand(not any(whole[:-1]), "a rule comes after the one that matches everything")


def _is_everything(match: shapes.CheckedMatch) -> bool:
    return match.path.type == "PathPrefix" and match.method is UNSET and match.headers is UNSET


def _match(match: shapes.CheckedMatch) -> None:
    headers = () if match.headers is UNSET else match.headers
    if match.path.type == "PathPrefix":
        _demand(match.path.value == "/", "a path prefix also matches the path without its slash")
    else:
        _pattern(match.path.value)
    names = [one.name for one in headers]
    _demand(len(set(names)) == len(names), "a header is listed twice, and only the first would count")
    for one in headers:
        _demand(not is_managed(one.name), f'the header "{one.name}" is not set by the caller')
        _pattern(one.value)


def _pattern(text: str) -> None:
    _demand(is_anchored(text), "a pattern is not anchored, or Linkerd may read it differently")


_CHECKS: dict[type, Callable[..., None]] = {
    shapes.Server: _server,
    shapes.MeshTLSAuthentication: _authentication,
    shapes.NetworkAuthentication: _networks,
    shapes.AuthorizationPolicy: _authorization,
    shapes.HTTPRoute: _http_route,
    shapes.TCPRoute: _tcp_route,
}
