"""`http` in smihub.yaml: where metrics are served besides the hub's own Unix socket."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address

from msgspec import Struct

from hub.config.settings import FieldError

_ADDRESS = re.compile(r"(\[[0-9a-f:.]+\]|[0-9.]+):([0-9]{1,5})")


class HttpConfig(Struct, frozen=True):
    """Metrics over TCP: where (host, port), if at all; and whether names of objects may stand in labels."""

    address: tuple[str, int] | None = None
    object_names: bool = False


class WrittenHttp(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The same as it is written."""

    address: str = ""
    object_names: bool = False

    def checked(self) -> HttpConfig:
        """As it is meant. Raises FieldError."""
        return HttpConfig(_address(self.address), self.object_names)


def _address(text: str) -> tuple[str, int] | None:
    """An IP address and a port. A name would be looked up, and could be somebody else's tomorrow."""
    if not text:
        return None
    found = _ADDRESS.fullmatch(text)
    with suppress(ValueError):
        if found is not None and 0 < int(found[2]) < 65536:
            return (str(ip_address(found[1].strip("[]"))), int(found[2]))
    message = f'"{text[:80]}" is not a valid address; expected an IP address and a port, such as 127.0.0.1:9464'
    raise FieldError("http.address", message)
