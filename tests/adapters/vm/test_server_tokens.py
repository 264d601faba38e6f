"""Whose stream it is: a token is its workload's, for as long as that is there with its account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import structlog
import structlog.testing
from cryptography import x509

from adapters.vm import names
from adapters.vm.serve import server
from tests.adapters.vm.two_workloads import API, METHODS, WEB, tokens_are_refused
from tests.servers.xds import Client, Rig, drop, found, put, serving, workload


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A serving sink with two workloads."""
    async with serving(tmp_path, *API, *WEB) as made:
        yield made


async def test_token_of_b_with_node_of_a_gets_no_byte(rig: Rig) -> None:
    """Identity comes from the token alone: naming another workload's node ends the stream before any byte."""
    await tokens_are_refused(rig, rig.token("d/web"), "d/api", grpc.StatusCode.PERMISSION_DENIED)


async def test_secrets_are_those_of_the_token(rig: Rig) -> None:
    """The certificate is the token's workload's, whatever is asked for."""
    web, own, other = Client(rig.address, rig.token("d/web")), rig.own("d/web"), rig.own("d/api")
    await web.ask("Secret", "d/web", resource_names_subscribe=[own, "trust", other, "self", "peers/d/api/1/tcp"])
    response = await web.next()
    assert set(found(response)) == {own, "trust"}
    chain = found(response)[own].tls_certificate.certificate_chain.inline_bytes
    assert "spiffe://example.org/ns/d/sa/web" in _uris(chain)
    assert sorted(response.removed_resources) == sorted([other, "self", "peers/d/api/1/tcp"])
    await web.close()


async def test_missing_or_unknown_token_is_unauthenticated(rig: Rig) -> None:
    """No token, a made-up one, one of an unknown workload, and a rotated one are refused alike."""
    old = rig.token("d/api")
    rig.token("d/api")
    made_up = "d/api:" + "a" * 43
    for token in (None, "", "nonsense", made_up, "d/nobody:" + "a" * 43, old):
        await tokens_are_refused(rig, token, "d/api", grpc.StatusCode.UNAUTHENTICATED)


async def test_authorization_that_is_not_exactly_one_bearer_token_is_unauthenticated(rig: Rig) -> None:
    """Two tokens, be they good, say nothing about who calls; neither does a token under another scheme."""
    api, web = (f"Bearer {rig.token(name)}" for name in ("d/api", "d/web"))
    basic = api.replace("Bearer", "Basic")
    for values in (
        (api, web),
        (web, api),
        (api, api),
        (f"{api},{web}",),
        (basic,),
        (api.partition(" ")[2],),
        (f"{api} ",),
    ):
        client = Client(rig.address, None, metadata=tuple(("authorization", value) for value in values))
        assert await client.ending() == (0, grpc.StatusCode.UNAUTHENTICATED)
        await client.close()


@pytest.mark.thorough
@pytest.mark.parametrize("method", METHODS)
async def test_stream_ends_when_its_token_is_rotated(rig: Rig, method: str) -> None:
    """Whoever holds the old token gets no renewed key over a stream of before; a neighbour's stream stays."""
    api, web = Client(rig.address, rig.token("d/api"), method), Client(rig.address, rig.token("d/web"), method)
    for client, node in ((api, "d/api"), (web, "d/web")):
        await client.ask("Cluster", node)
        await client.answer(await client.next())
    rig.token("d/api")
    assert await api.code() == grpc.StatusCode.UNAUTHENTICATED
    if method == METHODS[0]:
        await web.ask("Secret", resource_names_subscribe=["trust"])
    else:
        await web.ask("Secret", resource_names=["trust"])
    assert set(found(await web.next())) == {"trust"}
    await api.close()
    await web.close()


CHANGES = {
    "deleted": drop(names.ref("Workload", "d/web")),
    "other account": put(workload("d/web", "admin", names.ref("Cluster", "w"))),
}


