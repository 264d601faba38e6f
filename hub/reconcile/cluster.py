"""One cluster of a domain, as its meshes see it: the SMI objects of every source, and the facts of its own sources alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import json
from msgspec.structs import replace

from hub.config.file import Config
from hub.endpoints import EndpointView, ServicePortKey
from hub.errors import SmihubError, TransientError
from hub.memory.recall import files_of, placeless
from hub.meshes import Mesh
from hub.model import Endpoint, Facts
from hub.plan.moved import Fingerprint, fingerprint
from hub.planner import Planner
from hub.store import Store

_PUBLISH_S = 1.0
"""So long a mesh may take for endpoints; all others wait for it."""


class Cluster:
    """What is known of a cluster, plans for its meshes, and endpoints for those of them that serve data planes."""

    def __init__(self, config: Config, meshes: Sequence[Mesh], labels: Collection[str] = ()) -> None:
        """`labels` are those of Pods by which some mesh goes."""
        domain = config.domain
        self.store = Store(domain.trust_domain, config.reading, domain.name, labels)
        self.planner = Planner(config, self.store)
        self.endpoints = EndpointView(self.store)
        self._meshes = meshes
        self._stale = True
        self._published: Mapping[ServicePortKey, tuple[Endpoint, ...]] = {}

    def fingerprints(self) -> Iterator[Fingerprint]:
        """The objects that the units are made from, without what comes and goes with every machine."""
        units = (self.store.compile(key)[0] for key in self.store.units())
        for ref in {ref for unit in units if unit is not None for ref in unit.origins}:
            if (one := self.store.object(ref)) is not None:
                files = files_of(self.store.parts(ref))
                yield fingerprint(ref, json.encode(placeless(one), enc_hook=str), files)

    async def withdraw(self, *, incomplete: bool) -> None:
        """Take endpoints that are gone out of service, before anything else of a change is written.

        So nobody is still sent to a workload whose listeners end with the change. `incomplete`: nobody can tell which are gone.
        """
        touched = self._update()
        if incomplete or not touched:
            return
        now, before = self.endpoints.serving(), self._published
        kept = {
            place: tuple(e for e in before.get(place, ()) if e in now.endpoints.get(place, ())) for place in touched
        }
        if any(kept[place] != before.get(place, ()) for place in touched):
            await self._hand_over(replace(now, endpoints={**before, **kept}))

    async def publish(self, *, incomplete: bool) -> None:
        """Hand endpoints to the meshes that serve them, unless a part is missing that may hold some of them (`incomplete`)."""
        self._update()
        if incomplete or not self._stale:
            return
        await self._hand_over(self.endpoints.serving())
        self._stale = False

    def _update(self) -> frozenset[ServicePortKey]:
        touched = self.endpoints.update()
        self._stale |= bool(touched)
        return touched

    async def _hand_over(self, facts: Facts) -> None:
        await await_each(_published_in(mesh, facts) for mesh in self._meshes)
        self._published = facts.endpoints


async def await_each(works: Iterable[Awaitable[None]]) -> None:
    """Do all of these; what the first that failed raised is raised once the others are done."""
    failed: SmihubError | None = None
    for work in works:
        try:
            await work
        except SmihubError as error:
            failed = failed or error
    if failed is not None:
        raise failed


async def _published_in(mesh: Mesh, facts: Facts) -> None:
    if mesh.live is None:
        return
    try:
        async with asyncio.timeout(_PUBLISH_S):
            await mesh.live.publish(facts)
    except TimeoutError:
        raise TransientError(f'mesh "{mesh.name}" has not taken its endpoints within {_PUBLISH_S:g} s') from None
