"""The unit of one Service: how calls to each of its ports are shared out, and who may answer them.

Source: SMI specification, traffic-split v1alpha1 to v1alpha4, "Ports" (a backend counts for a port that it has as well)
and "Tradeoffs" (no hierarchy). Several splits on one root are layers: conditional ones first, the oldest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from hub.intent.ports import declared_protocol, target_port
from hub.intent.splits import ReadSplit, read_split
from hub.intent.view import BackendProfile, ProblemCollector, View, remedy_if_absent, spiffe, why_absent
from hub.model import Backend, Client, ObjectRef, Problem, Route, RoutePort, Split
from hub.smi.types import Service, ServicePort, Upstream


def route(view: View, namespace: str, name: str) -> tuple[Route, tuple[Problem, ...]]:
    """Where calls to one Service go, and what is wrong with the TrafficSplits whose root it is.

    A Service that does not exist has a Route without ports.
    """
    service = view.get(ObjectRef("", "Service", namespace, name))
    if not isinstance(service, Service):
        return Route(namespace, name), ()
    layers, problems = _layers(view, service)
    profiles = running_backends(view.backend_profiles(service))
    upstreams = tuple(each for each in view.upstreams(namespace, name) if _has_tcp_port(service, each))
    ports = (
        RoutePort(
            port=port.port,
            transport=port.transport,
            declared=declared_protocol(port) if port.transport == "TCP" else "none",
            splits=tuple(_splits(view, namespace, port, layers)),
            callees=_callees(view, namespace, port, profiles),
            clients=_clients(port, upstreams),
            word=(port.app_protocol or port.name) if layers else "",
            headless=service.headless and bool(layers),
        )
        for port in _distinct(service.ports)
    )
    unit = Route(
        namespace,
        name,
        tuple(sorted(ports, key=lambda port: (port.port, port.transport))),
        _origins(view, service, layers, upstreams),
    )
    return unit, tuple(sorted({*problems, *_dead_target_ports(service, profiles)}))


def _distinct(ports: Iterable[ServicePort]) -> Iterable[ServicePort]:
    """Of ports that a Service names twice, by number and transport (no API server takes that), the first."""
    found: dict[tuple[int, str], ServicePort] = {}
    for port in ports:
        found.setdefault((port.port, port.transport), port)
    return found.values()


def running_backends(profiles: Iterable[BackendProfile]) -> tuple[BackendProfile, ...]:
    """Who answers for a Service: what runs; where nothing runs, what would (pod templates)."""
    everyone = tuple(profiles)
    running = tuple(profile for profile in everyone if profile.standing != "template")
    return running or everyone


def _layers(view: View, service: Service) -> tuple[tuple[ReadSplit, ...], tuple[Problem, ...]]:
    """The splits in force, in the order in which they are tried: conditional ones, then one unconditional."""
    problems: list[Problem] = []
    valid: list[ReadSplit] = []
    for split in view.splits(service.ref.namespace, service.ref.name):
        layer, found = read_split(view, split)
        problems += found
        if layer is not None:
            valid.append(layer)
    # The oldest wins, so that whoever may create TrafficSplits cannot take over a root that is already split.
    valid.sort(key=lambda layer: layer.age)
    plain = [layer for layer in valid if layer.split.matches is None]
    for loser in plain[1:]:
        problems.append(_conflict(loser, plain[0]))
    layers = (*(layer for layer in valid if layer.split.matches), *plain[:1])
    for layer in layers:
        problems += _layer_problems(view, service, layer)
    return layers, tuple(problems)


def _conflict(loser: ReadSplit, winner: ReadSplit) -> Problem:
    message = (
        f'"{winner.split.origin.name}" splits the same root and is older (or first by name), so this split does nothing'
    )
    remedy = "delete one of the two, or add a condition to this one"
    return Problem("split.conflicted", loser.split.origin, "spec.service", message, remedy)


def _splits(view: View, namespace: str, port: ServicePort, layers: Iterable[ReadSplit]) -> Iterator[Split]:
    """The layers as they stand on one port: conditions only where calls are HTTP, backends only with that port."""
    speaks_http = port.transport == "TCP" and declared_protocol(port) != "tcp"
    # Without HTTP no condition can be tested; the layer is left out
    # there, since without its condition it would take everything.
    for layer in layers:
        if layer.split.matches is None or speaks_http:
            yield replace(layer.split, backends=tuple(_backends_on(view, namespace, port, layer)))


def _backends_on(view: View, namespace: str, port: ServicePort, layer: ReadSplit) -> Iterator[Backend]:
    for backend in layer.split.backends:
        exposed = view.exposes(namespace, backend.service)
        # A backend without this port gets no share of it (SMI traffic-
        # split, "Ports"); what is left is shared by the others.
        if exposed is not None and (port.port, port.transport) in exposed:
            word, headless = view.described(namespace, backend.service).get((port.port, port.transport), ("", False))
            yield replace(backend, word=word, headless=headless)


def _layer_problems(view: View, service: Service, layer: ReadSplit) -> tuple[Problem, ...]:
    """What of a layer has no effect: conditions on ports that are not HTTP, backends without Service or port."""
    notes = ProblemCollector(layer.split.origin)
    fields = dict(layer.fields)
    http = [port for port in service.ports if port.transport == "TCP" and declared_protocol(port) != "tcp"]
    if layer.split.matches is not None and not http:
        message = f'no port of Service "{service.ref.name}" speaks HTTP, so the condition never matches'
        notes.error(
            "split.condition-tcp", "spec.matches", message, 'set "appProtocol" of the port, or remove "matches"'
        )
    for backend in layer.split.backends:
        # A backend of weight 0 may well be gone: that is how a rollout ends.
        if backend.weight > 0:
            _backend_problems(view, service, backend, (fields[backend.service], notes))
    return notes.problems


def _backend_problems(view: View, service: Service, backend: Backend, where: tuple[str, ProblemCollector]) -> None:
    field, notes = where
    exposed = view.exposes(service.ref.namespace, backend.service)
    rest = "so its share goes to the other backends"
    if exposed is None:
        ref = ObjectRef("", "Service", service.ref.namespace, backend.service)
        remedy = remedy_if_absent(view, ref, "create the Service, or remove the backend")
        notes.error("split.backend-missing", field, f"{why_absent(view, ref)}, {rest}", remedy)
        return
    for port in service.ports:
        if (port.port, port.transport) not in exposed:
            message = f'backend "{backend.service}" has no {port.transport} port {port.port}, {rest} on that port'
            notes.error("split.backend-port", field, message, "give the backend's Service the same port number")


def _callees(view: View, namespace: str, port: ServicePort, profiles: Iterable[BackendProfile]) -> tuple[str, ...]:
    """The SPIFFE ids of those behind a Service port; an endpoint whose account is unknown has none."""
    accounts = {profile.account for profile in profiles if profile.account and target_port(profile, port) is not None}
    return tuple(sorted(spiffe(view, namespace, account) for account in accounts))


def _has_tcp_port(service: Service, upstream: Upstream) -> bool:
    return any(port.port == upstream.port and port.transport == "TCP" for port in service.ports)


def _clients(port: ServicePort, upstreams: Iterable[Upstream]) -> tuple[Client, ...]:
    if port.transport != "TCP":
        return ()
    return tuple(sorted({upstream.client for upstream in upstreams if upstream.port == port.port}))


def _dead_target_ports(service: Service, profiles: Iterable[BackendProfile]) -> tuple[Problem, ...]:
    """A Problem for each Service port that leads to no port of anyone behind the Service."""
    notes = ProblemCollector(service.ref)
    standing = tuple(profiles)
    for index, port in enumerate(service.ports):
        if standing and not any(_reaches_port(profile, port) for profile in standing):
            message = f'port {port.port} maps to targetPort "{port.target}", which no workload behind the Service has'
            remedy = 'set "targetPort" to a port of those workloads'
            notes.warning("service.target-port", f"spec.ports[{index}].targetPort", message, remedy)
    return notes.problems


def _reaches_port(profile: BackendProfile, port: ServicePort) -> bool:
    """A Pod may listen on ports that it does not list; a Workload's sidecar receives on those that it lists."""
    number = target_port(profile, port)
    if number is None or profile.standing != "workload":
        return number is not None
    return any((known, transport) == (number, port.transport) for known, transport, _ in profile.ports)


def _origins(
    view: View, service: Service, layers: Iterable[ReadSplit], upstreams: Iterable[Upstream]
) -> tuple[ObjectRef, ...]:
    namespace = service.ref.namespace
    origins = {service.ref, *(upstream.client.workload for upstream in upstreams)}
    for layer in layers:
        origins |= {layer.split.origin, *layer.groups}
        known = (b.service for b in layer.split.backends if view.exposes(namespace, b.service) is not None)
        origins |= {ObjectRef("", "Service", namespace, name) for name in known}
    return tuple(sorted(origins))
