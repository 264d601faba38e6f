"""What a user sets for a mesh, under `config` in smihub.yaml."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class GammaConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Each field needs a default; translate is given the settings of its mesh.

    `tcp_route_version`: TCPRoute is in `v1` from Gateway API 1.6 on, before that in `v1alpha2` of the experimental channel.
    """

    tcp_route_version: Literal["v1", "v1alpha2"] = "v1"
