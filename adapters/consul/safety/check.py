"""The last look at an object before it leaves the hub: final bytes against a closed list of shapes, and what Consul does not check.

Observed on Consul 1.22: it takes an intention that Envoy refuses, and then the older, wider one stays in effect without a word; permissions
without a last one that denies allow everything where Consul allows by default; and it takes negative weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import UNSET

from adapters.consul.names import EVERY, EVERY_RESOURCE, INSERT, KINDS
from adapters.consul.regex import is_taken
from adapters.consul.safety import shapes
from adapters.consul.safety.spelling import capital, small
from adapters.consul.vocabulary import PATH_GUARD, WEIGHT_UNITS
from hub.api import UnsafeResourceError, is_managed_header

_ENTRY_KINDS = {resource: kind for kind, resource in KINDS.items()}
_EVERYTHING = shapes.HttpShape(path_prefix="/")


class _FaultError(Exception):
    """What is wrong with an object."""


def check_entry(body: bytes) -> None:
    """Refuse bytes that are not exactly a config entry as smihub makes them.

    Raises UnsafeResourceError that names the object and what is wrong with it.
    """
    raw = _decoded(body)
    _check(raw, str(raw.get("Name"))[:80])


def check_resource(body: bytes) -> None:
    """The same for a custom resource."""
    raw = _decoded(body)
    label = f"{raw.get('kind')}"[:80]
    try:
        found = msgspec.convert(raw, shapes.Resource)
    except msgspec.ValidationError as error:
        raise UnsafeResourceError(f"a Consul object must not be written: {error}") from error
    spec: Any = capital(found.spec)
    if small(spec) != found.spec:
        raise UnsafeResourceError(f'{label} "{found.metadata.name}" must not be written: a field has another spelling')
    name = found.metadata.name
    if found.kind == KINDS["service-intentions"]:
        destination = spec.pop("Destination", None)
        name = EVERY if name == EVERY_RESOURCE else name
        if destination != {"Name": name}:
            raise UnsafeResourceError(f'{label} "{name}" must not be written: its destination is another service')
    _check({**spec, "Kind": _ENTRY_KINDS[found.kind], "Name": name}, name)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        raw = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnsafeResourceError(f"a Consul object must not be written: {error}") from error
    # Compared as bytes: a duplicate key may be read differently in Go than here.
    if msgspec.json.encode(raw, order="sorted") != body:
        raise UnsafeResourceError("a Consul object must not be written: its bytes are not canonical")
    return raw


def _check(raw: dict[str, Any], name: str) -> None:
    try:
        found = msgspec.convert(raw, shapes.Entry)
        _CHECKS[type(found)](found)
    except (msgspec.ValidationError, _FaultError) as finding:
        raise UnsafeResourceError(f'{raw.get("Kind")} "{name}" must not be written: {finding}') from finding


def _demand(held: object, otherwise: str) -> None:
    if not held:
        raise _FaultError(otherwise)


def _intentions(entry: shapes.Intentions) -> None:
    names = [source.name for source in entry.sources]
    _demand(names[:-1] == sorted(set(names) - {EVERY}), "a source is listed twice, or out of order")
    last = entry.sources[-1]
    _demand(last == shapes.Source(EVERY, "deny"), "its last source does not deny everybody else")
    _demand(entry.name != EVERY or len(names) == 1, "it is for every service, and does more than deny")
    for source in entry.sources:
        _demand(
            (source.action is UNSET) is not (source.permissions is UNSET),
            "a source has not one of action and permissions",
        )
        if source.permissions is not UNSET:
            _permissions(source.permissions)


def _permissions(found: tuple[shapes.PermissionShape, ...]) -> None:
    """Paths that have two readings are denied before any pattern, and everything else after all."""
    _demand(
        found[-1] == shapes.PermissionShape("deny", _EVERYTHING), "its last permission does not deny everything else"
    )
    guarded = False
    for permission in found[:-1]:
        if permission.action == "deny":
            _demand(permission.http == shapes.HttpShape(path_regex=PATH_GUARD), "it denies something before it allows")
            guarded = True
        _demand(guarded or permission.http.path_regex is UNSET, "a path is allowed by a pattern before the guard")
        _http(permission.http)


def _http(http: shapes.HttpShape) -> None:
    _demand(http != shapes.HttpShape(), "it has no conditions")
    _demand(
        http.path_prefix is UNSET or http == _EVERYTHING, "the prefix of every path stands beside another condition"
    )
    _demand(http.path_regex is UNSET or is_taken(http.path_regex), "an Envoy may refuse a pattern")
    methods = [] if http.methods is UNSET else list(http.methods)
    _demand(len(set(methods)) == len(methods), "a method is listed twice")
    for one in () if http.header is UNSET else http.header:
        _demand(not is_managed_header(one.name), f'the header "{one.name}" is not set by the caller')
        _demand(is_taken(one.regex), "an Envoy may refuse a pattern")


def _defaults(entry: shapes.Defaults) -> None:
    """The shape says it all."""


def _splitter(entry: shapes.Splitter) -> None:
    services = [split.service for split in entry.splits]
    _demand(len(set(services)) == len(services), "a share is listed twice")
    _demand(INSERT in entry.name, "a service that others name would have a splitter, which Consul follows")
    _demand(not any(INSERT in service for service in services), "a share is for a virtual service")
    units = [round(split.weight * 100) for split in entry.splits]
    exact = all(split.weight == one / 100 for split, one in zip(entry.splits, units, strict=True))
    _demand(exact and sum(units) == WEIGHT_UNITS, "its weights are not hundredths with a sum of 100")


def _router(entry: shapes.Router) -> None:
    _demand(INSERT not in entry.name, "a virtual service would have a router")
    *others, last = entry.routes
    layers = others if _is_rest(entry.name, last) else entry.routes
    _demand(_all_own(entry.name, (one.destination.service for one in layers)), "a route leads to another service")
    for one in entry.routes:
        _http(one.match.http)
        _demand(
            one.match.http.path_regex is not UNSET, "of a path that is taken by its beginning Consul removes a slash"
        )


def _is_rest(name: str, route: shapes.RouterRoute) -> bool:
    """Whether a route leads every request to the service itself."""
    http = route.match.http
    plain = http.methods is UNSET and http.header is UNSET and http.path_regex == ".*"
    return route.destination.service == name and plain


def _all_own(name: str, services: Iterable[str]) -> bool:
    return all(service.startswith(f"{name}{INSERT}") for service in services)


_CHECKS: dict[type, Callable[..., None]] = {
    shapes.Intentions: _intentions,
    shapes.Defaults: _defaults,
    shapes.Splitter: _splitter,
    shapes.Router: _router,
}