@pytest.mark.thorough
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("writer", ["the hub", "another process"])
async def test_token_ends_with_its_workload_and_its_account(rig: Rig, change: str, writer: str) -> None:
    """Whatever comes after, also the same again: with that token there is nothing, on the open stream and on new ones."""
    token = rig.token("d/web")
    client = Client(rig.address, token)
    await client.ask("Cluster", "d/web")
    await client.answer(await client.next())
    again = put(workload("d/web", "admin", names.ref("Cluster", "w")))
    for step in (CHANGES[change], again, put(*WEB), again):
        if writer == "the hub":
            await rig.write(step)
        else:
            rig.state.apply(step, {}, rig.state.head()[1])
    gone = await client.next()
    assert (list(gone.removed_resources), len(gone.resources)) == (["w"], 0)
    await client.answer(gone)
    own = rig.own("d/web")
    for late in (client, Client(rig.address, token)):
        await late.ask("Secret", "d/web", resource_names_subscribe=[own, "trust"])
        response = await late.next()
        assert (len(response.resources), sorted(response.removed_resources)) == (0, sorted([own, "trust"]))
        await late.close()
    fresh = Client(rig.address, rig.token("d/web"))
    await fresh.ask("Secret", "d/web", resource_names_subscribe=[own])
    chain = found(await fresh.next())[own].tls_certificate.certificate_chain.inline_bytes
    assert _uris(chain) == ["spiffe://example.org/ns/d/sa/admin"]
    await fresh.close()


@pytest.mark.thorough
async def test_stream_whose_token_has_ended_is_sent_away(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once when another token was issued, and after a while in any case: the next one may come with a new token."""
    monkeypatch.setattr(server, "ENDED_STREAM_S", 0.2)
    monkeypatch.setattr(server, "ANSWER_TIMEOUT_S", 0.4)
    tokens = rig.token("d/web"), rig.token("d/api")
    await rig.write(drop(names.ref("Workload", "d/web")))
    client = Client(rig.address, tokens[0])
    assert await client.code() == grpc.StatusCode.UNAUTHENTICATED
    await client.close()
    monkeypatch.setattr(server, "ENDED_STREAM_S", 60.0)
    await rig.write(put(*WEB, workload("d/api", "admin")))
    client = Client(rig.address, tokens[1])
    await client.ask("Cluster", "d/api")
    await client.answer(await client.next())
    rig.token("d/api")
    assert await client.code() == grpc.StatusCode.UNAUTHENTICATED
    await client.close()


async def test_streams_of_a_token_that_has_ended_take_no_place_of_others(rig: Rig) -> None:
    """However many there are, they are told so once, and the Envoy with the new token is served."""
    token = rig.token("d/web")
    await rig.write(drop(names.ref("Workload", "d/web")))
    await rig.write(put(*WEB))
    with structlog.testing.capture_logs() as logs:
        old = [Client(rig.address, token) for _ in range(server.STREAMS_PER_WORKLOAD)]
        for client in old:
            await client.ask("Cluster", "d/web")
            assert list((await client.next()).resources) == []
        beyond = Client(rig.address, token)
        assert await beyond.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        fresh = Client(rig.address, rig.token("d/web"))
        await fresh.ask("Cluster", "d/web")
        assert set(found(await fresh.next())) == {"w"}
    assert [each["event"] for each in logs].count("token_ended") == 1
    for client in (*old, beyond, fresh):
        await client.close()


@pytest.mark.thorough
async def test_word_of_a_stream_whose_token_has_ended_is_not_its_workloads(rig: Rig) -> None:
    """It is neither a connection nor an answer in the status."""
    token = rig.token("d/web")
    await rig.write(drop(names.ref("Workload", "d/web")))
    await rig.write(put(*WEB))
    client = Client(rig.address, token)
    await client.ask("Cluster", "d/web")
    await client.answer(await client.next(), "no")
    assert await client.silence()
    assert rig.sink.report()["d/web"]["connected_since"] is None
    await client.close()


def _uris(chain: bytes) -> list[str]:
    certificate = x509.load_pem_x509_certificate(chain)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [name.value for name in names]
