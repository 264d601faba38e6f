"""A folder of SMI that changes step by step under two meshes, what may stand there by SMI, and what does."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from adapters.vm.sink import XdsSink
from hub.api import Evaluator
from hub.explain import Scope, compile_documents
from hub.loop import Loop
from hub.meshes import Mesh
from hub.model import (
    Document,
    Facts,
    NativeObject,
    ObjectRef,
    Observation,
    Origin,
    Placement,
    Request,
    Role,
    Source,
    Transport,
    UnitKey,
    identity_of,
)
from hub.reconcile import Hub
from hub.semantics import Semantics
from hub.smi import decode
from hub.testing.found import to_yaml
from tests.servers.held import CALLERS, RECEIVERS, Envoys

_CODES = re.findall(
    r"^\| `([a-z0-9.-]+)`", (Path(__file__).parents[2] / "docs/problems.md").read_text("utf-8"), re.MULTILINE
)
_LETTING_GO = "broken-object"  # whoever accepts it lets go of what is kept: nobody does here
CONFIG = f"""\
domain: {{trustDomain: cluster.local}}
sources: [{{path: manifests}}]
meshes:
- {{name: vm, adapter: vm}}
- {{name: istio, adapter: istio, sink: {{kind: directory, path: rendered}}}}
accept: {json.dumps(sorted({*_CODES} - {_LETTING_GO}))}
"""
COPY = "-copy"
RUNNING = ("workload/", "pod/", "deployment/")
_RANK: Mapping[str, int] = {"deny": 0, "mixed": 1, "allow": 2, "ungoverned": 2}


class File(Struct):
    """One file of the folder: what it holds, what it held when that could last be decoded, and whether it can be parsed."""

    value: Any
    sound: Any = None
    parses: bool = True


class Ground:
    """The folder: one object a file, one folder a kind; each file can break, each folder can be out of sight."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, File] = {}
        self.hidden: set[str] = set()
        self._times = 1
        (root / "manifests").mkdir()
        (root / "smihub.yaml").write_text(CONFIG)

    # -- what is done to it

    def put(self, name: str, value: Any) -> None:
        """Write an object into its file."""
        known = self.files.get(name)
        kept = value if is_sound(value) else None if known is None else known.sound
        self.files[name] = File(value, kept)
        self._write(name)

    def remove(self, name: str) -> None:
        """Delete a file."""
        self._path(name).unlink()
        del self.files[name]

    def garble(self, name: str) -> None:
        """Leave the mark of a merge conflict in a file."""
        self.files[name].parses = False
        self._write(name)

    def mend(self, name: str) -> None:
        """Write what the file held when it could be read, or else what it holds."""
        file = self.files[name]
        self.put(name, file.value if file.sound is None else file.sound)

    def hide(self, folder: str) -> None:
        """Replace a folder by a link that leads out of the source, which is not followed."""
        (self.root / "elsewhere").mkdir(exist_ok=True)
        (self.root / "manifests" / folder).rename(self.root / "elsewhere" / folder)
        (self.root / "manifests" / folder).symlink_to(self.root / "elsewhere" / folder)
        self.hidden.add(folder)

    def show(self, folder: str) -> None:
        """Put the folder back."""
        (self.root / "manifests" / folder).unlink()
        (self.root / "elsewhere" / folder).rename(self.root / "manifests" / folder)
        self.hidden.discard(folder)

    def _path(self, name: str) -> Path:
        folder = name.partition("/")[0]
        return self.root / ("elsewhere" if folder in self.hidden else "manifests") / f"{name}.yaml"

    def _write(self, name: str) -> None:
        file, path = self.files[name], self._path(name)
        path.parent.mkdir(exist_ok=True)
        text = ("" if file.parses else "<<<<<<< HEAD\n") + to_yaml([file.value])
        made = self.root / "new"
        made.write_text(text, "utf-8")
        self._times += 1
        os.utime(made, (self._times, self._times))  # an old time: nobody waits until it is quiet
        made.rename(path)

    # -- what it says

    def visible(self) -> list[str]:
        """The files that are in sight; what happens to others nobody knows."""
        return sorted(name for name in self.files if name.partition("/")[0] not in self.hidden)

    @property
    def unread(self) -> bool:
        """Whether a file cannot be parsed or a folder is out of sight."""
        return bool(self.hidden) or not all(file.parses for file in self.files.values())

    @property
    def broken(self) -> bool:
        """Whether an object that can be parsed cannot be decoded, or is defined twice."""
        return bool(self._doubled()) or not all(is_sound(file.value) for file in self.files.values())

    def readable(self) -> tuple[Document, ...]:
        """What a reader sees now who never saw anything before."""
        return _documents({name: file.value for name, file in self.files.items() if not self._lost(name)})

    def meant(self) -> tuple[tuple[Document, ...], ...]:
        """The folder with the last sound version of all that cannot be read now; where objects are doubled, either copy.

        What never was sound is left out: it grants nothing, and what stood beside it may stay.
        """
        values = {name: file.sound for name, file in self.files.items() if file.sound is not None}
        doubled = {name for name in self._doubled() if self.files[name + COPY].sound is not None}
        second = {name: values[name + COPY] if name in doubled else value for name, value in values.items()}
        copies = {name + COPY for name in self._doubled()}
        return tuple(
            _documents({name: one[name] for name in one.keys() - copies})
            for one in ((values, second) if doubled else (values,))
        )

    def certain(self) -> bool:
        """Whether every copy of a doubled object can be read; what runs somewhere is not what one of two copies says."""
        doubled = self._doubled()
        return not any(self._lost(one) for name in doubled for one in (name, name + COPY)) and not any(
            name.startswith(RUNNING) for name in doubled
        )

    def _doubled(self) -> set[str]:
        return {name for name in self.files if name + COPY in self.files}

    def _lost(self, name: str) -> bool:
        return not self.files[name].parses or name.partition("/")[0] in self.hidden


