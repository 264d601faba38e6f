"""Final bytes: puts the trust bundle in place, makes each workload's own secrets, and lets nothing unsafe out.

Messages are `Any` here because the generated classes carry no type information.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from adapters.vm import names, wire
from adapters.vm.identity.ca import Leaf
from adapters.vm.resource import URL_OF_KIND, Resource, version_of
from adapters.vm.state import marks
from hub.api import Endpoint, ObjectRef, UnmodelledError, UnsafeResourceError

Check = Callable[[str, bytes], None]
"""(kind, final bytes of the message): raises UnsafeResourceError for a shape that must never leave the hub."""


class Sealer:
    """Makes wire resources of one trust bundle (PEM) and one structural check."""

    def __init__(self, bundle: bytes, check: Check) -> None:
        self._bundle = bundle
        self._check = check

    def seal(self, ref: ObjectRef, body: bytes, needs: Iterable[ObjectRef] = ()) -> Resource:
        """The resource of an applied object. Raises UnsafeResourceError for one that must not be sent."""
        message = _parsed(ref, body)
        if names.BUNDLE.encode() in body:
            _put_bundle(message, self._bundle)
        _add_mark_places(message)
        # The check comes last: it must see the bytes that leave, not those that translation gave.
        final = self._checked(ref.kind, ref.name, wire.pack(message))
        known = tuple((URL_OF_KIND[need.kind], need.name) for need in needs if need.kind in URL_OF_KIND)
        # The names of chains are kept apart: whether anything else differs decides what may be cut (serve.order).
        stem, chain = _chain(message) if ref.kind == "Listener" else ("", "")
        marked = marks.PENDING.encode() in final
        return Resource(ref.name, version_of(final), _packed(ref.kind, final), known, stem, chain, marked)

    def identity_secret(self, mark: str, leaf: Leaf) -> Resource:
        """The secret `self/<mark>`: a workload's certificate and key."""
        certificate = wire.TlsCertificate(
            certificate_chain=wire.DataSource(inline_bytes=leaf.chain),
            private_key=wire.DataSource(inline_bytes=leaf.key.reveal()),
        )
        return self._secret(wire.Secret(name=names.own(mark), tls_certificate=certificate))

    def trust_secret(self) -> Resource:
        """The secret `trust`: the bundle alone."""
        context = wire.CertificateValidationContext(trusted_ca=wire.DataSource(inline_bytes=self._bundle))
        return self._secret(wire.Secret(name=names.TRUST, validation_context=context))

    def endpoints(self, cluster: str, pins: frozenset[str], found: Iterable[Endpoint]) -> Resource:
        """The ClusterLoadAssignment of a cluster: endpoints whose identity the cluster pins, ready ones if there are any."""
        # One of another identity would only fail the check of its certificate, call by call.
        pinned = sorted({item for item in found if item.spiffe in pins and _is_address(item)})
        chosen = [item for item in pinned if item.ready] or pinned
        body = wire.pack(_assignment(cluster, chosen))
        final = self._checked("ClusterLoadAssignment", cluster, body)
        return Resource(cluster, version_of(final), _packed("ClusterLoadAssignment", final))

    def _secret(self, secret: Any) -> Resource:
        name = str(secret.name)
        final = self._checked("Secret", name, wire.pack(secret))
        return Resource(name, version_of(final), _packed("Secret", final))

    def _checked(self, kind: str, name: str, final: bytes) -> bytes:
        if names.BUNDLE.encode() in final:
            raise UnsafeResourceError(f'{kind} "{name}": a trust bundle is in a place where smihub never puts one')
        # The check demands marks of hexadecimal digits, and the real ones are put in after it, workload by workload.
        self._check(kind, final.replace(marks.PENDING.encode(), marks.SAMPLE.encode()))
        return final


def marked(item: Resource, own: str, chain: str) -> Resource:
    """The resource as it goes to one workload: with the mark of its certificate's name, and that of its chains' names."""
    # A mark is as long as its place, so replacing bytes keeps every length in the message true. The certificate's name
    # goes first: its place is spelt with the same characters as those of the chains.
    place, body = marks.PENDING.encode(), item.body
    body = body.replace(names.own(marks.PENDING).encode(), names.own(own).encode()).replace(place, chain.encode())
    return replace(
        item,
        version=version_of(body),
        body=body,
        stem=version_of(f"{item.stem} {own}".encode()),
        chain=item.chain.replace(marks.PENDING, chain),
        marked=False,
    )


