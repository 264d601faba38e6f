"""What the decoders yield: SMI and Kubernetes objects in one shape, whatever version they were written in."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

from msgspec import Struct

from hub.semantics.labels import Labels

Account = tuple[str, str]
"""An identity of our trust domain: (namespace, service account)."""

Word = Literal["http", "tcp", "none", "unknown"]
"""The protocol that a port is declared to speak; none = undeclared, unknown = what cannot be read may declare it."""


class Manifest(Struct, frozen=True):
    """One object of a source after its envelope was read: what it is, and its undecoded body."""

    group: str
    version: str
    kind: str
    namespace: str
    name: str
    body: Mapping[str, object]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes two objects the same object; the version is no part of it."""
        return self.group, self.kind, self.namespace, self.name


# --------------------------------------------------------------------------- specs.smi-spec.io


class Match(Struct, frozen=True):
    """One entry of an HTTPRouteGroup: patterns as written, `path` None and no `methods` mean any.

    Methods may hold `*`. Header names are in lower case; one name may come twice, then both patterns hold.
    """

    name: str
    path: str | None
    methods: frozenset[str]
    headers: tuple[tuple[str, str], ...]


class L4Route(Struct, frozen=True):
    """A TCPRoute or UDPRoute: its ports, None = every port."""

    ports: frozenset[int] | None


# --------------------------------------------------------------------------- access.smi-spec.io


class TargetSubject(Struct, frozen=True):
    """A destination or a source of a TrafficTarget as written; an absent namespace is empty."""

    kind: str
    name: str
    namespace: str = ""
    group: str | None = None


class TargetRule(Struct, frozen=True):
    """One rule of a TrafficTarget: a route object, and which of its matches (None = all of them).

    `void` says that the rule is written so that it can name nothing: it counts as naming a missing object.
    """

    kind: str
    name: str
    matches: tuple[str, ...] | None = None
    void: bool = False


class Target(Struct, frozen=True):
    """A TrafficTarget of any version; `port` is `destination.port` of v1alpha1 and v1alpha2."""

    namespace: str
    name: str
    destination: TargetSubject
    sources: tuple[TargetSubject, ...]
    rules: tuple[TargetRule, ...]
    port: int | None = None


class Binding(Struct, frozen=True):
    """An IdentityBinding: the schemes it has, any of which suffices. SPIFFE ids are canonical."""

    namespace: str
    name: str
    service_account: str | None = None
    spiffe: tuple[str, ...] = ()
    labels: Labels | None = None


# --------------------------------------------------------------------------- split.smi-spec.io


class Share(Struct, frozen=True):
    """One backend of a TrafficSplit: the bare name of a Service of its namespace, and a relative weight."""

    service: str
    weight: Fraction


class WeightedSplit(Struct, frozen=True):
    """A TrafficSplit. `groups` None = unconditional, else the HTTPRouteGroups of which one must match."""

    namespace: str
    name: str
    root: str
    shares: tuple[Share, ...]
    groups: tuple[str, ...] | None
    age: tuple[int, int, str]


# --------------------------------------------------------------------------- where things run


class ContainerPort(Struct, frozen=True):
    """One port that a workload lists; `app_protocol` only where the workload itself says it (smihub.io Workload)."""

    port: int
    transport: str
    name: str = ""
    app_protocol: str | None = None


class Instance(Struct, frozen=True):
    """Something that runs, or would run: a Pod, a smihub.io Workload or a pod template (kind of its owner)."""

    kind: str
    namespace: str
    name: str
    account: Account
    labels: Labels
    ports: tuple[ContainerPort, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it among all workloads."""
        return self.kind, self.namespace, self.name


class ExposedPort(Struct, frozen=True):
    """One port of a Service; `target` is a number or the name of a port of the workload."""

    port: int
    transport: str
    name: str
    target: int | str
    app_protocol: str | None


class ExposedService(Struct, frozen=True):
    """A Service; an empty selector selects nothing (its EndpointSlices say what is behind it)."""

    namespace: str
    name: str
    selector: Labels
    ports: tuple[ExposedPort, ...]


class SlicePort(Struct, frozen=True):
    """One port of an EndpointSlice; `port` None = the Service's target port."""

    name: str
    transport: str
    port: int | None


class Slice(Struct, frozen=True):
    """An EndpointSlice, or a subset of Endpoints: the Pods behind a Service; None stands for an endpoint that names no Pod of its namespace.

    `mirror`: made by Kubernetes of the Service's Endpoints.
    """

    namespace: str
    name: str
    service: str
    pods: tuple[str | None, ...]
    ports: tuple[SlicePort, ...]
    mirror: bool = False
