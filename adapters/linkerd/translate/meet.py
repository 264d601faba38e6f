"""What of an account's objects both stands and is wanted, where somebody edited them and nobody can tell what they permit.

A standing route is never taken from beside another one unless all who are let in then were let in by what stands, whichever
of them counts: else routes stay, and only callers are taken from their policies. No name that something stands under, or that a
standing policy waits for, is given to an object that says more. Observed on Linkerd edge-26.8: a policy without its callers
allows nothing until they are there, one route alone decides a request, and equally specific ones go by age.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from msgspec.structs import replace

from adapters.linkerd.config import GATEWAY, POLICY, LinkerdConfig, Probes
from adapters.linkerd.translate import objects
from adapters.linkerd.translate.grants import Callers
from adapters.linkerd.translate.inbound import allowed_on_port, proven
from adapters.linkerd.translate.objects import RouteMatch
from adapters.linkerd.translate.permits import EVERY_REQUEST, Permits, covered
from adapters.linkerd.translate.reading import is_manifest
from adapters.linkerd.translate.shut import SALTS, is_in_place, kept_shut, shutting
from adapters.linkerd.translate.standing import Standing, StandingPolicy, StandingRoute
from adapters.linkerd.translate.together import allowed_by, routes_for
from hub.api import Identity, NativeObject, ObjectRef, RegexRefusedError, Role, bounded

STEPS = 1_000_000
"""Steps of the engine that one port may take; what is not alike on both sides beyond that, grants nothing."""
_NOTHING = Permits(frozenset(), {})


def meet(standing: Sequence[NativeObject], wanted: Sequence[NativeObject]) -> tuple[NativeObject, ...]:
    """What allows no more than what stands does, and no more than what is wanted, sorted by ref."""
    made = _Meeting(standing, wanted).objects()
    asked = {one.ref: one for one in wanted}
    whole = (replace(one, needs=tuple(need for need in one.needs if need in made)) for one in made.values())
    return tuple(sorted((_as_wanted(one, asked.get(one.ref)) for one in whole), key=lambda one: one.ref))


def _as_wanted(one: NativeObject, wanted: NativeObject | None) -> NativeObject:
    """The wanted object if it is the same."""
    if wanted is None or wanted.body != one.body or sorted(wanted.needs) != sorted(one.needs):
        return one
    return wanted


class _Meeting:
    """One account: what stands, and what is wanted."""

    def __init__(self, standing: Sequence[NativeObject], wanted: Sequence[NativeObject]) -> None:
        self._asked = Standing(sorted(wanted, key=lambda one: one.ref))
        self._there = Standing(sorted(standing, key=lambda one: one.ref), self._asked)
        self._owner = _owner(self._asked.servers)
        self._config = _config(self._asked, self._there)

    def objects(self) -> dict[ObjectRef, NativeObject]:
        """The objects to write."""
        servers = {*self._asked.servers, *self._there.servers, *self._there.by_server}
        made = [one for server in sorted(servers) for one in self._of_server(server)]
        return {one.ref: one for one in (*made, *self._odd_routes())}

    def _of_server(self, server: ObjectRef) -> Iterator[NativeObject]:
        wanted = self._asked.natives.get(server)
        if wanted is not None and is_in_place(server, self._there, self._asked):
            yield wanted
            yield from self._let_in(server)
            return
        yield from kept_shut(server, self._there)
        if wanted is not None:
            yield from shutting(wanted, self._owner, self._there)
        yield from self._narrowed(server, _NOTHING)

    def _odd_routes(self) -> Iterator[NativeObject]:
        """Routes that smihub does not make so: without a policy they let nobody in, and may keep others out."""
        for ref, body in self._there.odd.items():
            native, wanted = self._there.natives[ref], self._asked.natives.get(ref)
            if is_manifest(body):
                yield NativeObject(ref, Role.GRANT, native.body, needs=native.needs)
            elif wanted is not None:
                yield NativeObject(ref, Role.GRANT, wanted.body, needs=wanted.needs)

    # ----------------------------------------------------------------------- who is let in

    def _let_in(self, server: ObjectRef) -> Iterable[NativeObject]:
        have, want = self._there.permits(server), self._asked.permits(server)
        with bounded(STEPS):
            narrowed = list(self._narrowed(server, want))
            stays = {one.ref for one in narrowed if self._there.has(one)}
            if all(policy.native.ref in stays for policy in self._there.policies_on(server)):
                return narrowed
            anew = self._anew(server, have, want)
        return narrowed if anew is None else anew

    def _anew(self, server: ObjectRef, have: Permits, want: Permits) -> list[NativeObject] | None:
        """Routes of their own for what both allow, beside matches that may refuse more than others say; None if that cannot be."""
        routes = self._there.by_server.get(server, ())
        bytes_only = bool(routes) and self._asked.specs[server]["proxyProtocol"] == "opaque"
        if bytes_only or not self._there.is_clear(server):
            return None
        unsound = _unsound(have, want)
        made = self._together(server, have.without(unsound), want, alone=not unsound)
        left = [one for route in routes for one in self._of_route(route, want, unsound)]
        # Without any route callers of raw bytes may send every request, until their policies are gone as well.
        shuts = bool(routes) and bool(have.raw) and EVERY_REQUEST not in have.requests
        routed = any(one.ref.kind == "HTTPRoute" for one in (*left, *(made or ())))
        return None if made is None or (shuts and not routed) else [*made, *left]

    def _together(self, server: ObjectRef, have: Permits, want: Permits, *, alone: bool) -> list[NativeObject] | None:
        raw, asked = have.raw & want.raw, allowed_by(want, have)
        if alone and asked == want.requests and raw == want.raw:
            made = self._wanted_on(server)
            if all(map(self._there.is_free, made)):
                return made
        routes = routes_for([allowed_by(have, want), asked], raw, alone=alone)
        port = self._asked.specs[server]["port"]
        for salt in SALTS if routes is not None else ():
            made = list(allowed_on_port(self._owner, (server, port), (raw, routes or {}), self._config, salt))
            # What stays may be a route under the name of one of these.
            twice = not alone and any(one.ref.kind == "HTTPRoute" and self._there.has(one) for one in made)
            if not twice and all(map(self._there.is_free, made)):
                return made
        return None

    def _wanted_on(self, server: ObjectRef) -> list[NativeObject]:
        policies = list(self._asked.policies_on(server))
        routes = [route.native for route in self._asked.by_server.get(server, ())]
        needed = (one.required for one in policies)
        return [*routes, *(one.native for one in policies), *(self._asked.natives[ref] for ref in needed if ref)]

    # ----------------------------------------------------------------------- what stays

    def _narrowed(self, server: ObjectRef, want: Permits) -> Iterator[NativeObject]:
        """The routes as they stand; of the callers of each policy those who may send all that it is for."""
        for policy in self._there.by_target.get(server, ()):
            yield from self._less(policy, policy.callers & want.raw, server)
        for route in self._there.by_server.get(server, ()):
            yield from self._of_route(route, want, route.matches)

    def _of_route(self, route: StandingRoute, want: Permits, kept: Collection[RouteMatch]) -> Iterator[NativeObject]:
        """A route with those of its matches that are kept, if any is."""
        ref, needs = route.native.ref, [route.server]
        matches = [match for match in route.matches if match in kept]
        if not matches:
            return
        for policy in self._there.by_target.get(ref, ()):
            callers = policy.callers if ref.name not in self._there.misnamed else frozenset[Identity]()
            for match in matches:
                callers = covered(match, callers, want)
            made = list(self._less(policy, callers))
            needs += [policy.native.ref for _ in made[:1]]
            yield from made
        whole = len(matches) == len(route.matches)
        body = route.native.body if whole else objects.server_route(ref, route.server, matches)
        marked = route.native.needs
        yield NativeObject(ref, Role.GRANT, body, needs=marked if sorted(needs) == sorted(marked) else tuple(needs))

    def _less(self, policy: StandingPolicy, callers: Callers, *needs: ObjectRef) -> Iterator[NativeObject]:
        """A policy for fewer callers, with what they prove; nothing for nobody."""
        ref, body = policy.native.ref, policy.native.body
        required: NativeObject | None = None
        if callers and callers == policy.callers and policy.required is not None:
            required = self._there.natives[policy.required]
        elif callers:
            provable = (proven(self._owner, callers, salt) for salt in SALTS)
            required = next(filter(self._there.is_free, provable), None)
            body = body if required is None else objects.authorization(ref, policy.target, required.ref)
        if required is not None:
            yield NativeObject(required.ref, Role.REFERENCED, required.body)
            yield NativeObject(ref, Role.GRANT, body, needs=(required.ref, *needs))


def _unsound(have: Permits, want: Permits) -> frozenset[RouteMatch]:
    try:
        return have.unsound(want)
    except RegexRefusedError:
        return frozenset(have.requests)


def _owner(servers: Iterable[ObjectRef]) -> Identity:
    """The account, as far as the names of its Servers tell it."""
    for ref in sorted(servers):
        _, _, account = ref.name.removeprefix("smihub").strip("-.").replace(".", "-", 1).partition("-")
        return Identity("", ref.namespace, account)
    return Identity("", "", "")


def _config(asked: Standing, there: Standing) -> LinkerdConfig:
    """The settings by which the objects are made, as far as the objects tell them."""
    groups = [route.native.ref.group for each in (asked, there) for route in each.routes]
    networks = (spec["networks"] for ref, spec in asked.specs.items() if ref.kind == "NetworkAuthentication")
    cidrs = tuple(one["cidr"] for each in networks for one in each)
    return LinkerdConfig(
        http_routes=GATEWAY if GATEWAY in groups[:1] else POLICY, probes=Probes(cidrs, ()) if cidrs else None
    )
