"""From what somebody left standing to what `meet` makes of it, write by write, judged by the evaluator with every object's age."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from random import Random
from typing import Any

import msgspec
from msgspec.structs import replace

from adapters.linkerd.config import LinkerdConfig
from adapters.linkerd.plugin import SPEC
from adapters.linkerd.translate.unit import translate
from hub.errors import UnmodelledError
from hub.model import (
    Access,
    Change,
    Destination,
    NativeObject,
    Observation,
    Observed,
    Request,
    Source,
    Translation,
    UnitKey,
)
from hub.plan.changes import Constraints, Desired, in_steps
from hub.plan.plan import plan
from hub.spec import stateless
from hub.testing.documents import Scope, compile_documents
from hub.testing.kit import read_documents
from tests.servers.units import access

KEY = UnitKey("access", "d", "api")
CALLERS, PORTS = ("web", "shop", "evil", "job"), (8080, 9000)
PATHS = ("/a", "/a/b", "/a/c", "/b", "/", "/x")
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: d, labels: {app: api}}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}, {containerPort: 9000}]}]}
"""
FACTS = compile_documents(read_documents(POD), Scope(trust_domain="td")).facts
Objects = Sequence[NativeObject]
Call = tuple[str, int, str, str, str]
"""Caller, port, method ("": raw bytes), path and the value of `x-a` ("": there is none)."""
CALLS: tuple[Call, ...] = (
    *product(CALLERS, PORTS, ("GET", "POST"), PATHS, ("", "1")),
    *product(CALLERS, PORTS, ("",), ("",), ("",)),
)


def made(unit: Access, config: LinkerdConfig | None = None) -> tuple[NativeObject, ...]:
    """What translate gives."""
    return translate(unit, config or LinkerdConfig()).objects


def bodies(objects: Objects) -> dict[Any, Any]:
    """All that tells two sets of objects apart."""
    return {one.ref: (one.body, one.role, one.needs) for one in objects}


class Judge:
    """Answers by the ages of objects: those that stand at first are older, in an order by chance."""

    def __init__(self, standing: Objects, dice: Random) -> None:
        self._ages = {one.ref: f"2026-01-01T{at:08}" for at, one in enumerate(dice.sample(standing, len(standing)))}
        self._next = 0

    def allowed(self, objects: Iterable[NativeObject]) -> set[Call] | None:
        """The calls that are allowed; None where that is not modelled."""
        try:
            judge = SPEC.evaluator([self._aged(one) for one in objects], FACTS)
            return {call for call in CALLS if judge.judge(_request(call)).verdict == "allow"}
        except UnmodelledError:
            return None

    def _aged(self, one: NativeObject) -> NativeObject:
        if one.ref not in self._ages:
            self._ages[one.ref] = f"2026-02-01T{self._next:08}"
            self._next += 1
        day, _, number = self._ages[one.ref].partition("T")
        age = f"{day}T{int(number) // 3600:02}:{int(number) // 60 % 60:02}:{int(number) % 60:02}Z"
        try:
            body: Any = msgspec.json.decode(one.body)
            body["metadata"]["creationTimestamp"] = age
        except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError):
            return one
        return replace(one, body=msgspec.json.encode(body))


def _request(call: Call) -> Request:
    caller, port, method, path, value = call
    source, where = Source(identity=f"d/{caller}"), Destination(identity="d/api")
    if not method:
        return Request(source, where, port, "tcp")
    return Request(source, where, port, "http", method, path, (("x-a", value),) if value else ())


def allowed(objects: Objects) -> set[Call]:
    """The calls that are allowed, which must be modelled."""
    found = Judge(objects, Random(0)).allowed(objects)
    assert found is not None
    return found


def states(standing: Objects, met: Objects, dice: Random) -> Iterator[tuple[Change, list[NativeObject]]]:
    """What stands after each write of the plan from one to the other, in one of the orders in which they may come."""
    state, needs = {one.ref: one for one in standing}, {one.ref: one.needs for one in standing}
    found = _changes(standing, met)
    for wave in sorted({one.wave for one in found}):
        for step in in_steps([one for one in found if one.wave == wave], lambda ref: needs.get(ref, ())):
            for change in dice.sample(step, len(step)):
                state.pop(change.ref, None)
                state |= {change.ref: change.after} if change.after is not None else {}
                yield change, list(state.values())


def _changes(standing: Objects, met: Objects) -> Sequence[Change]:
    there = {one.ref: Observed(one.ref, one.body, KEY, "1", one.role, one.needs) for one in standing}
    wanted = {KEY: Desired(access(ports=()), Translation(tuple(met)))}
    constraints = Constraints(unproven=frozenset({KEY}), new_first=SPEC.new_first)
    return plan("m", wanted, Observation(there, {KEY: b"?"}), stateless, constraints).changes


def wider(standing: Objects, met: Objects, dice: Random) -> list[tuple[str, Call]]:
    """Calls that what stands refuses and some state on the way allows, with the write after which it does."""
    judge = Judge(standing, dice)
    before = judge.allowed(standing)
    if before is None:
        return []
    return [
        (f"{change.op} {change.ref} in wave {change.wave}", call)
        for change, state in states(standing, met, dice)
        for call in sorted((judge.allowed(state) or set()) - before)
    ]
