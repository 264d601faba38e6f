"""The objects of an account as somebody may have left them: who is let in where, and what nobody can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

from msgspec import Struct

from adapters.linkerd.config import POLICY
from adapters.linkerd.translate.grants import NODES, Callers
from adapters.linkerd.translate.objects import RouteMatch
from adapters.linkerd.translate.permits import EVERY_REQUEST, Permits
from adapters.linkerd.translate.reading import (
    is_manifest,
    json_of,
    match_of,
    our_spec,
    ref_of,
    spec_of,
    target_of_open_policy,
    texts_in,
)
from hub.api import Identity, NativeObject, ObjectRef


class StandingPolicy(Struct, frozen=True):
    """A policy, what it is for, what it requires (None: nothing), and whom that lets in: these at least."""

    native: NativeObject
    target: ObjectRef
    required: ObjectRef | None
    callers: Callers


class StandingRoute(Struct, frozen=True):
    """A route, its Server and its matches."""

    native: NativeObject
    server: ObjectRef
    matches: tuple[RouteMatch, ...]


class Standing:
    """Objects of one account. What is not exactly as smihub makes such an object lets nobody in, or is an `odd` route.

    `wanted` are the same objects as translate gives them now (None: these are they).
    """

    def __init__(self, objects: Sequence[NativeObject], wanted: Standing | None = None) -> None:
        self.natives = {one.ref: one for one in objects}
        self.servers = {ref: json_of(one.body) for ref, one in self.natives.items() if _is(ref, "Server")}
        self.specs = {one.ref: found for one in objects if (found := our_spec(one)) is not None}
        self._wanted = wanted or self
        self.policies: Mapping[ObjectRef, StandingPolicy] = {one.native.ref: one for one in self._policies()}
        self.routes = tuple(self._routes())
        known = {one.native.ref for one in self.routes}
        self.odd = {
            ref: json_of(one.body) for ref, one in self.natives.items() if ref.kind == "HTTPRoute" and ref not in known
        }

    # ----------------------------------------------------------------------- who is let in

    @cached_property
    def by_target(self) -> Mapping[ObjectRef, Sequence[StandingPolicy]]:
        """The policies by what they are for."""
        found: dict[ObjectRef, list[StandingPolicy]] = {}
        for policy in self.policies.values():
            found.setdefault(policy.target, []).append(policy)
        return found

    @cached_property
    def by_server(self) -> Mapping[ObjectRef, Sequence[StandingRoute]]:
        """The routes by their Servers."""
        found: dict[ObjectRef, list[StandingRoute]] = {}
        for route in self.routes:
            found.setdefault(route.server, []).append(route)
        return found

    def targets_on(self, server: ObjectRef) -> Iterator[ObjectRef]:
        """A Server and its routes."""
        yield server
        yield from (route.native.ref for route in self.by_server.get(server, ()))

    def policies_on(self, server: ObjectRef) -> Iterator[StandingPolicy]:
        """The policies for a Server and its routes."""
        return chain.from_iterable(self.by_target.get(target, ()) for target in self.targets_on(server))

    def permits(self, server: ObjectRef) -> Permits:
        """What is allowed on the port of a Server; a match that is in several routes only to the callers of all."""
        raw = self._callers_of(server)
        found: dict[RouteMatch, Callers] = {}
        most: dict[RouteMatch, Callers] = {}
        for route in self.by_server.get(server, ()):
            callers = raw | self._callers_of(route.native.ref)
            found |= {match: callers & found.get(match, callers) for match in route.matches}
            most |= {match: callers | most.get(match, callers) for match in route.matches}
        torn = {match: callers for match, callers in most.items() if callers != found[match]}
        if server not in self.by_server and raw:
            found[EVERY_REQUEST] = raw
        return Permits(raw, found, torn)

    def _callers_of(self, target: ObjectRef) -> Callers:
        return frozenset[Identity]().union(*(one.callers for one in self.by_target.get(target, ())))

    # ----------------------------------------------------------------------- what nobody can tell

    @cached_property
    def _unclear(self) -> Sequence[Any]:
        """What odd routes say, and policies of which it is not known whom they let in."""
        clear = {
            ref
            for ref, one in self.policies.items()
            if one.required is not None and (one.required in self.specs or one.required not in self.natives)
        }
        policies = (one for ref, one in self.natives.items() if _is(ref, "AuthorizationPolicy") and ref not in clear)
        return [*self.odd.values(), *(json_of(one.body) for one in policies)]

    @cached_property
    def _unclear_names(self) -> frozenset[str]:
        return frozenset(chain.from_iterable(map(texts_in, self._unclear)))

    def is_clear(self, server: ObjectRef) -> bool:
        """Whether nothing that cannot be read may let somebody in on a Server, or keep somebody out."""
        everywhere = "Namespace" in self._unclear_names or not all(map(is_manifest, self._unclear))
        return not everywhere and self._unclear_names.isdisjoint(one.name for one in self.targets_on(server))

    @cached_property
    def misnamed(self) -> frozenset[str]:
        """Names that routes have in their bodies, and by which nothing refers to them."""
        bodies = (body for ref, body in self.odd.items() if is_manifest(body) and spec_of(body, ref) is None)
        return frozenset(text for body in bodies for text in texts_in(body.get("metadata")))

    # ----------------------------------------------------------------------- names

    @cached_property
    def _named(self) -> frozenset[str]:
        """All texts in policies: the names to which they refer, whether or not something stands there."""
        bodies = (json_of(one.body) for ref, one in self.natives.items() if _is(ref, "AuthorizationPolicy"))
        return frozenset(chain.from_iterable(map(texts_in, bodies)))

    def has(self, native: NativeObject) -> bool:
        """Whether an object stands just so."""
        there = self.natives.get(native.ref)
        return there is not None and there.body == native.body

    def is_taken(self, ref: ObjectRef) -> bool:
        """Whether something stands under a name, or a policy waits for it."""
        return ref in self.natives or ref.name in self._named

    def is_free(self, native: NativeObject) -> bool:
        """Whether an object lets nobody in by its name alone: by what stands under it, or by a policy that waits for it."""
        # A policy lets in what its old form did, or what its new one does.
        return self.has(native) or native.ref.kind == "AuthorizationPolicy" or not self.is_taken(native.ref)

    # ----------------------------------------------------------------------- reading

    def _policies(self) -> Iterator[StandingPolicy]:
        for ref, native in self.natives.items():
            if not _is(ref, "AuthorizationPolicy"):
                continue
            if (spec := self.specs.get(ref)) is not None:
                (required,) = spec["requiredAuthenticationRefs"]
                needed = ref_of(required, ref)
                yield StandingPolicy(native, ref_of(spec["targetRef"], ref), needed, self._proven(needed))
            elif (target := target_of_open_policy(native)) is not None and ref in self._wanted.policies:
                known = self._wanted.policies[ref]
                if known.target == target and NODES not in known.callers:
                    yield StandingPolicy(native, target, None, known.callers)

    def _proven(self, ref: ObjectRef) -> Callers:
        spec = self.specs.get(ref)
        if spec is None:
            return frozenset()
        if ref.kind == "NetworkAuthentication":
            wanted = self._wanted.natives.get(ref)
            return frozenset({NODES} if wanted is not None and self.has(wanted) else ())
        return frozenset(Identity("", one["namespace"], one["name"]) for one in spec["identityRefs"])

    def _routes(self) -> Iterator[StandingRoute]:
        for ref, spec in self.specs.items():
            (parent, *_) = spec.get("parentRefs", ({},))
            if ref.kind == "HTTPRoute" and parent["kind"] == "Server":
                matches = tuple(match_of(match) for rule in spec["rules"] for match in rule["matches"])
                yield StandingRoute(self.natives[ref], ref_of(parent, ref), matches)


def _is(ref: ObjectRef, kind: str) -> bool:
    return (ref.group, ref.kind) == (POLICY, kind)
