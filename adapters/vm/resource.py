"""What an xDS stream carries: named, versioned resources of six types, and the snapshot of one workload.

Versions are hashes of content, so that two servers, and one server before and after a restart, agree on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from msgspec import Struct

_PREFIX = "type.googleapis.com/"
CDS = _PREFIX + "envoy.config.cluster.v3.Cluster"
EDS = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LDS = _PREFIX + "envoy.config.listener.v3.Listener"
RDS = _PREFIX + "envoy.config.route.v3.RouteConfiguration"
SDS = _PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
ECDS = _PREFIX + "envoy.config.core.v3.TypedExtensionConfig"

PUSH_ORDER = (CDS, EDS, LDS, RDS, SDS, ECDS)
"""Make before break: what is referred to goes out before what refers to it.

Source: Envoy, "xDS REST and gRPC protocol", section "Eventual consistency considerations".
"""

URL_OF_KIND: Mapping[str, str] = {url.rpartition(".")[2]: url for url in PUSH_ORDER}
"""Type URL by the short message name that `ObjectRef.kind` carries."""


def short(type_url: str) -> str:
    """The message's short name (`Listener`), for status lines and logs."""
    return type_url.rpartition(".")[2]


class Resource(Struct, frozen=True, gc=False):
    """One resource as it goes on the wire: `body` is a serialised `google.protobuf.Any`.

    `needs` are (type URL, name) of what it refers to; None = unknown (a client's own copy of an older version).
    For listeners `chain` holds the filter chains' names and `stem` the version of all the rest. One that is `marked` holds
    places for the marks of whoever it is served to.
    """

    name: str
    version: str
    body: bytes = b""
    needs: tuple[tuple[str, str], ...] | None = ()
    stem: str = ""
    chain: str = ""
    marked: bool = False


Snapshot = Mapping[str, Mapping[str, Resource]]
"""What one workload must get: type URL -> name -> resource. Never changed after it was built."""

NOTHING: Snapshot = {url: {} for url in PUSH_ORDER}
"""For whoever must let go of everything."""


def version_of(content: bytes) -> str:
    """The content's version: 128 bits of BLAKE2b in hexadecimal; what has the version that a client holds is never sent."""
    return blake2b(content, digest_size=16).hexdigest()


def set_version(resources: Mapping[str, str]) -> str:
    """The version of a set of resources, given as name -> version, whatever their order."""
    return version_of("\n".join(f"{name}\0{resources[name]}" for name in sorted(resources)).encode())
