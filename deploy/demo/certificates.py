"""Certificates for calls past the client's sidecar: of the mesh's own authority, of a foreign one, or none."""

from __future__ import annotations

import datetime as dt
import ssl
from dataclasses import dataclass
from pathlib import Path

from adapters.vm.identity.ca import LEAF_LIFE, Authority, make_root
from adapters.vm.state.revisions import State

TRUST_DOMAIN = "cluster.local"


@dataclass(frozen=True)
class Certificates:
    """Makes TLS contexts; `base` is the folder with the hub's state, from which the demo borrows the authority."""

    base: Path

    def mesh(self, account: str) -> ssl.SSLContext:
        """A certificate as the hub itself would issue it to this service account."""
        now = dt.datetime.now(dt.UTC)
        state = State(self.base / ".smihub" / "hub.sqlite", "vms")
        try:
            root = state.authority(make_root(TRUST_DOMAIN, now))
        finally:
            state.close()
        return self._context(Authority(root, LEAF_LIFE), account, now)

    def foreign(self, account: str) -> ssl.SSLContext:
        """The same identity, signed by another CA."""
        now = dt.datetime.now(dt.UTC)
        return self._context(Authority(make_root(TRUST_DOMAIN, now), LEAF_LIFE), account, now)

    def none(self) -> ssl.SSLContext:
        """TLS without a certificate; the callee's name is not checked, because here the callee is what is tried."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def _context(self, authority: Authority, account: str, now: dt.datetime) -> ssl.SSLContext:
        leaf = authority.issue(f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/{account}", now)
        file = self.base / f"{account}.pem"
        file.touch(mode=0o600)
        file.write_bytes(leaf.chain + leaf.key.reveal())
        context = self.none()
        context.load_cert_chain(file)
        file.unlink()
        return context
