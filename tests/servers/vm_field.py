"""Standing Envoys and applications that obey one random world after another, and the calls that are made to them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from adapters.vm import names
from hub.model import Source
from hub.requests import to_json
from hub.testing.grammar import Count, WorldFeatures
from tests.servers.judging import Happened, Judge
from tests.servers.live_mesh import LiveMesh, free_octet
from tests.servers.many_apps import Apps
from tests.servers.raw_calls import Ask, Door, http1, http2, tcp
from tests.servers.vm_calls import Call, Maker, Meant, in_both_versions, spiffe_of
from tests.servers.vm_grants import SERVER_PORTS
from tests.servers.vm_worlds import FIRST_LOCAL, SERVERS, WORKLOADS, Plant, plant

LANES = 16
_DRAWN = 4
SHARES = 120


class Fault(Struct, frozen=True):
    """A call that ended as it must not."""

    call: Call
    why: str

    def __str__(self) -> str:
        return f"{self.why}: {self.call.way} {'h2 ' if self.call.http2 else ''}{to_json(self.call.request)}"


class Dice(Struct, frozen=True):
    """Where random worlds and their calls come from; `both` = every call over both versions of HTTP."""

    seed: str
    calls: int
    both: bool = False

    def world(self, number: int, wanted: AbstractSet[str] = frozenset()) -> Plant:
        """One world of them; of some, the one that has most of the wanted features. In the first, all Workloads are there."""
        seeds = [f"{self.seed}/{number}/{one}" for one in range(_DRAWN if wanted else 1)]
        drawn = [plant(Random(seed), doubts=number > 0) for seed in seeds]
        return max(drawn, key=lambda world: len(wanted & WorldFeatures(world.values).every()))

    def meant(self, number: int, world: Plant, judge: Judge) -> tuple[Meant, ...]:
        """The calls of that world."""
        maker = Maker(Random(f"{self.seed}/calls/{number}"), world, judge.smi, judge.permits)
        made = maker.calls(self.calls)
        return tuple(each for one in made for each in in_both_versions(one)) if self.both else made


class Trial(Struct, frozen=True):
    """A world, SMI's reading of it, and the calls that will be made."""

    world: Plant
    judge: Judge
    meant: tuple[Meant, ...]

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls alone."""
        return tuple(one.call for one in self.meant)

    def by_name(self, call: Call) -> Call:
        """The same call by whom the certificate names: a Workload may be somebody else in the next world."""
        return replace(call, request=replace(call.request, src=Source(spiffe=spiffe_of(self.world, call.request.src))))


class Field:
    """The standing Envoys and applications, the folder, and a count of what was called."""

    def __init__(self, mesh: LiveMesh, apps: Apps, octet: int) -> None:
        self.mesh = mesh
        self.apps = apps
        self.octet = octet
        self.tally: Counter[str] = Counter()
        self.met = Count()
        self._numbers = count()

    async def bring(self) -> None:
        """Apply what is written; returns when every Envoy has accepted it."""
        await self.mesh.apply(("broken-object",))  # a world is judged by itself, not by what stood before
        await self.mesh.renew()
        self.apps.greets = await self._raw_places()
        await self.mesh.settled()

    def write(self, dice: Dice, number: int) -> Trial:
        """Write a random world into the folder."""
        world = dice.world(number, self.met.lagging())
        self.mesh.replace(world.texts(self.octet))
        judge = Judge(self.mesh.folder)
        return Trial(world, judge, dice.meant(number, world, judge))

    async def cross(self, old: Trial, new: Trial) -> list[Fault]:
        """Bring what is written into force while calls of both worlds are made: each may do what one of them allows."""
        moving = asyncio.create_task(self.bring())
        probes = [(one.world, call) for one in (old, new) for call in map(one.by_name, one.calls) if call.probes]
        faults: list[Fault] = []
        while not moving.done() and probes:
            world, call = probes[self.tally["in between"] % len(probes)]
            happened = await self.make(world, call)
            self.tally["in between"] += 1
            self.tally["passed in between"] += bool(happened.app)
            if happened.app and not any(one.judge.allows(call.request, happened) for one in (old, new)):
                faults.append(Fault(call, f"wider in between: {happened}"))
        await moving
        return faults

    async def _raw_places(self) -> set[tuple[str, int]]:
        """The applications behind raw TCP listeners: these speak first."""
        objects = (await self.mesh.mesh.observed()).whole().objects
        found: set[tuple[str, int]] = set()
        for ref, observed in objects.items():
            for need in observed.needs if ref.kind == "Workload" and ref.name in SERVERS else ():
                parts = need.name.partition("@")[0].split("/")
                if parts[0] != "in" or need.kind != "Listener":
                    continue
                owner = (parts[1], parts[2], int(parts[3]), parts[4])
                if names.ref("TypedExtensionConfig", names.rbac(*owner)) in objects:
                    found.add((f"127.{self.octet}.1.{SERVERS.index(ref.name) + 1}", owner[2]))
        return found

    async def make(self, world: Plant, call: Call) -> Happened:
        """Make one call over the wire."""
        rid = f"r{next(self._numbers)}"
        request = call.request
        door = self._door(world, call)
        if request.protocol == "tcp":
            return Happened(await tcp(door))
        ask = Ask(request.method, request.path, (*request.headers, ("x-rid", rid)))
        outcome = await (http2 if call.http2 else http1)(door, ask)
        return Happened(outcome, self.apps.seen.pop(rid, None))

    def _door(self, world: Plant, call: Call) -> Door:
        request, certificates = call.request, self.mesh.certificates
        if call.way == "sidecar":
            place = world.upstream(str(request.src.pod), str(request.dst.service), request.port)
            assert place is not None
            return Door(place[0].replace("127.0.", f"127.{self.octet}."), place[1])
        address = f"127.{self.octet}.0.{SERVERS.index(str(request.dst.pod)) + 1}"
        if call.way == "plaintext":
            return Door(address, request.port)
        if call.way == "none":
            return Door(address, request.port, certificates.none(http2=call.http2))
        spiffe = spiffe_of(world, request.src) or "spiffe://cluster.local/ns/d/sa/web"
        foreign = call.way == "foreign"
        return Door(address, request.port, certificates.of(spiffe, foreign=foreign, http2=call.http2))

    async def trial(self, trial: Trial) -> list[Fault]:
        """Make all calls, some at a time, and hold each against SMI."""
        faults: list[Fault] = []
        served: Counter[str] = Counter()
        self.apps.raw.clear()
        met = WorldFeatures(trial.world.values)
        for one in trial.meant:
            self.met.add(met, one.asked)
        queue = list(trial.calls)

        async def lane() -> None:
            while queue:
                call = queue.pop()
                happened = await self.make(trial.world, call)
                served[happened.app] += 1
                self._count(call, happened)
                why = trial.judge.fault(call.request, happened)
                if why:
                    faults.append(Fault(call, why))

        await asyncio.gather(*(lane() for _ in range(LANES)))
        greeted = {app: number for app, number in self.apps.raw.items() if number > served[app]}
        if greeted:
            faults.append(Fault(trial.calls[0], f"connections that nobody may make reached {greeted}, served {served}"))
        return faults

    async def divide(self, trial: Trial) -> list[Fault]:
        """Make one call of each split many times: every backend with a good share must answer now and then."""
        faults: list[Fault] = []
        split = [one for one in trial.calls if not one.direct and len(trial.judge.shares(one.request)) > 1]
        chosen = {one.request.dst: one for one in split if trial.judge.permits(one.request)}
        for call in chosen.values():
            shares = trial.judge.shares(call.request)
            reached = {(await self.make(trial.world, call)).app for _ in range(SHARES)}
            self.tally["splits"] += 1
            faults += [
                Fault(call, f"nobody of {apps} answered, only {reached}") for apps in shares if not apps & reached
            ]
        return faults

    def made(self, *protocols: str) -> int:
        """How many calls were made, over these protocols (`http`, `http2`, `tcp`) or over any."""
        counted = (key.split() for key in self.tally if key.endswith((" served", " refused")))
        return sum(self.tally[" ".join(key)] for key in counted if not protocols or key[1] in protocols)

    def told(self) -> str:
        """What was called, in one line."""
        return f"{self.made()} calls: {dict(sorted(self.tally.items()))}"

    def _count(self, call: Call, happened: Happened) -> None:
        kind = f"{call.way} {'http2' if call.http2 else call.request.protocol}"
        self.tally[f"{kind} {'served' if happened.app else 'refused'}"] += 1


@asynccontextmanager
async def standing(folder: Path, first: Plant) -> AsyncIterator[Field]:
    """Applications, the hub and five Envoys; every second one speaks the state-of-the-world variant."""
    local = range(FIRST_LOCAL, FIRST_LOCAL + 12)
    octet = free_octet((*SERVER_PORTS, *local), len(WORKLOADS))
    apps, mesh = Apps(), LiveMesh(folder)
    try:
        for index, name in enumerate(SERVERS):
            for port in SERVER_PORTS:
                await apps.start(f"{name}:{port}", (f"127.{octet}.1.{index + 1}", port))
        mesh.replace(first.texts(octet))
        await mesh.apply()
        await mesh.serve()
        for index, name in enumerate(WORKLOADS):
            await mesh.start(name, mesh.enrol(name, variant=("delta", "sotw")[index % 2]))
        for envoy in mesh.envoys.values():
            await envoy.ready()
        yield Field(mesh, apps, octet)
    finally:
        await mesh.stop()
        await apps.stop()
