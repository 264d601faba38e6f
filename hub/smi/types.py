"""Typed SMI objects and the Kubernetes facts they refer to, after versions have been levelled.

One type per kind whatever the API version: `hub.smi` decodes every version into these, `hub.intent` reads only these.
As JSON each carries its type's name in `type`: the hub remembers objects in that form (hub.memory).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from msgspec import Struct

from hub.model import Client, HttpMatch, ObjectRef, Origin, Transport


class Subject(Struct, frozen=True, gc=False, omit_defaults=True):
    """A TrafficTarget's source or destination. `namespace` is as written, "" if absent (intent applies the defaults).

    `kind` "" matches nobody: a kind, group or name that no subject of that API version can have (decoding has said so).
    """

    kind: str
    namespace: str
    name: str


class Rule(Struct, frozen=True, gc=False, omit_defaults=True):
    """A rule of a TrafficTarget. `matches` None = every match of the group; () = written but empty or null."""

    kind: Literal["HTTPRouteGroup", "TCPRoute", "UDPRoute"]
    name: str
    matches: tuple[str, ...] | None = None


class TrafficTarget(Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """access.smi-spec.io TrafficTarget. `port` is v1alpha1/2 `destination.port`."""

    ref: ObjectRef
    origin: Origin
    destination: Subject
    rules: tuple[Rule, ...]
    sources: tuple[Subject, ...]
    port: int | None = None


class NamedMatch(Struct, frozen=True, gc=False, omit_defaults=True):
    """One match of an HTTPRouteGroup. `match` None: the match is void (bad regex, no condition, duplicate name)."""

    name: str
    match: HttpMatch | None


class HTTPRouteGroup(Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """specs.smi-spec.io HTTPRouteGroup; order of `matches` as written, each name once (a duplicated name is void)."""

    ref: ObjectRef
    origin: Origin
    matches: tuple[NamedMatch, ...]


class PortRoute(Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """specs.smi-spec.io TCPRoute or UDPRoute (`ref.kind` tells). `ports` sorted; None = every port."""

    ref: ObjectRef
    origin: Origin
    ports: tuple[int, ...] | None


class SplitBackend(Struct, frozen=True, gc=False, omit_defaults=True):
    """A backend as written (bare name or FQDN) and its exact weight."""

    service: str
    weight: Fraction


class TrafficSplit(Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """split.smi-spec.io TrafficSplit. `matches` None = unconditional; entries are (kind, name) as written.

    An entry's kind is "" where it names a foreign apiGroup (decoding has said so).
    `created` is metadata.creationTimestamp as UTC seconds; 0 (oldest) if absent.
    """

    ref: ObjectRef
    origin: Origin
    service: str
    backends: tuple[SplitBackend, ...]
    matches: tuple[tuple[str, str], ...] | None = None
    created: float = 0.0


class IdentityBinding(Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """access.smi-spec.io IdentityBinding: schemes are ORed. `labels` None = no podLabelSelector. `spiffe` are canonical ids."""

    ref: ObjectRef
    origin: Origin
    labels: tuple[tuple[str, str], ...] | None
    spiffe: tuple[str, ...]
    service_account: str | None


class ServicePort(Struct, frozen=True, gc=False, omit_defaults=True):
    """One port of a Service. `target` is a number or a container-port name."""

    port: int
    transport: Transport
    target: int | str
    name: str = ""
    app_protocol: str = ""


class Service(Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """Core Service. `selector` None or () = selects nothing (its endpoints come from EndpointSlices).

    `headless`: it has no address of its own, who calls it dials one of its endpoints.
    """

    ref: ObjectRef
    origin: Origin
    selector: tuple[tuple[str, str], ...] | None
    ports: tuple[ServicePort, ...]
    headless: bool = False


class WorkloadPort(Struct, frozen=True, gc=False, omit_defaults=True):
    """One port of a workload. For Pods the app is on the same port; a Workload may say otherwise (`app_port`)."""

    port: int
    transport: Transport
    name: str = ""
    app_protocol: str = ""
    app_address: str = "127.0.0.1"
    app_port: int = 0


class Upstream(Struct, frozen=True, gc=False, omit_defaults=True):
    """A Workload's explicit upstream: Service (namespace, name), its port, and where the sidecar listens for it.

    `index` is its place in the list as written.
    """

    namespace: str
    service: str
    port: int
    client: Client
    index: int


class Workload(Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """A Pod, a pod template (Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob) or a smihub.io Workload.

    `addresses` empty for templates and Pods without status. `bind` is "0.0.0.0" for Pods and templates. `annotations` are
    those by which a mesh decides what a Pod accepts, sorted; the others are not read.
    """

    ref: ObjectRef
    origin: Origin
    service_account: str
    labels: tuple[tuple[str, str], ...]
    ports: tuple[WorkloadPort, ...]
    addresses: tuple[str, ...] = ()
    bind: str = "0.0.0.0"  # noqa: S104 - see hub.model.Placement
    upstreams: tuple[Upstream, ...] = ()
    ready: bool = True
    annotations: tuple[tuple[str, str], ...] = ()


class SliceEndpoint(Struct, frozen=True, gc=False, omit_defaults=True):
    """One endpoint of an EndpointSlice; `pod` is the targetRef's name, "" if it has none.

    `ports` are its own, as Endpoints have them for each subset; None: those of the slice.
    """

    addresses: tuple[str, ...]
    pod: str
    ready: bool
    ports: tuple[tuple[str, int, Transport], ...] | None = None


class EndpointSlice(Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """discovery.k8s.io EndpointSlice, or the core Endpoints of its Service; `ports` are (name, number, transport).

    `mirror`: Kubernetes made it of the Endpoints of that name, which say nothing beside it.
    """

    ref: ObjectRef
    origin: Origin
    service: str
    endpoints: tuple[SliceEndpoint, ...]
    ports: tuple[tuple[str, int, Transport], ...]
    mirror: bool = False


class ServiceAccount(Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """Core ServiceAccount: it only makes its identity known (and so governed)."""

    ref: ObjectRef
    origin: Origin


class Doubt(Struct, frozen=True, gc=False):
    """What an object that cannot be read may be: a Service that declares protocols, or a workload that receives.

    `namespace` "" = any. `selector` are the labels by which the Service selects, () nobody, None = not known: anybody.
    `account` is the workload's, None = not known: any of the namespace.
    """

    ref: ObjectRef
    namespace: str
    kind: Literal["service", "workload"]
    selector: tuple[tuple[str, str], ...] | None = None
    account: str | None = None


SmiObject = (
    TrafficTarget
    | HTTPRouteGroup
    | PortRoute
    | TrafficSplit
    | IdentityBinding
    | Service
    | ServiceAccount
    | Workload
    | EndpointSlice
)
