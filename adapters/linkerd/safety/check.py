"""The last look at an object before it leaves the hub: final bytes against a closed list of shapes (shapes.py).

Linkerd's validation is a webhook whose failure lets objects pass. Observed on Linkerd edge-26.8: it takes a policy that
requires nothing, which allows everybody; an update that cannot be read leaves the old grant; and weights that are all zero
end the routing of a client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_network

from msgspec import UNSET

from adapters.linkerd.config import POLICY
from adapters.linkerd.regex import is_anchored
from adapters.linkerd.safety import shapes
from adapters.linkerd.vocabulary import is_managed
from hub.api import SERVICE_ACCOUNT_LABEL, check_shape, demand

_MAX_MATCHES = 127
"""Most matches of one route (Gateway API, HTTPRoute: fewer than 128)."""


def check(body: bytes) -> None:
    """Refuse bytes that are not exactly an object as smihub makes them.

    Raises UnsafeResourceError that names the object and what is wrong with it.
    """
    check_shape(body, shapes.Manifest, _CHECKS, "a Linkerd")


def _server(manifest: shapes.Server) -> None:
    labels = manifest.spec.pod_selector.match_labels
    demand(list(labels) == [SERVICE_ACCOUNT_LABEL], f"its selector is not {SERVICE_ACCOUNT_LABEL} alone")


def _authentication(manifest: shapes.MeshTLSAuthentication) -> None:
    refs = manifest.spec.identity_refs
    demand(len(set(refs)) == len(refs), "a service account is listed twice")


def _networks(manifest: shapes.NetworkAuthentication) -> None:
    cidrs = [one.cidr for one in manifest.spec.networks]
    demand(len(set(cidrs)) == len(cidrs), "a network is listed twice")
    demand(all(map(_is_network, cidrs)), "a network is not one, or has addresses beside its prefix")


def _is_network(cidr: str) -> bool:
    try:
        return str(ip_network(cidr)) == cidr
    except ValueError:
        return False


def _authorization(manifest: shapes.AuthorizationPolicy) -> None:
    target, (required,) = manifest.spec.target_ref, manifest.spec.required_authentication_refs
    by_address = required.kind == "NetworkAuthentication"
    demand(not by_address or target.kind == "HTTPRoute", "callers without identity are allowed on all of a Server")
    demand(target.kind != "Server" or target.group == POLICY, "its target is a Server of another API group")


def _http_route(manifest: shapes.HTTPRoute) -> None:
    (parent,), rules = manifest.spec.parent_refs, manifest.spec.rules
    demand(sum(len(rule.matches) for rule in rules) <= _MAX_MATCHES, "it has too many matches")
    for match in (match for rule in rules for match in rule.matches):
        _match(match)
    if isinstance(parent, shapes.ServerParent):
        demand(all(rule.backend_refs is UNSET for rule in rules), "a route of a Server has backends")
        return
    demand(all(rule.backend_refs is not UNSET for rule in rules), "a rule of a Service has no backends")
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
    demand(parent.group == group, f'the group of its parent is not "{group}"')
    # In another namespace it would be for the callers of that namespace alone.
    demand(parent.namespace == metadata.namespace, "its parent is in another namespace")
    for backends in rules:
        names = [one.name for one in backends]
        demand(len(set(names)) == len(names), "a backend is listed twice")
        demand(all(one.port == parent.port for one in backends), "a request would change its port")


def _fallback(rules: tuple[shapes.HttpRule, ...]) -> None:
    """The last rule, and no other, is for everything, or the rest of the calls would get 404."""
    whole = [any(_is_everything(match) for match in rule.matches) for rule in rules]
    demand(whole[-1] and len(rules[-1].matches) == 1, "requests that no rule matches would get 404")
    demand(not any(whole[:-1]), "a rule comes after the one that matches everything")


def _is_everything(match: shapes.CheckedMatch) -> bool:
    return match.path.type == "PathPrefix" and match.method is UNSET and match.headers is UNSET


def _match(match: shapes.CheckedMatch) -> None:
    headers = () if match.headers is UNSET else match.headers
    if match.path.type == "PathPrefix":
        demand(match.path.value == "/", "a path prefix also matches the path without its slash")
    else:
        _pattern(match.path.value)
    names = [one.name for one in headers]
    demand(len(set(names)) == len(names), "a header is listed twice, and only the first would count")
    for one in headers:
        demand(not is_managed(one.name), f'the header "{one.name}" is not set by the caller')
        _pattern(one.value)


def _pattern(text: str) -> None:
    demand(is_anchored(text), "a pattern is not anchored, or Linkerd may read it differently")


_CHECKS: dict[type, Callable[..., None]] = {
    shapes.Server: _server,
    shapes.MeshTLSAuthentication: _authentication,
    shapes.NetworkAuthentication: _networks,
    shapes.AuthorizationPolicy: _authorization,
    shapes.HTTPRoute: _http_route,
    shapes.TCPRoute: _tcp_route,
}
