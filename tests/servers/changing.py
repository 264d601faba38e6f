"""Two meshes over a folder of SMI that changes step by step: what may stand there by SMI, and what does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from adapters.vm.serve.sink import XdsSink
from hub.api import Evaluator
from hub.errors import StaleError
from hub.meshes import Mesh
from hub.model import (
    Facts,
    NativeObject,
    ObjectRef,
    Observation,
    Placement,
    Request,
    Role,
    Source,
    Transport,
    UnitKey,
    identity_of,
)
from hub.plugins import installed_plugins
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.semantics import Semantics
from hub.testing.documents import Scope, compile_documents
from tests.servers.ground import Ground
from tests.servers.held import CALLERS, RECEIVERS, Envoys
from tests.servers.hubs import config_of

_RANK: Mapping[str, int] = {"deny": 0, "mixed": 1, "allow": 2, "ungoverned": 2}
_plugins = cache(installed_plugins)


class Standing:
    """What stands in a mesh, and how it judges."""

    def __init__(self, mesh: Mesh, observed: Observation) -> None:
        self._mesh = mesh
        self.objects = tuple(
            NativeObject(one.ref, one.role, one.owned, (), one.needs)
            for one in observed.objects.values()
            if one.owner is not None
        )
        self.cards = [msgspec.json.decode(one.body) for one in self.objects if one.ref.kind == "Workload"]
        self.spiffe: dict[str, str] = {card["workload"]: card["spiffe"] for card in self.cards}
        self.governed = {one.owner for one in observed.objects.values() if one.role is Role.GRANT and one.owner}

    def judging(self, facts: Facts) -> Evaluator:
        """The mesh where Pods stand as in `facts`; a Workload is who its own object says."""
        if self.cards:
            facts = msgspec.structs.replace(facts, placements=self._placed(facts))
        return self._mesh.spec.evaluator(self.objects, facts)

    def known(self, facts: Facts) -> frozenset[str]:
        """Who stands there, `ns/name`."""
        return frozenset(self.spiffe) or frozenset(f"{ref.namespace}/{ref.name}" for ref in facts.placements)

    def moved(self, before: Standing) -> frozenset[str]:
        """Who runs as another account than before: one more Workload of that account, as one that has just come."""
        return frozenset(name for name, spiffe in self.spiffe.items() if before.spiffe.get(name, spiffe) != spiffe)

    def _placed(self, facts: Facts) -> dict[ObjectRef, Placement]:
        found = {ref: one for ref, one in facts.placements.items() if ref.kind != "Workload"}
        return found | {one.ref: one for one in map(_placement, self.cards)}


def _placement(card: Mapping[str, Any]) -> Placement:
    """Where the `Workload` object of a VM mesh says that one stands."""
    namespace, _, name = card["workload"].partition("/")
    identity = identity_of(card["spiffe"])
    assert identity is not None
    received = [one.rpartition("@") for one in card["listeners"] if one.startswith("in/")]
    inbound: list[tuple[int, Transport, str]]
    inbound = [(int(stem.split("/")[3]), "TCP", stem.split("/")[4]) for stem, _, _ in received]
    ref = ObjectRef("smihub.io", "Workload", namespace, name)
    return Placement(ref, identity, bind=received[0][2] if received else "", inbound=tuple(inbound))


class Bound:
    """What may be served in a mesh once everything was applied: computed of the folder now, and of what stood before.

    `spiffe` is who each Workload is by what stands now, `before` what stood and what might, `known` who stood then.
    """

    def __init__(
        self,
        ground: Ground,
        before: tuple[Evaluator | None, Bound | None],
        known: frozenset[str],
        spiffe: Mapping[str, str],
    ) -> None:
        self._unread, self._broken, self._certain = ground.unread, ground.broken, ground.certain()
        (self._before, self._bound), self._known, self._spiffe = before, known, spiffe
        self._meant = [Semantics(documents) for documents in ground.meant()]
        self._readable = Semantics(ground.readable())

    def of(self, request: Request) -> int:
        """How much of a request: 0 nothing, 2 all of it.

        While a part cannot be read nobody gains, and what stays is what the last sound versions grant, too. An object
        that cannot be decoded, or is defined twice, takes part in no gain.
        """
        kept = [_RANK[each.judge(request).verdict] for each in self._meant]
        most = min(kept) if self._certain else max(kept)
        if most == 0 or not (self._unread or self._broken):
            return most
        asked = self._by_identity(request)
        stood = self._stood(asked)
        if self._unread:
            return min(most, stood)
        return min(most, max(stood, _RANK[self._readable.judge(asked).verdict]))

    def _by_identity(self, request: Request) -> Request:
        """The same by who its caller is: grants are to identities, so one more Workload of one is nobody's gain."""
        spiffe = self._spiffe.get(request.src.pod or "")
        return request if spiffe is None else msgspec.structs.replace(request, src=Source(spiffe=spiffe))

    def _stood(self, request: Request) -> int:
        """What stood before, or might have."""
        if self._before is None or self._bound is None:
            return 0
        if request.dst.pod not in self._known:
            return 2
        return max(_RANK[self._before.judge(request).verdict], self._bound.of(request))


