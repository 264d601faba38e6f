"""Changes: what is allowed between the writes of a plan, and whether a plan tells people what the mesh then does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice, product
from random import Random
from typing import Any

from msgspec.structs import replace

from hub.model import Answer, Destination, NativeObject, Request, Role, Source
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.conformance.many import many_worlds
from hub.testing.conformance.split_worlds import make_split_values
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure, bodies_of
from hub.testing.counterexamples import shrink
from hub.testing.gains import UntruthfulPlanError, between, changed
from hub.testing.kit import read_documents
from hub.testing.random_requests import Hints
from hub.testing.rerouted import untold
from hub.testing.stepping import Edit, OpenedBetween, edited, stepped
from hub.testing.waiting import (
    REQUESTS,
    WORDS,
    change,
    label_change,
    opened,
    ports_change,
    some_change,
    workload_change,
)
from hub.testing.worlds import documents_of, make_values, make_world

BETWEEN, LEFT, TOLD = "never-wider-between-writes", "nothing-left-over", "truthful-gains"
ROUTED = "truthful-routes"
NARROW, WAITS = "narrowest-grants-nothing", "waiting-gains-open-nothing"
_AROUND = """\
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: d, labels: {app: api}}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}, {containerPort: 9000}]}]}
---
"""
_GRANT = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: r, namespace: d}
spec: {matches: [{name: m, %s}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: t, namespace: d}
spec: {matches: {ports: [%s]}}
---
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: %s, namespace: d}
spec:
  destination: {kind: ServiceAccount, name: api, namespace: d}
  sources: [{kind: ServiceAccount, name: %s, namespace: d}]
  rules: [{kind: TCPRoute, name: t}%s]
---
"""
_HTTP = ", {kind: HTTPRouteGroup, name: r}"
_STATES = (
    ("pathRegex: /a", "8080", "g", "web", _HTTP),
    ("pathRegex: /b", "8080", "g", "peer", _HTTP),
    ("pathRegex: /b, methods: [GET]", "9000", "g", "web", _HTTP),
    ("pathRegex: /a, headers: {x-tier: gold}", "9000", "g", "peer", _HTTP),
    ("methods: [POST]", "8080", "g", "peer", ""),
    ("methods: [POST]", "9000", "h", "web", ""),
)
"""One TrafficTarget that changes in several parts at once: requests, ports and callers, and whether it is HTTP; and one in its place."""


_PARTS = (("web", "peer"), (8080, 9000), ("GET", "POST"), ("/a", "/b"), ((), (("x-tier", "gold"),)))
_ASKED = tuple(
    Request(Source(identity=f"d/{caller}"), Destination(pod="d/api"), port, "http", method, path, headers)
    for caller, port, method, path, headers in product(*_PARTS)
)
"""Every request that is about a part of these states."""


def _states() -> list[tuple[Any, ...]]:
    texts = [_AROUND + _GRANT % state for state in _STATES]
    return [tuple(one.value for one in read_documents(text)) for text in (*texts, _AROUND)]


_Asked = tuple[Random, Edit, Sequence[Request]]


def _edits(subject: AdapterUnderTest) -> Iterator[_Asked]:
    """Every change of the small states with what is asked of them, then random ones."""
    states = _states()
    for one in range(len(states)):
        for other in range(len(states)):
            if one != other:
                rng = Random(f"{subject.sizes.seed}/states/{one}/{other}")
                yield rng, Edit(states[one], states[other]), _ASKED
    for number in range(subject.sizes.few):
        rng = Random(f"{subject.sizes.seed}/between/{number}")
        yield rng, edited(make_world(rng, 8), make_world(rng, 8), rng), ()


