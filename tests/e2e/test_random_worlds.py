"""Random worlds on real Envoys: never wider on the wire, and equal where the mesh reports no loss.

Five Workloads with one Envoy each stand the whole time; world after world is written into the folder, goes the whole
way (files, hub, plan, state file, xDS) and is called over the wire. A world that fails is written to `found/` beside
this file, and is run again for ever.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path
from random import Random

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from adapters.vm import names
from hub.model import Source
from hub.requests import to_json
from tests.servers.judging import Happened, Judge
from tests.servers.live_mesh import LiveMesh, free_octet
from tests.servers.many_apps import Apps
from tests.servers.raw_calls import Ask, Door, http1, http2, tcp
from tests.servers.vm_worlds import FIRST_LOCAL, PORTS, SERVERS, WORKLOADS, Call, Plant, calls, plant, spiffe_of

pytestmark = pytest.mark.envoy
FOUND = Path(__file__).parent / "found"
FIRST, WORLDS = 57, 14
"""Worlds of which some have splits that callers may follow; most random ones have none."""
CALLS = 160
LANES = 8
SHARES = 120


class Fault(Struct, frozen=True):
    """A call that ended as it must not."""

    call: Call
    why: str

    def __str__(self) -> str:
        return f"{self.why}: {self.call.way} {'h2 ' if self.call.http2 else ''}{to_json(self.call.request)}"


class Kept(Struct, frozen=True):
    """A case file: a world, the one that stood there before, and calls that failed."""

    before: Plant
    world: Plant
    calls: tuple[Call, ...]


class Trial(Struct, frozen=True):
    """A world, SMI's reading of it, and the calls that will be made."""

    world: Plant
    judge: Judge
    calls: tuple[Call, ...]

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
        self._numbers = count()

    async def bring(self) -> None:
        """Apply what is written; returns when every Envoy has accepted it."""
        await self.mesh.apply(("broken-object",))  # a world is judged by itself, not by what stood before
        await self.mesh.renew()
        self.apps.greets = await self._raw_places()
        await self.mesh.settled()

    def write(self, number: int) -> Trial:
        """Write a random world into the folder."""
        world = plant(Random(f"wire/{number}"))
        self.mesh.replace(world.texts(self.octet))
        judge = Judge(self.mesh.folder)
        return Trial(world, judge, calls(Random(f"calls/{number}"), world, CALLS, judge.permits))

    async def cross(self, old: Trial, number: int) -> tuple[Trial, list[Fault]]:
        """Bring another world into force while calls of both are made: each may do what one of the two allows."""
        new = self.write(number)
        moving = asyncio.create_task(self.bring())
        probes = [(one.world, call) for one in (old, new) for call in map(one.by_name, one.calls) if call.probes]
        faults: list[Fault] = []
        while not moving.done() and probes:
            world, call = probes[self.tally["in between"] % len(probes)]
            happened = await self.make(world, call)
            self.tally["in between"] += 1
            self.tally["in between, served"] += bool(happened.app)
            if happened.app and not any(one.judge.allows(call.request, happened) for one in (old, new)):
                faults.append(Fault(call, f"wider in between: {happened}"))
        await moving
        return new, faults

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
            return Door(address, request.port, certificates.none())
        spiffe = spiffe_of(world, request.src) or "spiffe://cluster.local/ns/d/sa/web"
        foreign = call.way == "foreign"
        return Door(address, request.port, certificates.of(spiffe, foreign=foreign, http2=call.http2))

    async def trial(self, trial: Trial) -> list[Fault]:
        """Make all calls, some at a time, and hold each against SMI."""
        faults: list[Fault] = []
        served: Counter[str] = Counter()
        self.apps.raw.clear()
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

    def _count(self, call: Call, happened: Happened) -> None:
        kind = f"{call.way} {'http2' if call.http2 else call.request.protocol}"
        self.tally[f"{kind} {'served' if happened.app else 'refused'}"] += 1


@asynccontextmanager
async def standing(folder: Path, first: Plant) -> AsyncIterator[Field]:
    """Applications, the hub and five Envoys; every second one speaks the state-of-the-world variant."""
    local = range(FIRST_LOCAL, FIRST_LOCAL + 12)
    octet = free_octet((*PORTS, *local), len(WORKLOADS))
    apps, mesh = Apps(), LiveMesh(folder)
    try:
        for index, name in enumerate(SERVERS):
            for port in PORTS:
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


def keep(case: Kept) -> Path:
    """Write a case file, in ASCII: bytes that are no text stand in requests as lone surrogates."""
    body = json.dumps(msgspec.to_builtins(case), indent=1).encode()
    FOUND.mkdir(exist_ok=True)
    path = FOUND / f"found-{sha256(body).hexdigest()[:32]}.json"
    path.write_bytes(body + b"\n")
    return path


def kept(path: Path) -> Kept:
    """Read a case file."""
    return msgspec.convert(json.loads(path.read_bytes()), Kept)


async def test_random_worlds_are_obeyed_on_the_wire(tmp_path: Path) -> None:
    """More than 2 000 requests in a row of worlds: none that SMI denies reaches an application, none is lost."""
    wrong: list[str] = []
    async with standing(tmp_path, plant(Random("wire/0"))) as field:
        trial = field.write(0)
        for number in range(FIRST, FIRST + WORLDS):
            before = trial.world
            trial, faults = await field.cross(trial, number)
            faults += await field.trial(trial)
            faults += await field.divide(trial)
            if faults:
                case = Kept(before, trial.world, tuple(fault.call for fault in faults))
                wrong += [f"world {number}, written to {keep(case)}", *map(str, faults[:5])]
        tally = field.tally
    made = sum(number for key, number in tally.items() if key.endswith(("served", "refused")) and "between" not in key)
    served = sum(number for key, number in tally.items() if key.endswith("served") and "between" not in key)
    told = f"{made} calls, {served} served: {dict(sorted(tally.items()))}"
    print(told)  # noqa: T201 - what was measured
    assert not wrong, "\n".join(wrong)
    assert made >= 2000, told
    assert served > made / 4, told
    assert tally["splits"], told


@pytest.mark.parametrize("path", sorted(FOUND.glob("*.json")), ids=lambda path: str(path.stem))
async def test_what_failed_before_is_obeyed_on_the_wire(path: Path, tmp_path: Path) -> None:
    """Worlds that once failed, after the one before them, with the calls that did."""
    found = kept(path)
    async with standing(tmp_path, found.before) as field:
        await field.mesh.settled()
        field.mesh.replace(found.world.texts(field.octet))
        await field.bring()
        faults = await field.trial(Trial(found.world, Judge(field.mesh.folder), found.calls))
    assert not faults, "\n".join(map(str, faults))
