"""Requests close to the boundaries of a world, as calls that can really be made to its standing sidecars."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, zip_longest
from random import Random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from hub.model import Answer, Destination, Request, Source
from hub.testing.close import AnsweredRequest, Part, close_to
from hub.testing.random_requests import Hints, any_request, meant_by
from tests.servers.vm_worlds import CALLERS, SERVERS, Plant

_DRAWS = 16
_MEANT = 60
_HOST = re.compile(r"[a-z0-9.-]+")
Way = Literal["sidecar", "certificate", "none", "foreign", "plaintext"]
_OUTSIDE: tuple[Way, ...] = ("none", "foreign", "plaintext")


class Call(Struct, frozen=True):
    """A request and the way it is really made."""

    request: Request
    way: Way
    http2: bool = False

    @property
    def direct(self) -> bool:
        """Whether it goes straight to the receiver's sidecar."""
        return self.way != "sidecar"

    @property
    def probes(self) -> bool:
        """Whether it can be tried while one world replaces another: what arrives names its call."""
        return self.way == "certificate" and self.request.protocol == "http"


class Meant(Struct, frozen=True):
    """A call with SMI's answer, and the part in which it differs from a call that SMI allows ("" if it was not made from one)."""

    call: Call
    answer: Answer
    part: Part | Literal[""] = ""
    about: tuple[str, ...] = ()

    @property
    def asked(self) -> AnsweredRequest:
        """The same, as searches count it."""
        return AnsweredRequest(self.call.request, self.answer, self.part, self.about)


