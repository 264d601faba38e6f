"""`evaluate` in a fresh process: on the emitted bytes alone, with all taken away that a mesh does not have.

There the objects come in another order, without roles, needs and origins; digests in names and annotations are other ones. What that
process has of its own, fresh_process.py says.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice, zip_longest
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hub.errors import SmihubError
from hub.family import FamilySpec
from hub.model import Answer, Facts, NativeObject, Role, Translation, service_account_label
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.conformance.fresh_process import Errand, FreshProcess, NoProcessError
from hub.testing.conformance.many import many_worlds
from hub.testing.conformance.smallest import Look, Trial, smallest
from hub.testing.conformance.subject import (
    AdapterUnderTest,
    PropertyCheck,
    PropertyFailure,
    bodies_of,
    misjudged,
)
from hub.testing.counterexamples import Budget
from hub.testing.documents import Scope, compile_documents, translate_units
from hub.testing.kit import read_documents
from hub.testing.random_requests import Hints
from hub.testing.worlds import documents_of, make_values

FRESH, DETERMINED = "evaluate-reads-bytes-alone", "determinism"
_DIGEST = re.compile(rb"[0-9a-f]{8,}")
_HEX, _OTHER_HEX = b"0123456789abcdef", b"7d1fa0e6b3925c84"
_WATCHED = 4
"""Worlds in which it is watched what is asked for: that makes each call slower."""
_MANY = """\
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: d, labels: {app: api, tier: a, zone: b, size: c}}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}, {containerPort: 8081}, {containerPort: 8082}]}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: r, namespace: d}
spec: {matches: [{name: m, methods: [GET, PUT, POST, HEAD, PATCH], headers: {x-a: a, x-b: b, x-c: c, x-d: d}}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: t, namespace: d}
spec: {matches: {ports: [8080, 8081, 8082]}}
---
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: g, namespace: d}
spec:
  destination: {kind: ServiceAccount, name: api, namespace: d}
  sources:
  - {kind: ServiceAccount, name: web-0, namespace: d}
  - {kind: ServiceAccount, name: web-1, namespace: d}
  - {kind: ServiceAccount, name: web-2, namespace: d}
  - {kind: ServiceAccount, name: web-3, namespace: d}
  - {kind: ServiceAccount, name: web-4, namespace: d}
  rules: [{kind: TCPRoute, name: t}, {kind: HTTPRouteGroup, name: r}]
