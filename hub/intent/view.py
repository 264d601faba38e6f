"""What intent may ask of the store, and the profiles in which it sees workloads.

A unit is recomputed when, and only when, an answer that it got from its `View` has changed. So every question is as
narrow as its use, and none is about single Pods.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, Protocol

from msgspec import Struct

from hub.model import Identity, ObjectRef, Problem, Reading, Severity, Transport
from hub.smi.types import (
    Doubt,
    IdentityBinding,
    Service,
    SmiObject,
    TrafficSplit,
    TrafficTarget,
    Upstream,
    Workload,
    WorkloadPort,
)

ACCESS = "access.smi-spec.io"
SPECS = "specs.smi-spec.io"
SPLIT = "split.smi-spec.io"
Labels = tuple[tuple[str, str], ...]
Standing = Literal["pod", "workload", "template"]


class WorkloadProfile(Struct, frozen=True, gc=False):
    """What policies can tell of a workload: any number of equal workloads are one profile.

    `labels` are only those pairs that a selector of the namespace names, sorted; `ports` are in the order written.
    `annotations` are those that meshes read.
    """

    namespace: str
    account: str
    standing: Standing
    labels: Labels
    ports: tuple[WorkloadPort, ...]
    annotations: Labels = ()

    def carries(self, selector: Labels) -> bool:
        """Whether these workloads carry every label of the selector (an empty one selects nothing)."""
        return bool(selector) and set(selector) <= set(self.labels)


class BackendProfile(Struct, frozen=True, gc=False):
    """What a Service can tell of a workload behind it: account and ports as (number, transport, name).

    `sliced`: an endpoint of an EndpointSlice; its ports carry the Service's port names, its account may be unknown ("").
    """

    account: str
    standing: Standing | Literal["sliced"]
    ports: tuple[tuple[int, Transport, str], ...]


class View(Protocol):
    """One reader's window on the store; what it asks is what it depends on. Sequences come in a stable order."""

    @property
    def trust_domain(self) -> str:
        """The trust domain of every identity of the domain."""

    @property
    def reading(self) -> Reading:
        """The switches of our reading of SMI."""

    def get(self, ref: ObjectRef) -> SmiObject | None:
        """The object, without its origin; None if there is none that counts."""

    def targets(self, kind: str, namespace: str, name: str) -> tuple[TrafficTarget, ...]:
        """TrafficTargets of this namespace whose destination is this ServiceAccount or IdentityBinding."""

    def bindings(self, namespace: str, account: str) -> tuple[IdentityBinding, ...]:
        """IdentityBindings of this namespace that name the account (or its SPIFFE id)."""

    def splits(self, namespace: str, service: str) -> tuple[TrafficSplit, ...]:
        """TrafficSplits of this namespace whose root is this Service."""

    def profiles(self, namespace: str, account: str) -> tuple[WorkloadProfile, ...]:
        """The distinct profiles of the workloads of this account."""

    def selecting(self, profile: WorkloadProfile) -> tuple[Service | IdentityBinding | Doubt, ...]:
        """The Services and IdentityBindings whose label selector the profile carries; of broken Services, what they may be."""

    def members(self, namespace: str, account: str) -> tuple[tuple[Workload, WorkloadProfile], ...]:
        """The smihub.io Workloads of this account, one by one, with their profiles."""

    def backend_profiles(self, service: Service) -> tuple[BackendProfile, ...]:
        """Who stands behind a Service: by its selector, or else by its EndpointSlices."""

    def slicing(self, namespace: str, account: str) -> tuple[Service, ...]:
        """The Services without a selector of whose EndpointSlices some name a Pod of this account, by name."""

    def exposes(self, namespace: str, service: str) -> Collection[tuple[int, Transport]] | None:
        """The (port, transport) pairs of a Service; None if it does not exist."""

    def described(self, namespace: str, service: str) -> Mapping[tuple[int, Transport], tuple[str, bool]]:
        """By (port, transport) of a Service: what it says of the protocol (appProtocol, else name), and whether it is headless."""

    def upstreams(self, namespace: str, service: str) -> tuple[Upstream, ...]:
        """The upstreams of Workloads that name this Service."""

    def doubts(self, namespace: str) -> tuple[Doubt, ...]:
        """Broken objects that may concern any workload of a namespace: workloads, and Services of unknown selectors."""

    def fault(self, ref: ObjectRef) -> str:
        """Why an object does not count although it is written, in words that end in its places; "" otherwise."""

    def claimants(self, address: str, port: int) -> tuple[ObjectRef, ...]:
        """The Workloads that bind this TCP address and port for their inbound traffic."""

    def callers_at(self, machine: str, address: str, port: int) -> tuple[ObjectRef, ...]:
        """The Workloads of one machine (see `ports.machine_addresses`) whose sidecars listen there for their calls."""


class ProblemCollector:
    """Collects the Problems of one object while it is read."""

    def __init__(self, ref: ObjectRef) -> None:
        self._ref = ref
        self._problems: list[Problem] = []

    def error(self, code: str, field: str, message: str, remedy: str) -> None:
        """Something that was asked for is void."""
        self._problems.append(Problem(code, self._ref, field, message, remedy))

    def warning(self, code: str, field: str, message: str, remedy: str) -> None:
        """Nothing is void, but it is hardly what was meant."""
        self._problems.append(Problem(code, self._ref, field, message, remedy, severity=Severity.WARNING))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that was noted, in the order of noting."""
        return tuple(self._problems)


def spiffe(view: View, namespace: str, account: str) -> str:
    """The SPIFFE id of a service account of the view's trust domain."""
    return Identity(view.trust_domain, namespace, account).spiffe


def why_absent(view: View, ref: ObjectRef) -> str:
    """Why there is no object of this ref: nobody wrote it, or what is written does not count, and where that stands."""
    return view.fault(ref) or f'there is no {ref.kind} "{ref.name}" in namespace "{ref.namespace}"'


def remedy_if_absent(view: View, ref: ObjectRef, remedy: str) -> str:
    """What to do about an object that is not there; one that is written and does not count has errors of its own."""
    return f"fix that {ref.kind}; its own error says how" if view.fault(ref) else remedy
