"""The sink `xds`: revisions, endpoints, certificates and status, served live and after a restart."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography import x509

from adapters.vm import names, wire
from adapters.vm.serve.seal import Sealer
from adapters.vm.serve.sink import XdsSink
from adapters.vm.state import marks
from adapters.vm.state.revisions import State
from hub.api import NativeObject, StaleError, TransientError, UnsafeResourceError
from tests.adapters.vm.one_caller import OUT, WEB, addresses, at, endpoints_of, facts
from tests.servers.xds import TD, Client, Rig, anything_goes, drop, found, native, put, serving, stump, workload


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A serving sink with one caller of one service."""
    async with serving(tmp_path, *WEB) as made:
        yield made


async def test_restart_serves_the_same_before_any_source_is_read(rig: Rig, tmp_path: Path) -> None:
    """The last revision with the last endpoints, signed by the same authority."""
    await rig.sink.publish(facts(at("10.0.0.1")))
    root = rig.sink._load_fleet()._authority.bundle
    await rig.sink.close()
    again = Rig(tmp_path)
    await again.sink.start()
    assert addresses(await endpoints_of(again)) == [("10.0.0.1", 0)]
    assert again.sink._load_fleet()._authority.bundle == root
    await again.sink.close()


async def test_revision_of_another_process_is_served(rig: Rig) -> None:
    """`apply` beside a serving hub: another handle on the file writes, the stream gets it."""
    client = Client(rig.address, rig.token("d/web"))
    await client.ask("Cluster", "d/web")
    await client.answer(await client.next())
    beside = XdsSink(State(rig.path, "vm"), rig.context, rig.config, anything_goes)
    changes = put(
        workload("d/web", "web", names.ref("Cluster", OUT), names.ref("Cluster", "new")), stump("Cluster", "new")
    )
    await beside.write_all(changes, {}, (await beside.observe()).token)
    assert set(found(await client.next())) == {"new"}
    await beside.close()
    await client.close()


async def test_stale_write_is_refused(rig: Rig) -> None:
    """A plan against an older revision writes nothing."""
    with pytest.raises(StaleError):
        await rig.sink.write_all(put(stump("Cluster", "x")), {}, "")
    assert names.ref("Cluster", "x") not in (await rig.sink.observe()).objects


