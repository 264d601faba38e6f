"""`smihub run` follows edits on a folder of Linkerd's objects, as on one of any other mesh."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import yaml

from tests.hub.cli.test_probes import LINKERD, SERVICE, deployment
from tests.hub.cli.test_run import Running, running
from tests.servers.folder import Folder, target

pytestmark = pytest.mark.thorough
PLAIN = re.sub(", config: .*}}, sink", ", governed: targets, sink", LINKERD)


def standing(folder: Folder) -> dict[str, list[str]]:
    """The objects of the folder, as it lists them: kinds with their names, and the paths that routes match."""
    found: dict[str, list[str]] = {}
    for file in sorted((folder.root / "rendered" / "objects").glob("*.yaml")):
        body = yaml.load(file.read_text(), yaml.CSafeLoader)
        found.setdefault(body["kind"], []).append(body["metadata"]["name"])
        for rule in body["spec"].get("rules", ()):
            found.setdefault("paths", []).extend(match["path"]["value"] for match in rule["matches"])
    return found


def follow(folder: Folder, hub: Running) -> dict[str, list[str]]:
    """What stands after the next plan of the hub."""
    hub.until("plan_applied")
    return standing(folder)


def test_run_follows_grants_and_templates(folder: Folder) -> None:
    """Another grant is another route with its policy; the callers keep theirs, and the Servers stand, without any grant too."""
    folder.config(PLAIN)
    folder.write("workloads.yaml", deployment("web"), deployment("api"), deployment("cron"), SERVICE)
    with running(folder) as hub:
        first = follow(folder, hub)
        assert Counter({kind: len(names) for kind, names in first.items()}) == Counter(
            Server=1, HTTPRoute=1, AuthorizationPolicy=1, MeshTLSAuthentication=1, paths=1
        )
        assert first["paths"] == ["^(?:/books)$"]
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        second = follow(folder, hub)
        assert second["paths"] == ["^(?:/orders)$"]
        for kind in ("Server", "MeshTLSAuthentication"):
            assert second[kind] == first[kind]
        for kind in ("HTTPRoute", "AuthorizationPolicy"):
            assert len(second[kind]) == 1
            assert second[kind] != first[kind]
        folder.write("more.yaml", target("web-from-cron", account="web", source="cron"))
        assert len(follow(folder, hub)["Server"]) == 2
        folder.remove("access.yaml")
        folder.remove("more.yaml")
        while "HTTPRoute" in (left := follow(folder, hub)):
            pass
        assert left == {"Server": ["smihub-8080-api", "smihub-8080-web"]}
        assert hub.end()[0] == 0
    assert folder.run("plan").exit_code == 0
