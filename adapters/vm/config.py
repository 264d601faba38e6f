"""Settings of a VM mesh: what changes the translation, and how its Envoys reach the hub."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from adapters.vm.ca import LEAF_LIFE


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


class SocketConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The hub's Unix socket: its folder, and the group whose members may connect besides the hub's own user.

    Without a `folder` it lies beside the state folder, in one of its own; without a `group` no other user can connect.
    """

    folder: str = ""
    group: str = ""


class XdsConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How the mesh's Envoys reach the hub; life of certificates in seconds.

    `address` (`unix:/path`) names one socket file for the hub's own user, in place of `socket`. The hub itself says
    `folder`, where state is kept, and `base`, from which relative paths start. Raises ValueError.
    """

    trust_domain: str
    address: str = ""
    socket: SocketConfig = SocketConfig()
    certificate_life_s: int = int(LEAF_LIFE.total_seconds())
    folder: str = ""
    base: str = ""

    def __post_init__(self) -> None:
        """Refuse what would let other users of the machine take the hub's place."""
        if self.address and not self.address.startswith("unix:/"):
            raise ValueError(
                f'address "{self.address}" is no Unix socket: any local user could take a TCP port while the hub is away,'
                " and with it every token; drop the line, or write socket: {folder: /run/smihub, group: GROUP},"
                " and bootstrap the Envoys anew"
            )
        if self.address and self.socket != SocketConfig():
            raise ValueError("address and socket both say where the hub listens; drop address")
