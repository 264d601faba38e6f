"""What a plan says that a mesh will allow and refuse, held against what the mesh then does, on single requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

import re2

from hub.memory.permits import Permit
from hub.model import Access, Answer, Facts, HttpMatch, Identity, Observation, Observed, Op, Request, UnitKey, raw_bytes
from hub.plan.changes import Desired
from hub.plan.plan import Plan, plan
from hub.semantics import Semantics
from hub.testing.documents import Scope, SinklessMesh, compile_documents, translate_units
from hub.testing.stepping import Edit, concerned, desired, near_requests
from hub.testing.worlds import World, documents_of

_SMI = ("access.smi-spec.io", "specs.smi-spec.io")


class UntruthfulPlanError(AssertionError):
    """A plan says something else of a request than the mesh does: what is wrong, the request, the answers before and after.

    `unit` is that of whom the request is for.
    """

    def __init__(self, why: str, asked: Asked, was: Answer, now: Answer) -> None:
        super().__init__(f"{why}: {asked.request}, before {was.verdict}, after {now.verdict}")
        self.why = why
        self.request = asked.request
        self.unit = UnitKey("access", asked.receiver.namespace, asked.receiver.service_account)
        self.was = was
        self.now = now


class Asked:
    """A request, with who calls and, where one Pod or Workload is asked, its labels."""

    def __init__(self, request: Request, facts: Facts) -> None:
        self.request = request
        self.source = _source(request, facts)
        namespace, _, name = (request.dst.pod or "").partition("/")
        found = [one for ref, one in facts.placements.items() if (ref.namespace, ref.name) == (namespace, name)]
        self.receiver = found[0].identity if found else _identity(request.dst.identity, facts)
        self.labels = frozenset(found[0].labels) if found else None

    def speaks(self, permit: Permit, units: Mapping[Any, Desired]) -> bool:
        """Whether its port is certainly one of all (`*`) that a permit is about.

        HTTP does not count on a TCP port, nor bytes on an HTTP one; of ports that are left out the plan shows a loss.
        """
        unit = next((one.unit for one in units.values() if getattr(one.unit, "identity", None) == self.receiver), None)
        words = {port.declared for port in getattr(unit, "ports", ()) if port.port == self.request.port}
        left_out = any(
            one.transport == "TCP" and self.request.port in one.not_ports
            for each in units.values()
            for one in each.translation.carried or ()
        )
        # Where workloads of one identity declare different things, a permit is about some of them.
        wrong = {"unknown", "http" if permit.match is None else "tcp"}
        return not words & wrong and (permit.ports is not None or not left_out)


def _source(request: Request, facts: Facts) -> str:
    if request.src.pod is not None:
        namespace, _, name = request.src.pod.partition("/")
        found = [one for ref, one in facts.placements.items() if (ref.namespace, ref.name) == (namespace, name)]
        return found[0].identity.spiffe if found else ""
    return request.src.spiffe or (_identity(request.src.identity, facts).spiffe if request.src.identity else "")


def _identity(pair: str | None, facts: Facts) -> Identity:
    namespace, _, account = (pair or "/").partition("/")
    return Identity(facts.trust_domain, namespace, account)


def covers(permit: Permit, asked: Asked, *, surely: bool) -> bool:
    """Whether a permit is about a request; `surely` not where its labels cannot be told."""
    if (permit.receiver, permit.source) != (asked.receiver, asked.source) or permit.transport != "TCP":
        return False
    if permit.ports is not None and asked.request.port not in permit.ports:
        return False
    if permit.labels and not (set(permit.labels) <= asked.labels if asked.labels is not None else not surely):
        return False
    if permit.match is None:
        return True
    excepted = any(_matches(each, asked.request) for each in permit.excepted)
    return asked.request.protocol == "http" and _matches(permit.match, asked.request) and not excepted


def _matches(match: HttpMatch, request: Request) -> bool:
    path = raw_bytes(request.path).split(b"?")[0].split(b"#")[0]
    if match.methods is not None and request.method not in match.methods:
        return False
    if match.path is not None and not re2.fullmatch(match.path.encode(), path):
        return False
    return all(
        any(
            name == known.lower() and re2.fullmatch(pattern.encode(), raw_bytes(value.strip(" \t")))
            for known, value in request.headers
        )
        for name, pattern in match.headers
    )


class PlannedMesh:
    """What stands in a mesh, and what is remembered of it."""

    def __init__(self, mesh: SinklessMesh) -> None:
        self._mesh = mesh
        self._objects: dict[Any, Observed] = {}
        self._memory: dict[Any, bytes] = {}
        self._units: tuple[Desired, ...] = ()

    def written(self, units: dict[Any, Desired]) -> Plan:
        """Plan these units, with those that are gone, and write all of it."""
        gone = {one.owner: Desired(None) for one in self._objects.values() if one.owner and one.owner not in units}
        observation = Observation(dict(self._objects), dict(self._memory), "1")
        made = plan(self._mesh.name, {**gone, **units}, observation, self._mesh.spec.carry_over)
        for change in made.changes:
            if change.op is Op.DELETE or change.after is None:
                del self._objects[change.ref]
            else:
                after = change.after
                self._objects[change.ref] = Observed(after.ref, after.body, change.unit, "1", after.role, after.needs)
        self._memory |= made.memory
        self._units = tuple(units.values())
        return made

    def judged(self, facts: Facts, asked: Sequence[Asked]) -> list[Answer]:
        """What the mesh does with each request."""
        natives = [native for unit in self._units for native in unit.translation.objects]
        judge = self._mesh.spec.evaluator(natives, facts)
        return [judge.judge(one.request) for one in asked]


def edited(world: World, other: World, rng: Random) -> Edit:
    """The world, and the same with other grants and routes: who receives where stays as it is."""

    def is_smi(value: Any) -> bool:
        return isinstance(value, dict) and str(value.get("apiVersion")).startswith(_SMI)

    kept = [value for value in world.values if not is_smi(value) or rng.randrange(3)]
    new = (value for value in other.values if is_smi(value) and rng.randrange(3) == 0)
    return Edit(world.values, (*kept, *new))


def governed_on(mesh: SinklessMesh, before: dict[Any, Desired], after: dict[Any, Desired]) -> dict[Any, Desired]:
    """After, with the identities that were governed before: nothing is granted to them, and they stay so."""
    left = {
        key: Access(one.unit.identity)
        for key, one in before.items()
        if key not in after and isinstance(one.unit, Access)
    }
    made = translate_units(left, mesh)
    return {**after, **{key: Desired(unit, made[key]) for key, unit in left.items()}}


def changed(mesh: SinklessMesh, edit: Edit, rng: Random, requests: Sequence[Request] = ()) -> Counter[str]:
    """Plan a world and a change of it; hold what the second plan says against what the mesh does before and after.

    Asked is what the dice give, or these requests. Raises UntruthfulPlanError.
    """
    worlds = (edit.before, edit.after)
    facts = [compile_documents(documents_of(values), Scope()).facts for values in worlds]
    asked = [Asked(one, facts[1]) for one in _requests(requests or _dice(rng, worlds), facts)]
    standing, units = PlannedMesh(mesh), [desired(some, mesh) for some in worlds]
    units[1] = governed_on(mesh, *units)
    standing.written(units[0])
    before = standing.judged(facts[0], asked)
    said = standing.written(units[1])
    tally: Counter[str] = Counter()
    for one, was, now in zip(asked, before, standing.judged(facts[1], asked), strict=True):
        tally.update(held(said, (one, was, now), units))
    return tally


def _dice(rng: Random, worlds: Sequence[Sequence[Any]]) -> Iterator[Request]:
    for some in worlds:
        yield from near_requests(rng, some, Semantics(documents_of(some)))


def _requests(requests: Iterable[Request], facts: Sequence[Facts]) -> Iterator[Request]:
    """Those to workloads that are in both worlds."""
    for one in requests:
        alike = concerned(one, facts[0]) == concerned(one, facts[1])
        named_once = all(_is_named_once(one, each) for each in facts)
        if one.dst.service is None and one.protocol != "udp" and alike and named_once:
            yield one


def _is_named_once(request: Request, facts: Facts) -> bool:
    """Whether no two workloads have the name of the caller or the receiver: which one is meant is not told here."""
    names = [f"{ref.namespace}/{ref.name}" for ref in facts.placements]
    return all(pod is None or names.count(pod) <= 1 for pod in (request.src.pod, request.dst.pod))


def held(said: Plan, asked: tuple[Asked, Answer, Answer], units: Sequence[Mapping[Any, Desired]]) -> Iterator[str]:
    """What was found of a request. Raises UntruthfulPlanError where the plan says something else than the mesh does."""
    one, was, now = asked
    if was.received is not None or now.received is not None or {was.verdict, now.verdict} - {"allow", "deny"}:
        return
    why = _untrue(said, asked, units)
    if why:
        raise UntruthfulPlanError(why, one, was, now)
    if (was.verdict, now.verdict) == ("deny", "allow"):
        yield "gained"
    if (was.verdict, now.verdict) == ("allow", "deny"):
        yield "lost"
    yield "same" if was.verdict == now.verdict else "other"


def _untrue(said: Plan, asked: tuple[Asked, Answer, Answer], units: Sequence[Mapping[Any, Desired]]) -> str:
    one, was, now = asked

    def sure(permits: Sequence[Permit], at: int) -> bool:
        return any(covers(permit, one, surely=True) and one.speaks(permit, units[at]) for permit in permits)

    gains = any(covers(permit, one, surely=False) for permit in said.gained)
    losses = any(covers(permit, one, surely=False) for permit in said.lost)
    if (was.verdict, now.verdict) == ("deny", "allow") and not (
        gains or was.losses
    ):  # unless a narrowing was in the way
        return "the mesh allows what the plan does not show as gained"
    if (was.verdict, now.verdict) == ("allow", "deny") and not (losses or now.losses):
        return "the mesh refuses what the plan does not show as lost"
    if sure(said.gained, 1) and now.verdict != "allow" and not now.losses:
        return "the plan shows as gained what the mesh refuses"
    if sure(said.lost, 0) and was.verdict != "allow" and not was.losses:
        return "the plan shows as lost what the mesh refused before"
    return ""
