"""A mesh in memory that carries out SMI exactly, as an author outside would write it: the good adapter of these tests.

Its objects are JSON: a `Lock` closes an identity, a `Pass` lets callers in at ports, a `List` holds the HTTP requests of a Pass,
a `Way` says where calls to a Service go. It imports `hub.api` alone; bad_adapters.py has one small change of it for each mistake.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from hashlib import sha256
from typing import Any

from msgspec import Struct, json

from hub.api import (
    Access,
    AdapterSpec,
    Declared,
    Feature,
    Grant,
    HttpMatch,
    Loss,
    Narrowing,
    NativeObject,
    ObjectRef,
    Role,
    Route,
    RoutePort,
    Split,
    Support,
    Translation,
    Unit,
)
from tests.hub.testing.conformance.gate_evaluate import evaluator

GROUP = "gate.example"
LABELS, UDP = "gate.caller-labels", "gate.udp"


class GateConfig(Struct, frozen=True):
    """Nothing is to be set."""


def translate(unit: Unit, config: GateConfig) -> Translation:
    """The objects of one unit."""
    if isinstance(unit, Access):
        return access(unit)
    return way(unit) if isinstance(unit, Route) else Translation()


# ----------------------------------------------------------------------------------------------------- access


def access(unit: Access) -> Translation:
    """A Lock, a Pass for each grant, and its List."""
    carried = tuple(grant for grant in unit.grants if grant.transport == "TCP")
    passes = [native for grant in carried for native in grant_objects(unit, grant)]
    unique = {native.ref: native for native in (lock(unit), *passes)}
    return Translation(tuple(unique.values()), tuple(losses(unit)), carried=carried)


def lock(unit: Access) -> NativeObject:
    """What closes an identity."""
    body: dict[str, Any] = {"receiver": unit.identity.spiffe}
    if "unknown" in unit.beyond:
        body["doubtful"] = True
    return native(Role.GUARD, "Lock", unit, unit.identity.service_account, body)


def grant_objects(unit: Access, grant: Grant) -> Iterator[NativeObject]:
    """The Pass of a grant and, for HTTP, the List that it refers to."""
    body: dict[str, Any] = {"receiver": unit.identity.spiffe, "callers": list(grant.sources)} | places(unit, grant)
    if grant.labels is not None:
        body["labels"] = dict(grant.labels)
    needs: tuple[ObjectRef, ...] = ()
    if grant.http is not None:
        requests = request_list(unit, grant)
        body["list"], needs = requests.ref.name, (requests.ref,)
        yield requests
    name = f"{unit.identity.service_account}.{digest([str(grant.origin), grant.transport])}"
    yield native(Role.GRANT, "Pass", unit, name, body, grant.origin, needs)


def request_list(unit: Access, grant: Grant) -> NativeObject:
    """The HTTP requests of a grant, under a name that stands for them: it is never edited in place."""
    requests = [as_json(match) for match in grant.http or ()]
    name = f"{unit.identity.service_account}.{digest(requests)}"
    return native(Role.REFERENCED, "List", unit, name, {"requests": requests}, grant.origin)


def places(unit: Access, grant: Grant) -> dict[str, Any]:
    """Where a grant counts: HTTP where HTTP or nothing is declared, raw bytes where TCP or nothing is.

    Not at workloads of which it is not known whether they have its labels.
    """
    counts: set[Declared] = {"http" if grant.http is not None else "tcp", "none"}
    found: dict[int, set[str]] = {}
    for port in unit.ports:
        selected = grant.labels is None or grant.labels not in port.maybe_labels
        if port.transport == "TCP" and grant.names(port.port) and port.declared in counts and selected:
            found.setdefault(port.port, set()).add(port.variant)
    at = [{"port": port, "variants": sorted(variants)} for port, variants in sorted(found.items())]
    if not counts.issuperset(unit.beyond):
        return {"at": at}
    if grant.ports is None and grant.not_ports:
        return {"at": at, "elsewhere": {"but": list(grant.not_ports)}}
    return {"at": at, "elsewhere": "any" if grant.ports is None else list(grant.ports)}


def as_json(match: HttpMatch) -> dict[str, Any]:
    """One match; what it does not ask for is left out."""
    body: dict[str, Any] = {}
    if match.path is not None:
        body["path"] = match.path
    if match.methods is not None:
        body["methods"] = list(match.methods)
    if match.headers:
        body["headers"] = [{"name": name, "value": value} for name, value in match.headers]
    return body


def losses(unit: Access) -> Iterator[Loss]:
    """What a gate cannot tell: the labels of a caller, and datagrams."""
    for grant in unit.grants:
        if grant.unauthenticated:
            message = "certificates do not have the labels of a caller"
            yield Loss(LABELS, grant.origin, "spec.sources", message, "GET /", "name its service account")
        if grant.transport == "UDP":
            yield udp_loss(grant.origin, "spec.rules")


def udp_loss(origin: ObjectRef, field: str) -> Loss:
    """That a gate lets no datagram through."""
    return Loss(UDP, origin, field, "datagrams have no certificate", "a datagram", "use TCP", field == "spec.rules")


# ------------------------------------------------------------------------------------------------------ routes


def way(unit: Route) -> Translation:
    """Where calls to the ports of a Service go."""
    ports = [{"port": port.port, "layers": layers(port)} for port in unit.ports if port.transport == "TCP"]
    lost = [
        udp_loss(split.origin, "spec.service")
        for port in unit.ports
        if port.transport == "UDP"
        for split in port.splits
    ]
    if not ports:
        return Translation(losses=tuple(lost))
    ref = ObjectRef(GROUP, "Way", unit.namespace, unit.service)
    return Translation((NativeObject(ref, Role.ROUTE, encode({"ports": ports})),), tuple(lost))


def layers(port: RoutePort) -> list[dict[str, Any]]:
    """The layers of a port, in order."""
    return [layer(split) for split in port.splits]


def layer(split: Split) -> dict[str, Any]:
    """One layer: its condition, if it has one, and the shares."""
    shares = [{"to": one.service, "weight": str(one.weight)} for one in split.backends]
    when = {} if split.matches is None else {"when": [as_json(match) for match in split.matches]}
    return {**when, "shares": shares}


# --------------------------------------------------------------------------------------------------- small parts


def native(
    role: Role,
    kind: str,
    unit: Access,
    name: str,
    body: object,
    origin: ObjectRef | None = None,
    needs: tuple[ObjectRef, ...] = (),
) -> NativeObject:
    """An object of an identity."""
    ref = ObjectRef(GROUP, kind, unit.identity.namespace, name)
    return NativeObject(ref, role, encode(body), () if origin is None else (origin,), needs)


def encode(body: object) -> bytes:
    """The same bytes for the same value."""
    return json.encode(body, order="deterministic")


def digest(value: object) -> str:
    """128 bits of what a name stands for."""
    return sha256(encode(value)).hexdigest()[:32]


REFUSED: Collection[Feature] = (
    Feature.ACCESS_UDP,
    Feature.ACCESS_LABEL_SOURCE,
    Feature.SPLIT_UDP,
)
FEATURES = {feature: Support.NEVER if feature in REFUSED else Support.FULL for feature in Feature}
NARROWINGS = (
    Narrowing("gate.unlisted-port", "a Workload receives on the ports that it lists, and on no other"),
    Narrowing("gate.doubtful-port", "ports that are declared nowhere are closed while an object cannot be read"),
)
SPEC = AdapterSpec("gate", "gate", GateConfig, FEATURES, translate, evaluator, narrowings=NARROWINGS, governs=("all",))
