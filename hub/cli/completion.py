"""What a shell offers at the Tab key: names from smihub.yaml, its sources and its meshes.

It writes nothing, never fails, and takes a moment at most: of what is large it offers what was found until then, of what is broken
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import typer

from hub.spec import Named

if TYPE_CHECKING:
    from hub.meshes import Mesh
    from hub.reconcile.domains import Domains
    from hub.reconcile.hub import Hub
    from hub.store import Store

_READING_S = 0.8
_LONGEST_S = 3.0
_MOST_BYTES = 1_048_576
_DEFAULT = Path("smihub.yaml")
Completer = Callable[[typer.Context, str], list[str]]


def _completer(names: Callable[[typer.Context], Iterable[str]]) -> Completer:
    """What offers these names, as far as they are found in time; none of what cannot be read."""

    def offered(ctx: typer.Context, incomplete: str) -> list[str]:
        found: list[str] = []

        def collect() -> None:
            with suppress(Exception):  # a shell would print it into the middle of a line
                found.extend(names(ctx))

        thread = Thread(target=collect, daemon=True)
        thread.start()
        thread.join(_LONGEST_S)
        return sorted({name for name in tuple(found) if name.isprintable()})

    return offered


meshes = _completer(lambda ctx: _meshes(_config(ctx)))
"""The meshes, as the command line names them; a mistake elsewhere in the file does not matter."""
adapters = _completer(lambda _: _adapters())
"""The installed adapters."""
workloads = _completer(lambda ctx: _of_stores(_config(ctx), _workloads))
"""The Workloads, as NAMESPACE/NAME."""
identities = _completer(lambda ctx: _of_stores(_config(ctx), _identities))
"""The service accounts of all that runs, as NAMESPACE/SERVICEACCOUNT."""
ports = _completer(lambda ctx: _of_stores(_config(ctx), _ports))
"""The ports of all Services, as NAMESPACE/SERVICE:PORT."""
units = _completer(lambda ctx: _of_stores(_config(ctx), _units))
"""The units that the sources have."""
objects = _completer(lambda ctx: _objects(_config(ctx), ctx.params.get("mesh")))
"""The objects that stand in the mesh that is named before, as KIND/NAMESPACE/NAME."""

KINDS: Mapping[Named, Completer] = {
    "mesh": meshes,
    "workload": workloads,
    "identity": identities,
    "port": ports,
    "unit": units,
    "object": objects,
}
"""By what a plugin's verb calls it (hub.spec.CommandSpec)."""


def _config(ctx: typer.Context) -> Path:
    return Path(ctx.params.get("config") or _DEFAULT)


def _meshes(config: Path) -> Iterator[str]:
    from hub.sources.yaml import load_one  # noqa: PLC0415 - help and other verbs need not wait for it

    with config.open("rb") as file:
        written: Any = load_one(file.read(_MOST_BYTES))
    for domain in written.get("domains", [{"name": "", **written}]):
        for mesh in domain["meshes"]:
            yield f"{domain['name']}/{mesh['name']}".removeprefix("/")


def _adapters() -> Iterable[str]:
    from hub.plugins import installed_plugins  # noqa: PLC0415 - help and other verbs need not wait for it

    return installed_plugins().adapters


def _open(config: Path) -> Domains:
    from hub.reconcile.domains import Domains  # noqa: PLC0415

    return Domains.open(config)


def _of_stores(config: Path, names: Callable[[Store], Iterable[str]]) -> Iterator[str]:
    """These names of every cluster, after as much of the sources was read as there is time for."""
    hubs = _open(config).hubs
    end = time.monotonic() + _READING_S
    for hub in hubs:
        _read(hub, end)
        for cluster in hub.clusters.values():
            yield from names(cluster.store)


def _read(hub: Hub, end: float) -> None:
    for name, source in hub.intake.sources.items():
        for event in source.read():
            hub.intake.ingest(name, (event,))
            if time.monotonic() > end:
                return


def _workloads(store: Store) -> Iterator[str]:
    for found in store.objects():
        if found.ref.kind == "Workload":
            yield f"{found.ref.namespace}/{found.ref.name}"


def _identities(store: Store) -> Iterator[str]:
    return (f"{key.namespace}/{key.name}" for key in store.units() if key.kind == "access")


def _ports(store: Store) -> Iterator[str]:
    from hub.smi.types import Service  # noqa: PLC0415

    for found in store.objects():
        if isinstance(found, Service):
            yield from (f"{found.ref.namespace}/{found.ref.name}:{port.port}" for port in found.ports)


def _units(store: Store) -> Iterator[str]:
    return (str(key) for key in store.units())


def _objects(config: Path, name: str | None) -> Iterator[str]:
    import asyncio  # noqa: PLC0415

    _, mesh = _open(config).mesh(name or "")
    if not mesh.untouched:
        yield from asyncio.run(_seen(mesh))


async def _seen(mesh: Mesh) -> list[str]:
    try:
        return [str(seen.ref) for seen in (await mesh.observed()).whole().objects.values()]
    finally:
        await mesh.close()
