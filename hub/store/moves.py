"""What endpoints and placements must follow: instances and addresses, which dirty no unit."""

from __future__ import annotations

from msgspec import Struct, field

from hub.model import ObjectRef


class Moves(Struct):
    """What has moved since the last look: workloads, Services, EndpointSlices, and identities whose ports may differ.

    `identities` are (namespace, service account).
    """

    workloads: set[ObjectRef] = field(default_factory=set)
    services: set[ObjectRef] = field(default_factory=set)
    slices: set[ObjectRef] = field(default_factory=set)
    identities: set[tuple[str, str]] = field(default_factory=set)
