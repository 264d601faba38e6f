"""One Access unit as the intention of one service: who may call, and that nobody else may.

The entry is always there, also when it grants nothing: without it Consul's default decides, which may be to allow. Observed on
Consul 1.22: where the default is to allow, permissions that allow are dropped, so a caller needs a last one that denies everything,
and only a source of its own keeps out a service that somebody allows to every destination (agent/xds/rbac.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from adapters.consul.names import EVERY
from adapters.consul.translate.grants import Callers, Json, LoweredGrant, callers_of, lower_grant, permissions
from adapters.consul.translate.losses import NO_SERVICE, access_loss
from adapters.consul.translate.objects import Form
from adapters.consul.translate.ports import service_ports
from hub.api import Access, HttpMatch, Loss, NativeObject, Objection, Role, Translation, short

MAX_RULES = 40_000
"""Most conditions that Envoy gets for one service: Consul adds to each permission that none before it matches."""
MAX_CALLERS = 4000
MAX_BYTES = 400_000


def translate_access(access: Access, form: Form) -> Translation:
    """The intention of one identity and what Consul cannot say of its grants."""
    identity = access.identity
    service = form.service(identity.namespace, identity.service_account)
    ports = service_ports(access)
    lowered = [lower_grant(grant, identity.trust_domain, ports, form) for grant in access.grants]
    if service is None:
        refused = _nameless(identity.service_account)
        nameless = {access_loss(refused, one.origin) for one in access.grants}
        return Translation(losses=tuple(sorted(nameless | _losses(lowered))), carried=())
    lowered = _within_limits(lowered, form)
    return Translation(
        (intention(form, identity.namespace, service, callers_of(lowered)),),
        tuple(sorted(_losses(lowered))),
        carried=tuple(sorted((one.carried for one in lowered if one.carried), key=msgspec.json.encode)),
    )


def _losses(lowered: Iterable[LoweredGrant]) -> set[Loss]:
    return {access_loss(objection, one.grant.origin) for one in lowered for objection in one.objections}


def _within_limits(lowered: Sequence[LoweredGrant], form: Form) -> list[LoweredGrant]:
    """All grants or none: which ones fit must not depend on the order of TrafficTargets."""
    callers = callers_of(lowered)
    rules = sum(len(matches) ** 2 for matches in callers.values() if matches)
    size = len(msgspec.json.encode(sources(callers, form.config.wildcard_sources or ())))
    if rules <= MAX_RULES and len(callers) <= MAX_CALLERS and size <= MAX_BYTES:
        return list(lowered)
    return [
        replace(one, services=(), matches=None, carried=None, objections=(*one.objections, _TOO_MANY))
        for one in lowered
    ]


def intention(form: Form, namespace: str, service: str, callers: Callers) -> NativeObject:
    """The intention of a service; a grant and a guard in one, so it denies before it allows anybody, and is never without denying."""
    needs = (form.ref("service-defaults", namespace, service),)
    conditional = form.config.service_defaults == "written" and any(matches is not None for matches in callers.values())
    fields = {"Sources": sources(callers, form.config.wildcard_sources or ())}
    return form.intention(namespace, service, fields, Role.GRANT, needs if conditional else ())


def sources(callers: Callers, wildcards: Iterable[str]) -> list[Json]:
    """Every source in the order of its name (another order would be another content to Consul), and last, that nobody else may."""
    denied = dict.fromkeys(set(wildcards) - callers.keys(), frozenset[HttpMatch]())
    return [
        *(_source(name, matches) for name, matches in sorted({**denied, **callers}.items())),
        _source(EVERY, frozenset()),
    ]


def _source(name: str, matches: frozenset[HttpMatch] | None) -> Json:
    if matches is None:
        return {"Name": name, "Action": "allow"}
    return {"Name": name, "Permissions": permissions(matches)} if matches else {"Name": name, "Action": "deny"}


def _nameless(account: str) -> Objection:
    message = f'by the template "names", no Consul service is the account "{short(account)}" and no other, so nothing is written'
    remedy = 'use an account without dots, or another template ("names" in the settings of the mesh)'
    return Objection(NO_SERVICE, message, f'a request to "{short(account)}"', remedy)


_TOO_MANY = Objection(
    "limit.exceeded",
    f"an intention of these grants would have more than {MAX_CALLERS} callers, {MAX_BYTES} bytes, or {MAX_RULES} rules in Envoy, so "
    "none of them is written",
    "any request that this TrafficTarget allows",
    "combine matches in one pattern, or share service accounts between callers",
)
