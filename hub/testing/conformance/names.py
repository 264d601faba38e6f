"""Names of native objects: no two units or contents share one, and what stands for content has enough bits.

Whoever may write SMI objects may search for two texts with one name: 32 bits are found in a second, 64 in a day on rented machines. The
least is 128 bits.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from random import Random
from typing import Any

from hub.memory.permits import EVERYWHERE
from hub.model import (
    Access,
    Backend,
    Grant,
    HttpMatch,
    Identity,
    InboundPort,
    NativeObject,
    ObjectRef,
    Route,
    RoutePort,
    Split,
    Unit,
)
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure

BITS, APART = "names-with-enough-bits", "names-apart"
LEAST_BITS = 128
_SAMPLES = 160
_UNSEEN = 1
"""So many bits may be missing since not every digit was met at every place: a digest with a digit less has four fewer."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_DOMAIN = "cluster.local"
_LONG = "a" * 200


def names(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Names that follow a text of the input follow all of it."""
    for part, units in _samples(Random(f"{subject.sizes.seed}/names")).items():
        yield from _enough(subject, part, units)
    yield from _alike(subject)


# --------------------------------------------------------------------------------------------------------- enough bits


def _samples(rng: Random) -> Mapping[str, list[Unit]]:
    """By part of the input: units that differ in that part alone, in 40 random characters after a long beginning."""

    def texts() -> Iterator[str]:
        return ("".join(rng.choice(_LETTERS) for _ in range(40)) for _ in range(_SAMPLES))

    def matching(**parts: Any) -> Access:
        return _access("api", HttpMatch(**parts))

    return {
        "the account": [_access(f"a{text}") for text in texts()],
        "a long account": [_access(f"{_LONG[:150]}{text}") for text in texts()],
        "the namespace": [_access("api", namespace=f"n{text[:38]}") for text in texts()],
        "the TrafficTarget's name": [_access("api", origin=f"t{text}") for text in texts()],
        "a long TrafficTarget's name": [_access("api", origin=f"{_LONG[:150]}{text}") for text in texts()],
        "the path": [matching(path=f"/{'long/' * 12}{text}") for text in texts()],
        "a header's name": [matching(headers=((text, "gold"),)) for text in texts()],
        "a header's value": [matching(headers=(("x-tier", text),)) for text in texts()],
        "a caller": [_access("api", source=f"spiffe://{_DOMAIN}/ns/d/sa/{text}") for text in texts()],
        "labels": [_access("api", labels=(("app", text),)) for text in texts()],
        "the Service": [_routed("d", f"s{text}") for text in texts()],
        "a split's name": [_routed("d", "api", name=text) for text in texts()],
        "a split's condition": [_routed("d", "api", matches=(HttpMatch(path=f"/{text}"),)) for text in texts()],
        "a backend": [_routed("d", "api", backend=f"b{text}") for text in texts()],
    }


def _access(account: str, match: HttpMatch = HttpMatch(path="/a"), namespace: str = "d", **parts: Any) -> Access:
    """A unit with one grant of HTTP; `parts` are those of the grant that are not as usual."""
    ref = ObjectRef("access.smi-spec.io", "TrafficTarget", namespace, str(parts.get("origin", "t")))
    labels = parts.get("labels")
    carried = () if labels is None else (labels,)
    port = InboundPort(8080, "TCP", "http", "http", 8080, labels=carried, binds=(EVERYWHERE,))
    caller = str(parts.get("source", f"spiffe://{_DOMAIN}/ns/d/sa/web"))
    grant = Grant(ref, (caller,), "TCP", (8080,), (match,), labels)
    return Access(Identity(_DOMAIN, namespace, account), (grant,), (port,), origins=(ref,))


def _enough(subject: AdapterUnderTest, part: str, units: Iterable[Unit]) -> Iterator[PropertyFailure]:
    by_kind: dict[str, list[list[NativeObject]]] = defaultdict(list)
    for unit in units:
        objects: dict[str, list[NativeObject]] = defaultdict(list)
        for native in subject.spec.translate(unit, subject.settings).objects:
            objects[native.ref.kind].append(native)
        for kind, found in objects.items():
            by_kind[kind].append(found)
    for kind, made in by_kind.items():
        for at in range(min(len(objects) for objects in made)):
            refs = [objects[at].ref for objects in made]
            bits = _bits([f"{ref.namespace}/{ref.name}" for ref in refs])
            if 0 < bits < LEAST_BITS - _UNSEEN:
                why = f"the name of a {kind} follows {part}, and has {bits:.0f} bits of it: two texts with one name can be found"
                yield PropertyFailure(BITS, f"{why}; use {LEAST_BITS} bits", by=tuple(map(str, refs[:2])))
                return


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
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
"""The name of a Service; one of an account may be longer and have dots (Kubernetes, Object Names and IDs)."""


def _alike(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    for pair in _ALIKE:
        services = all(_LABEL.fullmatch(name) for _, name in pair)
        for make in (_granted, _routed) if services else (_granted,):
            one, other = (subject.spec.translate(make(*each), subject.settings).objects for each in pair)
            both = sorted({native.ref for native in one} & {native.ref for native in other})
            if both:
                why = f"units of {'/'.join(pair[0])} and {'/'.join(pair[1])} have an object of one name: {both[0]}"
                yield PropertyFailure(APART, why, by=(str(both[0]),))
                return


def _granted(namespace: str, account: str) -> Unit:
    return _access(account, namespace=namespace)


def _routed(
    namespace: str,
    service: str,
    matches: tuple[HttpMatch, ...] | None = None,
    name: str = "t",
    backend: str = "b",
) -> Unit:
    """A Service that is split: of one that is not, many meshes have no object."""
    split = Split(
        ObjectRef("split.smi-spec.io", "TrafficSplit", namespace, name), matches, (Backend(backend, Fraction(1)),)
    )
    return Route(namespace, service, (RoutePort(80, "TCP", "http", (split,)),), (split.origin,))


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
