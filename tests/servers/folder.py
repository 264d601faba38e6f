"""A folder of SMI YAML with its smihub.yaml, and the command run on it as a user would, in this process or another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner, Result

from hub.cli.main import app

CONFIG = """\
domain: {trustDomain: cluster.local}
sources:
- path: manifests
meshes:
- {name: vms, adapter: vm}
"""

WORKLOADS = """\
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec:
  serviceAccount: web
  addresses: [10.0.0.1]
  upstreams: [{service: api, port: 80, address: 127.0.2.1, localPort: 9001, shared: host}]
---
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {name: api-1, namespace: shop, labels: {app: api}}
spec:
  serviceAccount: api
  addresses: [10.0.0.2]
  ports: [{name: http, port: 8080, appProtocol: http}]
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec:
  selector: {app: api}
  ports: [{name: http, port: 80, targetPort: 8080, appProtocol: http}]
"""

ROUTES = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: routes, namespace: shop}
spec:
  matches:
  - {name: books, pathRegex: /books, methods: [GET]}
  - {name: orders, pathRegex: /orders, methods: [POST]}
"""


def target(name: str, account: str = "api", source: str = "web", matches: str = "books") -> str:
    """A TrafficTarget of namespace `shop` that grants one match of `routes`."""
    return f"""\
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {{name: {name}, namespace: shop}}
spec:
  destination: {{kind: ServiceAccount, name: {account}, namespace: shop}}
  rules: [{{kind: HTTPRouteGroup, name: routes, matches: [{matches}]}}]
  sources: [{{kind: ServiceAccount, name: {source}, namespace: shop}}]
"""


def workload(name: str, number: int) -> str:
    """A Workload of namespace `shop` with a service account of its own name, receiving HTTP on port 8080."""
    return f"""\
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop}}
spec: {{serviceAccount: {name}, addresses: [10.1.{number // 250}.{number % 250 + 1}], ports: [{{name: http, port: 8080, appProtocol: http}}]}}
"""


class Folder:
    """`smihub.yaml` and `manifests/` in `root`; files are given an old time, so that none has to become quiet first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifests = root / "manifests"
        self.manifests.mkdir()

    def config(self, text: str = CONFIG) -> None:
        """Write smihub.yaml."""
        (self.root / "smihub.yaml").write_text(text, encoding="utf-8")

    def write(self, name: str, *documents: str | bytes) -> Path:
        """Write a file of the source by a rename, as editors and Git do."""
        parts = [each.encode() if isinstance(each, str) else each for each in documents]
        path = self.manifests / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f".{path.name}.new")
        made.write_bytes(b"---\n".join(parts))
        os.utime(made, (1, 1))
        return made.rename(path)

    def remove(self, name: str) -> None:
        """Remove a file of the source."""
        (self.manifests / name).unlink()

    def run(self, *arguments: str, text: str | bytes | None = None, env: Mapping[str, str] | None = None) -> Result:
        """Run a verb in this process, in the folder."""
        before = Path.cwd()
        os.chdir(self.root)
        try:
            # No file of this folder is being written while a verb runs; processes of their own wait for quiet files.
            with patch("typer.testing._get_command", fresh_command), patch("hub.sources.files.QUIET_S", 0.0):
                result = CliRunner().invoke(app, list(arguments), input=text, env=env)
        finally:
            os.chdir(before)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def plan(self, *arguments: str) -> dict[str, Any]:
        """The plan as data."""
        found: dict[str, Any] = yaml.load(self.run("plan", "-o", "yaml", *arguments).stdout, yaml.CSafeLoader)
        return found

    def process(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a verb in a process of its own, with `env` besides our environment, and wait for it."""
        environment = {**os.environ, **(env or {})}
        command = self.command(*arguments)
        return subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False, timeout=240
        )

    def command(self, *arguments: str) -> list[str]:
        """The command line of a verb."""
        return [str(Path(sys.executable).with_name("smihub")), *arguments]


@cache
def _built() -> TyperGroup:
    """The command, built once: typer takes longer to read the parameters of every verb than most verbs to run."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def fresh_command(_: object) -> TyperGroup:
    """The command as in a process that has just started: no plugin has brought a verb yet."""
    group = copy(_built())
    group.commands = dict(group.commands)
    return group


def shop(root: Path) -> Folder:
    """A folder in which `web` may GET /books from `api`."""
    folder = Folder(root)
    folder.config()
    folder.write("workloads.yaml", WORKLOADS)
    folder.write("routes.yaml", ROUTES)
    folder.write("access.yaml", target("api-from-web"))
    return folder
