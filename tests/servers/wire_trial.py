"""A folder of SMI that changes under a hub and real Envoys: who is served on new connections and on kept ones.

What is open has a life: that of its caller's account, of its receiver's account, and of the receiver's port with its
protocol. The bounds of docs/vm.md: a request over HTTP is judged anew once its Envoy has accepted what was written, a new
connection at once, whatever lasts (raw bytes, a WebSocket) is cut about a second later, and so is all that was opened
in another life, permitted or not. For an Envoy that is away from the hub, nothing begins until it is there again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from hub.meshes import Mesh
from hub.model import Destination, Facts, Request, Source
from hub.testing.documents import Scope, compile_documents
from hub.testing.small_worlds import NAMESPACE, SERVED
from tests.servers.changing import Bound, Standing, Trial
from tests.servers.ground import CONFIG, Ground
from tests.servers.held import CALLERS, RECEIVERS
from tests.servers.judging import Happened, Judge
from tests.servers.kept import now
from tests.servers.links import GOLD, KINDS, Kind, Link, call
from tests.servers.live_mesh import free_octet
from tests.servers.many_apps import Apps
from tests.servers.raw_calls import Ask, Door
from tests.servers.sidecars import Sidecars

WORKLOADS = (*CALLERS, *RECEIVERS)
EACH = 4
"""Connections of each kind, caller and port, so that both workers of an Envoy have some."""
ASKED = 2
PROMPT_S, LATE_S = 2.0, 5.0
"""Some milliseconds, and about a second, on a machine that does other things too."""
SWEEP = 6
"""Calls at once: a pool has old connections and new ones, and whoever calls alone may meet a new one."""
_AGAIN_S = 0.1
_LOCAL = 9000
_TEXTS = (("GET", "/a", GOLD), ("POST", "/a", ()), ("GET", "/a", ()), ("GET", "/b", ()), ("DELETE", "/ab", ()))
_MESHES = "- {name: istio"


class Held(Struct, frozen=True):
    """What an Envoy has heard last: whose it is, and in which of their lives it knows all others."""

    spiffe: str
    lives: Mapping[tuple[str, ...], int]


class Fault(Struct, frozen=True):
    """Why something must not be; it may last for some seconds after Envoys have accepted what was written."""

    why: str
    lasts_s: float


Check = Callable[[], Awaitable[Fault | None]]
Text = tuple[str, str, tuple[tuple[str, str], ...]]


class Opened(Struct, eq=False):
    """A kept connection: of whom, at which port of the Service, by which identity, to which application, in which life."""

    link: Link
    caller: str
    port: int
    spiffe: str
    app: str
    life: tuple[int, ...]

    def __str__(self) -> str:
        return f"a kept {self.link.kind} connection of {self.caller} as {self.spiffe} to {self.app}"


@cache
def octet() -> int:
    """The second octet of the addresses of all towns of this process, one after the other."""
    return free_octet((*SERVED.values(), *(_LOCAL + port for port in SERVED)), len(WORKLOADS))


def one_mesh() -> str:
    """The configuration with the VM mesh alone."""
    return "\n".join(line for line in CONFIG.splitlines() if not line.startswith(_MESHES)) + "\n"


class Known:
    """What stands, and in which of its lives."""

    def __init__(self) -> None:
        self.stands: Standing | None = None
        self.lives: Counter[tuple[str, ...]] = Counter()
        self._seen: dict[tuple[str, ...], str] = {}
        self._raw: frozenset[str] = frozenset()
        self.held: dict[str, Held] = {}
        self._before: dict[str, Held] = {}

    def see(self, stands: Standing) -> None:
        """Begin a new life of whatever differs from when it was looked at last."""
        self.stands, found = stands, dict(_facts(stands))
        for key in found.keys() | self._seen.keys():
            self.lives[key] += found.get(key) != self._seen.get(key)
        self._seen = found
        self._raw = frozenset(one.ref.name for one in stands.objects if one.ref.kind == "TypedExtensionConfig")

    def hear(self, workloads: Iterable[str]) -> None:
        """The Envoys of these have heard what stands."""
        assert self.stands is not None
        self._before = dict(self.held)
        spiffe, lives = self.stands.spiffe, Counter(self.lives)
        self.held |= {name: Held(spiffe.get(name, ""), lives) for name in workloads}

    def life(self, caller: str, app: str) -> tuple[int, ...]:
        """The lives on which a connection hangs, by what the Envoys at its ends have heard."""
        return _life(self.held, caller, app)

    def lives_on(self, caller: str, app: str) -> bool:
        """Whether they heard of nothing but policies last."""
        ends = {caller, app.rpartition(":")[0]}
        return ends <= self._before.keys() and _life(self._before, caller, app) == self.life(caller, app)

    def raw(self, app: str) -> bool:
        """Whether a port takes raw bytes, which are judged once."""
        receiver, _, port = app.rpartition(":")
        stem = self._seen.get(("port", receiver, port), "")
        return f"rbac{stem.removeprefix('in')}" in self._raw


def _life(held: Mapping[str, Held], caller: str, app: str) -> tuple[int, ...]:
    receiver, _, port = app.rpartition(":")
    far = held[receiver].lives
    return held[caller].lives["who", caller], far["who", receiver], far["port", receiver, port]


def _facts(stands: Standing) -> Iterator[tuple[tuple[str, ...], str]]:
    for card in stands.cards:
        yield ("who", card["workload"]), card["spiffe"]
        for stem in (one.rpartition("@")[0] for one in card["listeners"] if one.startswith("in/")):
            yield ("port", card["workload"], stem.split("/")[3]), stem


class WireTrial(Trial):
    """The folder, the hubs that work on it, the town's Envoys and applications, and what is kept open."""

    def __init__(self, root: Path) -> None:
        super().__init__(Ground(root, one_mesh()))
        self.sidecars = Sidecars(root, WORKLOADS)
        self.apps = Apps()
        self.opened: list[Opened] = []
        self.known = Known()
        self._may: list[Bound] = []
        self._followed = False

    # -- hubs and Envoys

    async def furnish(self) -> None:
        """Start every application, and an Envoy for every workload, all of which stand."""
        for index, name in enumerate(WORKLOADS):
            for port in SERVED.values():
                await self.apps.start(f"{name}:{port}", (f"127.{octet()}.1.{index + 1}", port))
        hub = self._open()
        try:
            for name in WORKLOADS:
                self.sidecars.enrol(hub.meshes[0].sink, name)
            self.sidecars.find_hub()
            for name in WORKLOADS:
                await self.sidecars.start(name)
        finally:
            await hub.close()

    async def reboot(self, workload: str) -> None:
        """End a workload's Envoy, and start another one."""
        await self.sidecars.start(workload)

    async def clear(self) -> None:
        """End every Envoy and application, and what is open."""
        for one in self.opened:
            one.link.end()
        await self.sidecars.stop()
        await self.apps.stop()

    async def apply(self) -> list[str]:
        """As `smihub apply`, beside the running hub or alone."""
        self._followed = False
        return await super().apply()

    async def follow(self) -> list[str]:
        """As `smihub run`."""
        refused = await super().follow()
        self._followed = not refused
        return refused

    async def _begun(self) -> None:
        assert self._loop is not None
        await self._loop._start()

    # -- what is asked

    async def asked(self, rng: Random, refused: Sequence[str]) -> str:
        """Why somebody must not be served, or not be refused, now that this was applied; "" if all is well."""
        await self._look(refused)
        if not self.runs:
            return ""
        assert self._running is not None
        await self.sidecars.heard(self._running.meshes[0].sink)
        self.known.hear(set(WORKLOADS) - self.sidecars.away)
        since = now()
        calls = (_in_time(check, since, SWEEP) for check in self._new(rng))
        found = await asyncio.gather(*calls, *(_in_time(check, since) for check in self._used(rng)))
        why = next((fault.why for fault in found if fault is not None), "")
        if not why:
            await self._open_more()
        return why

    async def _look(self, refused: Sequence[str]) -> None:
        """Take notice of what stands, and give those a token who have none."""
        hub = self._open()
        try:
            mesh = hub.meshes[0]
            stands = Standing(mesh, await mesh.sink.observe())
            self._bound(mesh, stands, refused)
            self.known.see(stands)
            self.sidecars.renew(mesh.sink)
        finally:
            await hub.close()

    def _bound(self, mesh: Mesh, stands: Standing, refused: Sequence[str]) -> None:
        """What was refused as a whole may have been written in part: then what might stand before may, too."""
        facts: Facts = compile_documents(self.ground.meant()[0], Scope()).facts
        before, old = self._standing.get(mesh.name), self._bounds.get(mesh.name)
        self._standing[mesh.name] = stands
        made = self._bounding(mesh, (before, stands), facts)
        self._may = [made]
        if refused and old is not None:
            self.tally["refused plans"] += 1
            self._may, self._bounds[mesh.name] = [made, old], old

    def may(self, request: Request) -> bool:
        """Whether this may be served, as far as the folder says, or said."""
        return any(bound.of(request) for bound in self._may)

    def _spiffe(self, caller: str) -> str:
        """By whose certificate its Envoy calls; nobody's where it has none."""
        return self.known.held[caller].spiffe

    def door(self, caller: str, port: int) -> Door:
        """Where a caller's program finds a port of the Service."""
        return Door(f"127.{octet()}.2.{WORKLOADS.index(caller) + 1}", _LOCAL + port)

    def _new(self, rng: Random) -> Iterator[Check]:
        """Calls on new connections."""
        judge = self._judge()
        for caller in CALLERS:
            for port in SERVED:
                raw = Request(Source(pod=caller), Destination(service=f"{NAMESPACE}/api"), port, "tcp")
                texts = (_TEXTS[0], *rng.sample(_TEXTS[1:], ASKED))
                for request in (raw, *(_http(raw, *text) for text in texts)):
                    yield partial(self._call, request, judge)

    def _judge(self) -> Judge | None:
        """SMI's reading of the folder, where nothing else can count and all was carried out."""
        sound = self._followed and not (self.ground.unread or self.ground.broken or self.sidecars.away)
        return Judge(self.ground.root / "manifests") if sound else None

    async def _call(self, request: Request, judge: Judge | None) -> Fault | None:
        caller = str(request.src.pod)
        outcome = await call(self.door(caller, request.port), request)
        self.tally[f"new {request.protocol} {'served' if outcome.app else 'denied'}"] += 1
        wrong = self._wrong(caller, outcome.app, request) if outcome.app else None
        if wrong is not None or judge is None or not self._spiffe(caller):
            return wrong
        why = judge.fault(request, Happened(outcome))
        self.tally["allowed"] += judge.permits(request)
        return Fault(f"{request}: {why}", LATE_S) if why else None

    def _wrong(self, caller: str, app: str, request: Request, *, kept: bool = False) -> Fault | None:
        """Why a request must not have been served just now; whether it was on a connection that was kept."""
        receiver, _, port = app.rpartition(":")
        spiffe = self._spiffe(caller)
        real = replace(request, src=Source(spiffe=spiffe), dst=Destination(pod=receiver), port=int(port))
        if receiver in self.sidecars.away or (spiffe and self.may(real)):
            return None
        prompt = self.known.lives_on(caller, app) and not (kept and self.known.raw(app))
        why = f"{app} served {caller} as {spiffe or 'nobody'}, on a {'kept' if kept else 'new'} connection: {request}"
        return Fault(why, PROMPT_S if prompt else LATE_S)

    # -- what is kept open

    def _used(self, rng: Random) -> Iterator[Check]:
        """Every connection that is kept."""
        for one in self.opened:
            if one.link.kind == "http":
                yield partial(self._next, one, rng.choice(_TEXTS))
            else:
                yield partial(self._lasting, one)

    async def _next(self, one: Opened, text: Text) -> Fault | None:
        """The next request on a kept connection."""
        if one.link.ended():
            return None
        app = (await one.link.ask(Ask(*text))).app
        self.tally[f"kept http {'served' if app else 'cut' if one.link.ended() else 'denied'}"] += 1
        raw = Request(Source(pod=one.caller), Destination(), one.port, "tcp")
        return self._wrong(one.caller, app, _http(raw, *text), kept=True) if app else None

    async def _lasting(self, one: Opened) -> Fault | None:
        """Raw bytes and WebSockets: cut where they are not allowed any more, or of another life."""
        if one.link.ended():
            return None
        receiver, _, port = one.app.rpartition(":")
        raw = Request(Source(spiffe=one.spiffe), Destination(pod=receiver), int(port), "tcp")
        allowed = receiver in self.sidecars.away or self.may(raw if one.link.kind == "raw" else _http(raw, *_TEXTS[0]))
        same = self.known.life(one.caller, one.app) == one.life
        served = await one.link.use()
        self.tally[f"kept {one.link.kind} {'served' if served else 'cut'}"] += 1
        if not served or (allowed and same):
            return None
        return Fault(f"{one} is open, " + ("and must not be" if same else "and is of another life"), LATE_S)

    async def _open_more(self) -> None:
        """Keep as many connections of each kind open as are wanted."""
        self.opened = [one for one in self.opened if not one.link.ended()]
        wanted = list(self._wanted())
        links = await asyncio.gather(*(Link.open(kind, self.door(caller, port)) for caller, port, kind in wanted))
        for (caller, port, _), link in zip(wanted, links, strict=True):
            if link is not None:
                life = self.known.life(caller, link.app)
                self.opened.append(Opened(link, caller, port, self._spiffe(caller), link.app, life))
        self.tally["opened"] += sum(link is not None for link in links)

    def _wanted(self) -> Iterator[tuple[str, int, Kind]]:
        """What is to be opened, by those who stand."""
        have = Counter((one.caller, one.port, one.link.kind) for one in self.opened)
        for caller, port, kind in product(filter(self._spiffe, CALLERS), SERVED, KINDS):
            yield from [(caller, port, kind)] * (EACH - have[caller, port, kind])


async def _in_time(check: Check, since: float, width: int = 1) -> Fault | None:
    """Ask until all is well, or has not been for too long; what was not well is asked so many times at once from then on."""
    fault = await check()
    while fault is not None and now() < since + fault.lasts_s:
        await asyncio.sleep(_AGAIN_S)
        fault = next(filter(None, await asyncio.gather(*(check() for _ in range(width)))), None)
    return fault


def _http(raw: Request, method: str, path: str, headers: tuple[tuple[str, str], ...]) -> Request:
    return replace(raw, protocol="http", method=method, path=path, headers=headers)