class Trial:
    """The folder, the hubs that work on it, and what stood in each mesh when it was looked at last."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.tally: Counter[str] = Counter()
        self._running: Hub | None = None
        self._loop: Loop | None = None
        self._looking: Hub | None = None
        self.envoys = Envoys()
        self._standing: dict[str, Standing] = {}
        self._bounds: dict[str, Bound] = {}
        self._held: dict[str, int] = {}  # the version of the folder that a mesh was held against last

    # -- who applies

    async def apply(self) -> list[str]:
        """`smihub apply` in a process that knows nothing yet; gives the meshes whose plan nobody could accept."""
        hub = self._open()
        try:
            hub.read()
            self.ground.read()
            refused = []
            for mesh in hub.meshes:
                made = await hub.plan(mesh)
                if made.refusals:
                    refused.append(mesh.name)
                else:
                    await hub.apply(mesh, made.plan)
            return refused
        finally:
            await hub.close()

    async def follow(self) -> list[str]:
        """The running hub, started where there is none, follows the folder; gives the meshes that it does not write."""
        if self._loop is None:
            self._running = self._open()
            self._loop = Loop(self._running)
            await self._begun()
        assert self._running is not None
        for name, source in self._running.intake.sources.items():
            await self._loop.ingest(name, tuple(source.read()))
        self.ground.read()
        await self._loop.dispatch()
        for worker in self._loop.workers:
            try:
                await worker.once()
            except StaleError:  # somebody else has written meanwhile
                await worker.once()
        await self._loop.publish()
        await self._loop.log_sources()
        return [mesh.name for mesh in self._running.meshes if (await self._running.plan(mesh)).refusals]

    @property
    def runs(self) -> bool:
        """Whether there is a running hub."""
        return self._running is not None

    async def stop(self) -> None:
        """End the running hub."""
        if self._running is not None:
            await self._running.close()
        self._running = self._loop = None

    async def close(self) -> None:
        """End every hub."""
        await self.stop()
        if self._looking is not None:
            await self._looking.close()

    async def _begun(self) -> None:
        """The running hub is new: nobody connects to it here."""

    def _open(self) -> Hub:
        return Hub(config_of(self.ground.root / "smihub.yaml"), _plugins())

    # -- what stands

    async def wider(self, requests: Mapping[str, Sequence[Request]], refused: Sequence[str]) -> str:
        """Why what stands in a mesh must not, asked by the requests for it; "" if it may. Those in `refused` stay as they were."""
        hub = self._looking = self._looking or self._open()
        facts = compile_documents(self.ground.meant()[0], Scope()).facts
        for mesh in hub.meshes:
            why = await self._hold(mesh, facts, requests[mesh.name], refused=mesh.name in refused)
            if why:
                return f"{mesh.name}: {why}"
        return ""

    async def _hold(self, mesh: Mesh, facts: Facts, requests: Sequence[Request], *, refused: bool) -> str:
        """Hold what stands in a mesh against the folder; the same is not held against the same again."""
        now = Standing(mesh, await mesh.sink.observe())
        before = self._standing.get(mesh.name)
        self._standing[mesh.name] = now
        if refused:
            self.tally["refused"] += 1
            return ""
        if before is None or before.objects != now.objects or self._held.get(mesh.name) != self.ground.version:
            if why := self._wider(mesh, (before, now), facts, requests):
                return why
            self._held[mesh.name] = self.ground.version
        return await self._kept(mesh.sink, now, facts) if isinstance(mesh.sink, XdsSink) else ""

    def _wider(
        self, mesh: Mesh, standing: tuple[Standing | None, Standing], facts: Facts, requests: Sequence[Request]
    ) -> str:
        bound, judge = self._bounding(mesh, standing, facts), standing[1].judging(facts)
        for request in requests:
            answer = judge.judge(request)
            served = _RANK[answer.verdict]
            real = request if answer.received is None else msgspec.structs.replace(request, path=answer.received)
            opened = mesh.spec.governs != ("all",) and not receivers(request, facts) <= standing[1].governed
            self.tally["served" if served else "refused"] += 1
            if served and not opened and served > bound.of(real):
                return f"{request} is served by {answer.by}, and must not"
        return ""

    def _bounding(self, mesh: Mesh, standing: tuple[Standing | None, Standing], facts: Facts) -> Bound:
        """What may be served now that everything was applied; it is remembered."""
        before, now = standing
        stood = None if before is None else before.judging(facts)
        known = frozenset() if before is None else before.known(facts) - now.moved(before)
        bound = Bound(self.ground, (stood, self._bounds.get(mesh.name)), known, now.spiffe)
        self._bounds[mesh.name] = bound
        return bound

    async def _kept(self, sink: XdsSink, now: Standing, facts: Facts) -> str:
        """Which connection is kept that must not be, once all Envoys that are there have heard what stands now."""
        bound, judge, spiffe = self._bounds["vm"], now.judging(facts), now.spiffe
        sink._advance()
        self.envoys.hear({name: sink.snapshot(name) or {} for name in (*CALLERS, *RECEIVERS)})
        why = self.envoys.wrong(spiffe, lambda request: bound.of(request) > 0)
        self.envoys.open(spiffe, lambda request: judge.judge(request).verdict == "allow")
        self.tally["kept open"] += len(self.envoys.links)
        return why


def receivers(request: Request, facts: Facts) -> set[UnitKey]:
    """The units that protect the workload that a request is for."""
    found = [one for one in facts.placements.values() if f"{one.ref.namespace}/{one.ref.name}" == request.dst.pod]
    return {UnitKey("access", one.identity.namespace, one.identity.service_account) for one in found}
