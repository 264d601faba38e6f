"""Gateway API's types (CRDs), from its Go module: the version is that of go.mod, the content is checked by go.sum."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.servers.go_servers import CACHE, Server, alone, run_go

CHANNELS = ("standard", "experimental")
GATEWAY_API = Server("gateway-api", "sigs.k8s.io/gateway-api", "")
_ROUTES = ("httproutes", "grpcroutes", "tcproutes")


def gateway_types(channel: str) -> list[Mapping[str, Any]]:
    """The CRDs of the routes in a channel."""
    files = (fetched() / channel / f"gateway.networking.k8s.io_{plural}.yaml" for plural in _ROUTES)
    return [yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader) for file in files]


def fetched() -> Path:
    """The folder `~/.cache/smihub/gateway-api-<version>` with a folder of CRDs for each channel."""
    recipe = GATEWAY_API.folder / "recipe"
    with alone(GATEWAY_API):
        if not recipe.is_file() or recipe.read_text(encoding="utf-8") != GATEWAY_API.recipe:
            _fetch()
    return GATEWAY_API.folder


def _fetch() -> None:
    module = Path(json.loads(run_go(GATEWAY_API, "mod", "download", "-json", GATEWAY_API.module))["Dir"])
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=CACHE) as scratch:
        made = Path(scratch, "made")
        for channel in CHANNELS:
            (made / channel).mkdir(parents=True)
            for file in sorted((module / "config" / "crd" / channel).glob("*.yaml")):
                shutil.copyfile(file, made / channel / file.name)
        (made / "recipe").write_text(GATEWAY_API.recipe, encoding="utf-8")
        if GATEWAY_API.folder.exists():
            GATEWAY_API.folder.rename(Path(scratch, "old"))
        made.rename(GATEWAY_API.folder)


if __name__ == "__main__":
    print(fetched())  # noqa: T201
