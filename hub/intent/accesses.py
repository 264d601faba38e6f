"""The unit of one destination identity: every grant to it, and the ports on which its workloads receive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from hub.intent.doubted import certainties, unknown_ports
from hub.intent.ports import (
    EVERYWHERE,
    bound_ports,
    grouped_by_variant,
    machine_addresses,
    profile_ports,
    sliced_ports,
    uncommon_words,
)
from hub.intent.targets import Resolved, resolve
from hub.intent.view import Labels, ProblemCollector, View, WorkloadProfile, remedy_if_absent, why_absent
from hub.model import Access, Grant, Identity, InboundPort, ObjectRef, Placement, Problem, Transport
from hub.smi.types import Doubt, IdentityBinding, Service, TrafficTarget, Upstream, Workload

Inbound = tuple[tuple[int, Transport, str], ...]
"""(port, transport, variant) triples: how a `Placement` selects its `InboundPort`s."""

_REMEDIES = {"tcp": "grant raw TCP in a separate TrafficTarget", "http": "add a rule with an HTTPRouteGroup"}


class CompiledAccess(Struct, frozen=True, gc=False):
    """An Access unit, its Problems, and the inbound ports of each profile (for Pods' placements, which no unit lists)."""

    unit: Access
    problems: tuple[Problem, ...]
    inbound: Mapping[WorkloadProfile, Inbound]


class _ApplicableTarget(Struct, frozen=True, gc=False):
    """A TrafficTarget that reaches an identity: at every workload (`labels` None) or at those that carry labels."""

    target: TrafficTarget
    labels: Labels | None
    via: ObjectRef | None


def access(view: View, identity: Identity) -> tuple[Access, tuple[Problem, ...]]:
    """Everything granted to one destination identity, and what is wrong with the TrafficTargets that name it."""
    compiled = compile_access(view, identity)
    return compiled.unit, compiled.problems


def compile_access(view: View, identity: Identity) -> CompiledAccess:
    """`access`, together with the inbound ports of each profile of the identity's workloads."""
    profiles = view.profiles(identity.namespace, identity.service_account)
    selecting = {profile: view.selecting(profile) for profile in profiles}
    granting = _applicable_targets(view, identity, selecting)
    resolved = tuple((each, resolve(view, each.target)) for each in granting)
    grants = tuple(replace(grant, labels=each.labels) for each, found in resolved for grant in found.grants)
    selectors = {each.labels for each in granting if each.labels is not None}
    certain = certainties(view, identity, selecting)
    inbound = {
        profile: profile_ports(
            profile, (s for s in found if isinstance(s, Service)), selectors, certain.profiles[profile]
        )
        for profile, found in selecting.items()
    }
    members = view.members(identity.namespace, identity.service_account)
    ports = _ports(view, inbound, members)
    unit = Access(
        identity=identity,
        grants=tuple(sorted(grants, key=lambda grant: (grant.origin, grant.transport))),
        ports=ports,
        sliced=tuple(sorted(set(sliced_ports(view, identity.namespace, identity.service_account)))),
        words=tuple(sorted(set(uncommon_words(view, identity.namespace, identity.service_account, selecting)))),
        workloads=tuple(sorted(placement(view, workload, inbound[profile]) for workload, profile in members)),
        origins=_origins(granting, resolved, selecting, members),
        beyond=certain.beyond(),
        doubts=certain.because,
        pods=any(profile.standing != "workload" for profile in profiles),
    )
    problems = [problem for _, found in resolved for problem in (*found.problems, *_ineffective_ports(found, ports))]
    problems += [each for _, found in resolved for each in unknown_ports(view, found.grants, ports, certain)]
    triples = {profile: tuple(map(_variant_key, found)) for profile, found in inbound.items()}
    return CompiledAccess(unit, tuple(sorted(set(problems))), triples)


def _applicable_targets(
    view: View, identity: Identity, selecting: Mapping[WorkloadProfile, tuple[Service | IdentityBinding | Doubt, ...]]
) -> tuple[_ApplicableTarget, ...]:
    """Every TrafficTarget that reaches the identity, once, by its widest way."""
    namespace, account = identity.namespace, identity.service_account
    # From the narrowest way to the widest, later ones overwrite: a target that reaches the
    # identity both by labels and by account must count for every workload, and only once.
    found: dict[ObjectRef, _ApplicableTarget] = {}
    for each in selecting.values():
        for binding in each:
            if isinstance(binding, IdentityBinding) and binding.labels:
                for target in view.targets("IdentityBinding", namespace, binding.ref.name):
                    found[target.ref] = _ApplicableTarget(target, binding.labels, binding.ref)
    for binding in view.bindings(namespace, account):
        for target in view.targets("IdentityBinding", namespace, binding.ref.name):
            found[target.ref] = _ApplicableTarget(target, None, binding.ref)
    for target in view.targets("ServiceAccount", namespace, account):
        found[target.ref] = _ApplicableTarget(target, None, None)
    return tuple(found[ref] for ref in sorted(found))


def _variant_key(port: InboundPort) -> tuple[int, Transport, str]:
    return port.port, port.transport, port.variant


def _ports(
    view: View,
    inbound: Mapping[WorkloadProfile, tuple[InboundPort, ...]],
    members: Iterable[tuple[Workload, WorkloadProfile]],
) -> tuple[InboundPort, ...]:
    """The distinct inbound ports, each with every address on which a sidecar receives."""
    # Pods and templates are not listed one by one (they come and
    # go); the sidecar of each takes the port at its own address.
    standing = [
        replace(port, binds=(EVERYWHERE,))
        for profile, found in inbound.items()
        if profile.standing != "workload"
        for port in found
    ]
    standing += [port for workload, profile in members for port in bound_ports(view, workload, inbound[profile])]
    named = Counter(place for found in inbound.values() for place in {(port.port, port.transport) for port in found})
    return tuple(
        replace(
            port,
            binds=tuple(sorted({bind for each in equal for bind in each.binds})),
            everywhere=named[port.port, port.transport] == len(inbound),
            services=tuple(sorted({service for each in equal for service in each.services})),
        )
        for port, equal in grouped_by_variant(standing)
    )


def placement(view: View, workload: Workload, ports: Iterable[InboundPort]) -> Placement:
    """Where one Workload stands: the ports that its sidecar binds, and the upstreams that it may use."""
    # A broken upstream costs only itself: the sidecar must go on serving what the Workload receives.
    kept = (upstream for upstream in workload.upstreams if upstream_fault(view, workload, upstream) is None)
    return Placement(
        ref=workload.ref,
        identity=Identity(view.trust_domain, workload.ref.namespace, workload.service_account),
        labels=workload.labels,
        bind=workload.bind,
        inbound=tuple(_variant_key(port) for port in bound_ports(view, workload, ports)),
        addresses=workload.addresses,
        upstreams=tuple(sorted({_upstream_key(each) for each in kept})),
    )


def _upstream_key(upstream: Upstream) -> tuple[str, str, int, str, int]:
    client = upstream.client
    return upstream.namespace, upstream.service, upstream.port, client.address, client.port


def upstream_fault(view: View, workload: Workload, upstream: Upstream) -> tuple[str, str, str] | None:
    """Why a Workload does not get an upstream, as (code, message, remedy); None if it does."""
    place = upstream.client.address, upstream.client.port
    # An Envoy lends its workload's certificate to whoever reaches this socket, so one socket must mean one workload.
    if any(len(view.callers_at(machine, *place)) > 1 for machine in machine_addresses(workload)):
        message = (
            f"another Workload on this machine calls from {place[0]} too, so the two callers could not be told apart"
        )
        return "workload.upstream-taken", message, 'use a different "path" for each Workload'
    what = f"{upstream.namespace}/{upstream.service}"
    exposed = view.exposes(upstream.namespace, upstream.service)
    if exposed is None:
        ref = ObjectRef("", "Service", upstream.namespace, upstream.service)
        remedy = remedy_if_absent(view, ref, "create it, or remove the upstream")
        return "workload.upstream-service", why_absent(view, ref), remedy
    if (upstream.port, "TCP") not in exposed:
        known = ", ".join(str(port) for port, transport in sorted(exposed) if transport == "TCP") or "none"
        return (
            "workload.upstream-port",
            f'Service "{what}" has no TCP port {upstream.port}',
            f"its TCP ports are: {known}",
        )
    return None


def _ineffective_ports(found: Resolved, ports: Iterable[InboundPort]) -> Iterable[Problem]:
    """A Problem for every listed port whose declared protocol makes the listing mean nothing."""
    # What grants nothing has been reported with its reason; a second report about its ports would only hide that one.
    if not found.grants:
        return ()
    notes = ProblemCollector(found.grants[0].origin)
    for grant in found.grants:
        if grant.transport == "TCP":
            _note_ineffective_ports(notes, grant, found.listed, ports)
    return notes.problems


def _note_ineffective_ports(
    notes: ProblemCollector, grant: Grant, listed: Iterable[tuple[int, str]], ports: Iterable[InboundPort]
) -> None:
    declared = {(port.port, port.declared) for port in ports if port.transport == "TCP"}
    wrong = "tcp" if grant.http is not None else "http"
    if grant.ports is None and declared and {word for _, word in declared} == {wrong}:
        message = f"every port of the destination is declared {wrong}, so this TrafficTarget grants nothing there"
        notes.warning("target.all-ports", "spec.rules", message, _REMEDIES[wrong])
    for number, field in listed:
        if grant.ports is not None and number not in grant.ports:
            continue
        if grant.http is not None and (number, "tcp") in declared:
            message = f"port {number} is declared tcp and this TrafficTarget has HTTP rules, so it grants nothing there"
            notes.error("target.tcp-port", field, message, _REMEDIES["tcp"])
        if grant.http is None and (number, "http") in declared:
            message = (
                f"port {number} is declared http and this TrafficTarget has no HTTP rules, so it grants nothing there"
            )
            notes.error("target.http-port", field, message, _REMEDIES["http"])


def _origins(
    granting: Iterable[_ApplicableTarget],
    resolved: Iterable[tuple[_ApplicableTarget, Resolved]],
    selecting: Mapping[WorkloadProfile, tuple[Service | IdentityBinding | Doubt, ...]],
    members: Iterable[tuple[Workload, WorkloadProfile]],
) -> tuple[ObjectRef, ...]:
    """The objects that the unit rests on, without Pods and templates: they come and go by the thousand."""
    origins = {ref for _, found in resolved for ref in found.origins}
    origins |= {each.via for each in granting if each.via is not None}
    origins |= {each.ref for found in selecting.values() for each in found if isinstance(each, Service)}
    origins |= {workload.ref for workload, _ in members}
    return tuple(sorted(origins))
