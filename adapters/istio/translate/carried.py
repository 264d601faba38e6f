"""Which splits a sidecar does not carry out, whatever a VirtualService says, by what the Services declare.

Source: Istio documentation, "Protocol Selection"; VirtualService, `TLSMatchAttributes` (`sniHosts` must be of the route's hosts).
Observed on Istio 1.31 (tests/adapters/istio/test_splits_on_istio.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from hub.api import Backend, Objection, RoutePort, Split

_TLS = frozenset({"https", "tls"})
_UDP = "udp"


def word_of(written: str) -> str:
    """The word by which Istio takes a Service port: its appProtocol or name, up to the first dash."""
    return "https" if written == "kubernetes.io/wss" else written.partition("-")[0].lower()


def not_carried(service: str, port: RoutePort, split: Split) -> Iterator[Objection]:
    """Why a layer has no effect on a port; nothing where it has."""
    word = word_of(port.word)
    if port.transport == "UDP":
        yield _DATAGRAMS
    elif word in _TLS:
        yield _tls(port)
    elif word == _UDP:
        yield _called_udp(f"port {port.port} of the root")
    else:
        yield from _backends(service, port, split)


def _backends(service: str, port: RoutePort, split: Split) -> Iterator[Objection]:
    for backend in split.backends:
        if backend.weight > 0 and word_of(backend.word) == _UDP:
            yield _called_udp(f'port {port.port} of backend "{backend.service}"')
        elif backend.weight > 0 and backend.headless and backend.service != service:
            yield _headless(backend)


def _tls(port: RoutePort) -> Objection:
    message = f'port {port.port} is "{port.word}", TLS to Istio, which routes such connections by the server name (SNI) and ignores this split, so the root Service serves them'
    remedy = (
        'declare "appProtocol: tcp" on this port of the root; connections are then split, and their TLS is not touched'
    )
    return Objection(
        "istio.tls-not-split", message, f"a TLS connection to port {port.port} of the root Service", remedy
    )


def _headless(backend: Backend) -> Objection:
    message = f'backend "{backend.service}" has no cluster IP: Istio would send its share to the address that the caller connected to, so this split has no effect'
    remedy = (
        f'give Service "{backend.service}" a cluster IP, or use another Service with the same selector that has one'
    )
    return Objection("istio.headless-backend", message, "any call to the root Service", remedy)


def _called_udp(what: str) -> Objection:
    message = f'{what} is a TCP port named "udp", and sidecars do not intercept ports with that name, so this split has no effect there'
    return Objection(
        "istio.port-called-udp", message, "a connection to that port", 'declare its protocol ("appProtocol: tcp")'
    )


_DATAGRAMS = Objection(
    "proto.udp-not-captured",
    "sidecars do not intercept UDP, so this split has no effect on a UDP port",
    "a datagram to the root Service",
    "split UDP outside of the mesh",
)