async def test_a_slow_disk_holds_up_nobody_but_who_writes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A revision is served at once; it counts as written when it survives a loss of power."""
    synced = threading.Event()
    sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (synced.wait(20), sync(file)))
    client = Client(rig.address, rig.token("d/web"))
    await client.ask("Cluster", "d/web")
    await client.answer(await client.next())
    changes = put(
        workload("d/web", "web", names.ref("Cluster", OUT), names.ref("Cluster", "new")), stump("Cluster", "new")
    )
    writing = asyncio.create_task(rig.sink.write_all(changes, {}, (await rig.sink.observe()).token))
    assert set(found(await client.next())) == {"new"}
    assert not writing.done()
    synced.set()
    assert await writing == (await rig.sink.observe()).token
    await client.close()


async def test_what_may_be_lost_does_not_count_as_written(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails is told, and what stands is not read before it could be synced."""

    def failing(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = (await rig.sink.observe()).token
    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", failing)
        with pytest.raises(TransientError, match=r"cannot be synced: Input/output error"):
            await rig.sink.write_all(put(stump("Cluster", "x")), {}, before)
        with pytest.raises(TransientError, match="cannot be synced"):
            await rig.sink.observe()
    assert names.ref("Cluster", "x") in (await rig.sink.observe()).objects


_BAD = "not-safe"
"""No certificate, written in base64, ever has a hyphen in its text."""


def _no_bad(kind: str, body: bytes) -> None:
    if _BAD.encode() in body:
        raise UnsafeResourceError(f'{kind} "{_BAD}" is unsafe')


async def test_unsafe_object_is_not_written(tmp_path: Path) -> None:
    """The structural check comes before the first byte of the revision."""
    made = Rig(tmp_path)
    sink = XdsSink(State(tmp_path / "state.db", "vm"), made.context, made.config, _no_bad)
    with pytest.raises(UnsafeResourceError):
        await sink.write_all(put(stump("Cluster", "good"), stump("Cluster", _BAD)), {}, "")
    assert (await sink.observe()).token == ""
    await sink.close()


@pytest.mark.thorough
async def test_revision_with_an_unsafe_object_is_withheld_whole(tmp_path: Path) -> None:
    """Written by a process without our check, it is not served; the last one is, until a safe one comes."""
    rig = Rig(tmp_path)
    rig.sink = XdsSink(State(rig.path, "vm"), rig.context, rig.config, _no_bad, rig.clock)
    await rig.write(
        put(workload("d/web", "web", names.ref("Cluster", "a"), names.ref("Cluster", _BAD)), stump("Cluster", "a"))
    )
    await rig.sink.start()
    token = rig.state.apply(put(stump("Cluster", "a", note="2"), stump("Cluster", _BAD)), {}, rig.state.head()[1])
    await until(lambda: "unsafe" in rig.sink._withheld)
    snapshot = rig.sink.snapshot("d/web")
    assert snapshot is not None
    assert set(snapshot[wire.TYPE_URLS["Cluster"]]) == {"a"}
    rig.state.apply(drop(names.ref("Cluster", _BAD)), {}, token)
    await until(lambda: not rig.sink._withheld)
    await rig.sink.close()


async def test_own_write_after_a_revision_of_another_process_serves_both(tmp_path: Path) -> None:
    """What this hub has not noticed yet is read before its own write is served, and an unsafe object in it counts."""
    rig = Rig(tmp_path)
    rig.sink = XdsSink(State(rig.path, "vm"), rig.context, rig.config, _no_bad, rig.clock)
    clusters = [names.ref("Cluster", name) for name in ("a", "b", _BAD)]
    await rig.write(put(workload("d/web", "web", *clusters), stump("Cluster", "a")))
    await rig.sink.start()
    token = rig.state.apply(put(stump("Cluster", "b")), {}, rig.state.head()[1])
    token = await rig.sink.write_all(put(stump("Cluster", "a", note="2")), {}, token)
    assert _served(rig) == {"a", "b"}
    token = rig.state.apply(put(stump("Cluster", _BAD)), {}, token)
    await rig.sink.write_all(drop(names.ref("Cluster", "b")), {}, token)
    assert "unsafe" in rig.sink._withheld
    assert _served(rig) == {"a", "b"}
    await rig.sink.close()


async def until(true: Callable[[], bool]) -> None:
    """Wait for what the sink notices by itself."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - it looks now and then
            await asyncio.sleep(0.02)


def _served(rig: Rig) -> set[str]:
    snapshot = rig.sink.snapshot("d/web")
    assert snapshot is not None
    return set(snapshot[wire.TYPE_URLS["Cluster"]])


@pytest.mark.thorough
@pytest.mark.parametrize(
    "item",
    [
        native("Workload", "d/web", b"not json"),
        native("Workload", "d/web", b'{"workload": "d/other", "spiffe": "spiffe://example.org/ns/d/sa/web"}'),
        native("Workload", "d/web", b'{"workload": "d/web", "spiffe": "web"}'),
        native("Cluster", "c", b"\xff\xff"),
    ],
)
async def test_object_that_cannot_be_read_withholds_its_revision(rig: Rig, item: NativeObject) -> None:
    """A damaged revision is withheld as a whole, and the one before is served."""
    before = rig.sink.snapshot("d/web")
    rig.state.apply(put(item), {}, rig.state.head()[1])
    await until(lambda: bool(rig.sink._withheld))
    assert rig.sink.snapshot("d/web") == before


async def test_certificate_is_renewed_in_time(rig: Rig) -> None:
    """At 50 to 70 % of its life a new certificate is pushed, of the same identity and authority."""
    client, own = Client(rig.address, rig.token("d/web")), rig.own("d/web")
    await client.ask("Secret", "d/web", resource_names_subscribe=[own, "trust"])
    first = await client.next()
    await client.answer(first)
    due = rig.sink._load_fleet()._next_renewal
    assert due is not None
    assert rig.clock.now + dt.timedelta(hours=12) <= due <= rig.clock.now + dt.timedelta(hours=16.8)
    rig.clock.now = due
    second = await client.next()
    assert set(found(second)) == {own}
    chains = [found(item)[own].tls_certificate.certificate_chain.inline_bytes for item in (first, second)]
    assert chains[0] != chains[1]
    assert x509.load_pem_x509_certificate(chains[1]).not_valid_after_utc == (due + dt.timedelta(hours=24)).replace(
        microsecond=0
    )
    await client.close()


async def test_certificate_follows_the_account(rig: Rig) -> None:
    """A Workload that moves to another service account gets that one's certificate with a new token, under a new name."""
    before = rig.own("d/web")
    await rig.write(put(workload("d/web", "moved", names.ref("Cluster", OUT))))
    after = rig.own("d/web")
    assert after != before
    client = Client(rig.address, rig.token("d/web"))
    await client.ask("Secret", "d/web", resource_names_subscribe=[before, after])
    response = await client.next()
    assert (set(found(response)), list(response.removed_resources)) == ({after}, [before])
    assert _uris(found(response)[after].tls_certificate.certificate_chain.inline_bytes) == [
        f"spiffe://{TD}/ns/d/sa/moved"
    ]
    await client.close()


def _uris(chain: bytes) -> list[str]:
    extensions = x509.load_pem_x509_certificate(chain).extensions
    return [name.value for name in extensions.get_extension_for_class(x509.SubjectAlternativeName).value]


async def test_workload_without_a_token_that_holds_is_told(rig: Rig) -> None:
    """Never issued, issued, ended with the Workload, issued anew."""
    seen = [rig.sink.report()["d/web"]["enrolled"]]
    rig.token("d/web")
    seen.append(rig.sink.report()["d/web"]["enrolled"])
    await rig.write(drop(names.ref("Workload", "d/web")))
    await rig.write(put(*WEB))
    seen.append(rig.sink.report()["d/web"]["enrolled"])
    assert not rig.sink.report()["d/web"]["programmed"]
    rig.token("d/web")
    assert [*seen, rig.sink.report()["d/web"]["enrolled"]] == [False, True, False, True]


async def test_names_that_connections_hang_on_when_something_comes_back(tmp_path: Path) -> None:
    """A listener of one Workload: the chain's name stays through other changes and never comes back after a pause."""
    rig = Rig(tmp_path)
    chain = wire.FilterChain(name="g0")
    body = wire.pack(wire.Listener(name="l", filter_chains=[chain]))
    listener, api = native("Listener", "l", body), workload("d/api", "api", names.ref("Listener", "l"))

    def named() -> str:
        snapshot = rig.sink.snapshot("d/api")
        assert snapshot is not None
        return snapshot[wire.TYPE_URLS["Listener"]]["l"].chain

    await rig.write(put(listener, api))
    await rig.sink.start()
    seen = [named()]
    await rig.write(
        put(native("Listener", "l", wire.pack(wire.Listener(name="l", stat_prefix="x", filter_chains=[chain]))))
    )
    assert named() == seen[0]
    for pause in (drop(listener.ref), drop(api.ref), put(workload("d/api", "other", names.ref("Listener", "l")))):
        await rig.write(pause)
        await rig.write(put(listener, api))
        seen.append(named())
    assert len(set(seen)) == 4
    await rig.sink.close()


@pytest.mark.thorough
async def test_status_says_what_was_accepted(rig: Rig) -> None:
    """Programmed once everything of the newest revision is accepted, not while that one is withheld; others can read it."""
    client = Client(rig.address, rig.token("d/web"))
    await client.ask("Cluster", "d/web")
    first = await client.next()
    assert rig.sink.status()["d/web"].pending == {"Cluster": (OUT,)}
    await client.answer(first)
    await client.ask("Listener")
    listeners = await client.next()
    assert not rig.sink.status()["d/web"].programmed
    await client.answer(listeners)
    async with asyncio.timeout(5):
        while not rig.sink.status()["d/web"].programmed:  # noqa: ASYNC110 - the client's answer is on its way
            await asyncio.sleep(0.02)
    reader = XdsSink(State(rig.path, "vm"), rig.context, rig.config, anything_goes)
    async with asyncio.timeout(5):
        while not [item for item in reader.status().values() if item.programmed]:  # noqa: ASYNC110 - written soon
            await asyncio.sleep(0.02)
    assert reader.status()["d/web"].connected_since == rig.clock.now
    assert rig.sink.report()["d/web"]["programmed"]
    assert reader.report()["d/web"]["programmed"]
    rig.state.apply(put(native("Cluster", "broken", b"\xff\xff")), {}, rig.state.head()[1])
    await until(lambda: bool(rig.sink._withheld))
    assert not rig.sink.report()["d/web"]["programmed"]
    assert not reader.report()["d/web"]["programmed"]
    await client.close()
    await reader.close()


def test_order_of_map_fields_does_not_change_versions() -> None:
    """Maps may come in any order; what is hashed and sent has one."""
    parts = [
        wire.RouteConfiguration(typed_per_filter_config={key: wire.Any(type_url=key)}).SerializeToString()
        for key in ("a", "b", "c")
    ]
    route = names.ref("RouteConfiguration", "r")
    sealer = Sealer(b"PEM", anything_goes)
    assert sealer.seal(route, b"".join(parts)) == sealer.seal(route, b"".join(reversed(parts)))
    assert sealer.seal(route, b"".join(parts)) != sealer.seal(route, b"".join(parts[:2]))


def test_listener_without_its_chain_names_has_one_stem() -> None:
    """Two generations differ in version and chain and agree in the rest."""
    sealer = Sealer(b"PEM", anything_goes)

    def sealed(chain: str, prefix: str) -> tuple[str, str, str]:
        body = wire.pack(wire.Listener(name="l", stat_prefix=prefix, filter_chains=[wire.FilterChain(name=chain)]))
        made = sealer.seal(names.ref("Listener", "l"), body)
        return made.version, made.stem, made.chain

    old, new, other = sealed("g0", "a"), sealed("g1", "a"), sealed("g0", "b")
    assert (old[1], new[2]) == (new[1], f"g1/{marks.PENDING}")
    assert old[0] != new[0]
    assert old[1] != other[1]
