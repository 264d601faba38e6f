"""Whom Envoy's TLS lets in, and which servers an Envoy trusts.

Source: Envoy `extensions.transport_sockets.tls.v3`. Observed on Envoy 1.40: without `trusted_ca` no certificate is
asked for, whatever `require_client_certificate` says; a SAN list needs a certificate even where none is required; an
empty SAN list takes every certificate of the CA; ACCEPT_UNTRUSTED lets in all, but such a peer counts as unvalidated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from adapters.vm import names, wire
from adapters.vm.evaluate.fields import Fields, extension
from adapters.vm.evaluate.match import Connection, string
from adapters.vm.evaluate.rbac import san
from adapters.vm.evaluate.resources import Resources
from hub.api import UnmodelledError

FOREIGN = "source.foreign-trust-domain"
_DOWNSTREAM = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_UPSTREAM = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_CONTEXTS = ("validation_context", "validation_context_sds_secret_config", "combined_validation_context")
_ACCEPT_UNTRUSTED = 1


class Peer(Struct, frozen=True):
    """The certificate that somebody shows: its one URI SAN (None: no certificate), and whether our CA signed it."""

    uri: bytes | None
    ours: bool


NOBODY = Peer(None, ours=False)


class Refused(Struct, frozen=True):
    """A handshake that fails, and the loss codes that say why."""

    losses: tuple[str, ...] = ()


class Validation(Struct, frozen=True):
    """A certificate validation context: a CA or not, the SAN list (empty: any name), ACCEPT_UNTRUSTED or not."""

    ca: bool = False
    sans: tuple[Callable[[bytes], bool], ...] = ()
    lax: bool = False

    def names(self, uri: bytes) -> bool:
        """Whether the SAN list takes this name."""
        return not self.sans or any(test(uri) for test in self.sans)

    def valid(self, peer: Peer) -> bool:
        """Whether a certificate passes the CA and the SAN list."""
        return self.ca and peer.ours and peer.uri is not None and self.names(peer.uri)


class Gate(Struct, frozen=True):
    """The transport socket of a filter chain. `complete` is false where a secret is missing: nobody gets in."""

    secure: bool
    required: bool = False
    validation: Validation = Validation()
    complete: bool = True

    def admit(self, peer: Peer, port: int) -> Connection | Refused:
        """The connection of a peer, or the refusal of its handshake."""
        if not self.complete:
            return Refused()
        if not self.secure:
            return Connection(False, None, False, port)
        if not self.validation.ca:
            # No certificate is asked for, except in lax mode, where it may be anybody's.
            return Connection(True, peer.uri if self.validation.lax else None, False, port)
        return self._judge(peer, port)

    def _judge(self, peer: Peer, port: int) -> Connection | Refused:
        if peer.uri is None:
            demanded = self.required or self.validation.sans
            return Refused() if demanded else Connection(True, None, False, port)
        valid = self.validation.valid(peer)
        if valid or self.validation.lax:
            return Connection(True, peer.uri, valid, port)
        return Refused(() if peer.ours else (FOREIGN,))


class Client(Struct, frozen=True):
    """How an Envoy calls upstream: over TLS or not, showing its certificate or not, trusting which servers."""

    secure: bool
    shows: bool = False
    validation: Validation = Validation()
    complete: bool = True

    def trusts(self, server: Peer) -> bool:
        """Whether a server with this certificate is spoken to."""
        if not self.secure or not self.validation.ca or self.validation.lax:
            return self.complete
        return self.complete and self.validation.valid(server)


def gate_of(socket: wire.Message | None, resources: Resources, where: str) -> Gate:
    """Compile the transport socket of a filter chain (None: plain text)."""
    if socket is None:
        return Gate(secure=False)
    with Fields(_context(socket, _DOWNSTREAM, where), where) as left:
        left.neutral("disable_stateless_session_resumption", "disable_stateful_session_resumption", "session_timeout")
        left.neutral("prefer_client_ciphers")
        required = left.flag("require_client_certificate")
        common = left.take("common_tls_context")
    certificate, validation = _common(common, resources, where)
    if certificate is None:
        raise left.rejected("no certificate")
    # Until SDS has delivered, Envoy resets connections (Envoy
    # docs, "Secret discovery service"); nothing passes unguarded.
    ready = certificate and validation is not None
    return Gate(True, required, validation or Validation(), ready)


def client_of(socket: wire.Message | None, resources: Resources, where: str) -> Client:
    """Compile the transport socket of a cluster (None: plain text)."""
    if socket is None:
        return Client(secure=False)
    with Fields(_context(socket, _UPSTREAM, where), where) as left:
        left.neutral("sni", "max_session_keys", "enforce_rsa_key_usage")
        common = left.take("common_tls_context")
    certificate, validation = _common(common, resources, where)
    ready = certificate is not False and validation is not None
    return Client(True, bool(certificate), validation or Validation(), ready)


def _context(socket: wire.Message, wanted: str, where: str) -> wire.Message:
    with Fields(socket, where) as left:
        left.neutral("name")
        packed = left.take("typed_config")
    if packed is None:
        raise left.rejected("a transport socket without a configuration")
    kind, context = extension(packed, where)
    if kind != wanted:
        raise UnmodelledError(f'{where}: the transport socket "{kind}" is not modelled here')
    return context


def _common(message: wire.Message | None, resources: Resources, where: str) -> tuple[bool | None, Validation | None]:
    """(certificate: present, missing secret, or None for none named; validation, or None for a missing secret)."""
    if message is None:
        return None, Validation()
    with Fields(message, where) as left:
        left.neutral("alpn_protocols")
        _check_parameters(left.take("tls_params"), where)
        inline, by_name = left.take("tls_certificates", ()), left.take("tls_certificate_sds_secret_configs", ())
        contexts = [(name, value) for name in _CONTEXTS if (value := left.take(name)) is not None]
    known = [_secret_name(one, where) == names.SELF for one in by_name]
    certificate = all(known) if inline or known else None
    if not contexts:
        return certificate, Validation()
    return certificate, _validation(*contexts[0], resources, where)


def _check_parameters(message: wire.Message | None, where: str) -> None:
    """TLS versions do not decide who gets in, but an impossible range is rejected."""
    if message is None:
        return
    with Fields(message, where) as left:
        low, high = left.take("tls_minimum_protocol_version", 0), left.take("tls_maximum_protocol_version", 0)
    if low and high and low > high:
        raise left.rejected("the minimum TLS version is above the maximum")


def _secret_name(message: wire.Message, where: str) -> str:
    with Fields(message, where) as left:
        left.neutral("sds_config")
        return str(left.take("name", ""))


def _validation(kind: str, value: wire.Message, resources: Resources, where: str) -> Validation | None:
    if kind == "validation_context":
        return _complete(_inline(value, where), where)
    if kind == "validation_context_sds_secret_config":
        alone = _by_secret(_secret_name(value, where), resources)
        return None if alone is None else _complete(alone, where)
    with Fields(value, where) as left:
        default, secret = left.take("default_validation_context"), left.take(_CONTEXTS[1])
    if default is None or secret is None:
        raise left.rejected("a combined validation context needs both parts")
    found = _by_secret(_secret_name(secret, where), resources)
    return None if found is None else _complete(_merged(_inline(default, where), found), where)


def _complete(found: Validation, where: str) -> Validation:
    """Envoy asks for a CA only once SDS has delivered and a combined context is merged."""
    if found.sans and not found.ca:
        raise UnmodelledError(f"{where}: Envoy rejects this (a SAN list without a CA) and keeps what it had before")
    return found


def _merged(base: Validation, over: Validation) -> Validation:
    """How protobuf merges: lists are joined, so a combined SAN list is the union."""
    # This is a trap of combined contexts: a second SAN list does not narrow the first one but widens it.
    return Validation(base.ca or over.ca, base.sans + over.sans, base.lax or over.lax)


def _by_secret(name: str, resources: Resources) -> Validation | None:
    if name == names.TRUST:
        return Validation(ca=True)
    message = resources.find("Secret", name)
    if message is None:
        return None
    where = f'Secret "{name}"'
    with Fields(message, where) as left:
        left.neutral("name")
        return _inline(left.take("validation_context"), where)


def _inline(message: wire.Message | None, where: str) -> Validation:
    if message is None:
        raise UnmodelledError(f"{where}: it holds no validation context")
    with Fields(message, where) as left:
        left.neutral("max_verify_depth")
        authority = left.take("trusted_ca")
        typed = tuple(san(one, where) for one in left.take("match_typed_subject_alt_names", ()))
        # Envoy reads the untyped list only where the typed one is empty.
        untyped = tuple(string(one, where) for one in left.take("match_subject_alt_names", ()))
        lax = left.take("trust_chain_verification", 0) == _ACCEPT_UNTRUSTED
    return Validation(_is_bundle(authority, where), typed or untyped, lax)


def _is_bundle(source: Any, where: str) -> bool:
    if source is None:
        return False
    with Fields(source, where) as left:
        text = left.take("inline_string", "")
    if not text:
        raise left.rejected("an empty CA")
    if text != names.BUNDLE:
        raise UnmodelledError(f"{where}: it trusts another authority than the bundle of this mesh")
    return True