def written(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """After each write of a plan, whatever is allowed was allowed before, or is after; then calls go as planned."""
    for rng, edit, more in _edits(subject):
        state = rng.getstate()
        found = _opened(subject, (rng, edit, more))
        if found is not None:
            yield _made_small(subject, (edit, more), (found, state))
            return


def _opened(subject: AdapterUnderTest, asked: _Asked) -> OpenedBetween | None:
    rng, edit, more = asked
    try:
        stepped(subject.mesh, edit, rng, more)
    except OpenedBetween as found:
        return found
    return None


def _made_small(
    subject: AdapterUnderTest, asked: tuple[Edit, Sequence[Request]], found: tuple[OpenedBetween, Any]
) -> PropertyFailure:
    """The failure with what stays out of the two worlds, as far as it still fails with the same dice."""
    (edit, more), (opened, state) = asked, found

    def fails(after: Sequence[Any], request: Any) -> bool:
        rng = Random()
        rng.setstate(state)
        try:
            again = _opened(subject, (rng, Edit(edit.before, tuple(after)), more))
        except Exception:  # noqa: BLE001 - another fault than the one that is made small
            return False
        return again is not None and (again.left, again.moved) == (opened.left, opened.moved)

    after = shrink(edit.after, opened.request, fails) if len(edit.after) < 8 else edit.after
    when = "after all writes of a plan" if opened.left else "between the writes of a plan, denied before"
    why = f"allowed {when}, and denied by what SMI says then (the world is what it is after)"
    if opened.moved:
        why = f"{when} a call goes {_way(opened.answer)}, and {_way(opened.words[0])} by the objects that were planned"
    smi = Semantics(documents_of(edit.after)).judge(opened.request)
    return PropertyFailure(
        LEFT if opened.left else BETWEEN, why, tuple(after), opened.request, smi, opened.answer, opened.answer.by
    )


def _way(answer: Answer) -> str:
    return f"by {answer.route} {dict(answer.weights or {})}"


def told(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """What a plan shows as gained and lost is what the mesh then allows and refuses."""
    yield from islice(_untold(subject), 1)


def _untold(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    for many in many_worlds():
        without = tuple(one for one in many.values if one["kind"] != "TrafficTarget")
        for states in ((without, many.values), (many.values, without)):
            yield from _untrue(states[1], partial(between, subject.mesh, states, many.requests))
    for number in range(subject.sizes.few):
        rng = Random(f"{subject.sizes.seed}/told/{number}")
        world, other = make_world(rng, 8), make_world(rng, 8)
        yield from _untrue(world.values, partial(changed, subject.mesh, world, other, rng))


def _untrue(values: Sequence[Any], planned: Callable[[], object]) -> Iterator[PropertyFailure]:
    try:
        planned()
    except UntruthfulPlanError as found:
        yield PropertyFailure(TOLD, found.why, tuple(values), found.request, found.was, found.now, found.now.by)


def told_of_routes(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """The splits that a plan shows are those by which the mesh sends calls."""
    for number in range(subject.sizes.few):
        rng = Random(f"{subject.sizes.seed}/routed/{number}")
        values = make_split_values(rng)
        documents = documents_of(values)
        explainer, mesh = subject.explained(documents)
        made = (explainer.compiled.units, mesh.translations)
        for asked in row(rng, Hints.of(values), Semantics(documents).judge, 20, 0):
            smi, meshes = explainer.explain(asked.request)
            answer = meshes[mesh.name]
            why = untold(asked.request, smi, answer, made) if asked.request.dst.service else ""
            if why:
                yield PropertyFailure(ROUTED, why, tuple(values), asked.request, smi, answer, answer.by)
                return


def narrowest(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """With every grant in its narrowest form, where there is one, nothing is allowed."""
    for number in range(subject.sizes.few // 2):
        values = make_values(Random(f"{subject.sizes.seed}/narrowest/{number}"))
        explainer, mesh = subject.explained(documents_of(values))
        objects = [_narrowed(subject, native) for native in bodies_of(mesh.translations)]
        asked = row(Random(number), Hints.of(values), Semantics(documents_of(values)).judge, 20, 20)
        judge = subject.spec.evaluator([one for one in objects if one is not None], explainer.compiled.facts)
        for request in (one.request for one in asked if one.answer.verdict == "allow"):
            answer = judge.judge(request)
            if answer.verdict in {"allow", "mixed"}:
                why = "every grant stands in its narrowest form, and the mesh still allows"
                yield PropertyFailure(NARROW, why, tuple(values), request, None, answer, answer.by)
                return


def _narrowed(subject: AdapterUnderTest, native: NativeObject) -> NativeObject | None:
    """The narrowest form of a grant (None: it has none); anything else as it is."""
    if native.role is not Role.GRANT:
        return native
    body = subject.spec.narrowest(native.body, native.ref.kind)
    return None if body is None else replace(native, body=body)


def waits(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """While gains wait, nothing opens that was refused, whatever becomes known of the ports of Pods and Workloads."""
    for edit in _redeclared(subject):
        found = next(opened(subject.mesh, edit, REQUESTS), None)
        if found is not None:
            why = "refused before, and allowed though every gain waits (the world is what it is after; Grant.not_ports, InboundPort)"
            smi = Semantics(documents_of(edit.before)).judge(found.request)
            yield PropertyFailure(WAITS, why, edit.after, found.request, smi, found.now, found.now.by)
            return


def _redeclared(subject: AdapterUnderTest) -> Iterator[Edit]:
    """Every change of what is declared of a Pod and of a Workload, then random ones of two Pods."""
    for before in WORDS:
        for after in WORDS:
            yield change(before, after)
            yield ports_change(before, after)
            yield workload_change(before, after)
            yield label_change(before, after)
    for number in range(subject.sizes.few):
        yield some_change(Random(f"{subject.sizes.seed}/waits/{number}"))


CHECKS = (
    PropertyCheck(
        "changes",
        {
            BETWEEN: "no prefix of the writes of a plan opens anything",
            LEFT: "after a plan nothing is allowed that SMI denies, and calls go as planned: nothing stays, the last grant included",
        },
        written,
    ),
    PropertyCheck("waiting", {WAITS: "while gains wait, nothing opens"}, waits),
    PropertyCheck("narrowest", {NARROW: "the narrowest form of a grant lets nobody in"}, narrowest),
    PropertyCheck(
        "routed", {ROUTED: "plans show the splits that are carried out (Translation.routed)"}, told_of_routes
    ),
    PropertyCheck("gains", {TOLD: "plans show the access that is gained and lost (Translation.carried)"}, told),
)