class Maker:
    """Makes the calls of one world. `judge` is SMI's reading; `permits` says whether the mesh has no excuse to refuse."""

    def __init__(
        self, rng: Random, world: Plant, judge: Callable[[Request], Answer], permits: Callable[[Request], bool]
    ) -> None:
        self._rng, self._world, self._judge, self._permits = rng, world, judge, permits
        self._hints = Hints.of(world.values)

    def calls(self, count: int) -> tuple[Meant, ...]:
        """So many calls: more than half of them allowed, a quarter denied and close to an allowed one, the rest of any kind."""
        wild = dict.fromkeys([*_shared_calls(self._world), *self._wild(count * _DRAWS)])
        drawn = [Meant(call, answer, about=answer.by) for call in wild for answer in (self._judge(call.request),)]
        good = [one for one in drawn if one.answer.verdict != "deny" and self._permits(one.call.request)]
        good = list(_in_turns(good, lambda one: one.about))[: 6 * count // 10]
        near = list(_in_turns(self._near(good, 2 * count), lambda one: one.part))[: count // 4]
        strange = [self._without_identity(one) for one in good if one.call.way == "certificate"][: count // 16]
        chosen = {id(one) for one in good}
        rest = [one for one in drawn if id(one) not in chosen]
        self._rng.shuffle(rest)
        found = [*good, *near, *strange, *_in_turns(rest, _oddity)][:count]
        self._rng.shuffle(found)
        return tuple(found)

    def _wild(self, draws: int) -> Iterator[Call]:
        meant = (meant_by(self._rng, flow) for flow in self._hints.flows for _ in range(_MEANT))
        for request in chain(meant, (any_request(self._rng, self._hints) for _ in range(draws))):
            call = _call(self._rng, self._world, request)
            if call is not None:
                yield call

    def _near(self, seeds: list[Meant], tries: int) -> Iterator[Meant]:
        """Calls that SMI denies, each one byte, line, port or caller away from an allowed one."""
        groups = list(_by(seeds, lambda one: one.about).values())
        for _ in range(tries if seeds else 0):
            seed = self._rng.choice(self._rng.choice(groups))
            part, call = self._beside(seed.call)
            if call is not None and (answer := self._judge(call.request)).verdict == "deny":
                yield Meant(call, answer, part, seed.about)

    def _beside(self, call: Call) -> tuple[Part, Call | None]:
        """The call with one part of its request changed; none where that cannot be made."""
        part, request = close_to(self._rng, self._hints, call.request)
        if not call.direct:
            others = [name for name in _callers(self._world, request) if name != call.request.src.pod]
            if part == "caller":
                request = replace(request, src=Source(pod=self._rng.choice(others))) if others else call.request
            possible = request != call.request and str(request.src.pod) in _callers(self._world, request)
            return part, _versioned(request, "sidecar", http2=call.http2) if possible else None
        way = self._rng.choice(_OUTSIDE) if request.src.outside else call.way
        possible = request.src.outside or spiffe_of(self._world, request.src) is not None
        return part, _versioned(request, way, http2=call.http2) if possible else None

    def _without_identity(self, meant: Meant) -> Meant:
        """The same request by somebody who is nobody: no certificate, a foreign one, or no TLS at all."""
        request = replace(meant.call.request, src=Source(outside=True))
        call = replace(meant.call, request=request, way=self._rng.choice(_OUTSIDE))
        return Meant(call, self._judge(request), "caller", meant.about)


def _by(made: Iterable[Meant], key: Callable[[Meant], object]) -> dict[object, list[Meant]]:
    groups: dict[object, list[Meant]] = {}
    for one in made:
        groups.setdefault(key(one), []).append(one)
    return groups


def _in_turns(made: Iterable[Meant], key: Callable[[Meant], object]) -> Iterator[Meant]:
    """The same calls, those of one key not before those of every other have had their turn."""
    for row in zip_longest(*_by(made, key).values()):
        yield from (one for one in row if one is not None)


def _oddity(one: Meant) -> str:
    """What is out of the common in a request, since most have nothing."""
    request = one.call.request
    if request.method not in {"GET", "POST"}:
        return "method"
    if not all(value.isascii() for _, value in request.headers):
        return "header"
    return "" if request.path.isascii() else "path"


def _versioned(request: Request, way: Way, *, http2: bool) -> Call | None:
    """The call over the HTTP version that was wished, or over HTTP/2 if only that can carry it."""
    http2 = request.protocol == "http" and (http2 or not sendable(request, http2=False))
    return Call(request, way, http2) if sendable(request, http2=http2) else None


def in_both_versions(meant: Meant) -> tuple[Meant, ...]:
    """The call over HTTP/1.1 and over HTTP/2, as far as each can carry it; TCP as it is."""
    call = meant.call
    if call.request.protocol != "http":
        return (meant,)
    versions = [http2 for http2 in (False, True) if sendable(call.request, http2=http2)]
    return tuple(replace(meant, call=replace(call, http2=http2)) for http2 in versions)


def _shared_calls(world: Plant) -> Iterator[Call]:
    """Calls that go through the split of `_shared`, if that is there."""
    caller, service, port = "d/caller", "d/raw", 7000
    if world.upstream(caller, service, port):
        for protocol in ("http", "tcp"):
            request = Request(Source(pod=caller), Destination(service=service), port, protocol, "GET", "/")
            yield Call(request, "sidecar")


def _call(rng: Random, world: Plant, request: Request) -> Call | None:
    http2 = request.protocol == "http" and rng.randrange(2) == 0
    if request.protocol == "udp" or not sendable(request, http2=http2):
        return None
    if request.dst.service is not None:
        callers = _callers(world, request)
        return Call(replace(request, src=Source(pod=rng.choice(callers))), "sidecar", http2) if callers else None
    placed = _placed(rng, world, request)
    if placed is None:
        return None
    if placed.src.outside:
        return Call(placed, rng.choice(_OUTSIDE), http2)
    return Call(placed, "certificate", http2) if spiffe_of(world, placed.src) is not None else None


def _callers(world: Plant, request: Request) -> list[str]:
    """Who can call the Service and port through a sidecar of its own."""
    return [name for name in CALLERS if world.upstream(name, str(request.dst.service), request.port)]


def _placed(rng: Random, world: Plant, request: Request) -> Request | None:
    """The same request to one Workload; None if nobody stands there."""
    if request.dst.identity is None:
        return request if request.dst.pod in SERVERS else None
    members = [name for name in SERVERS if identity(world, name) == request.dst.identity]
    return replace(request, dst=Destination(pod=rng.choice(members))) if members else None


def identity(world: Plant, workload: str) -> str:
    """The `ns/account` of a Workload; "" if it has none that can be read."""
    account = world.workloads.get(workload, {}).get("serviceAccount")
    return f"{workload.partition('/')[0]}/{account}" if isinstance(account, str) else ""


def spiffe_of(world: Plant, source: Source) -> str | None:
    """The URI of a caller's certificate; None where there can be none."""
    if source.pod is not None and source.pod not in world.workloads:
        return None
    pair = source.identity or (identity(world, source.pod) if source.pod else None)
    if pair is None:
        return source.spiffe if source.spiffe and source.spiffe.isascii() else None
    namespace, _, account = pair.partition("/")
    return f"spiffe://cluster.local/ns/{namespace}/sa/{account}"


def sendable(request: Request, *, http2: bool) -> bool:
    """Whether the request can be written at all: HTTP/1.1 cannot carry a line's end, and Host must be a host."""
    texts = (request.method, request.path, *(part for line in request.headers for part in line))
    broken = any(char in text for text in texts for char in "\r\n\0")
    hosts = (value for name, value in request.headers if name.lower() == "host")
    return (http2 or not broken) and all(_HOST.fullmatch(value) for value in hosts)
