"""Settings of a Linkerd mesh that change what is translated."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

POLICY: Literal["policy.linkerd.io"] = "policy.linkerd.io"
GATEWAY: Literal["gateway.networking.k8s.io"] = "gateway.networking.k8s.io"


class LinkerdConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Options of the `linkerd` adapter in `smihub.yaml`.

    `httpRoutes` is the API group of the HTTPRoutes that are written: Linkerd's own, which it installs with its other policies,
    or that of the Gateway API, which some clusters have from elsewhere. `defaultPolicy: cluster` declares that Linkerd itself was
    installed with the default policy `deny`; otherwise each template of a governed account has to ask for it.
    """

    http_routes: Literal["policy.linkerd.io", "gateway.networking.k8s.io"] = POLICY
    default_policy: Literal["template", "cluster"] = "template"
