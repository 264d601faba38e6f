"""smihub.yaml: one file that says which sources are read and which meshes carry them out.

`load_config` turns it into a frozen `Config` or raises one ConfigError that names file, line, field and remedy.
Paths are relative to the file. What a mesh's `config` may hold is the adapter's business: `adapter_config` reads it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from hub.config.http import HttpConfig, WrittenHttp
from hub.config.settings import (
    LABEL,
    ConfigSection,
    ConfigT,
    FieldError,
    between,
    cluster_name,
    convert,
    match,
    path_text,
)
from hub.config.sources import SourceConfig, sources_in
from hub.errors import ConfigError
from hub.model import Reading
from hub.plan.guards import Limits
from hub.sources.locate import Locator
from hub.sources.yaml import YamlError, load_one

DEFAULT_FILE = "smihub.yaml"
RECHECK_S = 600
_MOST_BYTES = 1_048_576


class Domain(Struct, frozen=True):
    """Sources that share namespaces and one SPIFFE trust domain."""

    trust_domain: str
    name: str = "default"


class Governed(Struct, frozen=True):
    """Which identities a mesh protects for us.

    `all`: every known one. `namespaces`: those of the listed namespaces. `targets`: those that a TrafficTarget names
    now, or that carry our mark already.
    """

    mode: Literal["all", "namespaces", "targets"] = "all"
    namespaces: tuple[str, ...] = ()


class MeshConfig(Struct, frozen=True):
    """One mesh: its adapter by name, what it governs, the adapter's and the sink's own settings as written, its cluster."""

    name: str
    adapter: str
    governed: Governed = Governed()
    config: dict[str, Any] = field(default_factory=dict)
    sink: dict[str, Any] = field(default_factory=dict)
    cluster: str = ""


class Config(Struct, frozen=True):
    """A whole smihub.yaml; every path is absolute. `accept` are codes of Losses and guards that need no further word.

    `owner` is what the marks on everything that smihub writes tell it by from what another smihub.yaml wrote ("": none).
    A running hub reads its meshes anew after every `recheck_s` (0: never), though nobody told that they changed.
    """

    file: Path
    domain: Domain
    sources: tuple[SourceConfig, ...]
    meshes: tuple[MeshConfig, ...]
    state: Path
    guards: Limits = Limits()
    accept: tuple[str, ...] = ()
    reading: Reading = Reading()
    owner: str = ""
    http: HttpConfig = HttpConfig()
    recheck_s: int = RECHECK_S

    @property
    def folder(self) -> Path:
        """What relative paths of the file (an adapter's too) start from."""
        return self.file.parent


# --------------------------------------------------------------------------- the file as it is written


class _Domain(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True):
    trust_domain: str
    name: str = "default"


class _Namespaces(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True):
    namespaces: tuple[str, ...]


class _MeshSection(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True):
    name: str
    adapter: str
    governed: Literal["all", "targets"] | _Namespaces = "all"
    config: dict[str, Any] = field(default_factory=dict)
    sink: dict[str, Any] = field(default_factory=dict)
    cluster: str = ""


class _Guards(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True):
    blast_radius_percent: int = Limits().percent
    min_units: int = Limits().min_units


class _Reading(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True):
    path_regex: Literal["full", "prefix"] = "full"
    root_backend: Literal["reject", "endpoints"] = "reject"


class _ConfigFile(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True):
    domain: _Domain
    sources: tuple[dict[str, Any], ...]
    meshes: tuple[_MeshSection, ...]
    state: str = ".smihub"
    guards: _Guards = _Guards()
    accept: tuple[str, ...] = ()
    reading: _Reading = _Reading()
    owner: str = ""
    http: WrittenHttp = WrittenHttp()
    recheck_seconds: int = RECHECK_S


# --------------------------------------------------------------------------- reading it


def new_owner() -> str:
    """An `owner` that no other smihub.yaml has: 128 random bits."""
    return secrets.token_hex(16)


def owner_for(config: Config) -> str:
    """An `owner` for this file, always the same as long as its folder stays where it is, and of no other folder."""
    about = config.folder.stat()
    return blake2b(f"{config.file}\n{about.st_dev}\n{about.st_ino}".encode(), digest_size=16).hexdigest()


_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_OWNER = re.compile(r"[0-9a-f]{32}")
_CODE = re.compile(r"[a-z][a-z-]*\.[a-z-]+")


def load_config(path: Path) -> Config:
    """Read smihub.yaml. Raises ConfigError with file, line, field path and what to write instead."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        hint = (
            "write one with smihub init, or name it with --config"
            if isinstance(error, FileNotFoundError)
            else "check it"
        )
        raise ConfigError(f'"{path}" cannot be read: {(error.strerror or "unreadable").lower()}; {hint}') from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(f'"{path}" has more than {_MOST_BYTES} bytes; name a smihub.yaml')
    try:
        written = convert(load_one(data), _ConfigFile, "")
        return _checked(written, Path(path).absolute())
    except YamlError as error:
        fault = error.fault
        place = f"{path}:{fault.line}: " if fault.line else f"{path}: "
        field_path = f"{fault.field}: " if fault.field else ""
        raise ConfigError(f"{place}{field_path}{fault.message}; {fault.remedy}") from None
    except FieldError as error:
        raise ConfigError(f"{path}:{Locator(data).line(0, error.field)}: {error}") from None


def mistake(config: Config, place: str, message: str) -> ConfigError:
    """What to raise for a field of the file that was read, with its line if the file is still there."""
    try:
        line = Locator(config.file.read_bytes()).line(0, place)
    except OSError:
        line = 1
    return ConfigError(f"{config.file}:{line}: {place}: {message}")


@contextmanager
def placed(config: Config, place: str) -> Iterator[None]:
    """Raise what is wrong with a part of the file, of whomever it is told, with file, line and field."""
    try:
        yield
    except FieldError as error:
        raise mistake(config, f"{place}.{error.field}", error.said) from None
    except ConfigError as error:
        raise mistake(config, place, str(error)) from None


def adapter_config(mesh: MeshConfig, kind: type[ConfigT]) -> ConfigT:
    """A mesh's `config` as its adapter's own type. Raises FieldError."""
    return convert(mesh.config, kind, "config")


def source_config(source: SourceConfig, kind: type[ConfigT]) -> ConfigT:
    """A source's own settings as the type of its kind. Raises FieldError."""
    return convert(source.settings, kind, "")


def sink_kind(mesh: MeshConfig) -> str:
    """Which sink a mesh asks for by name; "" where it leaves that to its adapter. Raises FieldError."""
    kind = mesh.sink.get("kind", "")
    if not isinstance(kind, str):
        raise FieldError("sink.kind", "must be a name; write kind: directory")
    return kind


def sink_config(mesh: MeshConfig, kind: type[ConfigT]) -> ConfigT:
    """A mesh's `sink` as its sink's own type, without its `kind`. Raises FieldError."""
    return convert({name: value for name, value in mesh.sink.items() if name != "kind"}, kind, "sink")


# --------------------------------------------------------------------------- what a type cannot say


def _checked(written: _ConfigFile, file: Path) -> Config:
    match(LABEL, written.domain.name, "domain.name", "lower-case letters, digits and dashes")
    match(_TRUST_DOMAIN, written.domain.trust_domain, "domain.trustDomain", "a SPIFFE trust domain such as example.org")
    if written.owner:
        match(_OWNER, written.owner, "owner", f"32 hexadecimal digits that nobody else has, such as {new_owner()}")
    for index, code in enumerate(written.accept):
        match(_CODE, code, f"accept[{index}]", "a code such as port.undeclared-mixed")
    between(written.guards.blast_radius_percent, 100, "guards.blastRadiusPercent")
    between(written.guards.min_units, 1_000_000, "guards.minUnits")
    between(written.recheck_seconds, 86_400, "recheckSeconds")
    sources = sources_in(written.sources, file.parent)
    return Config(
        file=file,
        domain=Domain(written.domain.trust_domain, written.domain.name),
        sources=sources,
        meshes=_meshes(written.meshes, {source.cluster for source in sources}),
        state=file.parent / path_text(written.state, "state"),
        guards=Limits(written.guards.blast_radius_percent, written.guards.min_units),
        accept=tuple(sorted(set(written.accept))),
        reading=Reading(written.reading.path_regex, written.reading.root_backend),
        owner=written.owner,
        http=written.http.checked(),
        recheck_s=written.recheck_seconds,
    )


def _meshes(written: tuple[_MeshSection, ...], clusters: set[str]) -> tuple[MeshConfig, ...]:
    if not written:
        raise FieldError("meshes", 'is empty; write "- {name: vms, adapter: vm}"')
    for index, mesh in enumerate(written):
        match(LABEL, mesh.name, f"meshes[{index}].name", "lower-case letters, digits and dashes, at most 63")
        if mesh.name in {other.name for other in written[:index]}:
            raise FieldError(f"meshes[{index}].name", f'"{mesh.name}" is there twice; give each mesh its own name')
        cluster_name(mesh.cluster, f"meshes[{index}].cluster")
        if mesh.cluster not in clusters:
            known = ", ".join(f'"{name}"' for name in sorted(clusters))
            said = (
                f'no source is of cluster "{mesh.cluster}"' if mesh.cluster else "is missing, and every source has one"
            )
            raise FieldError(f"meshes[{index}].cluster", f"{said}; those of sources are {known}")
    return tuple(
        MeshConfig(
            mesh.name, mesh.adapter, _governed(mesh, f"meshes[{index}].governed"), mesh.config, mesh.sink, mesh.cluster
        )
        for index, mesh in enumerate(written)
    )


def _governed(mesh: _MeshSection, place: str) -> Governed:
    if not isinstance(mesh.governed, _Namespaces):
        return Governed(mesh.governed)
    names = mesh.governed.namespaces
    if not names:
        raise FieldError(f"{place}.namespaces", "is empty; name a namespace, or write governed: all")
    for index, name in enumerate(names):
        match(LABEL, name, f"{place}.namespaces[{index}]", "a namespace's name")
    return Governed("namespaces", tuple(sorted(set(names))))


# --------------------------------------------------------------------------- writing a first one

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

# Folders (or files) of SMI YAML, of every version, mixed; with the Services, ServiceAccounts and Workloads they name.
# `cluster` (here and of meshes): whose Services, Pods and accounts these are, where there are several clusters.
# `namespaces`: nobody else's SMI objects count there.
sources:
- path: {source}
  # cluster: ""
  # namespaces: []

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
# proto.udp-not-captured. `smihub plan` prints each code that stops it.
accept: []

# How SMI is read where its text leaves a choice; these are the narrower ones.
reading:
  # full: a pathRegex must match the whole path. prefix: it may stop before the path's end.
  pathRegex: full
  # reject: a TrafficSplit with its own root as a backend is void. endpoints: that backend is the root's own endpoints.
  rootBackend: reject

# `smihub run` serves /metrics (Prometheus), /livez and /readyz on a Unix socket beside the state folder, for its own user.
# `address: 127.0.0.1:9464` serves them over TCP too, to everybody who can reach that; `objectNames` puts names into labels.
# http:
#   address: 127.0.0.1:9464
#   objectNames: false

# `smihub run` puts back what somebody else changes of its own in a mesh: as soon as the mesh tells (a folder: within seconds), and
# after so many seconds though nothing was told (0: never). Objects that are not its own, or hands-off, it leaves alone.
recheckSeconds: 600

# Where smihub keeps its state (applied revisions, the certificate authority, tokens); for your eyes only.
state: .smihub
"""


def template(source: str = ".") -> str:
    """A commented smihub.yaml with every field and its default, and a new `owner`; `source` is the folder that it reads."""
    return _TEMPLATE.format(source=msgspec.json.encode(source).decode(), owner=f'"{new_owner()}"')
