"""Settings of a Linkerd mesh that change what is translated."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Literal

from msgspec import Meta, Struct

POLICY: Literal["policy.linkerd.io"] = "policy.linkerd.io"
GATEWAY: Literal["gateway.networking.k8s.io"] = "gateway.networking.k8s.io"

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SEGMENT = r"(?!\.\.?(?:/|\Z))[A-Za-z0-9._~!$&'()*+,=:@-]+"
_ACCOUNT = re.compile(rf"(?=.{{3,317}}\Z){_LABEL}/{_LABEL}(?:\.{_LABEL})*")
_Port = Annotated[int, Meta(ge=1, le=65535)]
_PATH = re.compile(rf"(?=.{{1,256}}\Z)/(?:{_SEGMENT}(?:/{_SEGMENT})*/?)?")
_Network = Annotated[str, Meta(max_length=64)]


class Probe(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One HTTP probe: the account of the Pods (`namespace/name`), their port, and the path, without a query."""

    account: str
    port: _Port
    path: str

    def __post_init__(self) -> None:
        if not _ACCOUNT.fullmatch(self.account):
            raise ValueError(f'"account" is "{self.account[:80]}"; expected NAMESPACE/SERVICEACCOUNT')
        if not _PATH.fullmatch(self.path):
            raise ValueError(
                f'"path" is "{self.path[:80]}"; expected a path without query, escapes, // and dot segments'
            )


class Probes(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What is opened for kubelets: GET of these paths, to whoever calls from these networks (CIDR)."""

    networks: Annotated[tuple[_Network, ...], Meta(min_length=1, max_length=64)]
    allow: Annotated[tuple[Probe, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        for network in self.networks:
            found = ip_network(network, strict=False)
            if str(found) != network:
                raise ValueError(f'"{network}" is not a network; write it as "{found}"')


class LinkerdConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Options of the `linkerd` adapter in `smihub.yaml`.

    `httpRoutes` is the API group of the HTTPRoutes that are written: Linkerd's own, which it installs with its other policies,
    or that of the Gateway API, which some clusters have from elsewhere. `defaultPolicy: cluster` declares that Linkerd itself was
    installed with the default policy `deny`; otherwise each template of a governed account has to ask for it. `probes` opens
    what SMI denies: kubelets prove no identity, so nothing tells them from others who call from their networks.
    """

    http_routes: Literal["policy.linkerd.io", "gateway.networking.k8s.io"] = POLICY
    default_policy: Literal["template", "cluster"] = "template"
    probes: Probes | None = None