"""
"""A world in which everything that can be several is: an order that comes from a set shows here."""


# ------------------------------------------------------------------------------------------------------ in this process


def fresh(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """The same answers, and the same objects, in a process that knows nothing else."""
    trials = [replace(trial, about=_errand(subject, trial)) for trial in _trials(subject)]
    found: dict[str, tuple[Trial, PropertyFailure, type[_Look]]] = {}
    try:
        with _process(subject) as process:
            # Judged first: what translate leaves in memory must not help.
            look: type[_Look]
            of_each = ((_Judging, trials), (_Translating, [*trials, *_many()]), (_Watching, trials[:_WATCHED]))
            for look, worlds in of_each:
                for trial, failure in _first(subject, worlds, look(process)):
                    found.setdefault(failure.property, (trial, failure, look))
    except NoProcessError as error:
        why = f"{error}: evaluator, translate and settings must be found by name in a fresh process, in a module of their own"
        yield PropertyFailure(FRESH, f"evaluate cannot be run there: {why}")
        return
    for trial, failure, look in found.values():
        with _process(subject) as process:
            yield smallest(subject, replace(trial, about=None), failure, look(process), Budget())


def _process(subject: AdapterUnderTest) -> FreshProcess:
    return FreshProcess((subject.spec.evaluator, subject.spec.translate, subject.settings))


def _first(subject: AdapterUnderTest, trials: Iterable[Trial], look: Look) -> Iterator[tuple[Trial, PropertyFailure]]:
    """The first failure of all."""
    found = ((trial, failure) for trial in trials for failure in look(subject, trial))
    yield from islice(((trial, replace(failure, world=trial.world)) for trial, failure in found), 1)


def _trials(subject: AdapterUnderTest) -> Iterator[Trial]:
    for number in range(max(subject.sizes.few // 2, 10)):
        dice = Random(f"{subject.sizes.seed}/fresh/{number}")
        values = make_values(dice) if number else [one.value for one in read_documents(_MANY)]
        judge = Semantics(documents_of(values)).judge
        asked = tuple(one.request for one in row(dice, Hints.of(values), judge, 20, 20))
        yield Trial(tuple(values), requests=asked)


def _many() -> Iterator[Trial]:
    """Worlds with many of a thing, to be translated alone."""
    for world in many_worlds():
        units = compile_documents(documents_of(world.values), Scope()).units
        yield Trial(world.values, about=Errand((), Facts(""), (), tuple(units.values())))


def _errand(subject: AdapterUnderTest, trial: Trial) -> Errand:
    made = compile_documents(documents_of(trial.world), Scope())
    objects = tuple(bodies_of(translate_units(made.units, subject.mesh)))
    return Errand(objects, made.facts, trial.requests, tuple(made.units.values()))


class _Look(Struct, frozen=True):
    """A look at a trial here and in another process."""

    process: FreshProcess

    def __call__(self, subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
        raise NotImplementedError


class _Judging(_Look, frozen=True):
    """Whether evaluate answers there as here."""

    def __call__(self, subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
        errand = trial.about or _errand(subject, trial)
        judge = subject.spec.evaluator(errand.objects, errand.facts)
        stripped = replace(errand, objects=_stripped(errand, subject.family))
        for request, there in zip(errand.requests, self.process.run("judge", stripped), strict=True):
            here = judge.judge(request)
            if not isinstance(there, Answer) or _decision(there) != _decision(here):
                why = (
                    f"in a fresh process, on the bytes alone, evaluate says {_said(there)}: it knows what no mesh knows"
                )
                answers = {"mesh": here, **({"in a fresh process": there} if isinstance(there, Answer) else {})}
                yield misjudged(FRESH, why, request, answers, [native.ref for native in errand.objects])


class _Translating(_Look, frozen=True):
    """Whether translate makes the same there as here."""

    def __call__(self, subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
        errand = trial.about or _errand(subject, trial)
        for unit, there in zip(errand.units, self.process.run("translate", errand), strict=True):
            here = subject.spec.translate(unit, subject.settings)
            if here != there:
                said = "makes other objects of the same unit" if isinstance(there, Translation) else f"says {there}"
                why = f"a fresh process {said} (hash seed, environment, folder or memory)"
                by = _unlike(here, there) if isinstance(there, Translation) else ()
                yield PropertyFailure(DETERMINED, why, by=(*by, *map(str, unit.origins)))


class _Watching(_Look, frozen=True):
    """Whether translate or evaluate asks for the time or the machine."""

    def __call__(self, subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
        for asked in self.process.run("watch", trial.about or _errand(subject, trial)):
            why = f"translate or evaluate asks for more than it is given, the time or the machine: {asked}"
            yield PropertyFailure(DETERMINED, why)


def _unlike(here: Translation, there: Translation) -> tuple[str, ...]:
    """The first objects of two translations that are not the same."""
    pairs = zip_longest(here.objects, there.objects)
    unlike = next(((one, other) for one, other in pairs if one != other), ())
    return tuple(dict.fromkeys(str(one.ref) for one in unlike if one is not None))


def _decision(answer: Answer) -> tuple[object, ...]:
    return answer.verdict, answer.route, answer.weights, answer.backends, answer.received


def _said(there: object) -> str:
    return there.verdict if isinstance(there, Answer) else str(there)


# --------------------------------------------------------------------------------------------- what a mesh does not have


def _stripped(errand: Errand, family: FamilySpec) -> tuple[NativeObject, ...]:
    """The objects in another order, with other digests in names, without annotations of their own.

    Digests that the facts have too mean something (labels of Pods, variants of ports) and stay.
    """
    known = set(_DIGEST.findall(pickle.dumps(errand.facts)))
    known.update(
        found
        for one in errand.facts.placements.values()
        for found in _DIGEST.findall(service_account_label(one.identity.service_account).encode())
    )
    named = {found for native in errand.objects for found in _DIGEST.findall(native.ref.name.encode())}
    table = bytes.maketrans(_HEX, _OTHER_HEX)
    digests = {digest: digest.translate(table) for digest in named - known if any(c in b"0123456789" for c in digest)}
    objects = [_anonymous(native, digests, family) for native in errand.objects]
    return tuple(sorted(objects, key=lambda native: sha256(native.body).digest()))


def _anonymous(native: NativeObject, digests: dict[bytes, bytes], family: FamilySpec) -> NativeObject:
    def other(raw: bytes) -> bytes:
        return _DIGEST.sub(lambda hit: digests.get(hit.group(), hit.group()), raw)

    def renamed(ref: Any) -> Any:
        return replace(ref, name=other(ref.name.encode()).decode())

    # What an object needs is the hub's to know, and a mesh's only where its own names tell; these are told by order.
    needs = tuple(map(renamed, native.needs))
    body = other(_unannotated(native, family))
    return NativeObject(renamed(native.ref), Role.GRANT, body, (), needs)


def _unannotated(native: NativeObject, family: FamilySpec) -> bytes:
    """The body with other values of its annotations; as it is where it has none."""
    try:
        value = family.view(native.body, native.ref.kind)
        notes = value["metadata"]["annotations"]
    except (SmihubError, ValueError, KeyError, TypeError):
        return native.body
    value["metadata"]["annotations"] = {f"x-{number}": "x" for number, _ in enumerate(notes)}
    return family.body(value, native.ref.kind)


CHECKS = (
    PropertyCheck(
        "fresh-process",
        {
            FRESH: "evaluate knows the emitted bytes and the facts, and nothing else",
            DETERMINED: "the same units give the same objects in every process, in any environment, at any time; no file is read",
        },
        fresh,
    ),
)
