"""A small Kubernetes mesh for these tests: per unit a guard, grants and a route, planned by the hub's own plan."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hub.api import FileForm, stateless
from hub.mirror import Mirror
from hub.model import (
    Access,
    Identity,
    NativeObject,
    ObjectRef,
    Observation,
    Observed,
    Role,
    Translation,
    UnitKey,
)
from hub.plan.changes import Desired
from hub.plan.plan import Plan, plan
from hub.reconcile.rollout import RolloutResult, roll_out
from hub.sinks import names
from hub.sinks.directory import DirectorySink
from hub.sinks.kubernetes import KUBERNETES
from hub.sinks.manifest import Broken, Foreign, ObjectFiles, Unowned
from hub.sinks.reading import FolderReader

ORIGINS = (ObjectRef("access.smi-spec.io", "TrafficTarget", "shop", "api-from-web"),)
KINDS: Mapping[Role, tuple[str, str]] = {
    Role.GUARD: ("security.istio.io/v1", "PeerAuthentication"),
    Role.REFERENCED: ("v1", "ConfigMap"),
    Role.GRANT: ("security.istio.io/v1", "AuthorizationPolicy"),
    Role.ROUTE: ("networking.istio.io/v1", "VirtualService"),
}
API = "objects/shop_AuthorizationPolicy.security.istio.io_api-web.yaml"
GUARD = "objects/shop_PeerAuthentication.security.istio.io_api.yaml"
ROUTE = "objects/shop_VirtualService.networking.istio.io_api.yaml"
"""Files of the unit `api` with the source `web`."""
Wanted = Mapping[UnitKey, tuple[NativeObject, ...]]


def access(name: str, domain: str = "default") -> UnitKey:
    """An access unit of the shop."""
    return UnitKey("access", "shop", name, domain)


def native(role: Role, name: str, spec: Any = None, needs: tuple[ObjectRef, ...] = ()) -> NativeObject:
    """An object of the shop with this spec."""
    version, kind = KINDS[role]
    metadata = {"name": name, "namespace": "shop"}
    value = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {"for": name} if spec is None else spec}
    ref = ObjectRef(version.rpartition("/")[0], kind, "shop", name)
    return NativeObject(ref, role, msgspec.json.encode(value, order="deterministic"), ORIGINS, needs)


def whole(name: str, *sources: str) -> tuple[NativeObject, ...]:
    """The objects of one unit: a guard, one grant per source, and a route."""
    grants = (native(Role.GRANT, f"{name}-{source}", {"from": source}) for source in sources)
    return (native(Role.GUARD, name), *grants, native(Role.ROUTE, name, {"to": list(sources)}))


def wanted(units: Mapping[str, Iterable[str]]) -> Wanted:
    """The objects of units by name, each with its sources."""
    return {access(name): whole(name, *sources) for name, sources in units.items()}


def planned(desired: Wanted, seen: Observation) -> Plan:
    """The plan for these units and all that were ever there."""
    units = {key: Desired(None) for key in Mirror(seen).units} | {
        key: Desired(Access(Identity("cluster.local", key.namespace, key.name)), Translation(natives))
        for key, natives in desired.items()
    }
    return plan("istio", units, seen, stateless)


def form() -> FileForm:
    """How Kubernetes objects stand in files."""
    assert KUBERNETES.files is not None
    return KUBERNETES.files


def files(mesh: str = "istio", owner: str = "") -> ObjectFiles:
    """The files of a mesh of Kubernetes objects."""
    return ObjectFiles(form(), mesh, owner)


def stamp(made: NativeObject, unit: UnitKey, mesh: str, owner: str = "", *, paused: bool = False) -> bytes:
    """The file of a Kubernetes object."""
    return files(mesh, owner).stamp(made, unit, paused=paused)


def read(data: bytes, mesh: str, owner: str = "") -> Observed | Unowned | Foreign | Broken:
    """What a file of Kubernetes objects holds."""
    return files(mesh, owner).read(data)


def file_name(ref: ObjectRef) -> str:
    """The file of a Kubernetes object."""
    return names.file_name(form(), ref)


def sink(path: Path, mesh: str = "istio") -> DirectorySink:
    """A sink for this folder."""
    return DirectorySink(path, FolderReader(files(mesh)))


def seen(path: Path, mesh: str = "istio") -> Observation:
    """What a fresh process would observe."""
    return asyncio.run(sink(path, mesh).observe())


def apply(path: Path, desired: Wanted, mesh: str = "istio") -> Plan:
    """Observe, plan and write, as a fresh process would; the plan that was written."""
    made = planned(desired, seen(path, mesh))
    assert not made.conflicts
    if made.changes or made.memory:
        done = wrote(path, made, mesh)
        assert not done.stopped, done
        assert done.token == seen(path, mesh).token
    return made


def wrote(path: Path, made: Plan, mesh: str = "istio") -> RolloutResult:
    """Carry out a plan."""
    return asyncio.run(carried_out(path, made, mesh))


async def carried_out(path: Path, made: Plan, mesh: str = "istio") -> RolloutResult:
    """The same, where a loop runs."""
    made_for = sink(path, mesh)
    return await roll_out(made_for, made, Mirror(await made_for.observe()))


def settled(path: Path, desired: Wanted) -> bool:
    """Whether a fresh process would plan nothing."""
    made = planned(desired, seen(path))
    return not (made.changes or made.memory or made.conflicts)


def content(path: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
