"""A process that runs a hub, on virtual time: the loop of `smihub run` with its pauses and limits, its meshes and its source in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

from msgspec.structs import replace

from hub.errors import SmihubError
from hub.plan.guards import BLAST_RADIUS
from hub.plan.saved import digest_of
from hub.plugins import installed_plugins
from hub.reconcile.drift_backoff import DriftBackoff
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.status import record
from hub.status.journal import Journal
from hub.testing.memory import Died, MemoryMesh, MemoryMeshes
from hub.testing.memory_source import MemorySource, MemorySources
from tests.servers.driving import inline
from tests.servers.hubs import config_of, mesh_of
from tests.servers.virtual_time import VirtualTimeLoop

_EPOCH_S = 1_700_000_000.0
"""The wall clock when virtual time begins."""
_plugins = cache(installed_plugins)


class HubProcess:
    """At most one running hub of a smihub.yaml with the source `cluster`; `meshes` and the source outlive it, as those of the world do."""

    def __init__(self, config: Path) -> None:
        self.time = VirtualTimeLoop()
        self.source = MemorySource("cluster")
        self.hub: Hub | None = None
        self.loop: Loop | None = None
        self.journal = Journal()
        self._config = config
        self._meshes, self._sources = MemoryMeshes(), MemorySources()
        self._task: asyncio.Task[None] | None = None
        self._died = False

    @property
    def meshes(self) -> Mapping[str, MemoryMesh]:
        """The meshes that were opened at any time, by name."""
        return self._meshes.meshes

    def mesh(self, name: str) -> MemoryMesh:
        """A mesh."""
        return self._meshes.meshes.setdefault(name, MemoryMesh())

    def patches(self) -> list[Any]:
        """Under these there are no threads, which virtual time would not see, and no other clock; and nothing is kept for good."""
        steady = self.time.time
        threads = [mock.patch(f"hub.reconcile.{each}.run_in_thread", inline) for each in ("hub", "loop")]
        backoff = mock.patch("hub.reconcile.worker.DriftBackoff", partial(DriftBackoff, clock=steady))
        return [*threads, backoff, mock.patch("hub.reconcile.worker.monotonic", steady), mock.patch("gc.freeze")]

    def wall_clock(self) -> float:
        """Seconds of the Unix epoch."""
        return _EPOCH_S + self.time.time()

    @property
    def runs(self) -> bool:
        """Whether a hub runs."""
        return self._task is not None

    def refused(self, mesh: str) -> bool:
        """Whether status says that nothing is written to a mesh until somebody says so."""
        return self.journal.outcomes.mesh(mesh).refused_since is not None

    def refused_since(self, mesh: str) -> float:
        """Since when it says so, in virtual time."""
        return (self.journal.outcomes.mesh(mesh).refused_since or self.wall_clock()) - _EPOCH_S

    def live(self, seconds: float) -> bool:
        """Let time pass for the hub, which is begun where none runs; whether it lives on. Raises what ended it."""
        self.time.run_until_complete(self._live(seconds))
        if self._task is None or not (self._task.done() or self._died):
            return True
        died = self._died
        if not died:
            self._task.result()
        self.stop()
        return False

    def die(self, _: str) -> Died:
        """The process ends here, at a write; it does nothing more, in no mesh."""
        self._died = True
        for each in self.meshes.values():
            each.dead = True
        assert self._task is not None
        self._task.cancel()
        return Died()

    def stop(self) -> None:
        """End the hub as SIGKILL would: it writes nothing more."""
        for each in self.meshes.values():
            each.dead = True
        self.time.run_until_complete(self._stop())
        for each in self.meshes.values():
            each.dead = False
        self._died = False

    def approve(self, name: str) -> bool:
        """Somebody approves the plan of a mesh that is refused; False if none is, or the mesh does not answer."""
        if self.hub is None or not self.refused(name):
            return False
        with suppress(SmihubError, TimeoutError):
            return bool(self.time.run_until_complete(asyncio.wait_for(self._approve(self.hub, name), 1.0)))
        return False

    async def _live(self, seconds: float) -> None:
        if self._task is None:
            self._begin()
        assert self._task is not None
        await asyncio.wait({self._task}, timeout=seconds)

    def _begin(self) -> None:
        self.source = self._sources.opened["cluster"] = self.source.restarted()
        known = _plugins()
        sinks, sources = {**known.sinks, **self._meshes.specs}, {**known.sources, "memory": self._sources.spec}
        self.hub = Hub(config_of(self._config), replace(known, sinks=sinks, sources=sources))
        self.hub.clock = self.wall_clock
        self.journal = Journal(clock=self.wall_clock)
        self.loop = Loop(self.hub, journal=self.journal)
        self._task = asyncio.ensure_future(self.loop.run())

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.hub is not None:
            await self.hub.close()
        self._task = self.hub = self.loop = None

    async def _approve(self, hub: Hub, name: str) -> bool:
        reviewed = await hub.plan(mesh_of(hub, name), apart=True)
        if not any(each.code == BLAST_RADIUS for each in reviewed.whole):
            return False
        actor = record.Actor("0", "here", "approve")
        entry = record.Entry(self.wall_clock(), "approve", name, actor, digest_of(reviewed.plan))
        record.approve(hub.config.state, entry)
        return True
