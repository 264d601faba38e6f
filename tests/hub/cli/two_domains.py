"""A smihub.yaml with two domains that use the same names, each with a VM mesh and a folder of Istio's objects."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from tests.servers.folder import ROUTES, WORKLOADS, Folder, target

DOMAIN = """\
- name: {name}
  trustDomain: {name}.example.org
  sources: [{{path: {name}, name: manifests}}]
  owner: "{owner}"
  meshes:
  - {{name: vms, adapter: vm}}
  - {{name: istio, adapter: istio, governed: targets, sink: {{path: rendered/{name}}}}}
"""
NAMES = ("eu", "us")
TEXT = "domains:\n" + "".join(DOMAIN.format(name=each, owner=f"{ord(each[0]):032x}") for each in NAMES)


class Two:
    """Two folders that say the same, but that `web` may GET /books in `eu` and POST /orders in `us`."""

    def __init__(self, root: Path) -> None:
        self.folder = Folder(root)
        self.folder.config(TEXT)
        self.write("eu", "workloads.yaml", WORKLOADS)
        self.write("us", "workloads.yaml", WORKLOADS)
        self.write("eu", "access.yaml", ROUTES, target("api-from-web", matches="books"))
        self.write("us", "access.yaml", ROUTES, target("api-from-web", matches="orders"))

    @property
    def root(self) -> Path:
        """Where smihub.yaml is."""
        return self.folder.root

    def write(self, domain: str, name: str, *documents: str) -> None:
        """Write a file of one domain's source."""
        self.folder.manifests = self.root / domain
        self.folder.write(name, *documents)

    def run(self, *arguments: str) -> Any:
        """Run a verb."""
        return self.folder.run(*arguments)

    def applied(self) -> None:
        """Apply, which must work."""
        result = self.run("apply", "--yes")
        assert result.exit_code == 0, result.output

    def standing(self, domain: str) -> tuple[int, dict[str, bytes]]:
        """All that stands in one domain: the revision of `vms`, and the files of `istio`."""
        rendered = self.root / "rendered" / domain
        files = {str(path.relative_to(rendered)): path.read_bytes() for path in rendered.rglob("*") if path.is_file()}
        return self.revision(domain), files

    def revision(self, domain: str) -> int:
        """The number of the last revision of the domain's `vms`."""
        path = self.root / f".smihub-{domain}" / "hub.sqlite"
        if not path.exists():
            return 0
        with sqlite3.connect(path) as db:
            found = db.execute("SELECT revision FROM meshes WHERE name = 'vms'").fetchone()
        db.close()
        return int(found[0])
