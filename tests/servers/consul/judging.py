"""What really happened in the Consul mesh, held against SMI, and against the adapter's own reading of its entries."""

from __future__ import annotations

import json
from typing import Any

from hub.api import AdapterSpec
from hub.model import Request
from hub.testing.documents import SinklessMesh
from hub.testing.worlds import documents_of
from tests.servers.consul.calls import Call
from tests.servers.consul.cast import standing_documents
from tests.servers.judging import Happened
from tests.servers.judging_mesh import MeshJudge
from tests.servers.raw_calls import Ask
from tests.servers.worlds import World

_NAME = "consul"


class ConsulJudge(MeshJudge):
    """SMI's reading of a world, and the adapter's; `natives` are the entries that it writes."""

    def __init__(self, world: World, spec: AdapterSpec[Any]) -> None:
        super().__init__(documents_of([*standing_documents(), *world.values]), SinklessMesh(_NAME, spec))
        self.natives: list[dict[str, Any]] = [
            json.loads(one.body) for each in self.made.values() for one in each.objects
        ]

    def faults(self, request: Request, happened: Happened) -> list[str]:
        """As of every mesh; but what HTTP/2 alone carries is refused by the parser, before any rule."""
        is_unread = happened.outcome.status == 400 and not happened.app and not request.path.isascii()
        return [] if is_unread else super().faults(request, happened)


def call_of(request: Request) -> Call:
    """A request as an account makes it of an upstream of its sidecar, or of a Pod with its certificate alone."""
    direct = request.dst.service is None
    callee = _account(request.dst.pod) if direct else _short(request.dst.service)
    ask = None if request.protocol == "tcp" else Ask(request.method, request.path, request.headers)
    return Call(_account(request.src.pod), callee, ask, direct)


def _account(pod: str | None) -> str:
    """The account of a standing Pod."""
    return _short(pod).rpartition("-")[0]


def _short(name: str | None) -> str:
    assert name is not None, "every caller is a Pod, and every callee a Service or a Pod"
    return name.partition("/")[2]
