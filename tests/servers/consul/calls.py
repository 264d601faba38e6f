"""Calls from service to service in the real mesh, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count

from msgspec import Struct

from tests.servers.consul.mesh import Mesh
from tests.servers.judging import Happened
from tests.servers.raw_calls import BROKEN, Ask, Outcome, connect, http1, spoken

_LANES = 8
_RIDS = count()


class Call(Struct, frozen=True):
    """One call of an account to an upstream of its sidecar: a request, or (None) a line of text.

    A direct one is made with the account's certificate, but without its sidecar.
    """

    caller: str
    callee: str
    ask: Ask | None = None
    direct: bool = False


def tried(mesh: Mesh, calls: Sequence[Call]) -> list[Happened]:
    """Each call on a connection of its own, some at a time."""
    return mesh.loop.wait(_tried(mesh, calls))


async def _tried(mesh: Mesh, calls: Sequence[Call]) -> list[Happened]:
    gate = asyncio.Semaphore(_LANES)

    async def one(call: Call) -> Happened:
        async with gate:
            return await _happened(mesh, call)

    return list(await asyncio.gather(*map(one, calls)))


async def _happened(mesh: Mesh, call: Call) -> Happened:
    door = (mesh.direct if call.direct else mesh.door)(call.caller, call.callee)
    if call.ask is None:
        try:
            return Happened(await spoken(*await connect(door)))
        except BROKEN:
            return Happened(Outcome())
    rid = f"r{next(_RIDS)}"
    outcome = await http1(door, Ask(call.ask.method, call.ask.path, (*call.ask.headers, ("x-rid", rid))))
    return Happened(outcome, mesh.apps.seen.get(rid))
