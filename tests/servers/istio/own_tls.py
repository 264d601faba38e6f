"""TLS that applications speak with each other through their sidecars: nobody between them has its key."""

from __future__ import annotations

import ssl
import tempfile

from tests.servers.certificates import Authority


def caller() -> ssl.SSLContext:
    """That of a caller who takes any certificate: the callee is what is tried."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def application() -> ssl.SSLContext:
    """That of an application, with a certificate of its own."""
    leaf = Authority().issue(dns=["app.invalid"])
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write((leaf.certificate + leaf.key).encode())
        file.flush()
        made.load_cert_chain(file.name)
    return made
