"""Settings of an Istio mesh that change what is translated."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class IstioConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Options of the `istio` adapter in `smihub.yaml`.

    `clusterDomain` ends the full name of every Service. `mtls: unmanaged` leaves PeerAuthentication to others; grants name
    authenticated callers either way. `rootNamespace` is Istio's own: a policy there reaches into all namespaces.
    """

    cluster_domain: str = "cluster.local"
    mtls: Literal["strict", "unmanaged"] = "strict"
    root_namespace: str = "istio-system"