def pins_of(body: bytes) -> frozenset[str] | None:
    """The callee identities that a Cluster pins (exact URI SANs), or None if its endpoints do not come from us."""
    cluster: Any = wire.parse("Cluster", body)
    if not cluster.HasField("eds_cluster_config"):
        return None
    # Without mutual TLS no endpoint can prove its identity, so none is chosen.
    if not cluster.HasField("transport_socket"):
        return frozenset()
    tls: Any = wire.unpack(cluster.transport_socket.typed_config)
    context = tls.common_tls_context
    validations = (context.combined_validation_context.default_validation_context, context.validation_context)
    matchers = [item for each in validations for item in each.match_typed_subject_alt_names]
    uri = wire.SubjectAltNameMatcher.SanType.Value("URI")
    return frozenset(item.matcher.exact for item in matchers if item.san_type == uri and item.matcher.exact)


def _parsed(ref: ObjectRef, body: bytes) -> Any:
    try:
        return wire.parse(ref.kind, body)
    except UnmodelledError as error:
        raise UnsafeResourceError(f'{ref.kind} "{ref.name}": {error}') from error


def _is_address(item: Endpoint) -> bool:
    """Whether Envoy can use the endpoint without a resolver: one name among them and it refuses the whole assignment."""
    try:
        ipaddress.ip_address(item.address)
    except ValueError:
        return False
    return 0 < item.port <= 65535


def _assignment(cluster: str, chosen: list[Endpoint]) -> Any:
    members = [
        wire.LbEndpoint(
            endpoint=wire.Endpoint(
                address=wire.Address(socket_address=wire.SocketAddress(address=item.address, port_value=item.port))
            ),
            # "UNHEALTHY" is core.v3.HealthStatus 2: all are unready, so callers see a 503 and not another cluster.
            health_status=0 if item.ready else 2,
        )
        for item in _distinct(chosen)
    ]
    groups = [wire.LocalityLbEndpoints(lb_endpoints=members)] if members else []
    return wire.ClusterLoadAssignment(cluster_name=cluster, endpoints=groups)


def _distinct(chosen: list[Endpoint]) -> list[Endpoint]:
    """One endpoint per address and port: Envoy refuses duplicates."""
    return list({(item.address, item.port): item for item in chosen}.values())


def _chain(listener: Any) -> tuple[str, str]:
    """(version of the listener without its chains' names, the chains' names)."""
    bare = type(listener)()
    bare.CopyFrom(listener)
    chains = "\n".join(chain.name for chain in bare.filter_chains)
    for chain in bare.filter_chains:
        chain.ClearField("name")
    return version_of(wire.pack(bare)), chains


def _packed(kind: str, body: bytes) -> bytes:
    return wire.pack(wire.Any(type_url=URL_OF_KIND[kind], value=body))


def _add_mark_places(message: Any) -> None:
    """Make room for marks in the names that have some: of chains, and of the workload's own certificate."""
    owners = [message] if isinstance(message, wire.Cluster) else []
    if isinstance(message, wire.Listener):
        owners = list(message.filter_chains)
        for chain in owners:
            chain.name = f"{chain.name}/{marks.PENDING}"
    for socket in [owner.transport_socket for owner in owners if owner.HasField("transport_socket")]:
        tls: Any = wire.unpack(socket.typed_config)
        for secret in tls.common_tls_context.tls_certificate_sds_secret_configs:
            if secret.name == names.SELF:
                secret.name = names.own(marks.PENDING)
        socket.typed_config.CopyFrom(wire.any_of(tls))


def _put_bundle(message: Any, bundle: bytes) -> None:
    """Replace the placeholder wherever translated objects may have a validation context."""
    if isinstance(message, wire.Secret):
        _fill_bundle(message.validation_context, bundle)
        return
    owners = [message] if isinstance(message, wire.Cluster) else []
    if isinstance(message, wire.Listener):
        owners = list(message.filter_chains)
    for socket in [owner.transport_socket for owner in owners if owner.HasField("transport_socket")]:
        tls: Any = wire.unpack(socket.typed_config)
        context = tls.common_tls_context
        if context.HasField("validation_context"):
            _fill_bundle(context.validation_context, bundle)
        if context.HasField("combined_validation_context"):
            _fill_bundle(context.combined_validation_context.default_validation_context, bundle)
        socket.typed_config.CopyFrom(wire.any_of(tls))


def _fill_bundle(context: Any, bundle: bytes) -> None:
    if context.trusted_ca.inline_string == names.BUNDLE:
        context.trusted_ca.inline_string = bundle.decode("ascii")
