"""Where calls to one Service port go: route tables and listeners in the callers' sidecars.

Source: Envoy API, config.route.v3.WeightedCluster (integers, sum at least 1, at most 2^32-1; TCP refuses a zero).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from adapters.vm import names, wire
from adapters.vm.config import VmConfig
from adapters.vm.translate.build import address, filter_, seconds, socket_of
from adapters.vm.translate.listeners import FIRST_CHAIN, connection_manager, http_filter
from adapters.vm.translate.match import objections, route_match
from adapters.vm.vocabulary import TCP_PROXY
from hub.api import Client, HttpMatch, Loss, Objection, Route, RoutePort, Split, to_integers

UNAVAILABLE = "smihub: no backend of this TrafficSplit has a positive weight\n"

MAX_CONDITIONS = 5000
"""Most matches in the conditions of all splits of one Service port: they are tried one by one."""


class Target(Struct, frozen=True):
    """Where one layer sends: (cluster, weight) by cluster, all positive; none means that nobody serves.

    `weighted` is false for the root alone: a split stays a list of weights, even of one.
    """

    label: str
    clusters: tuple[tuple[str, int], ...]
    weighted: bool = True


class Layer(Struct, frozen=True):
    """A target and the requests it is for (None: all)."""

    target: Target
    matches: tuple[HttpMatch, ...] | None


def speaks_http(port: RoutePort) -> bool:
    """Whether calls are routed as HTTP: the port is declared so, or nothing is declared and a split has a condition."""
    if port.declared == "none":
        return any(split.matches is not None for split in port.splits)
    return port.declared == "http"


def layers_of(route: Route, port: RoutePort) -> tuple[tuple[Layer, ...], tuple[Loss, ...]]:
    """The layers in the order they are tried, the last one for everything; conditions that Envoy cannot say are lost."""
    layers: list[Layer] = []
    losses: list[Loss] = []
    conditions = sum(len(split.matches or ()) for split in port.splits)
    if conditions > MAX_CONDITIONS:
        conditional = [split for split in port.splits if split.matches is not None]
        losses += [_FULL.loss(split.origin, "spec.matches", access=False) for split in conditional]
        port = replace(port, splits=tuple(split for split in port.splits if split.matches is None))
    for split in port.splits:
        target, inexact = _target(route, port, split)
        losses += [*inexact, *_match_losses(split)]
        if split.matches is None:
            return (*layers, Layer(target, None)), tuple(losses)
        expressible = tuple(match for match in split.matches if match.methods != () and not objections(match))
        layers += [Layer(target, expressible)] if expressible else []
    own = names.outbound(route.namespace, route.service, port.port)
    return (*layers, Layer(Target("root", ((own, 1),), weighted=False), None)), tuple(losses)


def carried(port: RoutePort) -> RoutePort:
    """The port with those of its splits, and of their matches, that calls are shared out by."""
    if port.transport == "UDP":
        return replace(port, splits=())
    splits = port.splits
    if sum(len(split.matches or ()) for split in splits) > MAX_CONDITIONS:
        splits = tuple(split for split in splits if split.matches is None)
    return replace(port, splits=tuple(kept for split in splits if (kept := _expressible(split)).matches != ()))


def _expressible(split: Split) -> Split:
    if split.matches is None:
        return split
    return replace(
        split, matches=tuple(match for match in split.matches if match.methods != () and not objections(match))
    )


def route_table(name: str, layers: Sequence[Layer]) -> wire.RouteConfiguration:
    """Conditional layers first, in order, then the one for everything; no retries, no time limit."""
    routes = [route for layer in layers for route in _routes(layer)]
    return wire.RouteConfiguration(
        name=name, virtual_hosts=[wire.VirtualHost(name="out", domains=["*"], routes=routes)]
    )


def http_chain(name: str, config: VmConfig) -> wire.FilterChain:
    """HTTP with the route table of this name."""
    return wire.FilterChain(name=FIRST_CHAIN, filters=[http_filter(connection_manager(name, (), config))])


def tcp_chain(name: str, target: Target, unavailable: str) -> wire.FilterChain:
    """TCP to the clusters of a target, or to the cluster without endpoints, which closes."""
    proxy = wire.TcpProxy(stat_prefix=name)
    if not target.clusters or not target.weighted:
        proxy.cluster = target.clusters[0][0] if target.clusters else unavailable
    for cluster, weight in target.clusters if target.weighted else ():
        proxy.weighted_clusters.clusters.add(name=cluster, weight=weight)
    return wire.FilterChain(name=FIRST_CHAIN, filters=[filter_(TCP_PROXY, proxy)])


def client_listener(service_port: str, chain: wire.FilterChain, client: Client) -> wire.Listener:
    """The listener of one workload, at the Unix socket or the address where it wants this Service."""
    workload = f"{client.workload.namespace}/{client.workload.name}"
    return wire.Listener(
        name=names.client_listener(service_port, workload, client.address, client.port),
        address=socket_of(client.address, client.port),
        filter_chains=[chain],
        traffic_direction=wire.TrafficDirection.OUTBOUND,
    )


def virtual_listener(name: str, chain: wire.FilterChain, port: int) -> wire.Listener:
    """The listener that binds no port: it makes a route known that nobody asked for by address."""
    return wire.Listener(
        name=name,
        address=address("0.0.0.0", port),  # noqa: S104 - bind_to_port is false
        bind_to_port=wire.BoolValue(value=False),
        filter_chains=[chain],
        traffic_direction=wire.TrafficDirection.OUTBOUND,
    )


def _routes(layer: Layer) -> list[wire.Route]:
    matches = [wire.RouteMatch(prefix="/")] if layer.matches is None else []
    for match in layer.matches or ():
        methods = (None,) if match.methods is None else tuple(sorted(set(match.methods)))
        matches += [route_match(match, method) for method in methods]
    return [_route(layer.target, match) for match in matches]


def _route(target: Target, match: wire.RouteMatch) -> wire.Route:
    # Not a cluster without endpoints: the answer says why there is none.
    if not target.clusters:
        body = wire.DataSource(inline_string=UNAVAILABLE)
        answer = wire.DirectResponseAction(status=503, body=body)
        return wire.Route(name=target.label, match=match, direct_response=answer)
    return wire.Route(name=target.label, match=match, route=_action(target))


def _action(target: Target) -> wire.RouteAction:
    if not target.weighted:
        return wire.RouteAction(cluster=target.clusters[0][0], timeout=seconds(0))
    shares = wire.WeightedCluster()
    for cluster, weight in target.clusters:
        shares.clusters.add(name=cluster, weight=wire.UInt32Value(value=weight))
    return wire.RouteAction(weighted_clusters=shares, timeout=seconds(0))


def _target(route: Route, port: RoutePort, split: Split) -> tuple[Target, tuple[Loss, ...]]:
    weights: dict[str, Fraction] = {}
    for backend in split.backends:
        weights[backend.service] = weights.get(backend.service, Fraction(0)) + backend.weight
    # Envoy's TCP proxy refuses a weight of zero, and with it the whole listener.
    services = sorted(service for service, weight in weights.items() if weight > 0)
    integers = to_integers([weights[service] for service in services], keys=services)
    clusters = tuple(
        (names.outbound(route.namespace, service, port.port), weight)
        for service, weight in zip(services, integers.weights, strict=True)
    )
    losses = () if integers.exact else (_TOO_LARGE.loss(split.origin, "spec.backends", access=False),)
    return Target(f"{split.origin.namespace}/{split.origin.name}", clusters), losses


def _match_losses(split: Split) -> tuple[Loss, ...]:
    found = {objection for match in split.matches or () for objection in objections(match)}
    return tuple(objection.loss(split.origin, "spec.matches", access=False) for objection in sorted(found))


def mixed_losses(port: RoutePort) -> tuple[Loss, ...]:
    """The raw bytes that an undeclared port refuses because a split with a condition makes it HTTP."""
    if port.declared != "none":
        return ()
    objection = Objection(
        "port.undeclared-mixed",
        f"port {port.port} declares no protocol, and only HTTP can meet the condition, so callers' sidecars refuse everything else there",
        f"a connection to port {port.port} of the root Service that does not speak HTTP",
        'declare the port ("appProtocol") as http or tcp',
    )
    conditional = (split for split in port.splits if split.matches is not None)
    return tuple(objection.loss(split.origin, "spec.service", access=False) for split in conditional)


def udp_losses(port: RoutePort) -> tuple[Loss, ...]:
    """Splits of a UDP port: nothing of them is carried out."""
    return tuple(_UDP.loss(split.origin, "spec.backends", access=False) for split in port.splits)


_TOO_LARGE = Objection(
    "split.weights-too-large",
    "these ratios need integers with a sum above 4294967295; the nearest ones are used",
    "a long run of requests whose shares differ in the tenth digit",
    "use weights with a smaller common denominator",
)
_FULL = Objection(
    "limit.exceeded",
    f"the conditions of this Service's splits have more than {MAX_CONDITIONS} matches together, so none of them ever matches",
    "any request to the root Service that matches this condition",
    "use fewer conditions",
)
_UDP = Objection(
    "proto.udp-not-captured",
    "sidecars do not intercept UDP, so this split has no effect on a UDP port",
    "a datagram to the root Service",
    "split UDP outside of the mesh",
)
