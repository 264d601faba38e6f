"""Settings of an Istio mesh that change what is translated."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_Domain = Annotated[str, Meta(pattern=rf"\A{_LABEL}(?:\.{_LABEL})*\Z", max_length=120)]
_Namespace = Annotated[str, Meta(pattern=rf"\A{_LABEL}\Z", max_length=63)]


class IstioConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Options of the `istio` adapter in `smihub.yaml`.

    `clusterDomain` ends the full name of every Service. `mtls: unmanaged` leaves PeerAuthentication to others; grants name
    authenticated callers either way. `rootNamespace` is Istio's own: a policy there reaches into all namespaces.
    `headerValues: text` declares that header values are UTF-8 wherever they come from: Istio compares bytes, and could not
    refuse others where a policy names a beginning or an end. `patterns: envoyfilter` has EnvoyFilters judge the patterns that
    policies cannot say (alpha in Istio, and often forbidden by the rules of a platform); without it they grant nothing.
    """

    cluster_domain: _Domain = "cluster.local"
    mtls: Literal["strict", "unmanaged"] = "strict"
    root_namespace: _Namespace = "istio-system"
    header_values: Literal["bytes", "text"] = "bytes"
    patterns: Literal["refuse", "envoyfilter"] = "refuse"
