"""Settings of a VM mesh that change what is translated."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class VmConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of the `vm` adapter in `smihub.yaml`.

    `connect_timeout_s` is how long a sidecar waits for a TCP connection to an application or a callee. `paths` says what
    becomes of a request whose path has another normal form (`//`, dot segments, needless escapes): `refuse` it, or
    `normalise` it, so that policies judge, and applications get, the normal form. `connections` is how many an inbound
    port of a workload has at once, those whose handshake is not done included; what comes beyond is closed.
    """

    connect_timeout_s: float = 5.0
    paths: Literal["refuse", "normalise"] = "refuse"
    connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
