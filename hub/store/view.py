"""The store as one reader sees it: every answer is recorded, also that there is nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from hub.intent.view import ACCESS, SPLIT, BackendProfile, WorkloadProfile
from hub.model import ObjectRef, Reading, Transport
from hub.smi.types import (
    Doubt,
    IdentityBinding,
    Service,
    SmiObject,
    TrafficSplit,
    TrafficTarget,
    Upstream,
    Workload,
)
from hub.store.doubts import OWNER
from hub.store.index import Index, Key
from hub.store.memo import Read


class RecordingView:
    """A `hub.intent.View`; `keys` are what was asked so far."""

    def __init__(
        self,
        objects: Mapping[ObjectRef, SmiObject],
        index: Index,
        trust_domain: str,
        reading: Reading,
        *,
        doubting: bool = True,
    ) -> None:
        self.keys: set[Read] = set()
        self._objects = objects
        self._index = index
        self._trust_domain = trust_domain
        self._reading = reading
        self._doubting = doubting

    @property
    def trust_domain(self) -> str:
        """See hub.intent.View."""
        return self._trust_domain

    @property
    def reading(self) -> Reading:
        """See hub.intent.View."""
        return self._reading

    def get(self, ref: ObjectRef) -> SmiObject | None:
        """See hub.intent.View."""
        found = self._objects.get(ref)
        self.keys.add(ref if found is None else found.ref)  # that one is kept anyway
        return found

    def targets(self, kind: str, namespace: str, name: str) -> tuple[TrafficTarget, ...]:
        """See hub.intent.View."""
        refs = sorted(self._members(("targets", kind, namespace, name)))
        found = (self.get(ObjectRef(ACCESS, "TrafficTarget", namespace, each)) for each in refs)
        return tuple(each for each in found if isinstance(each, TrafficTarget))

    def bindings(self, namespace: str, account: str) -> tuple[IdentityBinding, ...]:
        """See hub.intent.View."""
        refs = sorted(self._members(("bound", namespace, account)))
        found = (self.get(ObjectRef(ACCESS, "IdentityBinding", namespace, each)) for each in refs)
        return tuple(each for each in found if isinstance(each, IdentityBinding))

    def splits(self, namespace: str, service: str) -> tuple[TrafficSplit, ...]:
        """See hub.intent.View."""
        refs = sorted(self._members(("splits", namespace, service)))
        found = (self.get(ObjectRef(SPLIT, "TrafficSplit", namespace, each)) for each in refs)
        return tuple(each for each in found if isinstance(each, TrafficSplit))

    def profiles(self, namespace: str, account: str) -> tuple[WorkloadProfile, ...]:
        """See hub.intent.View."""
        return tuple(sorted(self._members(("profiles", namespace, account)), key=msgspec.json.encode))

    def selecting(self, profile: WorkloadProfile) -> tuple[Service | IdentityBinding | Doubt, ...]:
        """See hub.intent.View."""
        found = (self._owner(ref) for ref in sorted(self._members(("owners", profile))))
        return tuple(each for each in found if isinstance(each, Service | IdentityBinding | Doubt))

    def _owner(self, ref: ObjectRef) -> SmiObject | Doubt | None:
        """Who has a selector."""
        if ref.group != OWNER:
            return self.get(ref)
        return next(iter(self._members(("doubt", ref))), None) if self._doubting else None

    def members(self, namespace: str, account: str) -> tuple[tuple[Workload, WorkloadProfile], ...]:
        """See hub.intent.View."""
        pairs = sorted(self._members(("members", namespace, account)), key=lambda pair: pair[0])
        found = ((self.get(ref), profile) for ref, profile in pairs)
        return tuple((each, profile) for each, profile in found if isinstance(each, Workload))

    def backend_profiles(self, service: Service) -> tuple[BackendProfile, ...]:
        """See hub.intent.View."""
        key: Key = ("backends", service.ref)
        if not service.selector:
            key = ("sliced", service.ref.namespace, service.ref.name)
        return tuple(sorted(self._members(key), key=msgspec.json.encode))

    def slicing(self, namespace: str, account: str) -> tuple[Service, ...]:
        """See hub.intent.View."""
        names = sorted(self._members(("slicing", namespace, account)))
        found = (self.get(ObjectRef("", "Service", namespace, name)) for name in names)
        return tuple(each for each in found if isinstance(each, Service) and not each.selector)

    def exposes(self, namespace: str, service: str) -> Collection[tuple[int, Transport]] | None:
        """See hub.intent.View."""
        found = self._members(("exposes", namespace, service))
        return [port for port in found if port is not None] if found else None

    def described(self, namespace: str, service: str) -> Mapping[tuple[int, Transport], tuple[str, bool]]:
        """See hub.intent.View."""
        found = sorted(self._members(("described", namespace, service)), reverse=True)
        return {(port, transport): (word, headless) for port, transport, word, headless in found}

    def upstreams(self, namespace: str, service: str) -> tuple[Upstream, ...]:
        """See hub.intent.View."""
        return tuple(sorted(self._members(("upstreams", namespace, service)), key=msgspec.json.encode))

    def claimants(self, address: str, port: int) -> tuple[ObjectRef, ...]:
        """See hub.intent.View."""
        return tuple(sorted(self._members(("claims", address, port))))

    def doubts(self, namespace: str) -> tuple[Doubt, ...]:
        """See hub.intent.View."""
        if not self._doubting:
            return ()
        found = (*self._members(("doubts", namespace)), *self._members(("doubts", "")))
        return tuple(sorted(found, key=msgspec.json.encode))

    def fault(self, ref: ObjectRef) -> str:
        """See hub.intent.View."""
        return min(self._members(("fault", ref)), default="")

    def callers_at(self, machine: str, address: str, port: int) -> tuple[ObjectRef, ...]:
        """See hub.intent.View."""
        return tuple(sorted(self._members(("callers", machine, address, port))))

    def _members(self, key: Key) -> Collection[Any]:
        self.keys.add(key)
        return self._index.members(key)
