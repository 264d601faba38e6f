"""A sidecar under test: translated bytes, sealed and checked as they are, in a real Envoy over ADS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from adapters.vm import names, wire
from adapters.vm.safety.check import check
from hub.model import NativeObject
from tests.servers.ads import Ads, serving
from tests.servers.certificates import Authority, Leaf
from tests.servers.real_envoy import Envoy, ads_bootstrap, running

Sealed = tuple[str, bytes]


class Sidecar(Struct, frozen=True):
    """A running Envoy and the ADS server that feeds it."""

    envoy: Envoy
    ads: Ads
    authority: Authority

    def apply(self, objects: Sequence[NativeObject]) -> None:
        """Push these objects, sealed and checked; returns when Envoy has answered."""
        self.ads.put(seal(objects, self.authority.pem))
        self.ads.wait_settled()


def seal(objects: Sequence[NativeObject], bundle: str) -> list[Sealed]:
    """The final bytes of xDS resources: the trust bundle put in its place, then the structural check."""
    final = [(item.ref.kind, _sealed(item, bundle)) for item in objects if item.ref.kind in wire.KINDS]
    for kind, body in final:
        check(kind, body)
    return final


def _sealed(item: NativeObject, bundle: str) -> bytes:
    if item.ref.kind != "Secret":
        return item.body
    secret: Any = wire.parse("Secret", item.body)
    assert secret.validation_context.trusted_ca.inline_string == names.BUNDLE
    secret.validation_context.trusted_ca.inline_string = bundle
    return wire.pack(secret)


def secrets(leaf: Leaf, bundle: str) -> list[Sealed]:
    """The secrets `self` and `trust`."""
    source = wire.DataSource
    own = wire.TlsCertificate(
        certificate_chain=source(inline_string=leaf.certificate), private_key=source(inline_string=leaf.key)
    )
    trust = wire.CertificateValidationContext(trusted_ca=source(inline_string=bundle))
    both = (wire.Secret(name=names.SELF, tls_certificate=own), wire.Secret(name=names.TRUST, validation_context=trust))
    return [("Secret", wire.pack(secret)) for secret in both]


def endpoint(cluster: str, *ports: int) -> Sealed:
    """A ClusterLoadAssignment on loopback."""
    made = [
        wire.LbEndpoint(
            endpoint=wire.Endpoint(
                address=wire.Address(socket_address=wire.SocketAddress(address="127.0.0.1", port_value=port))
            )
        )
        for port in ports
    ]
    groups = [wire.LocalityLbEndpoints(lb_endpoints=made)] if made else []
    body = wire.pack(wire.ClusterLoadAssignment(cluster_name=cluster, endpoints=groups))
    check("ClusterLoadAssignment", body)
    return "ClusterLoadAssignment", body


@contextmanager
def sidecar(
    folder: Path, authority: Authority, leaf: Leaf, objects: Sequence[NativeObject], more: Sequence[Sealed] = ()
) -> Iterator[Sidecar]:
    """Start an Envoy of this identity with these objects (and `more` final bytes, such as endpoints)."""
    ads = Ads()
    ads.put([*secrets(leaf, authority.pem), *seal(objects, authority.pem), *more])
    with serving(ads) as port, running(ads_bootstrap(port), folder) as envoy:
        ads.wait_settled()
        yield Sidecar(envoy, ads, authority)
