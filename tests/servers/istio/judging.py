"""What really happened in the Istio mesh, held against SMI, and against the adapter's own reading of its manifests."""

from __future__ import annotations

from typing import Any

import yaml

from hub.api import AdapterSpec
from hub.testing.documents import SinklessMesh
from hub.testing.worlds import documents_of
from tests.hub.sinks.small_mesh import stamp
from tests.servers.istio.worlds import standing_documents
from tests.servers.judging_mesh import MeshJudge
from tests.servers.worlds import World

_NAME = "istio"


class IstioJudge(MeshJudge):
    """SMI's reading of a world, and the adapter's; `natives` are the files that the hub renders of it.

    `config` are the mesh's settings; None: header values are text, as callers here send them.
    """

    def __init__(self, world: World, spec: AdapterSpec[Any], config: Any = None) -> None:
        documents = documents_of([*standing_documents(), *world.values])
        super().__init__(documents, SinklessMesh(_NAME, spec, config or spec.config(header_values="text")))
        made = [(one, key) for key, each in self.made.items() for one in each.objects]
        self.natives: list[dict[str, Any]] = [yaml.load(stamp(one, key, _NAME), yaml.CSafeLoader) for one, key in made]
