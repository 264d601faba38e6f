"""A mesh with skeletons: what nobody granted is refused by the baseline of the mesh alone, so that without it everything is open.

Of an account to which nobody may talk there is no object, as in meshes in which one entry for all destinations denies. A mesh in
memory holds the objects; a trial has a source, hubs that begin anew or go on, and looks after every write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.api import (
    AdapterSpec,
    Baseline,
    FamilySpec,
    Feature,
    NativeObject,
    ObjectRef,
    Role,
    Route,
    Support,
    Translation,
    Unit,
)
from hub.meshes import Mesh
from hub.model import UnitKey, identity_of
from hub.planner import Reviewed
from hub.plugins import Plugins, installed_plugins
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.status.outcomes import Result
from hub.testing.memory import Died, MemoryMesh, MemoryMeshes
from hub.testing.memory_source import MemorySource, MemorySources
from tests.servers.driving import drive, inline
from tests.servers.folder import target
from tests.servers.hubs import config_of
from tests.servers.small_town import BASE, CALLERS, RECEIVERS

GROUP = "mesh.example.com"
MESH, SHOP = ObjectRef(GROUP, "Skeleton", "", "all"), ObjectRef(GROUP, "Skeleton", "shop", "all")
SKELETONS = {MESH, SHOP}
OF_MESH, OF_SHOP = UnitKey("baseline", "", ""), UnitKey("baseline", "shop", "")
Granted = frozenset[str]
"""Who may call whom: `receiver.caller`."""
_TURNS = 400


class SkeletalConfig(Struct, frozen=True):
    """Nothing is to be set."""


def access(name: str) -> UnitKey:
    """The unit of an account."""
    return UnitKey("access", "shop", name)


def policy(account: str) -> ObjectRef:
    """The policy of an account of the shop, which is there if anybody may call it."""
    return ObjectRef(GROUP, "Policy", "shop", account)


def gate(account: str) -> ObjectRef:
    """What guards an account of the shop; its name sorts before those of skeletons, which it needs."""
    return ObjectRef(GROUP, "Gate", "shop", account)


def path(service: str, namespace: str = "shop") -> ObjectRef:
    """The object of a Service."""
    return ObjectRef(GROUP, "Path", namespace, service)


def translate(unit: Unit, config: SkeletalConfig) -> Translation:
    """A skeleton, a policy or a path."""
    if isinstance(unit, Baseline):
        ref = ObjectRef(GROUP, "Skeleton", unit.namespace, "all")
        return Translation((_native(ref, Role.GUARD, "everything" if unit.whole else "nothing"),))
    if isinstance(unit, Route):
        skeleton = ObjectRef(GROUP, "Skeleton", unit.namespace, "all")
        return Translation((_native(path(unit.service, unit.namespace), Role.ROUTE, unit.service, skeleton),))
    callers = sorted({source for grant in unit.grants for source in grant.sources})
    account = unit.identity.service_account
    closed = _native(gate(account), Role.GUARD, account, MESH)
    return Translation((closed, _native(policy(account), Role.GRANT, callers, MESH, SHOP)) if callers else (closed,))


def _native(ref: ObjectRef, role: Role, body: Any, *needs: ObjectRef) -> NativeObject:
    return NativeObject(ref, role, msgspec.json.encode({"is": body}), needs=needs)


def narrowest(body: bytes, kind: str) -> bytes | None:
    """A policy by which nobody may call."""
    return b'{"is":[]}' if kind == "Policy" else None


def _unmodelled(*_: Any) -> Any:
    raise AssertionError("nobody asks")


SPEC = AdapterSpec(
    "skeletal",
    "skeletal",
    SkeletalConfig,
    dict.fromkeys(Feature, Support.FULL),
    translate,
    _unmodelled,
    baselines=("mesh", "namespace"),
    narrowest=narrowest,
)


def served(mesh: MemoryMesh) -> Granted:
    """Whom a mesh lets through, by all that stands there."""
    skeletons = (one for ref, one in mesh.objects.items() if ref.kind == "Skeleton" and ref.namespace in {"", "shop"})
    closed = any(one.owned == b'{"is":"everything"}' for one in skeletons)
    return frozenset(
        f"{receiver}.{caller}" for receiver in RECEIVERS for caller in _callers(mesh, receiver, closed=closed)
    )


def _callers(mesh: MemoryMesh, receiver: str, *, closed: bool) -> Iterable[str]:
    standing = mesh.objects.get(policy(receiver))
    if standing is None:
        return () if closed else CALLERS
    identities = map(identity_of, msgspec.json.decode(standing.owned)["is"])
    return [identity.service_account for identity in identities if identity is not None]


@cache
def _plugins() -> Plugins:
    return installed_plugins()


class Trial:
    """A source with accounts and grants, and one mesh of these; `wider` are the writes that let somebody through wrongly."""

    def __init__(self, root: Path, form: str, spec: AdapterSpec[Any] = SPEC, config: str = "") -> None:
        self.root, self.form, self.spec = root, form, spec
        self.mesh = MemoryMesh()
        self.wider: list[str] = []
        self.known: tuple[Granted, Granted] = (frozenset(), frozenset())
        self._meshes, self._sources = MemoryMeshes("skeletal"), MemorySources()
        self._meshes.meshes["one"] = self.mesh
        self._source = MemorySource("cluster")
        self._source.put(BASE)
        self._failing: Sequence[str] = ()
        self.granted: Granted = frozenset()
        (root / "smihub.yaml").write_text(
            "domain: {trustDomain: cluster.local}\nsources: [{kind: memory, name: cluster}]\n"
            f"meshes: [{{name: one, adapter: skeletal, sink: {{kind: {form}}}}}]\n{config or 'accept: [guard.blast-radius]'}\n"
        )
        self.look()

    def look(self) -> None:
        """Somebody else changed the mesh: what it lets through now is not ours to answer for."""
        self._stood = served(self.mesh)
        self.mesh.seen = self._seen

    def _seen(self) -> None:
        now = served(self.mesh)
        wrong = now - self._stood - self.known[0] - self.known[1]
        if wrong:
            self.wider.append(f"{self.mesh.written[-1]} lets through {sorted(wrong)}")
        self._stood = now

    def change(self, granted: Iterable[str]) -> None:
        """From now on these may, and nobody else."""
        self.known = (self.granted, frozenset(granted))
        for name in self.known[1] - self.granted:
            self._source.put(target(name, *name.split(".")))
        for name in self.granted - self.known[1]:
            self._source.remove(f"TrafficTarget/shop/{name}")
        self.granted = self.known[1]

    def put(self, text: str) -> None:
        """The source has these objects too."""
        self._source.put(text)

    def remove(self, part: str) -> None:
        """The source has this object no longer."""
        self._source.remove(part)

    def remove_accounts(self) -> None:
        """The source has no accounts, only what it is given from now on."""
        for part in [part for part in self._source._objects if part.startswith("Pod/")]:
            self._source.remove(part)

    def empty(self) -> None:
        """The source has nothing any more, but what refers to nobody."""
        for part in [part for part in self._source._objects if not part.startswith("HTTPRouteGroup")]:
            self._source.remove(part)
        self.known, self.granted = (self.granted, frozenset()), frozenset()

    def fail(self, *scopes: str) -> None:
        """These cannot be read from now on."""
        self._failing = scopes

    def hub(self) -> Hub:
        """A hub that begins."""
        source = self._sources.opened["cluster"] = MemorySource("cluster")
        source._objects = dict(self._source._objects)
        source.fail(*self._failing)
        plugins = replace(
            _plugins(),
            adapters={self.spec.name: self.spec},
            families={self.spec.family: FamilySpec(self.spec.family, lambda body, _: msgspec.json.decode(body))},
            sinks=self._meshes.specs,
            sources={"memory": self._sources.spec},
        )
        return Hub(config_of(self.root / "smihub.yaml"), plugins)

    async def plan(self) -> Reviewed:
        """What a new process would plan."""
        hub = self.hub()
        hub.read()
        return await hub.plan(hub.meshes[0])

    async def apply(self) -> Mapping[UnitKey, Result]:
        """A new process plans and writes; what became of units. It may be ended by `Died`."""
        hub = self.hub()
        hub.read()
        (mesh,) = hub.meshes
        reviewed = await hub.plan(mesh)
        assert not reviewed.whole, reviewed.whole
        return await hub.apply(mesh, reviewed.plan)

    async def settled(self) -> None:
        """Apply until all is written. Raises AssertionError where somebody is let through whom nobody granted that."""
        for _ in range(3):
            await self.apply()
        made = (await self.plan()).plan
        assert (made.changes, made.memory) == ((), {})
        assert served(self.mesh) == self.granted
        assert self.wider == []

    async def killed_at(self, number: int) -> bool:
        """Apply with a process that ends at this write; whether it came that far."""
        self.mesh.steps, self.mesh.fails = number, Died
        try:
            await self.apply()
        except Died:
            return True
        finally:
            self.mesh.recover()
        return False


class Running:
    """A hub that goes on, turn by turn."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.hub = trial, trial.hub()
        self.loop = Loop(self.hub)
        self.driver: asyncio.Task[None] | None = None

    @property
    def mesh(self) -> Mesh:
        """Its mesh."""
        return self.hub.meshes[0]

    async def turn(self) -> None:
        """It hears what the source says, and goes on as far as it can."""
        with (
            mock.patch("hub.reconcile.hub.run_in_thread", inline),
            mock.patch("hub.reconcile.loop.run_in_thread", inline),
        ):
            await self._turn()

    async def _turn(self) -> None:
        source = self.trial._sources.opened["cluster"]
        source._objects = dict(self.trial._source._objects)
        source.fail(*self.trial._failing)
        await self.loop.ingest("cluster", tuple(source.read()))
        await self.loop.dispatch()
        if self.driver is None or self.driver.done():
            self.driver = asyncio.create_task(drive(self.loop.workers[0]))
        for _ in range(_TURNS):
            await asyncio.sleep(0)
            if self.driver.done():
                self.driver.result()
                break

    async def close(self) -> None:
        """It ends."""
        if self.driver is not None:
            self.driver.cancel()
        await self.loop.workers[0].close()
        await self.hub.close()


SERVICE = """\
apiVersion: v1
kind: Service
metadata: {{name: {0}, namespace: shop}}
spec: {{selector: {{app: {0}}}, ports: [{{name: http, port: 80}}]}}
"""
