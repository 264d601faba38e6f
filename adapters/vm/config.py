"""Settings of a VM mesh that change what is translated."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class VmConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of the `vm` adapter in `smihub.yaml`.

    `connect_timeout_s` is how long a sidecar waits for a TCP connection to an application or a callee. `paths` says what
    becomes of a request whose path has another normal form (`//`, dot segments, needless escapes): `refuse` it, or
    `normalise` it, so that policies judge, and applications get, the normal form.
    """

    connect_timeout_s: float = 5.0
    paths: Literal["refuse", "normalise"] = "refuse"
