"""Shapes that several resources share: config sources, TLS, principals, addresses."""

from __future__ import annotations

from adapters.vm import names, wire
from adapters.vm.safety.shape import (
    Shape,
    ShapeError,
    each,
    either,
    equal,
    exactly_one,
    extension,
    message,
    number,
    sequence,
    text,
    wrapped,
)
from adapters.vm.vocabulary import HTTP_OPTIONS, MTLS_PRINCIPAL, NOBODY, TLS_SOCKET

SPIFFE = r"spiffe://[a-z0-9._-]+(?:/[A-Za-z0-9._-]+)+"
LABEL = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"
VARIANT = r"(?:http|tcp|none|unknown)(?:\+[0-9a-f]{8}(?:[0-9a-f]{24})?)?"  # 8 digits: what an older hub left
STEM = rf"{LABEL}/{LABEL}/[0-9]{{1,5}}/{VARIANT}"
SERVICE = rf"out/{LABEL}/{LABEL}/[0-9]{{1,5}}"

ADS = message(must={"ads": message(), "resource_api_version": equal(wire.ApiVersion.V3)})
DURATION = message(may={"seconds": number(0, 3600), "nanos": number(0, 999_999_999)})
ON: Shape = wrapped(equal(True))
PORT = number(1, 65535)
ADDRESS = message(must={"socket_address": message(must={"address": text(r"[0-9A-Fa-f.:]+"), "port_value": PORT})})


def secret(name: str) -> Shape:
    """An SDS reference to a secret whose name fully matches this pattern."""
    return message(must={"name": text(name), "sds_config": ADS})


def _tls_1_3() -> Shape:
    version = equal(wire.TlsParameters.TLSv1_3)
    return message(must={"tls_minimum_protocol_version": version, "tls_maximum_protocol_version": version})


URI = wire.SubjectAltNameMatcher.URI
CALLER = message(must={"san_type": equal(URI), "matcher": message(must={"exact": text(SPIFFE)})})
PEER = message(must={"san_type": equal(URI), "matcher": message(must={"exact": either(equal(NOBODY), text(SPIFFE))})})
SANS = each(PEER)

# The certificate alone: `any`, headers, addresses and names in a subject are all things that a caller can choose or
# that more than one caller has.
PRINCIPAL = message(
    must={
        "custom": message(
            must={
                "name": equal(MTLS_PRINCIPAL),
                "typed_config": extension(wire.MtlsAuthenticated, message(must={"san_matcher": CALLER})),
            }
        )
    }
)


def _pem(value: bytes, path: str) -> None:
    if b"-----BEGIN CERTIFICATE-----" not in value:
        raise ShapeError(f"{path}: no certificate in it")


BUNDLE = exactly_one(
    {
        "inline_string": either(equal(names.BUNDLE), text(r"(?s)\s*-----BEGIN CERTIFICATE-----.+")),
        "inline_bytes": _pem,
    }
)
"""A certificate bundle, or the place where one is put before anything is sent; never absent, never empty."""

OWN = rf"{names.SELF}(?:/[0-9a-f]{{32}})?"
"""The workload's own certificate; translation leaves its mark out."""
_OWN = {"tls_params": _tls_1_3(), "tls_certificate_sds_secret_configs": sequence(secret(OWN))}


def downstream_tls(validation: str) -> Shape:
    """Mutual TLS towards callers: a client certificate is required and judged by the secret of this name (pattern)."""
    common = message(
        must={**_OWN, "validation_context_sds_secret_config": secret(validation)},
        may={"alpn_protocols": each(equal("h2", "http/1.1"))},
    )
    context = message(
        must={
            "common_tls_context": common,
            "require_client_certificate": ON,
            # On a resumed session Envoy judges no certificate (see translate.build.downstream_tls).
            "disable_stateless_session_resumption": equal(True),
            "disable_stateful_session_resumption": equal(True),
        }
    )
    return _socket(wire.DownstreamTlsContext, context)


def upstream_tls() -> Shape:
    """Mutual TLS towards callees, whose identities are pinned."""
    pins = message(must={"match_typed_subject_alt_names": SANS})
    combined = message(
        must={"default_validation_context": pins, "validation_context_sds_secret_config": secret(names.TRUST)}
    )
    common = message(must={**_OWN, "combined_validation_context": combined})
    context = message(must={"common_tls_context": common, "max_session_keys": wrapped(equal(0))})
    return _socket(wire.UpstreamTlsContext, context)


def _socket(kind: type[wire.Message], context: Shape) -> Shape:
    return message(must={"name": equal(TLS_SOCKET), "typed_config": extension(kind, context)})


def _same_protocol() -> Shape:
    options = message(must={"http_protocol_options": message(), "http2_protocol_options": message()})
    return extension(wire.HttpProtocolOptions, message(must={"use_downstream_protocol_config": options}))


SAME_PROTOCOL = _same_protocol()
HTTP_OPTIONS_KEYS = (HTTP_OPTIONS,)
