"""Units whose gains wait: what a mesh makes of a world that is cut down to what stood lets through nothing that it refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hub.memory.meet import meet
from hub.memory.permits import NOTHING
from hub.model import Access, Answer, Destination, Facts, Identity, Request, Source, Unit, UnitKey
from hub.semantics import Semantics
from hub.testing.documents import Scope, SinklessMesh, compile_documents, translate_units
from hub.testing.kit import read_documents
from hub.testing.stepping import Edit, desired
from hub.testing.worlds import documents_of

_POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: d, labels: {{app: api, tier: {name}, smihub.io/sa: api}}}}
spec: {{serviceAccountName: api, containers: [{{name: c}}]}}
---
"""
_WORKLOAD = """\
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: d, labels: {{app: api, tier: {name}}}}}
spec: {{serviceAccount: api, addresses: [10.0.0.{host}], bind: 0.0.0.0, ports: [{{port: 8080, appProtocol: {word}}}]}}
---
"""
_SERVICE = """\
apiVersion: v1
kind: Service
metadata: {{name: {tier}, namespace: d}}
spec: {{selector: {{{tier}}}, ports: [{{name: a, port: 8080, appProtocol: {word}}}{more}]}}
---
"""
_MORE = ", {{name: b, port: {port}, appProtocol: {word}}}"
_ROUTES = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: http, namespace: d}
spec: {matches: [{name: x, pathRegex: /x}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: any, namespace: d}
spec: {}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: one, namespace: d}
spec: {matches: {ports: [8080]}}
---
apiVersion: access.smi-spec.io/v1alpha4
kind: IdentityBinding
metadata: {name: tier, namespace: d}
spec: {schemes: {podLabelSelector: {matchLabels: {tier: api}}}}
---
"""
_TARGET = """\
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {{name: {source}, namespace: d}}
spec:
  destination: {{kind: {to}, namespace: d}}
  rules: [{rules}]
  sources: [{{kind: ServiceAccount, name: {source}, namespace: d}}]
