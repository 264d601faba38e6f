"""Carries requests out in the real mesh and tells what became of them."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import count

from hub.model import Request
from tests.servers.istio.callers import Line, http, many, tcp
from tests.servers.istio.mesh import OUTSIDER, Mesh
from tests.servers.judging import Happened
from tests.servers.raw_calls import Ask, Outcome

_LANES = 8
_Z = 4.892
"""Of a normal distribution, all but one in a million lie within this many standard deviations: a run asks a hundred times."""
_RIDS = count()


def tried(mesh: Mesh, requests: Sequence[Request]) -> list[Happened]:
    """Each request on a connection of its own, some at a time."""
    return mesh.loop.wait(_tried(mesh, requests))


async def _tried(mesh: Mesh, requests: Sequence[Request]) -> list[Happened]:
    gate = asyncio.Semaphore(_LANES)

    async def one(request: Request) -> Happened:
        async with gate:
            return await _happened(mesh, request)

    return list(await asyncio.gather(*map(one, requests)))


async def _happened(mesh: Mesh, request: Request) -> Happened:
    line = line_of(mesh, request)
    if request.protocol == "tcp":
        return Happened(await tcp(line))
    rid = f"r{next(_RIDS)}"
    outcome = await http(line, ask_of(request, rid))
    return Happened(outcome, mesh.apps.seen.get(rid))


def line_of(mesh: Mesh, request: Request) -> Line:
    """Which way a request goes: from its Pod to a Service; whoever is no Pod lives in the one without a sidecar."""
    if request.src.spiffe is not None:
        protocol = "istio-http/1.1" if request.protocol == "http" else "istio"
        return mesh.certified(request.src.spiffe, _short(request.dst.pod or ""), request.port, protocol)
    pod = OUTSIDER if request.src.pod is None else _short(request.src.pod)
    if request.dst.service is not None:
        return mesh.line(pod, _short(request.dst.service), request.port)
    assert request.src.outside
    return mesh.direct(pod, _short(request.dst.pod or ""), request.port)


def ask_of(request: Request, rid: str) -> Ask:
    """The request as it is written; `rid` finds it again at the application."""
    name = request.dst.service or request.dst.pod or ""
    host = () if any(key.lower() == "host" for key, _ in request.headers) else (("host", _host(name)),)
    return Ask(request.method, request.path, (*host, *request.headers, ("x-rid", rid)))


def counted(mesh: Mesh, request: Request, times: int) -> Counter[str]:
    """How often each application answered one request; "" is nobody."""
    line = line_of(mesh, request)
    if request.protocol == "tcp":
        outcomes: list[Outcome] = mesh.loop.wait(_connections(line, times))
    else:
        outcomes = mesh.loop.wait(many(line, [ask_of(request, "")] * times))
    return Counter(one.app for one in outcomes)


@contextmanager
def pestering(mesh: Mesh, requests: Sequence[Request]) -> Iterator[list[Happened]]:
    """Make these requests over and over while the block lasts; what became of them is in the list afterwards."""
    found: list[Happened] = []
    enough = threading.Event()
    running = asyncio.run_coroutine_threadsafe(_until(enough, mesh, requests, found), mesh.loop.loop)
    try:
        yield found
    finally:
        enough.set()
        running.result(60)


async def _until(enough: threading.Event, mesh: Mesh, requests: Sequence[Request], found: list[Happened]) -> None:
    while not enough.is_set():
        for request in requests:
            found.append(await _happened(mesh, request))
            await asyncio.sleep(0.002)


async def _connections(line: Line, times: int) -> list[Outcome]:
    found: list[Outcome] = []
    for _ in range(0, times, _LANES):
        found += await asyncio.gather(*(tcp(line) for _ in range(_LANES)))
    return found


def unlikely(found: Counter[str], expected: Mapping[str, Fraction]) -> list[str]:
    """The applications whose counts lie further from their shares than chance takes one in a million."""
    total = sum(found.values())
    wrong = []
    for app in sorted({*found, *expected}):
        share = float(expected.get(app, 0))
        reach = _Z * (total * share * (1 - share)) ** 0.5 + (0.5 if 0 < share < 1 else 0)
        if abs(found[app] - total * share) > reach:
            wrong.append(f"{app or 'nobody'}: {found[app]} of {total}, expected {total * share:.0f} ± {reach:.0f}")
    return wrong


def _short(name: str) -> str:
    return name.partition("/")[2]


def _host(name: str) -> str:
    namespace, _, short = name.partition("/")
    return f"{short}.{namespace}.svc.cluster.local"
