"""What of splits Consul does not carry out, and why."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.consul.translate.losses import NO_SERVICE
from hub.api import Objection, short

_HTTP = frozenset(("http", "http2", "grpc", "grpc-web", "h2c", "kubernetes.io/h2c", "kubernetes.io/ws"))


def speaks_http(word: str) -> bool:
    """Whether a Service port with this `appProtocol`, or name, declares HTTP."""
    word = word.lower()
    return word in _HTTP or word.partition("-")[0] in _HTTP


def several_ports(service: str) -> Objection:
    """Of a Service with several ports."""
    message = f'Service "{service}" has several TCP ports, and a Consul service has one port and one identity'
    remedy = "make a Service of its own for each port, with an account of its own"
    return Objection("consul.several-ports", message, f'a call to one of the ports of "{service}"', remedy)


def other_account(service: str, callees: Sequence[str]) -> Objection:
    """Of a Service behind which others are than the account of its name."""
    shown = ", ".join(callee.rpartition("/sa/")[2] for callee in callees[:3])
    message = f'Service "{service}" leads to workloads of other accounts ({short(shown)}), and a Consul service is one identity: its own name'
    remedy = f'run its workloads as account "{service}", and register them as the Consul service of that name'
    return Objection("consul.account", message, f'a call to "{service}"', remedy)


def nameless(service: str) -> Objection:
    """Of a Service whose name would be another one's as well."""
    message = (
        f'by the template "names", no Consul service is "{short(service)}" and no other, so this split is not written'
    )
    remedy = 'use another name, or another template ("names" in the settings of the mesh)'
    return Objection(NO_SERVICE, message, "a call to the root Service", remedy)


def not_http(port: int) -> Objection:
    """Of a port that is not declared HTTP."""
    message = f"port {port} is not declared HTTP, and Consul splits HTTP alone, so this split has no effect there"
    remedy = 'declare it ("appProtocol: http") on this port of the root and of the backends, if it is HTTP'
    return Objection("consul.split-not-http", message, f"a connection to port {port} of the root Service", remedy)


def backend_not_http(backend: str) -> Objection:
    """Of a split with a share for something that does not declare HTTP."""
    message = f'backend "{backend}" does not declare HTTP, and Consul refuses a splitter with such a share, so this split is not written'
    remedy = f'declare the port of Service "{backend}" ("appProtocol: http")'
    return Objection("consul.split-not-http", message, "any call to the root Service", remedy)


DATAGRAMS = Objection(
    "proto.udp-not-captured",
    "sidecars do not intercept UDP, so this split has no effect on a UDP port",
    "a datagram to the root Service",
    "split UDP outside of the mesh",
)
INEXACT = Objection(
    "split.weights-too-large",
    "an Envoy does not get these ratios from a splitter with its steps of 0.01 percent; near ones are used",
    "a long run of requests whose shares differ in the fourth digit",
    "use weights that are whole hundredths of a percent",
)
NO_SUM = Objection(
    "consul.weights-sum",
    "no order of these shares adds up to 100 in the floats that consul-k8s adds, so this split is not written",
    "any request to the root Service",
    "use other weights",
)
TOO_MANY_BACKENDS = Objection(
    "limit.exceeded",
    "the split has more than 100 backends, so it is not written",
    "any request to the root Service",
    "use fewer backends",
)
TOO_MANY_ROUTES = Objection(
    "limit.exceeded",
    "the splits of one port need more than 500 routes, so the root Service answers all requests",
    "any request to the root Service",
    "use fewer conditions",
)
