"""The plans that docs/cli.md shows: what `smihub plan` prints of a folder in which just that was changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.page_blocks import block, prints
from tests.servers.folder import CONFIG, ROUTES, WORKLOADS, Folder, target, workload

SETTINGS = CONFIG.replace("manifests", "smi") + f"owner: '{'0' * 32}'\n"
ISTIO = SETTINGS.replace("{name: vms, adapter: vm}", "{name: istio, adapter: istio, sink: {path: rendered}}")
API_ROUTES = ROUTES.replace("name: routes", "name: api-routes").replace("/books", "/v1/books")
SERVICE = WORKLOADS.rpartition("---\n")[2]
SPLIT = """\
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: api, namespace: shop}
spec: {service: api, backends: [{service: api-v1, weight: 90}, {service: api-v2, weight: 10}]}
"""


def grant(name: str, source: str) -> str:
    """A TrafficTarget of `api` by its routes."""
    return target(name, source=source).replace("name: routes", "name: api-routes")


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """`web` and, on one port, `partner` may GET /v1/books of `api`, which has two versions; the source is called `smi`."""
    folder = Folder(tmp_path)
    folder.manifests = folder.manifests.rename(tmp_path / "smi")
    folder.config(SETTINGS)
    folder.write("workloads.yaml", WORKLOADS, workload("partner", 1))
    folder.write("services.yaml", *(SERVICE.replace("name: api,", f"name: api-{version},") for version in ("v1", "v2")))
    folder.write("routes.yaml", API_ROUTES)
    folder.write("access.yaml", grant("api-from-web", "web"))
    older = grant("api-from-partner", "partner").replace("v1alpha3", "v1alpha2")
    folder.write("targets.yaml", older.replace("name: api, namespace: shop", "name: api, namespace: shop, port: 8080"))
    return folder


@pytest.mark.thorough
def test_a_plan_of_a_removal_and_a_split(folder: Folder) -> None:
    """cli.md, Reading a plan."""
    folder.run("apply", "--yes")
    folder.remove("targets.yaml")
    folder.write("split.yaml", SPLIT)
    printed = folder.run("plan").output
    assert prints(block("docs/cli.md", "mesh vms").text, printed), printed


def test_a_loss_as_on_a_terminal(folder: Folder) -> None:
    """cli.md, what SMI asks for and a mesh cannot do; the page breaks its line as a terminal does."""
    folder.config(ISTIO)
    read = "{name: read, pathRegex: '/v1/books/[0-9]+', methods: [GET]}"
    books = "{name: books, pathRegex: /v1/books, methods: [GET]}"
    folder.write("routes.yaml", API_ROUTES.replace(books, f"{{name: other, methods: [PUT]}}\n  - {read}"))
    folder.write("access.yaml", grant("api-from-web", "web").replace("[books]", "[read]"))
    folder.remove("targets.yaml")
    lines = folder.run("plan").output.splitlines()
    begins = next(number for number, line in enumerate(lines) if "asked for" in line)
    shown = " ".join(block("docs/cli.md", "asked for, but").text.split())
    assert prints(f"{shown}\n", " ".join(" ".join(lines[begins:]).split()) + "\n")
