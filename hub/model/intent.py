"""Intent: what is granted to an identity and where calls to a Service go, whatever the mesh."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar, Literal

from msgspec import Struct

from hub.model.names import Identity, ObjectRef

Transport = Literal["TCP", "UDP"]
Declared = Literal["http", "tcp", "none", "unknown"]
"""What is declared of a port; `unknown`: it may be anything, so only what would be granted under every declaration is."""


class HttpMatch(Struct, frozen=True, order=True, gc=False):
    """One way to match an HTTP request; every condition present must hold.

    `path` and header values are RE2 patterns that must match the whole text (path without query).
    `methods` are exact, case-sensitive tokens. `headers` are (lower-case name, pattern), sorted; a header must
    be present; with several lines of one name it is enough that one line's value matches. None = any.
    """

    path: str | None = None
    methods: tuple[str, ...] | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Grant(Struct, frozen=True, order=True, gc=False, omit_defaults=True):
    """What one TrafficTarget grants on one transport.

    `sources` are SPIFFE ids, sorted, never empty. `ports` are workload ports, sorted; None = every port.
    `http` None = raw bytes; else the HTTP requests that match one of these (never an empty tuple).
    `labels` None = every workload of the destination identity; else only workloads that carry these labels.
    `unauthenticated` counts sources that no certificate can prove (label selectors): SMI admits them, meshes refuse.
    `not_ports` are ports that a mesh leaves out of every port: what a mesh carries has them, and a unit whose gains wait in it.
    """

    origin: ObjectRef
    sources: tuple[str, ...]
    transport: Transport
    ports: tuple[int, ...] | None
    http: tuple[HttpMatch, ...] | None
    labels: tuple[tuple[str, str], ...] | None = None
    unauthenticated: tuple[str, ...] = ()
    not_ports: tuple[int, ...] = ()

    def names(self, port: int) -> bool:
        """Whether it is about this workload port."""
        return port not in self.not_ports if self.ports is None else port in self.ports


class InboundPort(Struct, frozen=True, order=True, gc=False, omit_defaults=True):
    """One port on which workloads of an identity receive, as far as a policy can tell them apart.

    `declared` is the protocol that Services (and the Workload) declare. `variant` names the class inside one
    (identity, port): workloads of one variant have the same `declared`, the same `labels` facts and the same
    application address, so one policy serves them all. It is a stable string: the word of `declared`, followed by
    `+<32 hex>` when labels or the application's address differ from the default. `labels` are the label selectors of
    grants that these workloads satisfy. `binds` are the addresses on which their sidecars receive. `everywhere` says that
    every workload of the identity names this port, in one variant or another. `services` are the Service ports
    that lead here, each with its number and what it declares: a mesh that listens to Services alone knows no more.
    `maybe_labels` are selectors that workloads of this port may satisfy, or did, while something cannot be read: a grant to
    them has nothing here, and where a mesh itself selects by labels, this port bars it like one of its own.
    """

    port: int
    transport: Transport
    declared: Declared
    variant: str
    app_port: int
    app_address: str = "127.0.0.1"
    labels: tuple[tuple[tuple[str, str], ...], ...] = ()
    binds: tuple[str, ...] = ()
    everywhere: bool = True
    services: tuple[tuple[int, Declared], ...] = ()
    maybe_labels: tuple[tuple[tuple[str, str], ...], ...] = ()


class Placement(Struct, frozen=True, order=True, gc=False):
    """Where a workload stands: a Workload, a Pod or a pod template.

    `inbound` are (port, transport, variant) triples that select its `InboundPort`s; `bind` is the address on which
    its sidecar receives. `upstreams` are (namespace, service, port, address, local port): the Service ports that a
    Workload calls through its sidecar, and where that one listens for each (address and port as in `Client`).
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

    `workloads` are its smihub.io Workloads (they are configured by name); Pods are not listed, so churn costs nothing: `pods`
    says whether there are any, or templates.
    `sliced` are (workload port, Service port, what that declares) of Services without a selector whose EndpointSlices name
    a Pod of the identity: SMI does not count them as declarations, a mesh may. `words` are (workload port, Service port,
    word) of all these Services where the word (`appProtocol`, or what a name begins with) is one that meshes read in their own ways.
    `beyond` is what the ports that no fact names declare, over the identity's Pods and templates (or the identity itself, if
    there are none). `doubts` are the objects that cannot be read and make something unknown here.
    """

    identity: Identity
    grants: tuple[Grant, ...] = ()
    ports: tuple[InboundPort, ...] = ()
    workloads: tuple[Placement, ...] = ()
    origins: tuple[ObjectRef, ...] = ()
    sliced: tuple[tuple[int, int, Declared], ...] = ()
    beyond: tuple[Declared, ...] = ("none",)
    doubts: tuple[ObjectRef, ...] = ()
    words: tuple[tuple[int, int, str], ...] = ()
    pods: bool = False


class Backend(Struct, frozen=True, order=True, gc=False):
    """One share of a split: a Service of the same namespace and an exact, non-negative, relative weight.

    `word` is what the Service says of this port's protocol, as `RoutePort.word`; `headless`: it has no address of its own.
    """

    service: str
    weight: Fraction
    word: str = ""
    headless: bool = False


class Split(Struct, frozen=True, gc=False):
    """One layer of a route: requests that match (None = all) are shared among the backends.

    No backend with a positive weight means unavailable (503), never the root.
    """

    origin: ObjectRef
    matches: tuple[HttpMatch, ...] | None
    backends: tuple[Backend, ...]


class Client(Struct, frozen=True, order=True, gc=False):
    """A workload's explicit upstream: where its sidecar listens for this service port.

    `address` is the absolute path of a Unix socket, and `port` 0; or it is a loopback address, where every program of the
    machine may call as the workload.
    """

    workload: ObjectRef
    address: str
    port: int


class RoutePort(Struct, frozen=True, gc=False):
    """How one port of a Service is routed.

    `splits` are tried in order (conditional first, at most one unconditional, last); without a match the root's own
    endpoints serve. Backends without this port number and transport are already left out of `splits`.
    `callees` are the SPIFFE ids behind this Service's own port (sorted, may be empty); a backend's are in its own Route.
    `word` is the port's `appProtocol` as written, else its name: meshes know other words than SMI. "" where nothing is split.
    `headless`: the Service has no address of its own, and is split.
    """

    port: int
    transport: Transport
    declared: Declared
    splits: tuple[Split, ...] = ()
    callees: tuple[str, ...] = ()
    clients: tuple[Client, ...] = ()
    word: str = ""
    headless: bool = False


class Route(Struct, frozen=True, gc=False):
    """Unit: where calls to one Service go; every Service has one, its splits may be empty.

    No two `ports` have the same number and transport.
    """

    namespace: str
    service: str
    ports: tuple[RoutePort, ...] = ()
    origins: tuple[ObjectRef, ...] = ()


class Baseline(Struct, frozen=True, gc=False):
    """Unit: the skeleton of a scope, which objects of other units may need: a namespace, or ("") all of a mesh.

    It stands while anything in the scope is governed, grants nothing, and rests on no input object. `whole`: everything in
    the scope is governed; otherwise it must refuse nothing to workloads that nobody governs.
    """

    namespace: str = ""
    whole: bool = False
    origins: ClassVar[tuple[ObjectRef, ...]] = ()


Unit = Access | Baseline | Route
Kind = Literal["access", "baseline", "route"]


class UnitKey(Struct, frozen=True, order=True, gc=False):
    """Names a unit in one domain: an `access` (namespace, service account), a `route` (namespace, service) or a `baseline`.

    A baseline has no name, and that of a whole mesh no namespace.
    """

    kind: Kind
    namespace: str
    name: str
    domain: str = "default"

    def __str__(self) -> str:
        return "/".join((self.kind, *filter(None, (self.namespace, self.name))))
