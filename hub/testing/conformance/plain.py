"""A bound on what a Narrowing excuses: what the simplest objects of SMI grant is exact at Pods, or at Workloads.

A mesh may refuse what no object of its own can say (`Narrowing`), and the kit excuses that wherever an answer names its code. An adapter
for which all of SMI is such a thing would pass every other property. So over plain worlds, of one caller, one receiver, one grant and
one split without conditions, Narrowings excuse nothing at one kind of receiver at least, and are not what refuses what nobody grants: a
code of every refusal would excuse all that is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Literal

from msgspec.structs import replace

from hub.model import Answer, Destination, Request, Source
from hub.testing.compare import disagreement
from hub.testing.conformance.routed import judging
from hub.testing.conformance.smallest import Trial, first_failure, looked
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure, bodies_of, misjudged
from hub.testing.kit import read_documents
from hub.testing.worlds import documents_of

PLAIN = "plain-grants-are-exact"
KINDS = ("Pod", "Workload")
_GRANTED = 2
"""Calls of a world that are granted, before those that are not."""
_METHODS, _PATHS = ("GET", "POST"), ("/a", "/b", "/a/c")
_RECEIVERS = {
    "Pod": """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: d, labels: {{app: {name}, smihub.io/sa: {name}}}}}
spec: {{serviceAccountName: {name}, containers: [{{name: c, ports: [{{containerPort: 8080}}]}}]}}
status: {{podIP: 10.0.0.{host}, phase: Running, conditions: [{{type: Ready, status: "True"}}]}}
---
""",
    "Workload": """\
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: d, labels: {{app: {name}}}}}
spec: {{serviceAccount: {name}, addresses: [10.0.0.{host}], ports: [{{port: 8080}}]{more}}}
---
""",
}
_CALLS = ", upstreams: [{service: api, port: 8080, address: 127.0.0.1, localPort: 9000}]"
_SERVICE = """\
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: d}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 8080, appProtocol: {word}}}]}}
---
"""
_TARGET = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: {kind}
metadata: {{name: r, namespace: d}}
spec: {spec}
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {{name: {name}, namespace: d}}
spec:
  destination: {{kind: ServiceAccount, name: {name}, namespace: d}}
  rules: [{{kind: {kind}, name: r}}]
  sources: [{{kind: ServiceAccount, name: web, namespace: d}}]
---
"""
_SPLIT = """\
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {{name: s, namespace: d}}
spec: {{service: api, backends: [{{service: api, weight: {first}}}, {{service: v2, weight: {second}}}]}}
---
"""


def plain_world(rng: Random, kind: str) -> tuple[tuple[Any, ...], tuple[Request, ...]]:
    """A world whose receivers are of this kind, the calls that it grants, and some that it refuses."""
    word: Literal["http", "tcp"] = rng.choice(("http", "tcp"))
    method, path = rng.choice(_METHODS), rng.choice(_PATHS)
    rule = {
        "http": ("HTTPRouteGroup", f"{{matches: [{{name: m, pathRegex: {path}, methods: [{method}]}}]}}"),
        "tcp": ("TCPRoute", "{matches: {ports: [8080]}}"),
    }[word]
    names = ("api", "v2") if rng.randrange(2) else ("api",)
    text = _SPLIT.format(first=rng.randint(1, 9), second=rng.randint(1, 9)) if len(names) > 1 else ""
    for host, name in enumerate(("web", *names), 2):
        text += _RECEIVERS[kind].format(name=name, host=host, more=_CALLS if name == "web" else "")
    for name in names:
        text += _SERVICE.format(name=name, word=word) + _TARGET.format(name=name, kind=rule[0], spec=rule[1])
    places = (Destination(pod="d/api"), Destination(service="d/api"))
    calls = tuple(Request(Source(pod="d/web"), place, 8080, word, method, path) for place in places)
    calls += tuple(replace(calls[0], src=Source(identity=caller)) for caller in ("d/peer", "d/api"))
    calls += tuple(
        replace(calls[0], method=other, path=beside)
        for other in _METHODS
        for beside in _PATHS
        if word == "http" and (other, beside) != (method, path)
    )
    values = {str(one.value): one.value for one in read_documents(text)}  # both targets have one and the same route
    return tuple(values.values()), calls


def plain(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """At Pods or at Workloads no Narrowing stands between a plain grant and the call that it grants."""
    if all(any(True for trial in _trials(subject, kind) for _ in looked(subject, trial, _narrowed)) for kind in KINDS):
        for kind in KINDS:
            yield from first_failure(subject, _trials(subject, kind), _narrowed)


def _trials(subject: AdapterUnderTest, kind: str) -> Iterator[Trial]:
    for number in range(max(subject.sizes.few // 4, 10)):
        values, calls = plain_world(Random(f"{subject.sizes.seed}/plain/{kind}/{number}"), kind)
        yield Trial(values, requests=calls[:_GRANTED], about=(kind, False))
        yield Trial(values, requests=calls[_GRANTED:], about=(kind, True))


def _narrowed(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    """The calls of a world that are answered otherwise than by SMI because of Narrowings, and of no Loss of that world."""
    explainer, mesh = subject.explained(documents_of(trial.world))
    explain = judging(mesh, explainer.explain)
    told = {loss.code for each in mesh.translations.values() for loss in each.losses}
    narrowings = {one.code for one in subject.spec.narrowings}
    for request in trial.requests:
        smi, meshes = explain(request)
        answer = meshes[mesh.name]
        codes = ", ".join(sorted(narrowings & {*answer.losses}))
        if told & {*answer.losses} or not codes:
            continue
        kind, refused = trial.about
        if refused and smi.verdict == "deny" and request.dst.pod is not None:
            said = f'that no object grants is refused because of "{codes}", which excuses nothing then'
        elif not refused and smi.verdict != "deny" and _differs(request, smi, answer):
            said = f'that the simplest objects grant is not answered as SMI does, because of "{codes}"'
        else:
            continue
        natives = (native.ref for native in bodies_of(mesh.translations))
        yield misjudged(PLAIN, f"a call to a {kind} {said}", request, {"smi": smi, "mesh": answer}, natives)


def _differs(request: Request, smi: Answer, answer: Answer) -> bool:
    return bool(disagreement(request, smi, replace(answer, losses=())))


CHECKS = (
    PropertyCheck("plain", {PLAIN: "a Narrowing does not excuse everything: plain grants are exact somewhere"}, plain),
)
