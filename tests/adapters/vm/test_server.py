"""The ADS server over real gRPC, with a client that is not Envoy."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import structlog
import structlog.testing

from adapters.vm import names, wire
from adapters.vm.serve import server
from adapters.vm.serve.codec import REFUSAL_LENGTH
from adapters.vm.serve.server import RECEIVE_LIMIT_BYTES, AdsServer
from adapters.vm.serve.sockets import server_sockets
from hub.api import ConfigError
from tests.adapters.vm.two_workloads import API, METHODS, WEB, tokens_are_refused
from tests.servers.xds import Client, Clock, Rig, drop, found, put, serving, stump


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A serving sink with two workloads."""
    async with serving(tmp_path, *API, *WEB) as made:
        yield made


@pytest.mark.thorough
@pytest.mark.parametrize("method", METHODS)
async def test_workload_gets_its_closure_and_nothing_else(rig: Rig, method: str) -> None:
    """Listeners, routes and clusters that its Workload needs; not a neighbour's."""
    client = Client(rig.address, rig.token("d/api"), method)
    await client.ask("Cluster", "d/api")
    clusters = await client.next()
    assert set(found(clusters)) == {"c"}
    await client.answer(clusters)
    await client.ask("Listener")
    assert set(found(await client.next())) == {"l"}
    await client.close()


async def test_first_request_without_node_ends_the_stream(rig: Rig) -> None:
    """Even with a good token."""
    await tokens_are_refused(rig, rig.token("d/api"), "", grpc.StatusCode.INVALID_ARGUMENT)


async def test_bytes_that_are_no_request_end_the_stream(rig: Rig) -> None:
    """Garbage gives INVALID_ARGUMENT, not a stack trace."""
    client = Client(rig.address, rig.token("d/api"))
    await client.call.write(wire.StringMatcher(exact="\x7f" * 40))
    assert await client.code() == grpc.StatusCode.INVALID_ARGUMENT
    await client.close()


async def test_no_revision_is_unavailable(tmp_path: Path) -> None:
    """Before the first apply a sidecar must wait: an empty answer would delete everything it has."""
    made = Rig(tmp_path)
    await made.sink.start()
    token = made.token("d/api")
    await tokens_are_refused(made, token, "d/api", grpc.StatusCode.UNAVAILABLE)
    await made.write(put(*API))
    client = Client(made.address, made.token("d/api"))
    await client.ask("Cluster", "d/api")
    assert set(found(await client.next())) == {"c"}
    await client.close()
    await made.sink.close()


async def test_two_streams_of_one_workload_are_both_served(rig: Rig) -> None:
    """A sidecar that reconnects before its old stream is gone is served at once."""
    token = rig.token("d/api")
    clients = [Client(rig.address, token) for _ in range(2)]
    for client in clients:
        await client.ask("Cluster", "d/api")
        assert set(found(await client.next())) == {"c"}
    for client in clients:
        await client.close()


async def test_removed_workload_gets_the_empty_set(rig: Rig) -> None:
    """A sidecar whose Workload is gone must drop its listeners, and a reconnect finds nothing."""
    client = Client(rig.address, rig.token("d/web"))
    await client.ask("Cluster", "d/web")
    await client.answer(await client.next())
    await rig.write(drop(names.ref("Workload", "d/web")))
    assert list((await client.next()).removed_resources) == ["w"]
    await client.close()
    again = Client(rig.address, rig.token("d/web"))
    await again.ask("Cluster", "d/web", initial_resource_versions={"w": "1"})
    await again.answer(await again.next())
    await again.ask("Listener")
    assert [list((await again.next()).removed_resources) for _ in range(2)] == [["w"], []]
    await again.close()


@pytest.mark.thorough
async def test_nack_is_kept_and_not_resent(rig: Rig) -> None:
    """The refusal stands in the status until the resource changes; neighbours' changes do not resend it."""
    client = Client(rig.address, rig.token("d/api"))
    await client.ask("Cluster", "d/api")
    await client.answer(await client.next(), "bad cluster")
    assert await client.silence()
    refused = rig.sink.status()["d/api"].refused
    assert [(item.kind, item.name, item.detail) for item in refused] == [("Cluster", "c", "bad cluster")]
    await rig.write(put(stump("Cluster", "w", note="2")))
    await rig.write(put(stump("Cluster", "c", note="2")))
    await client.close()


