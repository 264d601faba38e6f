"""The words that all rooms share: identities, intent, native objects, problems, requests and answers.

Everything is a frozen value; sequences are tuples, sorted where order has no meaning, so that equal things
are equal bytes. No room's private types live here.

`gc=False`: such a value is made of values that were there before it, so it is in no cycle and Python's garbage collector
need not know it; that saves it 16 bytes, and the collector most of its work. Documents cannot hold cycles either, their
reader refuses recursive aliases.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction
from typing import Literal

from msgspec import Struct, field

# --------------------------------------------------------------------------- names and provenance


class ObjectRef(Struct, frozen=True, order=True, gc=False):
    """Names one object of any family: API group, kind, namespace, name (parts that do not apply are empty)."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """`Kind/namespace/name`, the form that answers and plans print."""
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


class Origin(Struct, frozen=True, order=True, gc=False):
    """Where an object was read: source name, file (relative to the source; empty for a cluster), 1-based line."""

    source: str = ""
    file: str = ""
    line: int = 0


class Document(Struct, frozen=True, gc=False):
    """One raw parsed object of a source: JSON-like values only (dict, list, str, int, float, bool, None)."""

    value: object
    origin: Origin = Origin()
    index: int = 0  # 0-based position of the YAML document in its file


class Severity(StrEnum):
    """How much a `Problem` takes away: `error` voids something that was asked for, `warning` does not."""

    ERROR = "error"
    WARNING = "warning"


class Problem(Struct, frozen=True, order=True, gc=False):
    """What is wrong with one input object.

    `code` is stable and machine readable (`group.word-word`); `field` is a path such as `spec.rules[0].name`;
    `message` says what is wrong, `remedy` what to write instead.
    """

    code: str
    ref: ObjectRef
    field: str
    message: str
    remedy: str
    origin: Origin = Origin()
    severity: Severity = Severity.ERROR


# --------------------------------------------------------------------------- identities


class Identity(Struct, frozen=True, order=True, gc=False):
    """A workload identity: one service account of one namespace in one trust domain."""

    trust_domain: str
    namespace: str
    service_account: str

    @property
    def spiffe(self) -> str:
        """The SPIFFE id, `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`."""
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service_account}"


def identity_of(spiffe: str) -> Identity | None:
    """The `Identity` that a SPIFFE id of the form `spiffe://td/ns/N/sa/S` names, else None."""
    scheme, _, rest = spiffe.partition("://")
    parts = rest.split("/")
    if scheme != "spiffe" or len(parts) != 5 or parts[1] != "ns" or parts[3] != "sa" or not all(parts):
        return None
    return Identity(parts[0], parts[2], parts[4])


class Reading(Struct, frozen=True, gc=False):
    """The two switches of our reading of SMI (docs/smi.md); the defaults are the narrower ones.

    `path_regex="prefix"` appends `.*` to a pathRegex that does not end in an end anchor.
    `root_backend="endpoints"` lets a TrafficSplit name its root as a backend (the root's own endpoints).
    """

    path_regex: Literal["full", "prefix"] = "full"
    root_backend: Literal["reject", "endpoints"] = "reject"


# --------------------------------------------------------------------------- intent: access

Transport = Literal["TCP", "UDP"]
Declared = Literal["http", "tcp", "none"]


class HttpMatch(Struct, frozen=True, order=True, gc=False):
    """One way to match an HTTP request; every condition present must hold.

    `path` and header values are RE2 patterns that must match the whole text (path without query).
    `methods` are exact, case-sensitive tokens. `headers` are (lower-case name, pattern), sorted; a header must
    be present; with several lines of one name it is enough that one line's value matches. None = any.
    """

    path: str | None = None
    methods: tuple[str, ...] | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Grant(Struct, frozen=True, order=True, gc=False):
    """What one TrafficTarget grants on one transport.

    `sources` are SPIFFE ids, sorted, never empty. `ports` are workload ports, sorted; None = every port.
    `http` None = raw bytes; else the HTTP requests that match one of these (never an empty tuple).
    `labels` None = every workload of the destination identity; else only workloads that carry these labels.
    `unauthenticated` counts sources that no certificate can prove (label selectors): SMI admits them, meshes refuse.
    """

    origin: ObjectRef
    sources: tuple[str, ...]
    transport: Transport
    ports: tuple[int, ...] | None
    http: tuple[HttpMatch, ...] | None
    labels: tuple[tuple[str, str], ...] | None = None
    unauthenticated: tuple[str, ...] = ()


class InboundPort(Struct, frozen=True, order=True, gc=False):
    """One port on which workloads of an identity receive, as far as a policy can tell them apart.

    `declared` is the protocol that Services (and the Workload) declare. `variant` names the class inside one
    (identity, port): workloads of one variant have the same `declared`, the same `labels` facts and the same
    application address, so one policy serves them all. It is a stable string: `http`, `tcp` or `none`, followed by
    `+<8 hex>` when labels or the application's address differ from the default. `labels` are the label selectors of
    grants that these workloads satisfy. `binds` are the addresses on which their sidecars receive.
    """

    port: int
    transport: Transport
    declared: Declared
    variant: str
    app_port: int
    app_address: str = "127.0.0.1"
    labels: tuple[tuple[tuple[str, str], ...], ...] = ()
    binds: tuple[str, ...] = ()


class Placement(Struct, frozen=True, order=True, gc=False):
    """Where a workload stands: a Workload, a Pod or a pod template.

    `inbound` are (port, transport, variant) triples that select its `InboundPort`s; `bind` is the address on which
    its sidecar receives. `upstreams` are (namespace, service, port, address, local port): the Service ports that a
    Workload calls through its sidecar, and where that one listens for each.
    """

    ref: ObjectRef
    identity: Identity
    labels: tuple[tuple[str, str], ...] = ()
    bind: str = "0.0.0.0"  # noqa: S104 - a Pod's sidecar is told its port; the address is the Pod's own
    inbound: tuple[tuple[int, Transport, str], ...] = ()
    addresses: tuple[str, ...] = ()
    upstreams: tuple[tuple[str, str, int, str, int], ...] = ()


class Access(Struct, frozen=True, gc=False):
    """Unit: everything granted to one destination identity, possibly nothing, and the ports it receives on.

    `workloads` are its smihub.io Workloads (they are configured by name); Pods are not listed, so churn costs nothing.
    """

    identity: Identity
    grants: tuple[Grant, ...] = ()
    ports: tuple[InboundPort, ...] = ()
    workloads: tuple[Placement, ...] = ()
    origins: tuple[ObjectRef, ...] = ()


# --------------------------------------------------------------------------- intent: routes


class Backend(Struct, frozen=True, order=True, gc=False):
    """One share of a split: a Service of the same namespace and an exact, non-negative, relative weight."""

    service: str
    weight: Fraction


class Split(Struct, frozen=True, gc=False):
    """One layer of a route: requests that match (None = all) are shared among the backends.

    No backend with a positive weight means unavailable (503), never the root.
    """

    origin: ObjectRef
    matches: tuple[HttpMatch, ...] | None
    backends: tuple[Backend, ...]


class Client(Struct, frozen=True, order=True, gc=False):
    """A workload's explicit upstream: its sidecar listens on address:port for this service port."""

    workload: ObjectRef
    address: str
    port: int


class RoutePort(Struct, frozen=True, gc=False):
    """How one port of a Service is routed.

    `splits` are tried in order (conditional first, at most one unconditional, last); without a match the root's own
    endpoints serve. Backends without this port number and transport are already left out of `splits`.
    `callees` are the SPIFFE ids behind this Service's own port (sorted, may be empty); a backend's are in its own Route.
    """

    port: int
    transport: Transport
    declared: Declared
    splits: tuple[Split, ...] = ()
    callees: tuple[str, ...] = ()
    clients: tuple[Client, ...] = ()


class Route(Struct, frozen=True, gc=False):
    """Unit: where calls to one Service go; every Service has one, its splits may be empty."""

    namespace: str
    service: str
    ports: tuple[RoutePort, ...] = ()
    origins: tuple[ObjectRef, ...] = ()


Unit = Access | Route


class UnitKey(Struct, frozen=True, order=True, gc=False):
    """Names a unit: kind `access` (namespace, service account) or `route` (namespace, service), in one domain."""

    kind: Literal["access", "route"]
    namespace: str
    name: str
    domain: str = "default"

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


# --------------------------------------------------------------------------- native objects and plans


class Role(StrEnum):
    """What an object is in its unit; the plan computes the waves from it alone (hub.plan)."""

    GUARD = "guard"
    REFERENCED = "referenced"
    GRANT = "grant"
    ROUTE = "route"


class NativeObject(Struct, frozen=True, gc=False):
    """One vendor object: canonical bytes, the unit that owns it, the SMI objects that caused it, what it needs."""

    ref: ObjectRef
    role: Role
    body: bytes
    unit: UnitKey
    origins: tuple[ObjectRef, ...] = ()
    needs: tuple[ObjectRef, ...] = ()


class Loss(Struct, frozen=True, order=True, gc=False):
    """What a mesh cannot say: the refused part grants nothing.

    `witness` is a request in words that SMI allows and the mesh will refuse; `lift` says what would make it go.
    `access` is False for losses of a split, which may approximate but never widen.
    """

    code: str
    unit: UnitKey
    origin: ObjectRef
    field: str
    message: str
    witness: str
    lift: str
    access: bool = True


class Translation(Struct, frozen=True, gc=False):
    """The native objects of one unit and what could not be said."""

    objects: tuple[NativeObject, ...] = ()
    losses: tuple[Loss, ...] = ()


class Observed(Struct, frozen=True, gc=False):
    """One object as it stands in the mesh: the part that we own, whose it is, and the token of that reading."""

    ref: ObjectRef
    owned: bytes
    owner: UnitKey | None  # None: it does not carry our mark
    token: str
    role: Role = Role.GRANT
    needs: tuple[ObjectRef, ...] = ()


class Observation(Struct, frozen=True, gc=False):
    """A whole reading of a mesh: objects, what the hub asked to be remembered per unit, and the revision's token."""

    objects: Mapping[ObjectRef, Observed] = field(default_factory=dict)
    memory: Mapping[UnitKey, bytes] = field(default_factory=dict)
    token: str = ""


class Op(StrEnum):
    """What a change does to one object."""

    CREATE = "create"
    REPLACE = "replace"
    DELETE = "delete"


class Change(Struct, frozen=True, gc=False):
    """One write: object before and after (canonical bytes), the wave it belongs to, and the token it presumes."""

    op: Op
    ref: ObjectRef
    wave: int
    before: bytes | None
    after: NativeObject | None
    unit: UnitKey
    token: str = ""


# --------------------------------------------------------------------------- facts, not policy


class Endpoint(Struct, frozen=True, order=True, gc=False):
    """One address behind a Service port: who answers there, where, and the workload port it is."""

    workload: ObjectRef
    spiffe: str
    address: str
    port: int
    ready: bool = True


class Facts(Struct, frozen=True, gc=False):
    """What `evaluate` may know besides native objects: placements by workload, endpoints by (namespace, service, port)."""

    trust_domain: str
    placements: Mapping[ObjectRef, Placement] = field(default_factory=dict)
    endpoints: Mapping[tuple[str, str, int], tuple[Endpoint, ...]] = field(default_factory=dict)


# --------------------------------------------------------------------------- requests and answers


class Source(Struct, frozen=True, gc=False):
    """Who calls: exactly one of identity (`ns/sa`), pod (`ns/name`), spiffe, or outside (no certificate of ours)."""

    identity: str | None = None
    pod: str | None = None
    spiffe: str | None = None
    outside: bool = False


class Destination(Struct, frozen=True, gc=False):
    """Whom: exactly one of identity (`ns/sa`), pod (`ns/name`) or service (`ns/name`)."""

    identity: str | None = None
    pod: str | None = None
    service: str | None = None


class Request(Struct, frozen=True, gc=False):
    """One request to judge. `port` is the workload's port, or the Service's port where dst is a service.

    `path` may carry a query (`/x?y`); `headers` are (name, value) lines in order, a name may repeat.
    Method, path and headers have no meaning unless `protocol` is http.
    """

    src: Source
    dst: Destination
    port: int
    protocol: Literal["http", "tcp", "udp"] = "http"
    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()


VerdictWord = Literal["allow", "deny", "ungoverned", "mixed"]
BackendWord = Literal["allow", "deny", "mixed", "no-endpoint"]
RouteWord = Literal["split", "root", "unavailable", "no-service", "no-port"]


class Answer(Struct, frozen=True, omit_defaults=True):
    """A verdict and what decides it (`Kind/namespace/name` of SMI objects, or of native objects).

    The route part is there only where the request addressed a Service: `weights` are exact shares as text
    (`"9/10"`, `"1"`), summing to 1, or empty where nobody serves. The verdict of a Service is allow if every
    backend with a positive share allows, deny if none does, else mixed.
    `losses` are codes that explain why a mesh denies what SMI allows; SMI's own answers have none.
    """

    verdict: VerdictWord
    by: tuple[str, ...] = ()
    route: RouteWord | None = None
    weights: Mapping[str, str] | None = None
    backends: Mapping[str, BackendWord] | None = None
    losses: tuple[str, ...] = ()
