"""What stands between a request and any workload: Services, ports and Pods that are not there, and nobody behind them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from hub.model import Hurdle, NearMiss, Request
from hub.semantics.conditions import Http
from hub.semantics.identities import SubjectKey
from hub.semantics.names import split_pair
from hub.semantics.near.names import listed, meant
from hub.semantics.types import ExposedPort
from hub.semantics.world import ReceiverIndex, Situation

_TRANSPORTS = {"http": "TCP", "tcp": "TCP", "udp": "UDP"}


class Denied(Struct, frozen=True):
    """A request with what the judge knows of it, the receivers that deny it, and the Services behind which nobody is."""

    request: Request
    callers: frozenset[SubjectKey]
    http: Http
    receivers: frozenset[Situation]
    empty: tuple[str, ...] = ()


class Places:
    """Tells why a request reaches nobody."""

    def __init__(self, world: ReceiverIndex) -> None:
        self._world = world

    def of(self, denied: Denied) -> Iterator[NearMiss]:
        """Yield every place on the way of a request at which nobody is."""
        yield from self._absent(denied.request)
        service = split_pair(denied.request.dst.service)
        if service is None:
            return
        for name in denied.empty:
            yield self._empty(service[0], name, denied.request)
        if any(at.account is None for at in denied.receivers):
            message = "an EndpointSlice has an endpoint without a known identity, so nothing can be granted there"
            yield _miss("Service", service, Hurdle("endpoint", message))

    def _absent(self, request: Request) -> Iterator[NearMiss]:
        """Yield why the Pod or the Service that a request names is not there, or not on this port."""
        pod, service = split_pair(request.dst.pod), split_pair(request.dst.service)
        if pod is not None and self._world.workload(*pod) is None:
            yield _miss("Pod", pod, Hurdle("service", f"there is no Pod or Workload {pod[1]} in namespace {pod[0]}"))
        elif service is not None and not self._world.has_service(*service):
            known = meant(service[1], self._world.services(service[0]))
            yield _miss("Service", service, Hurdle("service", f"it does not exist in namespace {service[0]}{known}"))
        elif service is not None and not self._port(service, request):
            yield _miss("Service", service, Hurdle("port", self._ports(service, request)))

    def _empty(self, namespace: str, service: str, request: Request) -> NearMiss:
        """Say that nobody stands behind a port of a Service that is there."""
        message = f"no running workload is behind port {request.port}{self._why(namespace, service)}"
        return _miss("Service", (namespace, service), Hurdle("endpoint", message))

    def _port(self, service: tuple[str, str], request: Request) -> ExposedPort | None:
        return self._world.service_port(*service, request.port, _TRANSPORTS[request.protocol])

    def _ports(self, service: tuple[str, str], request: Request) -> str:
        ports = self._world.ports_of(*service)
        numbers = listed(f"{one.port}/{one.transport}" for one in ports) or "(none)"
        leading = [one.port for one in ports if one.target == request.port]
        hint = f"; {request.port} is the port of the workload, behind port {leading[0]}" if leading else ""
        return f"it has ports {numbers}; the request's is {request.port}/{_TRANSPORTS[request.protocol]}{hint}"

    def _why(self, namespace: str, service: str) -> str:
        selector = self._world.selector_of(namespace, service)
        if not selector:
            return " (it has no selector and no EndpointSlice)"
        labels = ", ".join(f"{key}={value}" for key, value in sorted(selector))
        return f" (it selects {labels})"


def _miss(kind: str, name: tuple[str, str], hurdle: Hurdle) -> NearMiss:
    return NearMiss(f"{kind}/{'/'.join(name)}", between=(hurdle,))
