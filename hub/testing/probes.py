"""One small world per feature: what an adapter declares about itself is held against what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from hub.api import AdapterSpec
from hub.features import Feature, Support
from hub.model import Answer, Destination, Request, Source
from hub.semantics import GovernedNamespaces
from hub.testing.compare import disagreement
from hub.testing.conformance.asked import asked_by
from hub.testing.documents import Scope, SinklessMesh, compile_documents, explainer_of, translate_units
from hub.testing.kit import read_documents
from hub.testing.worlds import documents_of

_FACTS = """\
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: d, labels: {app: api, tier: front}}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}, {containerPort: 9000}, {containerPort: 53, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: old, namespace: d, labels: {app: old}}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}, {containerPort: 9000}, {containerPort: 53, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: d, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: a}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: d}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-db, port: 9000}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: old, namespace: d}
spec: {selector: {app: old}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-db, port: 9000}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: every, namespace: d}
spec: {matches: [{name: m, methods: ["*"]}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: port, namespace: d}
spec: {matches: {ports: [8080]}}
---
"""
_APART = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: d, labels: {{app: {name}, tier: front}}}}
spec: {{serviceAccountName: {name}, containers: [{{name: a, ports: [{{containerPort: {port}}}]}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: d}}
spec: {{selector: {{app: {name}}}, ports: [{{name: {word}, port: {number}, targetPort: {port}}}]}}
---
"""
_NAMES, _POD_OF_WEB = ("api", "old"), _FACTS[_FACTS.index("apiVersion: v1\nkind: Pod\nmetadata: {name: web") :]
_PLACES = (
    _FACTS,
    *(
        "".join(_APART.format(name=name, word=word, port=port, number=number) for name in _NAMES)
        + _POD_OF_WEB[: _POD_OF_WEB.index("---\n") + 4]
        + _FACTS[_FACTS.index("apiVersion: specs") :]
        for word, port, number in (("http", 8080, 80), ("tcp-db", 9000, 9000))
    ),
)
"""Accounts with several ports, of which each is behind two Services; and accounts with a Service of their name and one port: some
meshes know no others."""
_ROUTES = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: routes, namespace: d}
spec: {matches: [%s]}
---
"""
_ACCOUNT = "{kind: ServiceAccount, name: %s, namespace: d}"
_BINDING = "{kind: IdentityBinding, name: bound, namespace: d}"
_TARGET = """\
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: t, namespace: d}
spec: {destination: %s, sources: [%s], rules: [%s]}
---
"""
_HTTP = "{kind: HTTPRouteGroup, name: %s}"
_ALL = _TARGET % (_ACCOUNT % "api", _ACCOUNT % "web", _HTTP % "every")


class Probe(Struct, frozen=True):
    """A world in which SMI allows (or splits) a request by one feature; `hard` is one that a PARTIAL mesh may refuse."""

    feature: Feature
    text: str
    request: Request
    hard: str = ""


def _granting(rules: str, source: str = _ACCOUNT % "web", destination: str = _ACCOUNT % "api") -> str:
    return _TARGET % (destination, source, rules)


def _matching(match: str) -> str:
    return _ROUTES % match + _granting(_HTTP % "routes")


def _binding(scheme: str) -> str:
    head = "apiVersion: access.smi-spec.io/v1alpha4\nkind: IdentityBinding\nmetadata: {name: bound, namespace: d}\n"
    return f"{head}spec: {{schemes: {{{scheme}}}}}\n---\n"


def _split(more: str = "") -> str:
    head = "apiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplit\nmetadata: {name: s, namespace: d}\n"
    return f"{head}spec: {{service: api, backends: [{{service: old, weight: 1}}]{more}}}\n---\n"


def _split_if(value: str) -> str:
    match = _ROUTES % f"{{name: m, headers: {{x-tier: '{value}'}}}}"
    return _ALL + match + _split(", matches: [{kind: HTTPRouteGroup, name: routes}]")


def _asked(port: int = 8080, **more: Any) -> Request:
    return Request(src=Source(pod="d/web"), dst=Destination(pod="d/api"), port=port, **more)


def _called(port: int = 80, **more: Any) -> Request:
    return Request(src=Source(pod="d/web"), dst=Destination(service="d/api"), port=port, **more)


_TCP = "apiVersion: specs.smi-spec.io/v1alpha4\nkind: TCPRoute\nmetadata: {name: db, namespace: d}\nspec: {matches: {ports: [9000]}}\n---\n"
_UDP = _TCP.replace("TCPRoute", "UDPRoute").replace("9000", "53")
_RAW = _TCP + _granting("{kind: TCPRoute, name: db}")
_DATAGRAMS = _UDP + _granting("{kind: UDPRoute, name: db}")
_OURS, _FOREIGN = "spiffe://cluster.local/ns/d/sa/web", "spiffe://partner.example/ns/d/sa/web"
PROBES = (
    Probe(
        Feature.ACCESS_HTTP_PATH,
        _matching("{name: m, pathRegex: /a}"),
        _asked(path="/a"),
        _matching('{name: m, pathRegex: "/[0-9]+"}'),
    ),
    Probe(Feature.ACCESS_HTTP_METHOD, _matching("{name: m, methods: [PUT]}"), _asked(method="PUT")),
    Probe(
        Feature.ACCESS_HTTP_HEADER,
        _matching("{name: m, headers: {x-tier: gold}}"),
        _asked(headers=(("x-tier", "gold"),)),
        _matching("{name: m, headers: {x-tier: .*gold.*}}"),
    ),
    Probe(Feature.ACCESS_HTTP_PORT, _granting(f"{_HTTP % 'every'}, {{kind: TCPRoute, name: port}}"), _asked()),
    Probe(Feature.ACCESS_TCP, _RAW, _asked(9000, protocol="tcp")),
    Probe(Feature.ACCESS_UDP, _DATAGRAMS, _asked(53, protocol="udp")),
    Probe(
        Feature.ACCESS_SPIFFE_SOURCE,
        _binding(f'spiffeIdentities: ["{_OURS}"]') + _granting(_HTTP % "every", _BINDING),
        _asked(),
        _binding(f'spiffeIdentities: ["{_FOREIGN}"]') + _granting(_HTTP % "every", _BINDING),
    ),
    Probe(
        Feature.ACCESS_LABEL_SOURCE,
        _binding("podLabelSelector: {matchLabels: {app: web}}") + _granting(_HTTP % "every", _BINDING),
        _asked(),
    ),
    Probe(
        Feature.ACCESS_LABEL_DESTINATION,
        _binding("podLabelSelector: {matchLabels: {tier: front}}")
        + _granting(_HTTP % "every", destination="{kind: IdentityBinding, name: bound}"),
        _asked(),
    ),
    Probe(Feature.SPLIT_HTTP, _ALL + _split(), _called()),
    Probe(Feature.SPLIT_TCP, _RAW + _split(), _called(9000, protocol="tcp")),
    Probe(Feature.SPLIT_UDP, _DATAGRAMS + _split(), _called(53, protocol="udp")),
    Probe(Feature.SPLIT_MATCHES, _split_if("gold"), _called(headers=(("x-tier", "gold"),)), _split_if("g.*")),
)


class Tried(Struct, frozen=True):
    """What became of a probe in a world.

    `asked`: SMI allows or splits the request; `worked`: the mesh does the same; `codes`: what it reports as lost; `features`: what the
    objects of the world ask for.
    """

    asked: bool
    worked: bool
    codes: frozenset[str]
    features: frozenset[Feature]
    smi: Answer
    mesh: Answer


class FalseClaim(Struct, frozen=True):
    """Where an adapter does otherwise than it declares: a sentence, the world that shows it, and what is wrong there."""

    probe: Probe
    why: str
    world: tuple[Any, ...] = ()
    wrong: Callable[[Tried], bool] = bool


def faults(spec: AdapterSpec[Any], settings: Any = None) -> Iterator[FalseClaim]:
    """Where an adapter with these settings (None: the defaults) does otherwise than it declares."""
    mesh = SinklessMesh(spec.name, spec, settings)
    declared = spec.supports(spec.config() if settings is None else settings)
    for probe in PROBES:
        support = declared.get(probe.feature)
        if support is None:
            yield FalseClaim(probe, f"{probe.feature}: nothing is declared")
        else:
            yield from _faults(mesh, probe, support)


def _faults(mesh: SinklessMesh, probe: Probe, support: Support) -> Iterator[FalseClaim]:
    worlds = [_values(place + probe.text) for place in _PLACES]
    tried = [try_probe(mesh, probe, values) for values in worlds]

    def fault(why: str, wrong: Callable[[Tried], bool]) -> FalseClaim:
        shown = next((values for values, each in zip(worlds, tried, strict=True) if wrong(each)), ())
        return FalseClaim(probe, f'{probe.feature}: "{support}" is declared, {why}', shown, wrong)

    if support is Support.APPROXIMATE and probe.feature.startswith("access."):
        why = f'{probe.feature}: "{support}" is declared, but whoever is nearly allowed is denied'
        yield FalseClaim(probe, why)
    works = support in {Support.FULL, Support.PARTIAL, Support.APPROXIMATE}
    # Where nobody is governed, nobody is refused for want of a feature of access.
    worked = any(each.worked for each in tried) and not (mesh.spec.routes_only and probe.feature.startswith("access."))
    codes = frozenset[str]().union(*(each.codes for each in tried))
    if worked and not works:
        yield fault("but a simple case is carried out", lambda each: each.worked)
    if works and not worked:
        refused = next((each.codes for each in tried if each.asked), frozenset())
        yield fault(
            "but a simple case is refused", lambda each: each.asked and not each.worked and each.codes == refused
        )
    listed = {*mesh.spec.limits.get(probe.feature, ())}
    if listed and codes and not works and not listed & codes:
        why = f"{', '.join(sorted(codes))} is reported, and the adapter lists {', '.join(sorted(listed))}"
        yield fault(why, lambda each: bool(each.codes) and not listed & each.codes)
    if not works and not codes:
        yield fault("and nothing is reported as lost", lambda each: each.asked and not each.worked and not each.codes)
    hard = _values(_FACTS + probe.hard) if probe.hard else ()
    if hard and support is Support.FULL and try_probe(mesh, probe, hard).codes:
        why = f'{probe.feature}: "full" is declared, but some of it is lost'
        yield FalseClaim(probe, why, hard, lambda each: bool(each.codes))


def _values(text: str) -> tuple[Any, ...]:
    return tuple(one.value for one in read_documents(text))


def try_probe(mesh: SinklessMesh, probe: Probe, values: Sequence[Any]) -> Tried:
    """Ask the request of a probe in a world."""
    request, about_access = probe.request, probe.feature.startswith("access.")
    documents = documents_of(values)
    scope = Scope(governed=GovernedNamespaces(frozenset())) if mesh.spec.routes_only else Scope()
    smi, answers = explainer_of(documents, (mesh,), scope).explain(request)
    answer = answers[mesh.name]
    units = compile_documents(documents, Scope()).units
    losses = [loss for each in translate_units(units, mesh).values() for loss in each.losses]
    asked = smi.verdict == "allow" or smi.route == "split"  # not so where a place has no such port
    same = asked and (answer.verdict, answer.weights) == (smi.verdict, smi.weights)
    return Tried(
        asked=asked,
        worked=same and not disagreement(request, smi, answer),
        codes=frozenset(loss.code for loss in losses if not loss.is_unenforced or about_access),
        features=frozenset(
            each for unit in units.values() for origin in unit.origins for each in asked_by(unit, origin)
        ),
        smi=smi,
        mesh=answer,
    )
