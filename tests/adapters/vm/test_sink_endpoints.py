"""Endpoints and the trust bundle, as a caller is sent them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509

from adapters.vm import names, wire
from adapters.vm.serve.seal import Sealer, pins_of
from hub.api import UnsafeResourceError
from tests.adapters.vm.one_caller import API_ID, OUT, WEB, addresses, at, endpoints_of, facts, outbound
from tests.servers.xds import TD, Client, Rig, anything_goes, found, put, serving, stump


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A serving sink with one caller of one service."""
    async with serving(tmp_path, *WEB) as made:
        yield made


async def test_bundle_takes_the_placeholders_place(rig: Rig) -> None:
    """What leaves the hub holds the certificate of its authority, in clusters and in `trust`."""
    client = Client(rig.address, rig.token("d/web"))
    await client.ask("Cluster", "d/web")
    cluster = found(await client.next())[OUT]
    tls: Any = wire.unpack(cluster.transport_socket.typed_config)
    sent = tls.common_tls_context.validation_context.trusted_ca.inline_string
    await client.ask("Secret", resource_names_subscribe=["trust"])
    trust = found(await client.next())["trust"].validation_context.trusted_ca.inline_bytes
    assert x509.load_pem_x509_certificate(sent.encode()) == x509.load_pem_x509_certificate(trust)
    await client.close()


async def test_only_pinned_endpoints_are_published(rig: Rig) -> None:
    """An endpoint whose identity the cluster does not pin would only be refused by TLS, so it is left out."""
    await rig.sink.publish(facts(at("10.0.0.1"), at("10.0.0.2", f"spiffe://{TD}/ns/d/sa/evil")))
    assert addresses(await endpoints_of(rig)) == [("10.0.0.1", 0)]


async def test_unready_endpoints_are_left_out_unless_all_are(rig: Rig) -> None:
    """All unready: they are published as UNHEALTHY, so that callers see 503 from a known cluster."""
    await rig.sink.publish(facts(at("10.0.0.1"), at("10.0.0.2", ready=False)))
    assert addresses(await endpoints_of(rig)) == [("10.0.0.1", 0)]
    await rig.sink.publish(facts(at("10.0.0.1", ready=False), at("10.0.0.2", ready=False)))
    assert addresses(await endpoints_of(rig)) == [("10.0.0.1", 2), ("10.0.0.2", 2)]


async def test_endpoint_without_an_address_is_left_out(rig: Rig) -> None:
    """A host name or an impossible port would make Envoy refuse the good ones beside it."""
    odd = [at("api.example.org"), at("999.1.1.1"), msgspec.structs.replace(at("10.0.0.2"), port=0)]
    await rig.sink.publish(facts(at("10.0.0.1"), at("fd00::1"), *odd))
    assert addresses(await endpoints_of(rig)) == [("10.0.0.1", 0), ("fd00::1", 0)]


async def test_no_endpoints_is_an_answer(rig: Rig) -> None:
    """A cluster without endpoints gets the empty assignment, else Envoy would wait for one."""
    assert addresses(await endpoints_of(rig)) == []


@pytest.mark.thorough
async def test_endpoint_change_is_one_small_push(rig: Rig) -> None:
    """Only the assignment goes out; equal facts send nothing."""
    await rig.sink.publish(facts(at("10.0.0.1")))
    client = Client(rig.address, rig.token("d/web"))
    await client.ask("Cluster", "d/web")
    await client.answer(await client.next())
    await client.ask("ClusterLoadAssignment", resource_names_subscribe=[OUT])
    await client.answer(await client.next())
    await rig.sink.publish(facts(at("10.0.0.1"), at("10.0.0.3")))
    response = await client.next()
    assert response.type_url == wire.TYPE_URLS["ClusterLoadAssignment"]
    assert addresses(found(response)[OUT]) == [("10.0.0.1", 0), ("10.0.0.3", 0)]
    await client.answer(response)
    await rig.sink.publish(facts(at("10.0.0.3"), at("10.0.0.1")))
    await rig.sink.publish(facts(at("10.0.0.3"), at("10.0.0.1")))
    assert await client.silence()
    await client.close()


async def test_pins_that_change_filter_known_endpoints_anew(rig: Rig) -> None:
    """Endpoints that were not pinned become so with a new revision, without new facts."""
    other = f"spiffe://{TD}/ns/d/sa/other"
    await rig.sink.publish(facts(at("10.0.0.1"), at("10.0.0.2", other)))
    await rig.write(put(outbound(other)))
    assert addresses(await endpoints_of(rig)) == [("10.0.0.2", 0)]


def test_bundle_elsewhere_is_unsafe() -> None:
    """The placeholder in a place that sealing does not know never leaves the hub."""
    stray = stump("Cluster", "c", note=names.BUNDLE)
    with pytest.raises(UnsafeResourceError, match="trust bundle"):
        Sealer(b"PEM", anything_goes).seal(stray.ref, stray.body)


def test_pins_are_exact_uris_only() -> None:
    """What is not pinned by an exact URI is not pinned; a cluster with endpoints of its own has no pins."""
    assert pins_of(outbound(API_ID).body) == frozenset({API_ID})
    assert pins_of(outbound().body) == frozenset()
    assert pins_of(stump("Cluster", "c").body) is None
