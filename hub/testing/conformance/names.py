"""Names of native objects: no two units or contents share one, and what stands for content has enough bits.

Whoever may write SMI objects may search for two texts with one name: 32 bits are found in a second, 64 in a day on rented machines. The
least is 128 bits.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hub.model import NativeObject, ObjectRef, UnitKey
from hub.testing.conformance.smallest import Trial, first_failure, smallest
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure
from hub.testing.counterexamples import Budget
from hub.testing.documents import Scope, compile_documents
from hub.testing.worlds import documents_of

BITS, APART = "names-with-enough-bits", "names-apart"
LEAST_BITS = 128
_SAMPLES = 160
_UNSEEN = 1
"""So many bits may be missing since not every digit was met at every place: a digest with a digit less has four fewer."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_LONG = "a" * 200
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
"""The name of a Service; one of an account may be longer and have dots (Kubernetes, Object Names and IDs)."""


def names(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Names that follow a text of the input follow all of it."""
    for part, samples in _samples(Random(f"{subject.sizes.seed}/names")).items():
        yield from _enough(subject, part, samples)
    yield from first_failure(subject, _alike(), _clashing)


# ------------------------------------------------------------------------------------------------------------- worlds


class _Sample(Struct, frozen=True):
    """A world, and the unit in it that is named."""

    key: UnitKey
    values: tuple[Any, ...]


def _object(api: str, kind: str, namespace: str, name: str, spec: Any) -> Any:
    return {"apiVersion": api, "kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec}


def _pod(namespace: str, account: str, labels: Mapping[str, str]) -> Any:
    containers = [{"name": "c", "ports": [{"containerPort": 8080}]}]
    pod = _object("v1", "Pod", namespace, account, {"serviceAccountName": account, "containers": containers})
    pod["metadata"]["labels"] = dict(labels)
    return pod


def _service(namespace: str, name: str, labels: Mapping[str, str]) -> Any:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return _object("v1", "Service", namespace, name, {"selector": dict(labels), "ports": ports})


def _granting(namespace: str = "d", account: str = "api", target: str = "t", **more: Any) -> _Sample:
    """A grant of HTTP; `more` has another `match` than of a path, another `caller`, and `labels` of the receiver."""
    api, labels = "access.smi-spec.io/v1alpha4", more.get("labels") or {"app": "api"}
    subject = {"kind": "ServiceAccount", "namespace": namespace}
    to = {**subject, "name": account}
    binding = _object(
        api, "IdentityBinding", namespace, "b", {"schemes": {"podLabelSelector": {"matchLabels": labels}}}
    )
    matches = [{"name": "m", **more.get("match", {"pathRegex": "/a"})}]
    spec = {
        "destination": {**to, "kind": "IdentityBinding", "name": "b"} if "labels" in more else to,
        "sources": [{**subject, "name": more.get("caller", "web")}],
        "rules": [{"kind": "HTTPRouteGroup", "name": target}],
    }
    values = (
        _pod(namespace, account, labels),
        _service(namespace, account if _LABEL.fullmatch(account) else "s", labels),
        _object("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", namespace, target, {"matches": matches}),
        *([binding] if "labels" in more else []),
        _object(api, "TrafficTarget", namespace, target, spec),
    )
    return _Sample(UnitKey("access", namespace, account), values)


def _splitting(namespace: str = "d", service: str = "api", split: str = "t", **more: str) -> _Sample:
    """A Service that is split: of one that is not, many meshes have no object; `more` has another `backend`, and the `path` of a condition."""
    backend = more.get("backend", "b")
    spec: Any = {"service": service, "backends": [{"service": backend, "weight": 1}]}
    when = []
    if "path" in more:
        matches = [{"name": "m", "pathRegex": more["path"]}]
        when = [_object("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", namespace, "when", {"matches": matches})]
        spec["matches"] = [{"kind": "HTTPRouteGroup", "name": "when"}]
    values = (
        *(_service(namespace, name, {"app": name}) for name in dict.fromkeys((service, backend))),
        *when,
        _object("split.smi-spec.io/v1alpha4", "TrafficSplit", namespace, split, spec),
    )
    return _Sample(UnitKey("route", namespace, service), values)


def _made(subject: AdapterUnderTest, values: Sequence[Any], key: UnitKey) -> tuple[NativeObject, ...]:
    """The native objects of one unit of a world."""
    unit = compile_documents(documents_of(values), Scope()).units.get(key)
    return () if unit is None else subject.spec.translate(unit, subject.settings).objects


# --------------------------------------------------------------------------------------------------------- enough bits


def _samples(rng: Random) -> Mapping[str, list[_Sample]]:
    """By part of the input: worlds that differ in that part alone, in 40 random characters after a long beginning."""

    def texts() -> Iterator[str]:
        return ("".join(rng.choice(_LETTERS) for _ in range(40)) for _ in range(_SAMPLES))

    return {
        "the account": [_granting(account=f"a{text}") for text in texts()],
        "a long account": [_granting(account=f"{_LONG[:150]}{text}") for text in texts()],
        "the namespace": [_granting(f"n{text[:38]}") for text in texts()],
        "the TrafficTarget's name": [_granting(target=f"t{text}") for text in texts()],
        "a long TrafficTarget's name": [_granting(target=f"{_LONG[:150]}{text}") for text in texts()],
        "the path": [_granting(match={"pathRegex": f"/{'long/' * 12}{text}"}) for text in texts()],
        "a header's name": [_granting(match={"headers": {text: "gold"}}) for text in texts()],
        "a header's value": [_granting(match={"headers": {"x-tier": text}}) for text in texts()],
        "a caller": [_granting(caller=text) for text in texts()],
        "labels": [_granting(labels={"app": text}) for text in texts()],
        "the Service": [_splitting(service=f"s{text}") for text in texts()],
        "a split's name": [_splitting(split=text) for text in texts()],
        "a split's condition": [_splitting(path=f"/{text}") for text in texts()],
        "a backend": [_splitting(backend=f"b{text}") for text in texts()],
    }


def _enough(subject: AdapterUnderTest, part: str, samples: Sequence[_Sample]) -> Iterator[PropertyFailure]:
    by_kind: dict[str, list[list[ObjectRef]]] = defaultdict(list)
    for sample in samples:
        refs: dict[str, list[ObjectRef]] = defaultdict(list)
        for native in _made(subject, sample.values, sample.key):
            refs[native.ref.kind].append(native.ref)
        for kind, found in refs.items():
            by_kind[kind].append(found)
    for kind, made in by_kind.items():
        for at in range(min(map(len, made))):
            bits = _bits([f"{refs[at].namespace}/{refs[at].name}" for refs in made])
            if 0 < bits < LEAST_BITS - _UNSEEN:
                why = f"the name of a {kind} follows {part}, and has {bits:.0f} bits of it: two texts with one name can be found"
                failure = PropertyFailure(
                    BITS, f"{why}; use {LEAST_BITS} bits", by=tuple(str(refs[at]) for refs in made[:2])
                )
                yield _of_two(subject, samples[:2], (kind, at), failure)
                return


def _of_two(
    subject: AdapterUnderTest, two: Sequence[_Sample], which: tuple[str, int], failure: PropertyFailure
) -> PropertyFailure:
    """The failure with two worlds, before and after a change of the text, between which the name is another one."""

    def named(values: Sequence[Any], sample: _Sample) -> str:
        refs = [str(one.ref) for one in _made(subject, values, sample.key) if one.ref.kind == which[0]]
        return refs[which[1]] if which[1] < len(refs) else ""

    def look(_: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
        by = tuple(map(named, (trial.before or (), trial.world), two))
        if all(by) and by[0] != by[1]:
            yield replace(failure, by=by)

    trial = Trial(two[1].values, two[0].values)
    return smallest(subject, trial, replace(failure, world=trial.world, before=trial.before), look, Budget())


def _common(texts: list[str]) -> str:
    """What all of them begin with."""
    first, last = min(texts), max(texts)
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return first[: sum(1 for _ in alike)]


def _bits(texts: list[str]) -> float:
    """How many bits of these names vary with what differs: by place, the characters that were met there.

    A name that has the 40 random characters themselves has far more than the least.
    """
    start = len(_common(texts))
    end = len(_common([text[start:][::-1] for text in texts]))
    varying = [text[start : len(text) - end] for text in texts]
    columns = zip(*(text.ljust(max(map(len, varying))) for text in varying), strict=True)
    return sum(math.log2(len(set(column))) for column in columns)


# ------------------------------------------------------------------------------------------------------- nearly alike

_ALIKE: tuple[tuple[tuple[str, str], tuple[str, str]], ...] = (
    (("d", f"{_LONG}.x"), ("d", f"{_LONG}.y")),
    (("d", f"{_LONG[:62]}x"), ("d", f"{_LONG[:62]}y")),
    (("d", "1.2"), ("d", "1-2")),
    (("d", "1.2"), ("d", "1--2")),
    (("1", "2-3"), ("1-2", "3")),
    (("1", "2.3"), ("2", "1.3")),
    (("d", "api"), ("x", "api")),
    (("d", "api"), ("d", "api-8080")),
    (("d", "8080"), ("d", "8080.http")),
    (("d", "h-api"), ("d", "api")),
)
"""(namespace, name) pairs that a careless name makes one."""


def _alike() -> Iterator[Trial]:
    for one, other in _ALIKE:
        # Two objects of one namespace have two names.
        last = "t" if one[0] != other[0] else "u"
        services = all(_LABEL.fullmatch(name) for _, name in (one, other))
        for make in (_granting, _splitting) if services else (_granting,):
            samples = (make(*one, "t"), make(*other, last))
            values = {str(value): value for sample in samples for value in sample.values}
            yield Trial(tuple(values.values()), about=tuple(sample.key for sample in samples))


def _clashing(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    one, other = ({native.ref for native in _made(subject, trial.world, key)} for key in trial.about)
    for ref in sorted(one & other):
        why = f"{' and '.join(map(str, trial.about))} have an object of one name: {ref}"
        yield PropertyFailure(APART, why, by=(str(ref), *map(str, trial.about)))


CHECKS = (
    PropertyCheck(
        "names",
        {
            BITS: f"what stands for content in a name has at least {LEAST_BITS} bits",
            APART: "no two units have an object of one name, however alike theirs are",
        },
        names,
    ),
)