@pytest.mark.thorough
async def test_long_reason_of_a_refusal_is_shortened(rig: Rig) -> None:
    """The client chooses the words, and they are stored and logged for each resource of the refused response."""
    client = Client(rig.address, rig.token("d/api"))
    await client.ask("Cluster", "d/api")
    await client.answer(await client.next(), "because " + "x" * 1_000_000)
    assert await client.silence()
    (refused,) = rig.sink.status()["d/api"].refused
    assert refused.detail.startswith("because x")
    assert len(refused.detail) == REFUSAL_LENGTH + len("...")
    await client.close()


async def test_versions_survive_a_restart_and_another_server(rig: Rig, tmp_path: Path) -> None:
    """A sidecar that reconnects to a restarted hub with its version map gets nothing anew."""
    client = Client(rig.address, rig.token("d/api"))
    await client.ask("Cluster", "d/api")
    versions = {item.name: item.version for item in (await client.next()).resources}
    await client.close()
    await rig.sink.close()
    again = Rig(tmp_path)
    await again.sink.start()
    client = Client(again.address, again.token("d/api"))
    await client.ask("Cluster", "d/api", initial_resource_versions=versions)
    response = await client.next()
    assert (list(response.resources), list(response.removed_resources)) == ([], [])
    await client.close()
    await again.sink.close()


@pytest.mark.thorough
async def test_newest_state_wins_while_an_answer_is_awaited(rig: Rig) -> None:
    """Several revisions during one outstanding response become one response."""
    client = Client(rig.address, rig.token("d/api"))
    await client.ask("Cluster", "d/api")
    first = await client.next()
    for note in ("2", "3", "4"):
        await rig.write(put(stump("Cluster", "c", note=note)))
    await client.answer(first)
    assert found(await client.next())["c"].alt_stat_name == "4"
    assert await client.silence()
    await client.close()


async def test_shutdown_is_unavailable_and_deletes_nothing(rig: Rig) -> None:
    """Clients see the stream end; no response tells them to drop anything."""
    client = Client(rig.address, rig.token("d/api"))
    await client.ask("Cluster", "d/api")
    await client.answer(await client.next())
    await rig.sink.close()
    assert await client.ending() == (0, grpc.StatusCode.UNAVAILABLE)
    await client.close()
    rig.sink = Rig(Path(rig.path).parent).sink


