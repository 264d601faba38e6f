"""A running hub over two meshes in memory, turn by turn: what happens to its source and its meshes, and what must hold then.

A turn is: the source says what changed, each mesh is told, and every worker goes on until all is written or waits for an
object that is slow. Nothing here takes time, and a row of steps with their seeds can be played again.

What must hold: no write of ours lets a request through that SMI denied in all states of the source that it can have been
planned on; a revocation waits for nothing but the objects of its own unit; and once nothing is wrong any more all meshes
serve what SMI allows, after which nothing is written.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cache
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, Self

import structlog.testing
from msgspec.structs import replace

from hub.api import Transactional
from hub.errors import TransientError
from hub.model import ObjectRef
from hub.plugins import Plugins, installed_plugins
from hub.reconcile.drift_backoff import MAX_WAIT_S
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.testing.memory import Died, MemoryMesh, MemoryMeshes
from hub.testing.memory_source import MemorySource, MemorySources
from tests.servers.driving import drive, put_back_later, without_time
from tests.servers.folder import target
from tests.servers.hubs import config_of, mesh_of
from tests.servers.scene import WiderError
from tests.servers.sides import Side, changed, troubled
from tests.servers.small_town import BASE, CALLERS, RECEIVERS, Granted, allowed, receiver, served

GRANTS = tuple(f"{receiver}.{caller}" for receiver, caller in product(RECEIVERS, CALLERS))
FORMS = (("memory-apart", "memory"), ("memory-apart", "memory-at-once"), ("memory-accepting", "memory-apart"))
SCOPES = ("TrafficTarget/", "TrafficTarget/shop/", "HTTPRouteGroup/", "Pod/shop/web", "TrafficTarget/shop/api.web")
_TURNS = 400
"""Turns of the event loop after which whoever still works waits for something; hubs in memory need far fewer."""
_plugins = cache(installed_plugins)


class Turns(AbstractContextManager["Turns"]):
    """A hub, its source and its meshes; `take` does one step and raises WiderError where something does not hold."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="smihub-turns-"))
        self.taken: list[tuple[str, int]] = []
        self.told: list[str] = []
        self.tally: Counter[str] = Counter()
        self.trial = self  # as tests.servers.searching wants it
        self.granted: set[str] = set()
        self.known: Granted = frozenset()  # the grants as they were when a hub could last read them
        self.sides: dict[str, Side] = {}
        self._loop = asyncio.new_event_loop()
        self._hub: Hub | None = None
        self._running: Loop | None = None
        self._drivers: dict[str, asyncio.Task[None]] = {}
        self._ever: set[str] = set()  # the grants that were known at any time
        self._fresh = True
        self._losing: set[str] = set()  # the meshes of which an answer may be lost in this turn
        self._watches: list[asyncio.Task[None]] = []
        self._failing: tuple[str, ...] = ()
        self._source = MemorySource("cluster")
        self._meshes, self._sources = MemoryMeshes(), MemorySources()
        self._now = 0.0  # the clock by which edits that somebody repeats are put back later each time
        self._patches = without_time(lambda: self._now)
        self._silence = structlog.testing.capture_logs()

    def __enter__(self) -> Self:
        for each in self._patches:
            each.start()
        self._silence.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.close()
        self._silence.__exit__(None, None, None)
        for each in self._patches:
            each.stop()
        shutil.rmtree(self.root)

    def take(self, name: str, seed: int) -> None:
        """Do one step. Raises WiderError."""
        self.taken.append((name, seed))
        getattr(self, name)(Random(f"{name}/{seed}"))

    # ----------------------------------------------------------------------- the source

    def begin(self, rng: Random) -> None:
        """Two meshes, and some grants, applied."""
        self.begun(rng.choice(FORMS), rng.sample(GRANTS, rng.randrange(2, 6)))

    def begun(self, forms: tuple[str, str], grants: Iterable[str]) -> None:
        """The meshes `one` and `two` of these forms, with these grants, applied."""
        meshes = "".join(
            f"- {{name: {name}, adapter: istio, sink: {{kind: {form}}}}}\n"
            for name, form in zip(("one", "two"), forms, strict=True)
        )
        (self.root / "smihub.yaml").write_text(
            "domain: {trustDomain: cluster.local}\nsources: [{kind: memory, name: cluster}]\n"
            f"meshes:\n{meshes}accept: [guard.blast-radius]\n"
        )
        self.told.append(f"the meshes are {forms}")
        self._source.put(BASE)
        self.change(grants)
        self.sides = {name: Side(name, self._meshes.meshes.setdefault(name, MemoryMesh())) for name in ("one", "two")}
        self.turn()

    def grant(self, rng: Random) -> None:
        """Somebody may do more."""
        self.change(rng.sample(GRANTS, rng.randrange(1, 3)))
        self._then(rng)

    def revoke(self, rng: Random) -> None:
        """Somebody may do less."""
        self.change((), rng.sample(sorted(self.granted), min(len(self.granted), rng.randrange(1, 3))))
        self._then(rng)

    def swap(self, rng: Random) -> None:
        """At one receiver somebody may do less, and somebody else more."""
        to = rng.choice(RECEIVERS)
        self.change((), [name for name in self.granted if name.startswith(to)])
        self.change([f"{to}.{rng.choice(CALLERS)}"])
        self._then(rng)

    def flap(self, rng: Random) -> None:
        """Turn by turn, somebody may, and may not."""
        name = [rng.choice(GRANTS)]
        for _ in range(2):
            self.change((), name)
            self.turn(rng)
            self.change(name)
            self.turn(rng)

    def hide(self, rng: Random) -> None:
        """A part of the source cannot be read."""
        self.fail(rng.choice(SCOPES))
        self._then(rng)

    def show(self, rng: Random) -> None:
        """All of the source can be read."""
        self.fail()
        self._then(rng)

    def change(self, granted: Iterable[str], revoked: Iterable[str] = ()) -> None:
        """The source says something else."""
        for name in sorted({*revoked} & self.granted):
            self._source.remove(f"TrafficTarget/shop/{name}")
            self.granted.discard(name)
            self.told.append(f"{name} is revoked")
        for name in sorted({*granted} - self.granted):
            self._source.put(target(name, *name.split(".")))
            self.granted.add(name)
            self.told.append(f"{name} is granted")

    def fail(self, *scopes: str) -> None:
        """These parts of the source cannot be read, and no others."""
        self._failing = scopes
        self._source.fail(*scopes)
        self.told.append(f"{scopes} cannot be read")

    def _then(self, rng: Random) -> None:
        if rng.randrange(4):
            self.turn(rng)

    # ----------------------------------------------------------------------- the meshes

    def slow(self, rng: Random) -> None:
        """One object is slow to be written."""
        side, ref = self._object(rng)
        side.mesh.slow.setdefault(ref, asyncio.Event())
        self.told.append(f"{side.name}: {ref} is slow")

    def late(self, rng: Random) -> None:
        """One object comes into force late."""
        side, ref = self._object(rng)
        side.mesh.late.setdefault(ref, asyncio.Event())
        self.told.append(f"{side.name}: {ref} is late")

    def bad(self, rng: Random) -> None:
        """One object is not taken, cannot be written, is never in force, or nobody hears that it was written."""
        side, ref = self._object(rng)
        knob = rng.choice(("refused", "failing", "unanswered", "unaccepted"))
        getattr(side.mesh, knob).add(ref)
        self.told.append(f"{side.name}: {ref} is {knob}")

    def end(self, rng: Random) -> None:
        """A mesh does not answer after some more writes, or the hub ends there, or one answer is lost."""
        side, how = rng.choice(list(self.sides.values())), rng.choice(("fails", "dies", "loses", "down"))
        side.mesh.down = side.mesh.down or how == "down"
        side.mesh.loses_answer = side.mesh.loses_answer or how == "loses"
        if how in {"fails", "dies"}:
            side.mesh.steps, side.mesh.fails = rng.randrange(6), Died if how == "dies" else TransientError
        self.told.append(f"{side.name}: {how} after {side.mesh.steps}")
        self._then(rng)

    def foreign(self, rng: Random) -> None:
        """Somebody else changes, deletes or takes over an object."""
        side, ref = self._object(rng)
        how = rng.choice(("edit", "vanish", "unmark", "pause"))
        if ref not in side.mesh.objects:
            return
        if how == "edit":
            side.mesh.foreign(changed(rng, side.mesh, ref))
        elif how == "pause":
            side.mesh.pause(ref)
        else:
            getattr(side.mesh, how)(ref)
        side.touched.add(ref.name.removeprefix("smihub-"))
        side.look_again(looked_at=side.looked_at)  # the hub that runs notices
        self.told.append(f"{side.name}: somebody does {how} to {ref}")

    def restart_without_writing(self) -> None:
        """The hub ends; the next turn begins another one."""
        self._do(self._stop())

    def policy(self, name: str, kind: str = "AuthorizationPolicy") -> ObjectRef:
        """The policy of a receiver: of whom it accepts, or (PeerAuthentication) how they prove who they are."""
        return ObjectRef("security.istio.io", kind, "shop", f"smihub-{name}")

    def mend(self, rng: Random) -> None:
        """Nothing is wrong in a mesh any more."""
        side = rng.choice(list(self.sides.values()))
        side.recover()
        self.told.append(f"{side.name}: all is well")
        self._then(rng)

    def restart(self, rng: Random) -> None:
        """The hub ends wherever it is, and another one begins."""
        self._do(self._stop())
        self.told.append("the hub is new")
        self.turn(rng)

    def _object(self, rng: Random) -> tuple[Side, ObjectRef]:
        side = rng.choice(list(self.sides.values()))
        kinds = (("security.istio.io", "AuthorizationPolicy"), ("security.istio.io", "PeerAuthentication"))
        known = {ObjectRef(*kind, "shop", f"smihub-{name}") for kind in kinds for name in RECEIVERS}
        return side, rng.choice(sorted(known | {ref for ref in side.mesh.objects if ref.name[7:] in RECEIVERS}))

    # ----------------------------------------------------------------------- turns

    def turn(self, rng: Random | None = None) -> None:
        """The hub hears what the source says, and goes on as far as it can."""
        self.tally["turns"] += 1
        try:
            self._do(self._turn())
        except Died:
            self.tally["died"] += 1
            self.told.append("the hub died")
            self._do(self._stop())
            for side in (side for side in self.sides.values() if side.mesh.steps is not None):
                side.recover()
        else:
            self._hold()
        wider = [line for side in self.sides.values() for line in side.wider]
        if wider:
            raise WiderError("\n".join(wider))

    def quiet(self, rng: Random) -> None:
        """All is mended, a new hub looks at everything: all meshes come to serve what SMI allows, and rest."""
        self.show(rng)
        for side in self.sides.values():
            side.recover()
            for ref, one in list(side.mesh.objects.items()):
                if one.owner is None:
                    side.mesh.vanish(ref)
                elif one.paused:
                    side.mesh.pause(ref, on=False)
            side.look_again(looked_at=side.looked_at)
        if not all(side.looked_at for side in self.sides.values()) or rng.randrange(2):
            self.restart(rng)
        for _ in range(3):
            self._now += MAX_WAIT_S
            self.turn(rng)
        before = {name: (len(side.mesh.written), side.mesh.memory) for name, side in self.sides.items()}
        self.turn(rng)
        self.restart(rng)
        for side in self.sides.values():
            written, memory = before[side.name]
            if side.mesh.written[written:] or side.mesh.memory != memory:
                raise WiderError(f"{side.name}: nothing changes, and {side.mesh.written[written:]} is written")
            if served(side.mesh) != allowed(frozenset(self.granted)):
                wrong = served(side.mesh) ^ allowed(frozenset(self.granted))
                raise WiderError(f"{side.name}: after all is well {sorted(map(str, wrong))[:3]} is not as SMI has it")
        self.tally["quiet"] += 1

    def _hold(self) -> None:
        """Every revocation stands, except in units of which an object is in trouble, and in meshes that are."""
        now = allowed(self.known)
        for side in self.sides.values():
            mesh = side.mesh
            if mesh.down or mesh.steps is not None or side.name in self._losing or self._is_blocked(side):
                self.tally["in trouble"] += 1
                continue
            theirs = {ref for ref, one in mesh.objects.items() if one.owner is None or one.paused}
            excused = {ref.name.removeprefix("smihub-") for ref in troubled(mesh) | theirs} | side.touched
            for request in served(mesh) - now:
                if receiver(request) not in excused:
                    raise WiderError(f"{side.name}: {request} is still let through; its unit is in no trouble")
            if not self._failing:  # beside what cannot be read it stays as somebody left it
                side.settle(put_back_later(self._running, side.name))
            self.tally["revocations stand"] += 1

    def _is_blocked(self, side: Side) -> bool:
        """Whether a mesh that takes one write at a time waits for a slow object, or all of a plan fails with one."""
        assert self._hub is not None
        sink, mesh = mesh_of(self._hub, side.name).sink, side.mesh
        if isinstance(sink, Transactional):
            return bool(mesh.failing | mesh.unanswered)
        return bool(mesh.waiting) and not sink.apart

    async def _turn(self) -> None:
        if self._running is None:
            await self._start()
        assert self._running is not None
        before = self.known
        self._losing = {side.name for side in self.sides.values() if side.mesh.loses_answer}
        events = tuple(self._source.read())
        self.known, self._fresh = self._readable(), False
        self._ever |= self.known
        for side in self.sides.values():
            side.hear(before, self.known)
        await self._running.ingest("cluster", events)
        await self._running.dispatch()
        for worker in self._running.workers:
            driver = self._drivers.get(worker.mesh.name)
            if driver is None or driver.done():
                self._drivers[worker.mesh.name] = asyncio.create_task(drive(worker))
        for _ in range(_TURNS):
            await asyncio.sleep(0)
            if all(driver.done() for driver in self._drivers.values()):
                break
        for driver in self._drivers.values():
            if driver.done():
                driver.result()

    def _readable(self) -> Granted:
        """The grants as a hub knows them: what cannot be read stays as it was."""
        hidden = {name for name in GRANTS if self._is_hidden(f"TrafficTarget/shop/{name}")}
        # A new hub goes by what was applied, and that may be older than what the last one knew.
        known = self._ever if self._fresh else self.known
        return frozenset((self.granted - hidden) | (known & hidden))

    def _is_hidden(self, part: str) -> bool:
        return any(part.startswith(scope) for scope in self._failing)

    async def _start(self) -> None:
        fresh = MemorySource("cluster")
        fresh._objects = dict(self._source._objects)
        fresh.fail(*self._failing)
        self._source = self._sources.opened["cluster"] = fresh
        plugins: Plugins = _plugins()
        plugins = replace(
            plugins,
            sinks={**plugins.sinks, **self._meshes.specs},
            sources={**plugins.sources, "memory": self._sources.spec},
        )
        self._fresh = True
        self._hub = Hub(config_of(self.root / "smihub.yaml"), plugins)
        self._running = Loop(self._hub)
        self._watches = [asyncio.create_task(worker.watch()) for worker in self._running.workers]
        for side in self.sides.values():
            side.looked_at = True

    async def _stop(self) -> None:
        """As SIGKILL would end it."""
        tasks = [*self._drivers.values(), *self._watches]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for worker in self._running.workers if self._running else ():
            await worker.close()
        if self._hub is not None:
            await self._hub.close()
        self._hub = self._running = None
        self._drivers, self._watches = {}, []

    def _do(self, work: Any) -> None:
        self._loop.run_until_complete(work)


STEPS = (
    "begin", "grant", "revoke", "swap", "flap", "hide", "show", "slow", "late", "bad", "end", "foreign", "mend", "restart",
    "turn", "quiet",
)  # fmt: skip
"""What may happen; the first is how it begins."""
