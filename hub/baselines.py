"""Baselines: the skeletons of scopes that a mesh has, by what its adapter declares, and what it means if one fails. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from hub.api import AdapterSpec
from hub.mirror import Mirror
from hub.model import ObjectRef, UnitKey
from hub.plan.changes import Desired


def baselines_of(spec: AdapterSpec[Any], keys: Iterable[UnitKey]) -> frozenset[UnitKey]:
    """The baselines of the scopes in which these units are."""
    if not spec.baselines:
        return frozenset()
    scopes = {(key.domain, key.namespace) for key in keys if key.kind != "baseline"}
    found = {UnitKey("baseline", "", "", domain) for domain, _ in scopes}
    found |= {UnitKey("baseline", namespace, "", domain) for domain, namespace in scopes}
    return frozenset(key for key in found if has(spec, key))


def has(spec: AdapterSpec[Any], baseline: UnitKey) -> bool:
    """Whether meshes of this kind have such a one."""
    return ("namespace" if baseline.namespace else "mesh") in spec.baselines


def covers(baseline: UnitKey, key: UnitKey) -> bool:
    """Whether a unit is in the scope of a baseline, and none itself."""
    return key.kind != "baseline" and key.domain == baseline.domain and baseline.namespace in {"", key.namespace}


class Holds(Struct, frozen=True):
    """Units that may gain nothing (`withhold`), and objects that cannot be counted on to stand (`lacking`)."""

    withhold: frozenset[UnitKey] = frozenset()
    lacking: frozenset[ObjectRef] = frozenset()

    def also(self, withhold: Iterable[UnitKey], lacking: Iterable[ObjectRef] = ()) -> Holds:
        """The same, and these."""
        return Holds(self.withhold.union(withhold), self.lacking.union(lacking))


NOTHING_HELD = Holds()


def beside_baselines(spec: AdapterSpec[Any], desired: Mapping[UnitKey, Desired], mirror: Mirror, holds: Holds) -> Holds:
    """What is held, and what else is because of baselines that are held or do not stand: who needs them gains nothing."""
    if not spec.baselines:
        return holds
    failed = {key for key in holds.withhold if key.kind == "baseline"}
    desired_refs = {
        native.ref for key, one in desired.items() if key not in failed for native in one.translation.objects
    }
    needed = {ref for one in desired.values() for ref in _needs(one)} if failed else set[ObjectRef]()
    standing = {ref for key in desired for mine in mirror.standing(key) for ref in mirror.needs(mine)}
    missing = frozenset(ref for ref in needed | standing if ref not in desired_refs and not mirror.is_ours(ref))
    amiss = missing.union(*(mirror.standing(key) for key in failed)) if failed else frozenset[ObjectRef]()
    return holds.also((key for key, one in desired.items() if not amiss.isdisjoint(_needs(one))), missing)


def _needs(desired: Desired) -> Iterator[ObjectRef]:
    return (ref for native in desired.translation.objects for ref in native.needs)
