"""Who calls and who receives: identities, and what may tell callers apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from hub.explain import Compiled
from hub.model import Access, Placement, Source, UnitKey, identity_of


class Party(Struct, frozen=True):
    """A caller: how people name it, and how requests do."""

    name: str
    source: Source


NO_IDENTITY = Party("(no identity)", Source(outside=True))
"""Whoever calls without a certificate of the mesh."""


class CallersAndReceivers(Struct, frozen=True):
    """The callers in order; by name of a receiver its unit, and where its workloads stand."""

    callers: tuple[Party, ...]
    receivers: Mapping[str, UnitKey]
    workloads: Mapping[str, tuple[Placement, ...]] = field(default_factory=dict)


def parties_of(intent: Compiled) -> CallersAndReceivers:
    """Every account that has a unit, a workload or a grant, and every other SPIFFE id that is granted something."""
    keys = {
        f"{key.namespace}/{key.name}": key for key, unit in sorted(intent.units.items()) if isinstance(unit, Access)
    }
    placed: dict[str, list[Placement]] = defaultdict(list)
    for _, placement in sorted(intent.facts.placements.items()):
        placed[_name(placement.identity.namespace, placement.identity.service_account)].append(placement)
    granted = {source for unit in intent.units.values() if isinstance(unit, Access) for source in _sources(unit)}
    own, foreign = {*keys, *placed}, set()
    for spiffe in granted:
        known = identity_of(spiffe)
        if known is not None and known.trust_domain == intent.facts.trust_domain:
            own.add(_name(known.namespace, known.service_account))
        else:
            foreign.add(spiffe)
    callers = [Party(name, Source(identity=name)) for name in sorted(own)]
    callers += [Party(name, Source(spiffe=name)) for name in sorted(foreign)]
    return CallersAndReceivers(tuple(callers), keys, {name: tuple(found) for name, found in placed.items()})


def apart(workloads: Sequence[Placement], access: Access, views: Iterable[Any]) -> tuple[str, ...]:
    """One workload (`ns/name`) of each class that may be answered differently; none if all are alike.

    Pods are alike if they receive in the same variants and have the same values of the labels that a grant or an object names.
    """
    named = {key for grant in access.grants for key, _ in grant.labels or ()}.union(*map(_texts, views))
    found: dict[object, str] = {}
    for each in workloads:
        labels = tuple(pair for pair in each.labels if pair[0] in named)
        own = each.ref if each.ref.kind == "Workload" else ""  # its sidecar is configured by its name
        found.setdefault((each.ref.kind, own, each.inbound, labels), f"{each.ref.namespace}/{each.ref.name}")
    return tuple(found.values()) if len(found) > 1 else ()


def _name(namespace: str, account: str) -> str:
    return f"{namespace}/{account}"


def _sources(access: Access) -> Iterator[str]:
    for grant in access.grants:
        yield from grant.sources


def classes_of(callers: Sequence[Party], access: Access, views: Iterable[Any]) -> Iterator[list[Party]]:
    """Callers who get the same answers of a receiver: those of a namespace whose names no grant and no object has in it.

    A name that happens to be a part of another text only makes a class of its own.
    """
    granted = {*_sources(access), *(source for grant in access.grants for source in grant.unauthenticated)}
    text = "\n".join(each for view in [*views, *granted] for each in _texts(view)).replace("\\", "").lower()
    alike: dict[str, list[Party]] = defaultdict(list)
    for party in callers:
        namespace, _, account = party.name.partition("/")
        named = party.source.identity is None or account.lower() in text
        alike[f"\0{party.name}" if named else namespace if namespace in text else ""].append(party)
    yield from alike.values()


def _texts(value: Any) -> Iterator[str]:
    """Every text in JSON-like data, the names of fields too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
