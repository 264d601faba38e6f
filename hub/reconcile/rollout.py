"""Rollout: carry a plan out in a mesh, wave by wave.

What becomes of one object concerns its own unit and those that need the object, and nobody else. A unit of which an object
was not written gains nothing more by this plan, nor does one of which there is news since it was planned; what it loses is
written as far as that cannot open anything. The states that may come to stand are remembered before the first write, and only
what was written to its end is remembered alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from msgspec import Struct

from hub.api import Accepting, Sink, Transactional, Written
from hub.contained import in_task
from hub.errors import RefusedError, SmihubError, StaleError, UnsafeResourceError
from hub.memory.states import digest, narrowed, pending
from hub.mirror import Mirror
from hub.model import Change, ObjectRef, Op, Role, UnitKey
from hub.plan.changes import in_steps, wave
from hub.plan.plan import Plan
from hub.reconcile.news import News
from hub.reconcile.partition import gaining_in, needs_of, partition, units_of
from hub.status.outcomes import Result

ACCEPTED_S = 30.0
"""How long what gains waits for the mesh to take what it needs."""
_GRANT_DELETED = wave(Role.GRANT, Op.DELETE)
_GRANT_REPLACED = wave(Role.GRANT, Op.REPLACE)
_ROUTE = wave(Role.ROUTE, Op.REPLACE)
_REFERENCED_DELETED = wave(Role.REFERENCED, Op.DELETE)
_OUTDATED = Result("waiting", "the sources have changed since it was planned")
_PREREQUISITE_ROLES = (Role.GUARD, Role.REFERENCED)


class RolloutResult(Struct, frozen=True):
    """What a rollout gave: what was written, with the token of each object; what is remembered since; a result by unit.

    `whole`: that is all that was written; else the mesh has to be read again. `failed` are objects that could not be written.
    """

    written: tuple[tuple[Change, str], ...] = ()
    memory: Mapping[UnitKey, bytes] = {}
    results: Mapping[UnitKey, Result] = {}
    token: str = ""
    whole: bool = True
    failed: frozenset[ObjectRef] = frozenset()

    @property
    def stopped(self) -> frozenset[UnitKey]:
        """The units of which not all was written."""
        return frozenset(key for key, each in self.results.items() if each.state != "written")


async def roll_out(sink: Sink | Transactional, plan: Plan, mirror: Mirror, news: News | None = None) -> RolloutResult:
    """Write a plan; what there is news of gains nothing more. Raises StaleError, with nothing written, if the mesh as a whole is not as it was planned on."""
    news = news or News()
    if isinstance(sink, Transactional):
        return await _write_transaction(sink, plan, mirror, news)
    if not sink.apart:
        return await _write_by_object(sink, plan, mirror, news)
    # Of a sink with one token for all of its mesh, parts that are written at once would make each other stale; of one
    # with a token per object, a slow unit must not hold up the others.
    parts = partition(plan, mirror)
    works = (in_task(partial(_write_by_object, sink, part, mirror, news)) for part in parts)
    found = await asyncio.gather(*works, return_exceptions=True)
    return _joined(plan, parts, found)


def _joined(plan: Plan, parts: Sequence[Plan], found: Sequence[RolloutResult | BaseException]) -> RolloutResult:
    """What came of all parts. One that failed as a whole concerns its own units, unless all did, or by a bug."""
    errors = [each for each in found if isinstance(each, BaseException)]
    bugs = [each for each in errors if not isinstance(each, SmihubError)]
    if bugs or (errors and len(errors) == len(found)):
        raise (bugs or errors)[0]
    done = [each for each in found if isinstance(each, RolloutResult)]
    results = {key: each for one in done for key, each in one.results.items()}
    for part, error in zip(parts, found, strict=True):
        if isinstance(error, BaseException):
            results |= dict.fromkeys(units_of(part), result_of(error))
    return RolloutResult(
        written=tuple(each for one in done for each in one.written),
        memory={key: raw for one in done for key, raw in one.memory.items()},
        results=results,
        token=done[-1].token if done else plan.token,
        whole=not errors,
        failed=frozenset(ref for one in done for ref in one.failed),
    )


def result_of(error: BaseException) -> Result:
    """What an error that ended a write means for the units that it was for."""
    if isinstance(error, StaleError):
        return Result("stale", str(error))
    if isinstance(error, RefusedError | UnsafeResourceError):
        return Result("refused", str(error))
    if isinstance(error, SmihubError):
        return Result("failed", str(error))
    return Result("bug", f"{type(error).__name__}: {error}")


async def _write_transaction(sink: Transactional, plan: Plan, mirror: Mirror, news: News) -> RolloutResult:
    """All that may be written, as one; a unit of which anything may not is left out, and so are those that rest on it."""
    refused = sink.refused(plan.changes)
    stopped = _excluded(plan, mirror, refused, news.of(gaining_in(plan)))
    changes = tuple(change for change in plan.changes if change.unit not in stopped)
    memory = {key: raw for key, raw in plan.memory.items() if key not in stopped}
    token = await sink.write_all(changes, memory, plan.token) if changes or memory else plan.token
    keys = {change.unit for change in plan.changes} | plan.memory.keys()
    results = {key: stopped.get(key, Result("written")) for key in sorted(keys)}
    failed = frozenset(one.ref for one in refused)
    return RolloutResult(tuple((change, token) for change in changes), memory, results, token, failed=failed)


def _excluded(
    plan: Plan, mirror: Mirror, refused: Iterable[Written], outdated: Iterable[UnitKey]
) -> dict[UnitKey, Result]:
    """The units of refused objects, and those that are outdated; those that need what these would have made, or would delete what these need still."""
    units = {change.ref: change.unit for change in plan.changes}
    stopped = dict.fromkeys(outdated, _OUTDATED)
    stopped |= {units[one.ref]: Result("refused", one.detail, one.ref) for one in refused}
    gaining, guards = gaining_in(plan), _guards(plan)
    while True:  # each unit that is left out may take others with it
        left_out = [change for change in plan.changes if change.unit in stopped]
        # Of a replacement that is left out the old object stays; of a creation nothing is there.
        missing = {change.ref for change in left_out if change.op is Op.CREATE or _is_baseline(change)}
        in_use = {ref for change in left_out for ref in mirror.needs(change.ref)}
        more = {
            change.unit: Result("waiting", f"{change.ref} depends on an object that was refused", change.ref)
            for change in plan.changes
            if change.unit not in stopped
            and (missing & _required(change, mirror, gaining, guards) or _deletes_in_use(change, in_use))
        }
        if not more:
            return stopped
        stopped |= more


def _is_baseline(change: Change) -> bool:
    return change.unit.kind == "baseline" and change.after is not None


def _deletes_in_use(change: Change, in_use: Collection[ObjectRef]) -> bool:
    return change.op is Op.DELETE and change.ref in in_use


async def _write_by_object(sink: Sink, plan: Plan, mirror: Mirror, news: News) -> RolloutResult:
    progress = _Progress(plan, mirror, news)
    async with sink.writing(plan.token) as writing:
        # Before the first write: after a crash the memory must name every state that may stand by then.
        pending_memory = _pending_memory(plan, mirror.memory)
        if pending_memory:
            await writing.remember(pending_memory)
        # Deleting the last grant is safe only while a guard denies in its place, in the mesh and not only in its API.
        if isinstance(sink, Accepting) and (closing_guards := progress.closing_guards()):
            progress.record_unaccepted(await sink.unaccepted(closing_guards, 0.0))
        for batch in _batches(plan, mirror, gated=isinstance(sink, Accepting)):
            todo = [change for change in batch if progress.may(change)]
            if todo:
                progress.record(todo, await writing.write(todo))
            if not batch and isinstance(sink, Accepting) and (gate_refs := progress.gate_refs()):
                progress.record_unaccepted(await _unaccepted(sink, gate_refs, progress.until_outdated()))
        # A unit that stopped keeps the memory of both states, so that its next plan counts gains against either.
        final = {key: raw for key, raw in plan.memory.items() if key not in progress.stopped}
        known = {**mirror.memory, **pending_memory}
        narrowed_units = (progress.narrowed_units & plan.memory.keys() & known.keys()) - {*plan.unproven}
        final |= {key: narrowed(known[key], progress.standing(key)) for key in narrowed_units}
        if final:
            await writing.remember(final)
        memory = {**pending_memory, **final}
        return RolloutResult(
            tuple(progress.written), memory, progress.results(), writing.token, failed=frozenset(progress.failed)
        )


async def _unaccepted(sink: Accepting, refs: Sequence[ObjectRef], outdated: Coroutine[Any, Any, None]) -> list[Written]:
    """What the mesh has not accepted in time, or when what waits for it is outdated: the next plan is not to wait as well."""
    asked = asyncio.ensure_future(in_task(partial(sink.unaccepted, refs, ACCEPTED_S)))
    ended = asyncio.ensure_future(outdated)
    try:
        await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        return list(asked.result() if asked.done() else await sink.unaccepted(refs, 0.0))
    finally:
        for each in (asked, ended):
            each.cancel()
        await asyncio.gather(asked, ended, return_exceptions=True)


def _pending_memory(plan: Plan, known: Mapping[UnitKey, bytes]) -> dict[UnitKey, bytes]:
    """What may come to stand, to be remembered before the first write."""
    changed = {change.unit for change in plan.changes}
    todo = {key: pending(known.get(key, b""), raw) for key, raw in plan.memory.items() if key in changed}
    return {key: raw for key, raw in todo.items() if raw != known.get(key, b"")}


def _batches(plan: Plan, mirror: Mirror, *, gated: bool) -> Iterator[Sequence[Change]]:
    """The changes wave by wave, and step by step in each; an empty batch is where the mesh is waited for."""
    found = groupby(plan.changes, key=lambda change: change.wave)
    waves = [step for _, changes in found for step in in_steps(list(changes), mirror.needs)]
    if not gated:
        yield from waves
        return
    # Guards and what is referred to, then losses that depend on none of it, then the gate, then what gains.
    ready = [one for one in waves if one[0].wave < _GRANT_DELETED]
    independent = _independent_losses(plan, mirror)
    yield from ready
    yield from ([change for change in plan.changes if change.ref in independent],) if independent else ()
    yield []
    yield from ([change for change in one if change.ref not in independent] for one in waves[len(ready) :])


def _independent_losses(plan: Plan, mirror: Mirror) -> set[ObjectRef]:
    """The losses that need not wait for the mesh: of units that gain nothing and get no new guard, by objects that need nothing new."""
    fresh = {change.ref: change for change in plan.changes if change.wave < _GRANT_DELETED}
    gaining, guards = gaining_in(plan), _guards(plan)
    waiting = gaining | {change.unit for change in fresh.values() if change.ref in guards}
    return {
        change.ref
        for change in plan.changes
        if change.wave in {_GRANT_DELETED, _GRANT_REPLACED}
        and change.unit not in waiting
        and not fresh.keys() & _required(change, mirror, gaining, guards)
    }


def gated_gaining_and_losing(plan: Plan) -> frozenset[UnitKey]:
    """The units that both gain and lose, and whose gains wait for the mesh to take what they need."""
    fresh = {change.ref: change.unit for change in plan.changes if change.wave < _GRANT_DELETED}
    units = {*fresh.values()} | {change.unit for change in plan.changes if fresh.keys() & set(needs_of(change))}
    return frozenset(units & gaining_and_losing(plan))


def gaining_and_losing(plan: Plan) -> frozenset[UnitKey]:
    """The units that both gain and lose."""
    return frozenset(gaining_in(plan) & {*plan.losing})


def prerequisites(plan: Plan, units: Collection[UnitKey], mirror: Mirror) -> dict[ObjectRef, frozenset[UnitKey]]:
    """What stands that these units build on: guards and the like of their own, and of others what they need; with the units."""
    found: dict[ObjectRef, frozenset[UnitKey]] = {}
    own = ((ref, key) for key in units for ref in mirror.standing(key))
    needed = ((ref, change.unit) for change in plan.changes if change.unit in units for ref in needs_of(change))
    for ref, key in (*own, *needed):
        one = mirror.get(ref)
        if one is not None and one.owner is not None and one.role in _PREREQUISITE_ROLES:
            found[ref] = found.get(ref, frozenset()) | {key}
    return found


class _Progress:
    """Which changes may still be written, given what became of those before."""

    def __init__(self, plan: Plan, mirror: Mirror, news: News) -> None:
        self._news = news
        self.stopped: dict[UnitKey, Result] = {}
        self.written: list[tuple[Change, str]] = []
        self.fresh: set[ObjectRef] = set()  # written before anything gains: what grants may need
        self._plan = plan
        self._mirror = mirror
        self._gaining = gaining_in(plan)
        self._units = {change.ref: change.unit for change in plan.changes}
        if len(self._units) < len(plan.changes):
            raise UnsafeResourceError(f'a plan for mesh "{plan.mesh}" changes one object twice; please report this')
        self._guards = _guards(plan)
        self._prerequisites: dict[ObjectRef, frozenset[UnitKey]] = {}
        self.failed: set[ObjectRef] = set()  # what was not written although it might
        self._missing: set[ObjectRef] = set()  # the same, and what would have been made after it
        self._unguarded: set[UnitKey] = set()
        self._in_use: set[ObjectRef] = set()  # what the objects that were not replaced need still

    def may(self, change: Change) -> bool:
        """Whether a change may be written; if not, its unit stops."""
        if change.unit in self._gaining and self._news.of((change.unit,)):
            self._stop(change.unit, _OUTDATED)
        missing = self._missing & _required(change, self._mirror, self._gaining, self._guards)
        if missing:
            self._stop(change.unit, Result("waiting", f"{min(missing)} does not exist", min(missing)))
        if missing or not self._is_safe(change):
            self._skip(change)
            return False
        return True

    async def until_outdated(self) -> None:
        """Wait until there is news of a unit that gains."""
        await self._news.wait(self._gaining)

    def _is_safe(self, change: Change) -> bool:
        """Whether nothing opens, and nothing breaks, by a change of a unit that may have stopped before."""
        if change.wave >= _REFERENCED_DELETED and change.ref in self._in_use:
            self._stop(change.unit, Result("waiting", f"{change.ref} is still needed", change.ref))
        if change.unit not in self.stopped:
            return True
        # Without its guard, no grant would mean that everybody is accepted.
        if change.after is None and change.wave == _GRANT_DELETED:
            return change.unit not in self._unguarded
        # It may go on losing: guards, and grants that shrink. A route could send callers to what was not written.
        return change.wave < _ROUTE and change.unit not in self._gaining

    def record(self, todo: Sequence[Change], found: Iterable[Written]) -> None:
        """Record what became of these."""
        for change, one in zip(todo, found, strict=True):
            if one.state == "written":
                self.written.append((change, one.token))
                self.fresh |= {change.ref} if change.wave < _GRANT_DELETED else set()
            else:
                self._fail(change.unit, one)
                self._skip(change)

    def closing_guards(self) -> list[ObjectRef]:
        """The guards of others that stand, without which grants that go would leave everything open."""
        going = [change for change in self._plan.changes if change.after is None]
        needed = [(ref, change.unit) for change in going for ref in self._mirror.needs(change.ref)]
        for ref, key in needed:
            one = self._mirror.get(ref)
            if one is not None and one.role is Role.GUARD and ref not in self._units:
                self._prerequisites[ref] = self._prerequisites.get(ref, frozenset()) | {key}
        self._guards |= self._prerequisites.keys()
        return sorted(self._prerequisites)

    def gate_refs(self) -> list[ObjectRef]:
        """What the mesh itself must have taken before anything gains: what is new, and what stands that a gain builds on."""
        gone = {change.ref for change in self._plan.changes if change.after is None}
        found = prerequisites(self._plan, self._gaining, self._mirror)
        self._prerequisites = {ref: keys for ref, keys in found.items() if ref not in gone}
        return sorted(self.fresh | self._prerequisites.keys())

    def record_unaccepted(self, found: Iterable[Written]) -> None:
        """Record what the mesh did not accept."""
        for one in found:
            owner = self._units.get(one.ref)
            for key in self._prerequisites.get(one.ref, frozenset()) | ({owner} if owner is not None else frozenset()):
                self._fail(key, one)

    @property
    def narrowed_units(self) -> frozenset[UnitKey]:
        """The units that stopped, gain nothing, and of which every grant that should shrink or go has done so."""
        done = {change.ref for change, _ in self.written}
        late = {change.unit for change in self._plan.changes if self._narrows(change) and change.ref not in done}
        access = {key for key in self.stopped if key.kind == "access"}
        return frozenset(access - self._gaining - late)

    def _narrows(self, change: Change) -> bool:
        before = self._mirror.get(change.ref)
        return before is not None and bool(before.token) and before.role is Role.GRANT

    def standing(self, key: UnitKey) -> str:
        """The digest of what stands of a unit, as far as anybody can tell."""
        found = {ref: one.owned for ref in self._mirror.standing(key) if (one := self._mirror.get(ref)) is not None}
        for change, _ in self.written:
            if change.unit == key:
                found.pop(change.ref, None)
                found |= {change.ref: change.after.body} if change.after is not None else {}
        return digest(found.items())

    def results(self) -> dict[UnitKey, Result]:
        """What became of each unit."""
        keys = units_of(self._plan)
        return {key: self.stopped.get(key, Result("written")) for key in sorted(keys)}

    def _fail(self, unit: UnitKey, one: Written) -> None:
        assert one.state != "written"  # noqa: S101 - for mypy
        self.failed.add(one.ref)
        self._missing.add(one.ref)
        if one.ref in self._guards:
            self._unguarded.add(unit)
        self._stop(unit, Result(one.state, one.detail, one.ref))

    def _stop(self, unit: UnitKey, result: Result) -> None:
        self.stopped.setdefault(unit, result)

    def _skip(self, change: Change) -> None:
        """What stands there goes on, and so must what it needs."""
        self._in_use.update(self._mirror.needs(change.ref))
        # A replacement that was not written leaves the old object, on which others can still rely; a creation leaves none.
        if change.after is not None and self._mirror.get(change.ref) is None:
            self._missing.add(change.ref)
            self._unguarded |= {change.unit} if change.ref in self._guards else set()


def _guards(plan: Plan) -> set[ObjectRef]:
    """The guards that a plan writes."""
    return {change.ref for change in plan.changes if change.after is not None and change.after.role is Role.GUARD}


def _required(
    change: Change, mirror: Mirror, gaining: Collection[UnitKey], guards: Collection[ObjectRef]
) -> set[ObjectRef]:
    """The objects without which a change may not be written: what it needs, and where it deletes, the guards that close then.

    Of a unit that gains nothing, an object that is replaced and needs no more than before gets no worse by what it lacks.
    """
    before, after = {*mirror.needs(change.ref)}, {*needs_of(change)}
    if change.after is None:
        return before.intersection(guards)
    return after - before if change.op is Op.REPLACE and change.unit not in gaining else after