def is_sound(value: Any) -> bool:
    """Whether an object can be decoded."""
    read = decode(Document(value, Origin("ground", "file"), 0))
    return read.ref is not None and read.object is not None


def _documents(values: Mapping[str, Any]) -> tuple[Document, ...]:
    return tuple(Document(values[name], Origin("manifests", name, 1), 0) for name in sorted(values))


# ------------------------------------------------------------------------------------------------------ what stands


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
        stood = self._stood(request)
        if self._unread:
            return min(most, stood)
        return min(most, max(stood, _RANK[self._readable.judge(request).verdict]))

    def _stood(self, request: Request) -> int:
        """What stood before, or might have; grants are to identities, so one more Workload of one is nobody's gain."""
        if self._before is None or self._bound is None:
            return 0
        if request.dst.pod not in self._known:
            return 2
        spiffe = self._spiffe.get(request.src.pod or "")
        asked = request if spiffe is None else msgspec.structs.replace(request, src=Source(spiffe=spiffe))
        return max(_RANK[self._before.judge(asked).verdict], self._bound.of(asked))


class Trial:
    """The folder, the hubs that work on it, and what stood in each mesh when it was looked at last."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.tally: Counter[str] = Counter()
        self._running: Hub | None = None
        self._loop: Loop | None = None
        self.envoys = Envoys()
        self._standing: dict[str, Standing] = {}
        self._bounds: dict[str, Bound] = {}

    # -- who applies

    async def apply(self) -> list[str]:
        """`smihub apply` in a process that knows nothing yet; gives the meshes whose plan nobody could accept."""
        hub = self._open()
        try:
            hub.read()
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
        assert self._running is not None
        for name, source in self._running.intake.sources.items():
            await self._loop._take(name, tuple(source.read()))
        await self._loop._settle()
        if self._loop._overtaken:  # somebody else has written meanwhile
            self._loop._overtaken = False
            await self._loop._settle()
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

    def _open(self) -> Hub:
        return Hub.open(self.ground.root / "smihub.yaml")

    # -- what stands

    async def wider(self, requests: Mapping[str, Sequence[Request]], refused: Sequence[str]) -> str:
        """Why what stands in a mesh must not, asked by the requests for it; "" if it may. Those in `refused` stay as they were."""
        hub = self._open()
        try:
            facts = compile_documents(self.ground.meant()[0], Scope()).facts
            for mesh in hub.meshes:
                now = Standing(mesh, await mesh.sink.observe())
                before = self._standing.get(mesh.name)
                self._standing[mesh.name] = now
                if mesh.name in refused:
                    self.tally["refused"] += 1
                    continue
                why = self._wider(mesh, (before, now), facts, requests[mesh.name])
                if not why and isinstance(mesh.sink, XdsSink):
                    why = await self._kept(mesh.sink, now, facts)
                if why:
                    return f"{mesh.name}: {why}"
            return ""
        finally:
            await hub.close()

    def _wider(
        self, mesh: Mesh, standing: tuple[Standing | None, Standing], facts: Facts, requests: Sequence[Request]
    ) -> str:
        before, now = standing
        stood = None if before is None else before.judging(facts)
        known = frozenset() if before is None else before.known(facts)
        bound = Bound(self.ground, (stood, self._bounds.get(mesh.name)), known, now.spiffe)
        self._bounds[mesh.name] = bound
        judge = now.judging(facts)
        for request in requests:
            answer = judge.judge(request)
            served = _RANK[answer.verdict]
            real = request if answer.received is None else msgspec.structs.replace(request, path=answer.received)
            opened = mesh.spec.governs != ("all",) and not receivers(request, facts) <= now.governed
            self.tally["served" if served else "refused"] += 1
            if served and not opened and served > bound.of(real):
                return f"{request} is served by {answer.by}, and must not"
        return ""

    async def _kept(self, sink: XdsSink, now: Standing, facts: Facts) -> str:
        """Which connection is kept that must not be, once all Envoys that are there have heard what stands now."""
        bound, judge, spiffe = self._bounds["vm"], now.judging(facts), now.spiffe
        await sink.refresh()
        self.envoys.hear({name: sink.snapshot(name) or {} for name in (*CALLERS, *RECEIVERS)})
        why = self.envoys.wrong(spiffe, lambda request: bound.of(request) > 0)
        self.envoys.open(spiffe, lambda request: judge.judge(request).verdict == "allow")
        self.tally["kept open"] += len(self.envoys.links)
        return why


def receivers(request: Request, facts: Facts) -> set[UnitKey]:
    """The units that protect the workload that a request is for."""
    found = [one for one in facts.placements.values() if f"{one.ref.namespace}/{one.ref.name}" == request.dst.pod]
    return {UnitKey("access", one.identity.namespace, one.identity.service_account) for one in found}
