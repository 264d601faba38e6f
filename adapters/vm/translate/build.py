"""Small builders of Envoy messages that several resources share: config sources, TLS contexts, matchers, clusters' parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

from adapters.vm import names, wire
from adapters.vm.vocabulary import MTLS_PRINCIPAL, NOBODY, TLS_SOCKET

SOCKET_MODE = 0o660


@cache  # a message that is put into another is copied
def ads() -> wire.ConfigSource:
    """Take a resource over the stream that everything comes over."""
    return wire.ConfigSource(ads=wire.AggregatedConfigSource(), resource_api_version=wire.ApiVersion.V3)


@cache
def yes() -> wire.BoolValue:
    """A BoolValue that is true."""
    return wire.BoolValue(value=True)


@cache
def no() -> wire.BoolValue:
    """A BoolValue that is false, said aloud: where it is absent, Envoy asks its runtime."""
    return wire.BoolValue(value=False)


@lru_cache
def seconds(value: float) -> wire.Duration:
    """A duration of so many seconds, exact to the nanosecond."""
    nanos = round(value * 1_000_000_000)
    return wire.Duration(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)


def address(host: str, port: int) -> wire.Address:
    """A TCP socket address."""
    return wire.Address(socket_address=wire.SocketAddress(address=host, port_value=port))


def socket_of(place: str, port: int) -> wire.Address:
    """Where a program calls out: a TCP socket, or a Unix socket that its owner and its group may use.

    Source: Envoy API, config.core.v3.Pipe. Envoy removes what stands at the path and cannot change the group.
    """
    if place.startswith("/"):
        return wire.Address(pipe=wire.Pipe(path=place, mode=SOCKET_MODE))
    return address(place, port)


def exact(text: str) -> wire.StringMatcher:
    """A case-sensitive equality."""
    return wire.StringMatcher(exact=text)


def uri_san(uri: str) -> wire.SubjectAltNameMatcher:
    """A certificate with exactly this URI among its URI SANs."""
    return wire.SubjectAltNameMatcher(san_type=wire.SubjectAltNameMatcher.URI, matcher=exact(uri))


def principal(spiffe: str) -> wire.Principal:
    """A caller whose validated certificate carries this SPIFFE id as a URI SAN.

    Not `authenticated.principal_name`: that one falls back to DNS SANs and the subject.
    Source: Envoy API, extensions.rbac.principals.mtls_authenticated.v3.Config.
    """
    return wire.Principal.FromString(_principal(spiffe))


@lru_cache(maxsize=128)  # as bytes: a message takes ten times as much memory
def _principal(spiffe: str) -> bytes:
    config = wire.any_of(wire.MtlsAuthenticated(san_matcher=uri_san(spiffe)))
    return wire.pack(wire.Principal(custom=wire.TypedExtensionConfig(name=MTLS_PRINCIPAL, typed_config=config)))


def sans(uris: Iterable[str]) -> list[wire.SubjectAltNameMatcher]:
    """A SAN list that is never empty: an empty one would accept every certificate of the trust domain."""
    return [uri_san(uri) for uri in sorted(set(uris)) or (NOBODY,)]


def trust_bundle(uris: Iterable[str]) -> wire.CertificateValidationContext:
    """Certificates of our trust domain (its bundle is put in when the resource is served) with one of these URI SANs."""
    return wire.CertificateValidationContext(
        trusted_ca=wire.DataSource(inline_string=names.BUNDLE), match_typed_subject_alt_names=sans(uris)
    )


def secret(name: str) -> wire.SdsSecretConfig:
    """An SDS secret by name."""
    return wire.SdsSecretConfig(name=name, sds_config=ads())


@lru_cache(maxsize=64)
def downstream_tls(validation: str, alpn: Sequence[str] = ()) -> wire.Any:
    """Mutual TLS 1.3 towards callers: our own certificate, theirs judged by the SDS validation context `validation`.

    Without session resumption: on a resumed session Envoy does not count the peer's certificate as validated, so
    `mtls_authenticated` would refuse every second connection of a sidecar (github.com/envoyproxy/envoy/issues/42668).
    """
    common = wire.CommonTlsContext(
        tls_params=_tls_1_3(),
        tls_certificate_sds_secret_configs=[secret(names.SELF)],
        validation_context_sds_secret_config=secret(validation),
        alpn_protocols=alpn,
    )
    return wire.any_of(
        wire.DownstreamTlsContext(
            common_tls_context=common,
            require_client_certificate=yes(),
            disable_stateless_session_resumption=True,
            disable_stateful_session_resumption=True,
        )
    )


def _tls_1_3() -> wire.TlsParameters:
    version = wire.TlsParameters.TLSv1_3
    return wire.TlsParameters(tls_minimum_protocol_version=version, tls_maximum_protocol_version=version)


def _to_callees() -> bytes:
    common = wire.CommonTlsContext(
        tls_params=_tls_1_3(),
        tls_certificate_sds_secret_configs=[secret(names.SELF)],
        combined_validation_context=wire.CommonTlsContext.CombinedCertificateValidationContext(
            default_validation_context=wire.CertificateValidationContext(),
            validation_context_sds_secret_config=secret(names.TRUST),
        ),
    )
    # No sessions to resume: see `downstream_tls`.
    return wire.pack(wire.UpstreamTlsContext(common_tls_context=common, max_session_keys=wire.UInt32Value(value=0)))


_TO_CALLEES = _to_callees()
"""`upstream_tls` but for the callees, as bytes: reading them is much faster than building the same again."""


def upstream_tls(callees: Iterable[str]) -> wire.Any:
    """Mutual TLS 1.3 towards callees whose certificate carries one of these URI SANs.

    Minimum and maximum: Envoy's clients offer at most TLS 1.2 by default. Source: Envoy API, TlsParameters.
    """
    context: Any = wire.UpstreamTlsContext.FromString(_TO_CALLEES)
    validation = context.common_tls_context.combined_validation_context.default_validation_context
    validation.match_typed_subject_alt_names.extend(sans(callees))
    return wire.any_of(context)


def transport_socket(context: wire.Any) -> wire.TransportSocket:
    """The TLS transport socket with this context."""
    return wire.TransportSocket(name=TLS_SOCKET, typed_config=context)


def filter_(name: str, config: wire.Message) -> wire.Filter:
    """A network filter."""
    return wire.Filter(name=name, typed_config=wire.any_of(config))
