"""Changes: what is allowed between the writes of a plan, and whether a plan tells people what the mesh then does."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product
from random import Random
from typing import Any

from msgspec.structs import replace

from hub.model import Answer, Destination, NativeObject, Request, Role, Source
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.conformance.many import many_worlds
from hub.testing.conformance.smallest import Trial, first_failure
from hub.testing.conformance.split_worlds import make_split_values
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure, bodies_of, misjudged
from hub.testing.gains import UntruthfulPlanError, changed
from hub.testing.gains import edited as regranted
from hub.testing.kit import read_documents
from hub.testing.random_requests import Hints
from hub.testing.rerouted import untold
from hub.testing.stepping import Edit, OpenedBetween, Steps, edited, stepped
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


def _changes(subject: AdapterUnderTest) -> Iterator[Trial]:
    """Every change of the small states, then random ones."""
    states = _states()
    for one, other in permutations(range(len(states)), 2):
        yield _change(
            Edit(states[one], states[other]), Random(f"{subject.sizes.seed}/states/{one}/{other}"), more=_ASKED
        )
    for number in range(subject.sizes.few):
        dice = Random(f"{subject.sizes.seed}/between/{number}")
        yield _change(edited(make_world(dice, 8), make_world(dice, 8), dice), dice)


def _change(
    edit: Edit, dice: Random | None = None, requests: tuple[Request, ...] = (), more: tuple[Request, ...] = ()
) -> Trial:
    dice = dice or Random(0)
    return Trial(edit.after, edit.before, requests, dice, about=Steps(more=more, order=str(dice.random())))


def _edit(trial: Trial) -> Edit:
    return Edit(trial.before or (), trial.world)


def written(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """After each write of a plan, whatever is allowed was allowed before, or is after; then calls go as planned."""
    yield from first_failure(subject, _changes(subject), _opened)


def _opened(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    try:
        stepped(subject.mesh, _edit(trial), trial.dice, replace(trial.about, asked=trial.requests))
    except OpenedBetween as found:
        if found.moved:
            why = f"after all writes of a plan a call goes {_way(found.answer)}, and {_way(found.words[0])} by the objects that were planned"
            answers = {"as planned": found.words[0], "mesh": found.answer}
            yield misjudged(LEFT, why, found.request, answers, [f"route/{found.request.dst.service}"])
        elif found.left:
            why = "allowed after all writes of a plan, and denied by what SMI says then"
            yield misjudged(LEFT, why, found.request, {"smi": found.words[1], "mesh": found.answer})
        else:
            why = "allowed between the writes of a plan, and denied by what SMI says before and after"
            smi = {"smi before": found.words[0], "smi after": found.words[1]}
            yield misjudged(BETWEEN, why, found.request, {**smi, "mesh": found.answer})


def _way(answer: Answer) -> str:
    return f"by {answer.route} {dict(answer.weights or {})}"


def told(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """What a plan shows as gained and lost is what the mesh then allows and refuses."""
    yield from first_failure(subject, _regrants(subject), _untruthful)


def _regrants(subject: AdapterUnderTest) -> Iterator[Trial]:
    """Worlds with many of a thing that come and go, then random ones."""
    for many in many_worlds():
        without = tuple(one for one in many.values if one["kind"] != "TrafficTarget")
        yield _change(Edit(without, many.values), requests=many.requests)
        yield _change(Edit(many.values, without), requests=many.requests)
    for number in range(subject.sizes.few):
        dice = Random(f"{subject.sizes.seed}/told/{number}")
        world, other = make_world(dice, 8), make_world(dice, 8)
        yield _change(regranted(world, other, dice), dice)


def _untruthful(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    try:
        changed(subject.mesh, _edit(trial), trial.dice, trial.requests)
    except UntruthfulPlanError as found:
        failure = misjudged(TOLD, found.why, found.request, {"mesh before": found.was, "mesh after": found.now})
        yield replace(failure, by=(*failure.by, str(found.unit)))


def told_of_routes(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """The splits that a plan shows are those by which the mesh sends calls."""
    dice = (Random(f"{subject.sizes.seed}/routed/{number}") for number in range(subject.sizes.few))
    yield from first_failure(subject, (Trial(tuple(make_split_values(each)), dice=each) for each in dice), _rerouted)


def _rerouted(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    documents = documents_of(trial.world)
    explainer, mesh = subject.explained(documents)
    made = (explainer.compiled.units, mesh.translations)
    semantics = Semantics(documents)
    dice = (one.request for one in row(trial.dice, Hints.of(trial.world), semantics.judge, 20, 0))
    for request in trial.requests or dice:
        smi, meshes = explainer.explain(request)
        answer = meshes[mesh.name]
        if answer.received is not None:  # the mesh chose by the path that it passes on
            smi = semantics.judge(replace(request, path=answer.received))
        why = untold(request, smi, answer, made) if request.dst.service else ""
        if why:
            splits = (native.ref for native in bodies_of(mesh.translations))
            yield misjudged(ROUTED, why, request, {"smi": smi, "mesh": answer}, splits)


def narrowest(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """With every grant in its narrowest form, where there is one, nothing is allowed."""
    trials = (
        Trial(tuple(make_values(Random(f"{subject.sizes.seed}/narrowest/{number}"))), dice=Random(number))
        for number in range(subject.sizes.few // 2)
    )
    yield from first_failure(subject, trials, _not_narrow)


def _not_narrow(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    documents = documents_of(trial.world)
    explainer, mesh = subject.explained(documents)
    objects = [_narrowed(subject, native) for native in bodies_of(mesh.translations)]
    asked = (one.request for one in row(trial.dice, Hints.of(trial.world), Semantics(documents).judge, 20, 20))
    judge = subject.spec.evaluator([one for one in objects if one is not None], explainer.compiled.facts)
    for request in trial.requests or asked:
        smi, _ = explainer.explain(request)
        answer = judge.judge(request)
        if smi.verdict == "allow" and answer.verdict in {"allow", "mixed"}:
            why = "every grant stands in its narrowest form, and the mesh still allows"
            yield misjudged(NARROW, why, request, {"without grants": Answer("deny"), "mesh": answer})


def _narrowed(subject: AdapterUnderTest, native: NativeObject) -> NativeObject | None:
    """The narrowest form of a grant (None: it has none); anything else as it is."""
    if native.role is not Role.GRANT:
        return native
    body = subject.spec.narrowest(native.body, native.ref.kind)
    return None if body is None else replace(native, body=body)


def waits(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """While gains wait, nothing opens that was refused, whatever becomes known of the ports of Pods and Workloads."""
    trials = (_change(edit, requests=REQUESTS) for edit in _redeclared(subject))
    yield from first_failure(subject, trials, _opened_while_waiting)


def _opened_while_waiting(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    for found in opened(subject.mesh, _edit(trial), trial.requests):
        why = "refused before, and allowed though every gain waits (Grant.not_ports, InboundPort)"
        smi = Semantics(documents_of(_edit(trial).before)).judge(found.request)
        answers = {"smi before": smi, "mesh before": found.was, "mesh": found.now}
        yield misjudged(WAITS, why, found.request, answers)


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
