"""Native objects, what a mesh cannot say of them, what stands there, and the facts beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

from msgspec import Struct, field

from hub.errors import UnsafeResourceError
from hub.model.intent import Grant, Placement, RoutePort, Transport, UnitKey
from hub.model.names import ObjectRef


class Role(StrEnum):
    """What an object is in its unit; the plan computes the waves from it alone (hub.plan)."""

    GUARD = "guard"
    REFERENCED = "referenced"
    GRANT = "grant"
    ROUTE = "route"


class NativeObject(Struct, frozen=True, gc=False):
    """One vendor object: canonical bytes, the SMI objects that caused it, what it needs.

    Which unit it is of, the hub knows, and not the object. `origins` are some of the unit's; an adapter that does not know
    better leaves them out, and the hub puts in those of the unit (hub.translated).
    """

    ref: ObjectRef
    role: Role
    body: bytes
    origins: tuple[ObjectRef, ...] = ()
    needs: tuple[ObjectRef, ...] = ()


class Loss(Struct, frozen=True, order=True, gc=False):
    """What a mesh cannot say: the refused part grants nothing.

    `example` is a request in words that SMI allows and the mesh will refuse; `remedy` says what would end the loss.
    `access` is False for losses of a split, which may approximate but never widen, for what a mesh of routes alone does not
    enforce, and for what settings of the mesh open beyond SMI. `unit` is the hub's to say.
    """

    code: str
    origin: ObjectRef
    field: str
    message: str
    example: str
    remedy: str
    access: bool = True
    unit: UnitKey | None = None

    @property
    def is_unenforced(self) -> bool:
        """Whether it says what is let in although SMI denies it: whatever a mesh of routes alone gets, or what settings open."""
        return not self.access and self.unit is not None and self.unit.kind == "access"

    @property
    def effect(self) -> str:
        """What becomes of `example`.

        Access, and what the root Service of a split does not take, is refused; a condition never holds; shares are the nearest.
        A mesh of routes alone lets in what it does not enforce, any mesh what its settings open.
        """
        if self.access or self.field == "spec.service":
            return f"{self.example} is refused"
        if self.is_unenforced:
            return f"{self.example} is let in from every caller"
        if self.field != "spec.matches":
            return f"{self.example} is not distributed as the split says"
        root = self.unit.name if self.unit is not None else "the Service"
        return f"{self.example} goes to {root}'s own endpoints, unless another TrafficSplit applies"


class Objection(Struct, frozen=True, order=True, gc=False):
    """Why a mesh cannot say something, before it is known in which object that stands; its fields are those of a Loss."""

    code: str
    message: str
    example: str
    remedy: str

    def loss(self, origin: ObjectRef, field: str, *, access: bool = True) -> Loss:
        """The loss of an object that says this in `field`."""
        return Loss(self.code, origin, field, self.message, self.example, self.remedy, access)


class Translation(Struct, frozen=True, gc=False):
    """The native objects of one unit and what could not be said.

    `former` are refs that some of them had in earlier releases: what still stands there goes after they came.
    Raises UnsafeResourceError where two of the objects have one name: one would take the other's place.
    `carried` are the grants of an Access as far as the objects carry them out, at most what the unit grants; None = all of
    them. Plans tell people of these, and compare them with what stood before. `routed` are the ports of a Route in the same way.
    """

    objects: tuple[NativeObject, ...] = ()
    losses: tuple[Loss, ...] = ()
    former: tuple[ObjectRef, ...] = ()
    carried: tuple[Grant, ...] | None = None
    routed: tuple[RoutePort, ...] | None = None

    def __post_init__(self) -> None:
        if len({native.ref for native in self.objects}) < len(self.objects):
            refs = Counter(str(native.ref) for native in self.objects)
            raise UnsafeResourceError(f"two native objects share a name: {refs.most_common(1)[0][0]}; report this")


class Observed(Struct, frozen=True, gc=False):
    """One object as it stands in the mesh: the part that we own, whose it is, and the token of that reading."""

    ref: ObjectRef
    owned: bytes
    owner: UnitKey | None  # None: it does not carry our mark
    token: str
    role: Role = Role.GRANT
    needs: tuple[ObjectRef, ...] = ()
    paused: bool = False  # it is ours, and stays as it is until somebody resumes it


class Observation(Struct, frozen=True, gc=False):
    """A whole reading of a mesh: objects, what the hub asked to be remembered per unit, and the revision's token.

    `owner` is that of the smihub.yaml whose mesh this is ("": of one that has none; None: the sink cannot tell). `mends`: the
    next write will put more right than its changes say. `others` are the objects in files of others there, by file, as
    they stand (without content where a file has several); `unread` are such files that cannot be read, with the reason.
    """

    objects: Mapping[ObjectRef, Observed] = field(default_factory=dict)
    memory: Mapping[UnitKey, bytes] = field(default_factory=dict)
    token: str = ""
    owner: str | None = None
    mends: bool = False
    others: Mapping[str, Sequence[Observed]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)


class Op(StrEnum):
    """What a change does to one object."""

    CREATE = "create"
    REPLACE = "replace"
    DELETE = "delete"


class Change(Struct, frozen=True, gc=False):
    """One write: object before and after (canonical bytes), the wave it belongs to, and the object's token that it presumes.

    A sink does not write over, and does not delete, an object that has another token by then; "" presumes nothing.
    """

    op: Op
    ref: ObjectRef
    wave: int
    before: bytes | None
    after: NativeObject | None
    unit: UnitKey
    token: str = ""


class Endpoint(Struct, frozen=True, order=True, gc=False):
    """One address behind a Service port: who answers there, where, and the workload port it is."""

    workload: ObjectRef
    spiffe: str
    address: str
    port: int
    ready: bool = True


class Exposed(Struct, frozen=True, gc=False):
    """One port of a Service as it is written: data planes read its name and its `appProtocol` each in their own way.

    `headless`: the Service has no address of its own.
    """

    transport: Transport
    name: str = ""
    app_protocol: str = ""
    headless: bool = False


class Facts(Struct, frozen=True, gc=False):
    """What `evaluate` may know besides native objects.

    `placements` by workload; by (namespace, service, port) who answers there, and how the Service exposes it.
    """

    trust_domain: str
    placements: Mapping[ObjectRef, Placement] = field(default_factory=dict)
    endpoints: Mapping[tuple[str, str, int], tuple[Endpoint, ...]] = field(default_factory=dict)
    exposed: Mapping[tuple[str, str, int], Exposed] = field(default_factory=dict)