@pytest.mark.thorough
async def test_request_above_the_limit_is_refused(rig: Rig) -> None:
    """A request of more than 4 MiB ends its stream; the server goes on."""
    client = Client(rig.address, rig.token("d/api"))
    await client.ask("Cluster", "d/api", resource_names_subscribe=["x" * 1024] * (RECEIVE_LIMIT_BYTES // 1024))
    assert await client.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    await client.close()
    await test_workload_gets_its_closure_and_nothing_else(rig, METHODS[0])


async def test_cancelled_streams_free_everything(rig: Rig) -> None:
    """After streams were cut off in every state, tasks, sessions and keys are back where they were."""
    token = rig.token("d/api")
    await asyncio.sleep(0)
    before = len(asyncio.all_tasks())
    for number in range(24):
        client = Client(rig.address, token, METHODS[number % 2])
        await client.ask("Cluster", "d/api")
        if number % 3:
            await client.next()
        if number % 5:
            await client.call.done_writing()
        await client.close()
    serving = rig.sink._server
    assert serving is not None
    async with asyncio.timeout(5):
        while serving.sessions or len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 - gRPC tells of no end of a call
            await asyncio.sleep(0.02)
    assert rig.sink._load_fleet()._leaves == {}
    assert serving._sessions == {}


@pytest.mark.thorough
@pytest.mark.parametrize("method", METHODS)
async def test_client_that_never_answers_is_ended(rig: Rig, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A response that stays unanswered ends the stream; a silent client that owes nothing is left alone."""
    monkeypatch.setattr(server, "ANSWER_TIMEOUT_S", 0.4)
    idle, owing = (Client(rig.address, rig.token(name), method) for name in ("d/web", "d/api"))
    await idle.ask("Cluster", "d/web")
    await idle.answer(await idle.next())
    await owing.ask("Cluster", "d/api")
    await owing.next()
    assert await owing.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await rig.write(put(stump("Cluster", "w", note="2")))
    assert found(await idle.next())["w"].alt_stat_name == "2"
    for client in (idle, owing):
        await client.close()


@pytest.mark.thorough
async def test_client_that_does_not_read_is_ended(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into its connection is waited for only so long; a neighbour is served meanwhile."""
    monkeypatch.setattr(server, "ANSWER_TIMEOUT_S", 0.4)
    stuck = Client(rig.address, rig.token("d/api"), options=[("grpc.max_receive_message_length", -1)])
    web = Client(rig.address, rig.token("d/web"))
    await stuck.ask("Cluster", "d/api")
    await stuck.answer(await stuck.next())
    serving = rig.sink._server
    assert serving is not None
    with structlog.testing.capture_logs() as logs:
        async with asyncio.timeout(10):
            while any(session.stream.waits for session in serving.sessions):  # noqa: ASYNC110 - the answer is on its way
                await asyncio.sleep(0.01)
            await rig.write(put(stump("Cluster", "c", note="x" * 32_000_000)))
            await web.ask("Cluster", "d/web")
            await web.answer(await web.next())
            while not any("reason" in line for line in logs):  # noqa: ASYNC110 - gRPC tells of no end of a call
                await asyncio.sleep(0.02)
    assert [line["reason"] for line in logs if "reason" in line] == ["the client does not read responses"]
    assert await stuck.ending() == (1, grpc.StatusCode.DEADLINE_EXCEEDED)
    for client in (stuck, web):
        await client.close()


@pytest.mark.thorough
@pytest.mark.parametrize("method", METHODS)
async def test_client_hears_of_the_end_that_came_while_a_response_was_on_its_way(rig: Rig, method: str) -> None:
    """It goes on reading, takes the response and is told: nobody serves it any more, so it must come again."""
    await rig.write(put(stump("Cluster", "c", note="x" * 32_000_000)))
    late = Client(rig.address, rig.token("d/api"), method, options=[("grpc.max_receive_message_length", -1)])
    await late.ask("Cluster", "d/api")
    serving = rig.sink._server
    assert serving is not None
    async with asyncio.timeout(10):
        while not any(session.stream.waits for session in serving.sessions):  # noqa: ASYNC110 - it is being written
            await asyncio.sleep(0.01)
    rig.token("d/api")
    await asyncio.sleep(0.5)
    assert await late.ending() == (1, grpc.StatusCode.UNAUTHENTICATED)
    await late.close()
    assert not serving.sessions


@pytest.mark.thorough
async def test_stream_that_only_pings_stays_open(rig: Rig) -> None:
    """An Envoy pings every 30 seconds and may say nothing for days; cut off, it might not get in again."""
    pings = (("grpc.keepalive_time_ms", 1_200), ("grpc.http2.max_pings_without_data", 0))
    client = Client(rig.address, rig.token("d/api"), options=pings)
    await client.ask("Cluster", "d/api")
    await client.answer(await client.next())
    assert await client.silence(7)
    assert not client.call.done()
    await client.close()


async def test_many_streams_of_one_workload_are_refused(rig: Rig) -> None:
    """One token cannot take all of the hub's memory."""
    token = rig.token("d/api")
    clients: list[Client] = []
    for _ in range(8):
        clients.append(Client(rig.address, token))
        await clients[-1].ask("Cluster", "d/api")
        await clients[-1].next()
    clients.append(Client(rig.address, token))
    assert await clients[-1].code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    for client in clients:
        await client.close()


def test_socket_is_private(rig: Rig) -> None:
    """Only this user can connect."""
    assert stat.S_IMODE(Path(rig.address.removeprefix("unix:")).stat().st_mode) == 0o600


async def test_address_in_use_is_a_config_error(rig: Rig) -> None:
    """A second hub must not take the first one's socket."""
    with pytest.raises(ConfigError, match="is served by process"):
        await AdsServer(server_sockets(rig.config, rig.context), rig.sink, Clock()).start()
    client = Client(rig.address, rig.token("d/api"))
    await client.ask("Cluster", "d/api")
    assert set(found(await client.next())) == {"c"}
    await client.close()


async def test_socket_that_an_older_hub_serves_is_left_to_it(tmp_path: Path) -> None:
    """It knows no lock, but it answers."""
    made = Rig(tmp_path)
    with socket.socket(socket.AF_UNIX) as older:
        older.bind(made.address.removeprefix("unix:"))
        older.listen()
        with pytest.raises(ConfigError, match="another process"):
            await made.sink.start()
    await made.sink.close()


async def test_socket_that_a_killed_hub_left_is_taken_over(tmp_path: Path) -> None:
    """After SIGKILL the socket file is still there, and nobody answers on it."""
    made = Rig(tmp_path)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(made.address.removeprefix("unix:"))
    await made.write(put(*API))
    await made.sink.start()
    client = Client(made.address, made.token("d/api"))
    await client.ask("Cluster", "d/api")
    assert set(found(await client.next())) == {"c"}
    await client.close()
    await made.sink.close()
