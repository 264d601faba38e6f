"""A first smihub.yaml, as `smihub init` writes it."""

from __future__ import annotations

import msgspec

from hub.config.file import new_owner

_TEMPLATE = """\
# smihub.yaml: what smihub reads, and which meshes carry it out. Paths are relative to this file.
# Then: smihub plan, smihub apply, smihub run.

# Whose the objects are that smihub writes: another smihub.yaml with another owner leaves them alone. Keep it for as long as
# anything of this file stands in a mesh, and give a copy of this file that is to write elsewhere one of its own.
owner: {owner}

domain:
  # The SPIFFE trust domain: identities are spiffe://<trustDomain>/ns/<namespace>/sa/<service account>.
  trustDomain: cluster.local
  # name: default
# Several domains in one file: `domains:`, a list, in place of `domain:`. Each has a `name`, a `trustDomain`, and all that
# follows here (but `http`) for itself.

# Folders (or files) of SMI YAML, of every version, mixed; with the Services, ServiceAccounts and Workloads they name.
# `cluster` (here and of meshes): whose Services, Pods and accounts these are, where there are several clusters.
# `namespaces`: nobody else's SMI objects count there. `include` and `exclude`: which files count, as in a .gitignore (a
# .smihubignore in the folder does the same).
sources:
- path: {source}
  # cluster: ""
  # namespaces: []
  # include: []
  # exclude: []

meshes:
- name: vms
  # The adapter that speaks the mesh's language; installed by pip install 'smihub[vm]'.
  adapter: vm
  # Which identities this mesh protects. What is governed and granted nothing is denied.
  #   all                        every identity that the sources know
  #   namespaces: [shop, pay]    (as a mapping) those of these namespaces
  #   targets                    those that a TrafficTarget names, or ever named
  governed: all
  # The adapter's own settings, and those of the sink that writes for it (vm: `socket: {{folder, group}}`,
  # where Envoys reach the hub, and the group as which they run).
  config: {{}}
  sink: {{}}
# A mesh whose objects are rendered into a folder of this repository, for Argo CD, Flux or kubectl to bring into force:
# - name: istio
#   adapter: istio
#   governed: targets
#   sink: {{kind: directory, path: rendered/istio}}

# A plan that takes something away from more than this share of the governed identities, and from at least `minUnits`
# of them, within ten minutes, is refused until somebody approves or accepts it. A first apply is not counted.
guards:
  blastRadiusPercent: 20
  minUnits: 5

# Codes of Losses (what a mesh cannot say, and so refuses) and of guards that need no further word, such as
# proto.udp-not-captured. `smihub plan` prints each code that stops it. One may be accepted in one mesh, of one object, or for a time:
#   - {{code: proto.udp-not-captured, mesh: vms, object: TrafficTarget/shop/dns, until: 2030-12-31}}
accept: []

# How SMI is read where its text leaves a choice. A change is refused once, where it would change what stands.
reading:
  # full: a pathRegex must match the whole path. prefix: it may stop before the path's end.
  pathRegex: full
  # endpoints: a TrafficSplit's own root as a backend is the root's own endpoints. reject: such a split is void.
  rootBackend: endpoints

# `smihub run` serves /metrics (Prometheus), /livez and /readyz on a Unix socket beside the state folder, for its own user.
# `address: 127.0.0.1:9464` serves them over TCP too, to everybody who can reach that; `objectNames` puts names into labels.
# http:
#   address: 127.0.0.1:9464
#   objectNames: false

# `smihub run` puts back what somebody else changes of its own in a mesh: as soon as the mesh tells (a folder: within seconds), and
# after so many seconds though nothing was told (0: never). Paused objects, and those it does not manage, stay as they are.
recheckSeconds: 600

# Where smihub keeps its state (applied revisions, the certificate authority, tokens); for your eyes only.
state: .smihub
"""


def template(source: str = ".") -> str:
    """A commented smihub.yaml with every field and its default, and a new `owner`; `source` is the folder that it reads."""
    return _TEMPLATE.format(source=msgspec.json.encode(source).decode(), owner=f'"{new_owner()}"')
