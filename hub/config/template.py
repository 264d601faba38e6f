"""A first smihub.yaml, as `smihub init` writes it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hub.config.file import DEFAULT_FILE, Config, Domain, Governed, MeshConfig, new_owner
from hub.config.sources import instead_of

_TEMPLATE = """\
# yaml-language-server: $schema={schema}
# smihub.yaml: what smihub reads, and the meshes that it configures. Paths are relative to this file.
# Next: smihub plan, smihub apply, smihub run.

# Marks the objects that smihub writes: a smihub.yaml with another owner does not touch them. Do not change it while objects
# written from this file exist in a mesh. If you copy this file to manage other meshes, give the copy a new owner.
owner: {owner}

domain:
  # The SPIFFE trust domain: identities are spiffe://<trustDomain>/ns/<namespace>/sa/<service account>.
  trustDomain: cluster.local
  # name: default
# For several domains in one file, use a list `domains:` instead of `domain:`. Each entry has a `name`, a `trustDomain` and
# its own values of all fields below (except `http`).

# Folders (or files) of SMI YAML, of any version, together with the Services, ServiceAccounts and Workloads that they refer to.
# `cluster` (here and in meshes): the cluster that the Services, Pods and accounts belong to, if there are several.
# `namespaces`: SMI objects of these namespaces are only accepted from this source. `include` and `exclude`: which files are
# read, in the syntax of .gitignore (a .smihubignore file in the folder works too).
sources:
- path: {source}
  # cluster: ""
  # namespaces: []
  # include: []
  {exclude}

meshes:
{meshes}
# A plan is refused if, within ten minutes, more than this percentage of the governed identities would lose access, and at
# least `minUnits` of them, until somebody approves or accepts it. A first apply is not counted.
guards:
  blastRadiusPercent: 20
  minUnits: 5

# Codes of Losses (requests that a mesh cannot allow as SMI asks, and so refuses) and of guards that you accept, such as
# proto.udp-not-captured. `smihub plan` prints the code of everything that it refuses. An accept can be limited to a mesh, an
# object, or a time:
#   - {{code: proto.udp-not-captured, mesh: vms, object: TrafficTarget/shop/dns, until: 2030-12-31}}
accept: []

# How SMI is read where its specification leaves a choice. A change here that would affect existing objects is refused once.
reading:
  # full: a pathRegex must match the whole path. prefix: it only has to match the beginning of the path.
  pathRegex: full
  # endpoints: a TrafficSplit whose root is also a backend sends that share to the root's own endpoints. reject: the split is
  # ignored.
  rootBackend: endpoints

# `smihub run` serves /metrics (Prometheus), /livez and /readyz on a Unix socket next to the state folder, for its own user.
# `address: 127.0.0.1:9464` serves them over TCP too, to everybody who can reach it; `objectNames` adds object names as labels.
# http:
#   address: 127.0.0.1:9464
#   objectNames: false

# `smihub run` restores objects that somebody else changed or deleted: as soon as it notices (in a folder: within seconds), and
# at least every so many seconds (0: never). Paused objects, and those that smihub does not manage, are not touched.
recheckSeconds: 600

# The folder for smihub's state (applied revisions, the certificate authority, tokens); readable by its own user only.
state: .smihub
"""


_FIRST = """\
- name: {name}
  # The adapter for this kind of mesh; {installed}.
  adapter: {adapter}
  # The identities that this mesh protects. A protected identity without any grant is denied.
  #   all                        every identity in the sources
  #   namespaces: [shop, pay]    (as a mapping) the identities in these namespaces
  #   targets                    the identities that a TrafficTarget names, or has ever named
  governed: {governed}
  # Settings of the adapter, and of the sink that writes for it (vm: `socket: {{folder, group}}`, where Envoys connect
  # to the hub, and the group that they run as; istio, linkerd, consul-k8s: a folder, to be applied by Argo CD, Flux or
  # kubectl; consul: a folder of config entries, for consul config write).
  config: {{}}
  sink: {sink}
