"""Settings of a Consul mesh that change what is translated."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

from adapters.consul.names import Names

SERVICE = re.compile(r"(?=.{1,256}\Z)[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?")
ENTRY_NAMES, RESOURCE_NAMES = "{namespace}_{name}", "{namespace}--{name}"
"""The default templates: `_` is in no name of Kubernetes, and two dashes are in few; those names are refused."""


class ConsulConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Options of the `consul` adapter in `smihub.yaml`.

    `names` says which Consul service an account or a Service is; without `{namespace}` in it, only `namespace` has any.
    `wildcardSources` are the services that an intention of somebody else allows to every destination: where Consul denies by
    default, only a deny of their own keeps them out. None: nobody has said whether there are any, which plans warn of. `mode: mesh` also writes an intention that denies everything to every
    service, for meshes with `governed: all`. `serviceDefaults: theirs` leaves every service-defaults to others, and counts on
    them to say `http` where a Service does.
    """

    names: str = ENTRY_NAMES
    namespace: str = ""
    wildcard_sources: Annotated[tuple[str, ...], Meta(max_length=1000)] | None = None
    mode: Literal["services", "mesh"] = "services"
    service_defaults: Literal["written", "theirs"] = "written"

    def __post_init__(self) -> None:
        self.naming  # noqa: B018 - raises ValueError
        for source in self.wildcard_sources or ():
            if not SERVICE.fullmatch(source):
                raise ValueError(f'"wildcardSources" has "{source[:80]}"; expected the name of a Consul service')

    @property
    def naming(self) -> Names:
        """Which Consul service an account or a Service is. Raises ValueError."""
        return Names(self.names, self.namespace)


class ConsulK8sConfig(ConsulConfig, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Options of the `consul-k8s` adapter: those of `consul`, with names that Kubernetes takes.

    `meshNamespace` is where the intention of `mode: mesh` stands.
    """

    names: str = RESOURCE_NAMES
    mesh_namespace: Annotated[str, Meta(pattern=r"\A[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\Z")] = "consul"

    def __post_init__(self) -> None:
        super().__post_init__()
        if "_" in self.names:
            raise ValueError(f'"names" is "{self.names[:80]}", and names of Kubernetes objects have no "_"')