---
"""
_ALL, _SOME = "ServiceAccount, name: api", "IdentityBinding, name: tier"
_ANY, _PORT = "{kind: TCPRoute, name: any}", "{kind: TCPRoute, name: one}"
_HTTP = "{kind: HTTPRouteGroup, name: http}"


def _declared(word: str, tier: str = "app: api", ports: Sequence[int] = ()) -> str:
    """A Service that says this word of port 8080, and of these."""
    if not word:
        return ""
    more = "".join(_MORE.format(port=port, word=word) for port in ports)
    text = _SERVICE.format(word=word, tier=tier, more=more).replace(f"name: {tier}", "name: " + tier.replace(": ", "-"))
    return text.replace("port: 8080", 'port: "8080"') if word == "unknown" else text


def _values(around: str, web: str = _ALL, peer: str = _ALL, ports: str = _ANY) -> tuple[Any, ...]:
    targets = _TARGET.format(source="web", to=web, rules=f"{ports}, {_HTTP}")
    targets += _TARGET.format(source="peer", to=peer, rules=ports)
    return tuple(one.value for one in read_documents(_ROUTES + targets + around))


WORDS = ("http", "tcp", "none", "unknown", "")
"""What a Service says of a port: `none` is a word that declares nothing, `unknown` a Service that cannot be read, "" that there is none."""


def change(before: str, after: str) -> Edit:
    """One Pod, and what a Service declares of its port 8080; `web` may send HTTP to /x, and `peer` raw bytes."""
    return Edit(*(_values(_POD.format(name="api") + _declared(word)) for word in (before, after)))


def ports_change(before: str, after: str) -> Edit:
    """The same of three ports: one grant has to leave out several."""
    return Edit(*(_values(_POD.format(name="api") + _declared(word, ports=(8081, 9999))) for word in (before, after)))


def workload_change(before: str, after: str) -> Edit:
    """The same of a Workload, which cannot be read where its own word is `unknown`."""
    return Edit(*(_values(_workload(word)) for word in (before, after)))


def _workload(word: str, name: str = "api", host: int = 2) -> str:
    text = _WORKLOAD.format(name=name, host=host, word=word)
    return text.replace("port: 8080", 'port: "8080"') if word == "unknown" else text if word else ""


def label_change(before: str, after: str) -> Edit:
    """Two Workloads on two machines that bind every address: both targets name one of them by its label before, and then both."""
    around = [_workload(word) + _workload(word, "other", 3) for word in (before, after)]
    return Edit(_values(around[0], _SOME, _SOME), _values(around[1]))


def some_change(rng: Random) -> Edit:
    """The same of two Pods: of both and of each; what is granted, to which of them and on which ports changes too.

    One in six is a swap, of which units know nothing: they do not list Pods, and where two change places the unit stays what it is.
    """
    before = _some(rng)
    return Edit(before, _swapped(before) if rng.randrange(6) == 0 else _some(rng))


def _swapped(values: Sequence[Any]) -> tuple[Any, ...]:
    """Each Service that is about one of the Pods is about the other one."""
    other = {"api": "other", "other": "api"}

    def turned(value: Any) -> Any:
        spec = value.get("spec", {})
        tier = spec.get("selector", {}).get("tier") if value["kind"] == "Service" else None
        return {**value, "spec": {**spec, "selector": {"tier": other[tier]}}} if tier else value

    return tuple(map(turned, values))


def _some(rng: Random) -> tuple[Any, ...]:
    text = "".join(_POD.format(name=name) for name in ("api", "other"))
    text += "".join(_declared(rng.choice((*WORDS, "")), tier) for tier in ("app: api", "tier: api", "tier: other"))
    web, peer = (rng.choice((_ALL, _ALL, _SOME)) for _ in ("web", "peer"))
    return _values(text, web, peer, rng.choice((_ANY, _ANY, _PORT)))


REQUESTS = tuple(
    Request(Source(identity=f"d/{source}"), Destination(pod=f"d/{pod}"), port, protocol, "GET", "/x")  # type: ignore[arg-type] # two of the words
    for pod in ("api", "other")
    for source, protocol in (("web", "http"), ("peer", "tcp"))
    for port in (8080, 9999)
)
"""What is asked of these Pods."""


class Opened(Struct, frozen=True):
    """A request that was refused, and is allowed while all gains wait."""

    request: Request
    was: Answer
    now: Answer


def opened(mesh: SinklessMesh, edit: Edit, asked: Iterable[Request]) -> Iterator[Opened]:
    """What a mesh allows of the second world, cut down to what stood, and neither it nor SMI allowed in the first one.

    Where a unit's ports stay what they are, a Pod that became what another one was is like a new replica of that one: what is allowed to it
    must have been allowed to one of its identity.
    """
    facts = [compile_documents(documents_of(values), Scope()).facts for values in (edit.before, edit.after)]
    stood, wanted = desired(edit.before, mesh), desired(edit.after, mesh)
    cut = {}
    for key, one in wanted.items():
        known = stood[key].standing if key in stood else NOTHING
        assert one.unit is not None
        cut[key] = meet((known or NOTHING,), one.unit) if isinstance(one.unit, Access) else one.unit
    objects = [native for one in stood.values() for native in one.translation.objects]
    after = [native for one in translate_units(cut, mesh).values() for native in one.objects]
    was, now = (mesh.spec.evaluator(*pair).judge for pair in ((objects, facts[0]), (after, facts[1])))
    kept = {key for key, one in wanted.items() if key in stood and _ports_of(stood[key].unit) == _ports_of(one.unit)}
    smi = Semantics(documents_of(edit.before)).judge
    doubted = {
        one.unit.identity for one in stood.values() if isinstance(one.unit, Access) and "unknown" in one.unit.beyond
    }
    for request in asked:
        if _same(request, facts, doubted) and now(request).verdict == "allow":
            before = was(request)
            replicas = _replicas(request, facts[0], kept)
            if not any(was(one).verdict == "allow" or smi(one).verdict == "allow" for one in (request, *replicas)):
                yield Opened(request, before, now(request))


def _ports_of(unit: Unit | None) -> object:
    """What a unit says of who receives where, as far as grants do not change it."""
    if not isinstance(unit, Access):
        return None
    return unit.beyond, {(one.port, one.declared, one.services, one.everywhere) for one in unit.ports}


def _replicas(request: Request, facts: Facts, kept: Collection[UnitKey]) -> Iterator[Request]:
    """The same request to each Pod of the receiver's identity, if the ports of its unit are kept as they were."""
    of = {one.identity for ref, one in facts.placements.items() if f"{ref.namespace}/{ref.name}" == request.dst.pod}
    for ref, one in facts.placements.items():
        if one.identity in of and UnitKey("access", one.identity.namespace, one.identity.service_account) in kept:
            yield replace(request, dst=Destination(pod=f"{ref.namespace}/{ref.name}"))


def _same(request: Request, facts: Sequence[Facts], doubted: Collection[Identity]) -> bool:
    """Whether the workloads that a request is about are the same ones in both, whatever their ports are.

    Where no workload of a `doubted` identity could be read, one that can be now is no replica of any.
    """
    before, after = (_concerned(request, each) for each in facts)
    known = {one.identity for one in facts[0].placements.values()}
    new = bool(after) and all(one[2] in doubted and one[2] not in known for one in after)
    return (before == after or new) and len({name for name, *_ in after}) == len(after) > 0


def _concerned(request: Request, facts: Facts) -> list[tuple[object, ...]]:
    pods = {request.src.pod, request.dst.pod}
    return [
        (f"{ref.namespace}/{ref.name}", ref.kind, one.identity, one.labels, one.bind, one.addresses)
        for ref, one in sorted(facts.placements.items())
        if f"{ref.namespace}/{ref.name}" in pods
        or f"{one.identity.namespace}/{one.identity.service_account}" == request.dst.identity
    ]
