"""One side of a trial with a mesh in memory: what writes of ours open there, and how long a revocation may wait there.

What may be let through is by hub.semantics, what is let through by the evaluator of all that stands, and the pauses are those that
docs/operate.md promises. Nothing here asks the hub.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec

from hub.model import NativeObject, ObjectRef, Request, Role
from hub.plan.guards import WINDOW_S
from hub.reconcile.drift_backoff import MAX_WAIT_S
from hub.testing.memory import MemoryMesh
from tests.servers.small_town import CALLERS, REQUESTS, Granted, allowed, receiver, served

AT_ONCE_S = 0.5
"""So long a revocation may take where nothing is wrong: a race that was lost is tried again after 0.1 s, and a second one after 0.2 s."""
AGAIN_S = 7.0
"""And so long after something was wrong: while a revocation waits, tries are at most 5 s apart, and 1 s after a failure of the mesh."""
PUT_BACK_S = MAX_WAIT_S + AGAIN_S
"""What somebody opened, though it is put back later each time."""
MESH = ""
"""In place of a receiver: all of them."""


class Side:
    """One mesh, seen by somebody who knows what is wrong with it. `clock` gives seconds."""

    def __init__(self, name: str, form: str, mesh: MemoryMesh, clock: Callable[[], float]) -> None:
        self.name, self.form, self.mesh, self._clock = name, form, mesh, clock
        self.wider: list[str] = []  # what writes of ours let through, and must not
        self.lost: list[str] = []  # and what they refuse, though nobody asked for that
        self.known: Granted = frozenset()
        self._bound: list[Granted] = []  # the states of the source that what is written may be planned on
        self._heard_at = 0.0
        self._past: list[
            Granted
        ] = []  # and those that a loss may be planned on, which is written however late it comes
        self._older: dict[ObjectRef, list[Granted]] = {}  # and of objects whose write began before
        self._denied: dict[Request, float] = {}  # since when SMI denies it
        self._excused: dict[str, float] = {}  # receivers, until when something may hold up their objects
        self._touched: dict[
            str, float
        ] = {}  # receivers of which somebody else changed an object, until when that may stay
        self._deleted: set[str] = set()  # of these, the receivers of which somebody deleted an object last
        self._unheard: set[str] = set()  # receivers whose objects are others', or were when nobody was told any more
        self._opened: set[Request] = set()  # what that let through
        self._lost: dict[str, float] = {}  # receivers, and when somebody lost access there last
        self._losing = False  # an answer was to be lost
        self._stood = served(mesh)
        mesh.seen = self._look

    def hear(self, before: Granted, now: Granted) -> None:
        """The hub hears what the source says now, which was otherwise before: no write that begins later may go by older states."""
        self._older = {ref: [*self._older.get(ref, ()), *self._bound] for ref in self.mesh.waiting}
        in_trouble = any(until > self._clock() for until in self._excused.values())
        self._past = [*(self._past if in_trouble else ()), before, now]
        self._bound, self.known, self._heard_at = [before, now], now, self._clock()
        self._lost |= dict.fromkeys((name.partition(".")[0] for name in before - now), self._clock())
        since, denied = self._clock(), set(REQUESTS) - allowed(now)
        self._denied = {one: self._denied.get(one, since) for one in denied}

    def excuse(self, whom: str, seconds: float) -> None:
        """What waits there now may wait for so long."""
        self._excused[whom] = max(self._excused.get(whom, 0.0), self._clock() + seconds)

    def touch(self, ref: ObjectRef, act: Callable[[], None]) -> None:
        """Somebody else does something to an object; what that opens may stay until it is put back."""
        before = served(self.mesh)
        act()
        self._stood = served(self.mesh)
        self._opened |= self._stood - before
        gone = set() if ref in self.mesh.objects else {account(ref)}
        self._deleted = (self._deleted - {account(ref)}) | gone
        self._touched[account(ref)] = self._clock() + PUT_BACK_S
        self.excuse(account(ref), AGAIN_S)

    def note(self, *, told: bool, refused: bool) -> None:
        """What is wrong now, be it in the mesh, with the plan as a whole (`refused`), or that the hub was not `told` of the source."""
        theirs = {ref for ref, one in self.mesh.objects.items() if one.owner is None or one.paused}
        self._unheard = (self._unheard if self.mesh.deaf else set()) | {account(ref) for ref in theirs}
        for whom in {account(ref) for ref in troubled(self.mesh)} | self._unheard:
            self.excuse(whom, AGAIN_S)
        if refused or self._losing or is_away(self.mesh) or self._is_blocked():
            self.excuse(MESH, AGAIN_S)
        self._losing = self.mesh.loses_answer
        for whom in [each for each, until in self._touched.items() if until > self._clock()]:
            if not told:  # nothing is put back by what nobody has said
                self.excuse(whom, PUT_BACK_S)
            if self.mesh.deaf or self._held_until(whom) > self._clock():
                self._touched[whom] = self._clock() + PUT_BACK_S

    def lost_since(self, at: float) -> set[str]:
        """The receivers at which somebody lost access within the ten minutes before this, or later, or may have.

        Of what somebody edited nobody can tell what it lets through: beside what cannot be read, what it does not say counts as lost.
        """
        since = at - WINDOW_S - 1.0
        edited_since = {whom for whom, until in self._touched.items() if until > since}
        return edited_since | {whom for whom, when in self._lost.items() if when > since}

    def is_well(self) -> bool:
        """Whether nothing is wrong, nor was a short time ago."""
        return self._excused.get(MESH, 0.0) <= self._clock()

    def overdue(self) -> list[Request]:
        """What SMI denies, and is let through for longer than anything excuses."""
        stands = served(self.mesh)
        self._opened &= stands
        return sorted((one for one in stands & self._denied.keys() if self._clock() > self._due(one)), key=str)

    def wrong(self, granted: Granted) -> list[Request]:
        """What is not as SMI has it with these grants."""
        return sorted(served(self.mesh) ^ allowed(granted), key=str)

    def _due(self, request: Request) -> float:
        whom = receiver(request)
        put_back = self._touched[whom] if request in self._opened else 0.0
        return max(self._denied[request] + AT_ONCE_S, self._held_until(whom), put_back)

    def _held_until(self, whom: str) -> float:
        return max(self._excused.get(whom, 0.0), self._excused.get(MESH, 0.0))

    def _may_go(self) -> set[Request]:
        """What may go beside what cannot be read: all of a policy that somebody deleted."""
        gone = {whom for whom in self._deleted if self._touched[whom] > self._clock()}
        return {one for one in REQUESTS if receiver(one) in gone}

    def _is_blocked(self) -> bool:
        """Whether a mesh that takes one write at a time waits for a slow object, or all of a plan fails with one."""
        if self.form == "memory-at-once":
            return bool(self.mesh.failing | self.mesh.unanswered)
        return self.form == "memory" and bool(self.mesh.waiting)

    def _look(self) -> None:
        """Right after a write of ours."""
        now, written = served(self.mesh), [ref for _, ref in self.mesh.written[-1:]]
        heard = [self.known] if self._clock() > self._heard_at + AT_ONCE_S else self._bound
        bound = [*heard, *(one for ref in written for one in self._older.get(ref, ()))]
        for request in sorted(now - self._stood - frozenset().union(*map(allowed, bound)), key=str):
            self.wider.append(f"{self.name}: {self.mesh.written[-1]} lets through {request}")
        kept = frozenset(REQUESTS).intersection(*map(allowed, [*bound, *self._past])) - self._opened - self._may_go()
        for request in sorted((self._stood - now) & kept, key=str):
            self.lost.append(f"{self.name}: {self.mesh.written[-1]} refuses {request}")
        self._stood = now


def account(ref: ObjectRef) -> str:
    """The receiver whose object it is."""
    return ref.name.removeprefix("smihub-")


def troubled(mesh: MemoryMesh) -> set[ObjectRef]:
    """The objects that cannot be written as they should; those that are not in force yet hold up gains alone."""
    return {*mesh.refused, *mesh.failing, *mesh.unanswered, *mesh.slow}


def is_away(mesh: MemoryMesh) -> bool:
    """Whether something is wrong with the mesh as a whole."""
    cut = mesh.steps is not None or mesh.loses_answer or mesh.hangs is not None
    return cut or mesh.down or mesh.half or mesh.stale


def edited(mesh: MemoryMesh, ref: ObjectRef, rules_of: Collection[ObjectRef] = ()) -> NativeObject:
    """An object as somebody else would have it: without mTLS, with the rules of another policy, or with other paths."""
    mine = mesh.objects[ref]
    value = msgspec.json.decode(mine.owned)
    if ref.kind == "PeerAuthentication":
        value["spec"]["mtls"] = {"mode": "PERMISSIVE"}
    for other in rules_of:
        value["spec"]["rules"] = msgspec.json.decode(mesh.objects[other].owned)["spec"].get("rules", [])
    body = msgspec.json.encode(value, order="deterministic")
    return NativeObject(ref, mine.role, body if rules_of else body.replace(b"/books", b"/orders"), (), mine.needs)


def with_other_callers(mesh: MemoryMesh, ref: ObjectRef, how: str) -> NativeObject | None:
    """A policy as somebody else would have it: a caller added, taken away, or in place of another one. None if that cannot be done."""
    mine = mesh.objects[ref]
    value = msgspec.json.decode(mine.owned)
    rules = value["spec"].get("rules", [])
    new = next(
        (_rule(caller) for caller in CALLERS if _rule(caller)["from"] not in [each.get("from") for each in rules]), None
    )
    if (how != "drop_caller" and new is None) or (how != "add_caller" and not rules):
        return None
    kept = rules if how == "add_caller" else rules[1:]
    value["spec"]["rules"] = kept if how == "drop_caller" else [*kept, new]
    return NativeObject(ref, mine.role, msgspec.json.encode(value, order="deterministic"), (), mine.needs)


def _rule(caller: str) -> dict[str, Any]:
    whom = {"source": {"principals": [f"cluster.local/ns/shop/sa/{caller}"]}}
    return {"from": [whom], "to": [{"operation": {"methods": ["GET"], "paths": ["/books"]}}]}


def squatting(ref: ObjectRef) -> NativeObject:
    """An object of somebody else where one of ours is to stand: it accepts nobody."""
    kind = {"apiVersion": "security.istio.io/v1", "kind": ref.kind}
    value = {**kind, "metadata": {"name": ref.name, "namespace": ref.namespace}, "spec": {}}
    role = Role.GRANT if ref.kind == "AuthorizationPolicy" else Role.GUARD
    return NativeObject(ref, role, msgspec.json.encode(value, order="deterministic"))