"""
_NEXT = """\
- name: {name}
  adapter: {adapter}
  governed: {governed}
  config: {{}}
  sink: {sink}
"""
_ISTIO_TOO = """\
# A mesh whose objects are rendered into a folder of this repository, to be applied by Argo CD, Flux or kubectl:
# - name: istio
#   adapter: istio
#   governed: targets
#   sink: {kind: directory, path: rendered/istio}
"""
RENDERED = "rendered"
"""The folder of what is rendered for GitOps, beside the file."""
_KNOWN = {
    "vm": {"name": "vms", "governed": "all", "sink": "{}"},
    "istio": {"name": "istio", "governed": "targets", "sink": f"{{kind: directory, path: {RENDERED}/istio}}"},
    "consul": {"name": "consul", "governed": "targets", "sink": f"{{kind: directory, path: {RENDERED}/consul}}"},
    "consul-k8s": {
        "name": "consul-k8s",
        "governed": "targets",
        "sink": f"{{kind: directory, path: {RENDERED}/consul-k8s}}",
    },
    "linkerd": {"name": "linkerd", "governed": "targets", "sink": f"{{kind: directory, path: {RENDERED}/linkerd}}"},
}
RENDERING = frozenset(("consul", "consul-k8s", "istio", "linkerd"))
"""Adapters of ours whose objects are files for GitOps."""
SCHEMA_FILE = ".smihub.schema.json"
"""Where editors find the JSON Schema of the file, beside it; hidden, so that no source reads it."""


def template(
    source: str = ".",
    adapters: Sequence[str] = ("vm",),
    rendered: Collection[str] = (),
    *,
    reads_rendered: bool = False,
) -> str:
    """A commented smihub.yaml with every field and its default, and a new `owner`.

    `source` is the folder that it reads, and each adapter gets a mesh, with a folder for its objects where it is one of
    `rendered`. `reads_rendered`: what is rendered lies in that folder,
    and is left out of it.
    """
    meshes = [_mesh(adapter, rendered, _NEXT if index else _FIRST) for index, adapter in enumerate(adapters)]
    return _TEMPLATE.format(
        schema=SCHEMA_FILE,
        source=msgspec.json.encode(source).decode(),
        exclude=f"exclude: [{RENDERED}/]" if reads_rendered else "# exclude: []",
        owner=f'"{new_owner()}"',
        meshes="".join(meshes) + ("" if "istio" in adapters else _ISTIO_TOO),
    )


def _mesh(adapter: str, rendered: Collection[str], text: str) -> str:
    if adapter in _KNOWN:
        installed = f"installed with pip install 'smihub[{adapter.removesuffix('-k8s')}]'"
        return text.format(adapter=adapter, installed=installed, **_KNOWN[adapter])
    sink = f"{{kind: directory, path: {RENDERED}/{adapter}}}" if adapter in rendered else "{}"
    installed = f"smihub adapters show {adapter} shows its settings"
    return text.format(adapter=adapter, installed=installed, name=adapter, governed="all", sink=sink)


def without_file(source: str, adapters: Collection[str]) -> Config:
    """What the template says, for a folder (or `-`) in which there is no file yet: a mesh for each of these adapters that it knows."""
    sinks: dict[str, dict[str, Any]] = {name: {"kind": "directory", "path": f"{RENDERED}/{name}"} for name in RENDERING}
    governed = {"targets": Governed("targets"), "all": Governed()}
    meshes = tuple(
        MeshConfig(known["name"], adapter, governed[known["governed"]], sink=sinks.get(adapter, {}))
        for adapter, known in _KNOWN.items()
        if adapter in adapters
    )
    file = Path(DEFAULT_FILE).absolute()
    return Config(file, Domain("cluster.local"), instead_of((), source), meshes, file.parent / ".smihub")
