"""What a node agent does for its sidecars: certificates over SDS, and the way to istiod, both on Unix sockets."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc

from adapters.vm import wire
from adapters.vm.identity.ca import Authority, make_root

TRUST_DOMAIN = "cluster.local"
_BUNDLE = "ROOTCA"
_URL = wire.TYPE_URLS["Secret"]


class Secrets:
    """Answers `ROOTCA` with the trust bundle and any other name with a certificate of the node that asks."""

    def __init__(self) -> None:
        self._now = dt.datetime.now(dt.UTC)
        self.authority = Authority(make_root(TRUST_DOMAIN, self._now))
        self._contexts: dict[tuple[str, tuple[str, ...], bool], ssl.SSLContext] = {}

    def context(self, spiffe: str, *protocols: str, foreign: bool = False) -> ssl.SSLContext:
        """A caller's TLS with a certificate of this identity, of another authority if asked; offers these protocols."""
        key = (spiffe, protocols, foreign)
        if key not in self._contexts:
            self._contexts[key] = self._made(*key)
        return self._contexts[key]

    def _made(self, spiffe: str, protocols: tuple[str, ...], foreign: bool) -> ssl.SSLContext:  # noqa: FBT001 - a key
        authority = Authority(make_root(TRUST_DOMAIN, self._now)) if foreign else self.authority
        leaf = authority.issue(spiffe, self._now)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the callee is what is tried
        with tempfile.NamedTemporaryFile() as file:
            file.write(leaf.chain + leaf.key.reveal())
            file.flush()
            context.load_cert_chain(file.name)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    def stream(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[bytes]:
        """One stream: each set of names is answered once, then it stays open."""
        spiffe = ""
        answered: set[tuple[str, ...]] = set()
        for request in requests:
            spiffe = spiffe or _identity(request.node)
            names = tuple(request.resource_names)
            if names not in answered:
                answered.add(names)
                yield self._answer(names, spiffe)

    def _answer(self, names: tuple[str, ...], spiffe: str) -> bytes:
        packed = [wire.Any(type_url=_URL, value=wire.pack(self._secret(name, spiffe))) for name in names]
        return wire.pack(wire.DiscoveryResponse(version_info="1", nonce="1", type_url=_URL, resources=packed))

    def _secret(self, name: str, spiffe: str) -> Any:
        if name == _BUNDLE:
            bundle = wire.DataSource(inline_bytes=self.authority.bundle)
            return wire.Secret(name=name, validation_context=wire.CertificateValidationContext(trusted_ca=bundle))
        leaf = self.authority.issue(spiffe, self._now)
        chain, key = wire.DataSource(inline_bytes=leaf.chain), wire.DataSource(inline_bytes=leaf.key.reveal())
        return wire.Secret(name=name, tls_certificate=wire.TlsCertificate(certificate_chain=chain, private_key=key))


def _identity(node: Any) -> str:
    """The identity of a sidecar, by what its bootstrap says."""
    said = node.metadata
    return f"spiffe://{TRUST_DOMAIN}/ns/{said['NAMESPACE']}/sa/{said['SERVICE_ACCOUNT']}"


@contextmanager
def serving(secrets: Secrets, socket: Path) -> Iterator[None]:
    """Serve on a Unix socket while the block lasts."""
    server = grpc.server(ThreadPoolExecutor(max_workers=64))
    handler = grpc.stream_stream_rpc_method_handler(secrets.stream, wire.DiscoveryRequest.FromString, bytes)
    service = "envoy.service.secret.v3.SecretDiscoveryService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"StreamSecrets": handler}),))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()


async def forwarding(socket: Path, port: int) -> asyncio.Server:
    """Hand bytes from a Unix socket, which every network namespace can reach, to a port of loopback."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward: asyncio.StreamWriter | None = None
        try:
            back, onward = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_pour(reader, onward), _pour(back, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for one in (writer, onward):
                if one is not None:
                    one.transport.abort()

    return await asyncio.start_unix_server(connected, str(socket))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
