"""smihub.yaml: one file that says which sources are read and which meshes carry them out.

`load_configs` turns it into a frozen `Config` for each domain, or raises one ConfigError that names file, line, field and remedy.
Paths are relative to the file. What a mesh's `config` may hold is the adapter's business (hub.config.own).
"""

from __future__ import annotations

import re
import secrets
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import fields

from hub.config.accepts import Accept, WrittenAccept, accepts_in
from hub.config.examples import with_example
from hub.config.http import HttpConfig, WrittenHttp
from hub.config.settings import (
    LABEL,
    ConfigSection,
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
from hub.sources.limits import YamlError
from hub.sources.locate import Locator
from hub.sources.yaml import load_one

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
    now, or that carry our mark already. `routes`: none; calls to Services are routed, and nobody is refused.
    """

    mode: Literal["all", "namespaces", "targets", "routes"] = "all"
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
    """One domain of a smihub.yaml; every path is absolute. `accept` says which Losses and guards need no further word.

    `owner` is what the marks on everything that smihub writes tell it by from what another smihub.yaml wrote ("": none).
    A running hub reads its meshes anew after every `recheck_s` (0: never), though nobody told that they changed.
    `place` is where the domain stands in the file: "" for `domain:`, else such as `domains[0]`.
    """

    file: Path
    domain: Domain
    sources: tuple[SourceConfig, ...]
    meshes: tuple[MeshConfig, ...]
    state: Path
    guards: Limits = Limits()
    accept: tuple[Accept, ...] = ()
    reading: Reading = Reading()
    owner: str = ""
    http: HttpConfig = HttpConfig()
    recheck_s: int = RECHECK_S
    place: str = ""

    @property
    def title(self) -> str:
        """The domain's name, where the file has a list of them: what is shown names it then. Else ""."""
        return self.domain.name if self.place else ""

    def title_of(self, mesh: str) -> str:
        """What the command line calls a mesh: its name, with the domain before it where the file has several."""
        return f"{self.title}/{mesh}".removeprefix("/")

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
    governed: Literal["all", "targets", "routes"] | _Namespaces = "all"
    config: dict[str, Any] = field(default_factory=dict)
    sink: dict[str, Any] = field(default_factory=dict)
    cluster: str = ""


class _Guards(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True):
    blast_radius_percent: int = Limits().percent
    min_units: int = Limits().min_units


class _Reading(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True):
    path_regex: Literal["full", "prefix"] = "full"
    root_backend: Literal["reject", "endpoints"] = "endpoints"


class _Parts(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What belongs to one domain."""

    sources: tuple[dict[str, Any], ...]
    meshes: tuple[_MeshSection, ...]
    state: str | UnsetType = UNSET
    guards: _Guards = _Guards()
    accept: tuple[str | WrittenAccept, ...] = ()
    reading: _Reading = _Reading()
    owner: str = ""
    recheck_seconds: int = RECHECK_S


class _ConfigFile(_Parts, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """The short form: one domain."""

    domain: _Domain
    http: WrittenHttp = WrittenHttp()


class _DomainSection(_Parts, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    name: str
    trust_domain: str


class _DomainsFile(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Several domains; they share the process and where its metrics are."""

    domains: tuple[_DomainSection, ...]
    http: WrittenHttp = WrittenHttp()


def written_types() -> tuple[tuple[type, type], tuple[type, ...], type]:
    """The types of the file as it is written: both of its forms, the parts that have sources, and a mesh."""
    return (_ConfigFile, _DomainsFile), (_DomainSection,), _MeshSection


# --------------------------------------------------------------------------- reading it


def new_owner() -> str:
    """An `owner` that no other smihub.yaml has: 128 random bits."""
    return secrets.token_hex(16)


def owner_for(config: Config) -> str:
    """An `owner` for this domain, always the same as long as the file's folder stays where it is, and of no other folder."""
    # With device and inode: the same path on another machine must not pass for the folder that wrote the mesh.
    about = config.folder.stat()
    return blake2b(f"{config.title}{config.file}\n{about.st_dev}\n{about.st_ino}".encode(), digest_size=16).hexdigest()


_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_OWNER = re.compile(r"[0-9a-f]{32}")


def load_configs(path: Path) -> tuple[Config, ...]:
    """Read smihub.yaml: its domains. Raises ConfigError with file, line, field path and what to write instead."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        hint = (
            "create one with smihub init, or name it with --config"
            if isinstance(error, FileNotFoundError)
            else "check the file"
        )
        raise ConfigError(f'"{path}" cannot be read: {(error.strerror or "unreadable").lower()}; {hint}') from None
    # Read up to one byte more than allowed: `--config /dev/zero` must not fill the memory.
    if len(data) > _MOST_BYTES:
        raise ConfigError(f'"{path}" has more than {_MOST_BYTES} bytes; use a smihub.yaml')
    try:
        return _domains(load_one(data), Path(path).absolute())
    except YamlError as error:
        fault = error.fault
        place = f"{path}:{fault.line}: " if fault.line else f"{path}: "
        field_path = f"{fault.field}: " if fault.field else ""
        raise ConfigError(f"{place}{field_path}{fault.message}; {fault.remedy} ({fault.code})") from None
    except FieldError as error:
        problem = FieldError(error.field, with_example(error.field, error.message))
        # Lines are looked up only now: a good file never needs them.
        raise ConfigError(f"{path}:{Locator(data).line(0, error.field)}: {problem}") from None


# --------------------------------------------------------------------------- what a type cannot say


def _domains(raw: Any, file: Path) -> tuple[Config, ...]:
    """The domains of a file in either form. Raises FieldError."""
    if not isinstance(raw, dict) or "domains" not in raw:
        short = convert(raw, _ConfigFile, "")
        domain = _domain(short.domain.name, short.domain.trust_domain, "domain")
        return (_checked(short, domain, "", file, short.http.checked()),)
    for name in ("domain", *(info.encode_name for info in fields(_Parts))):
        if name in raw:
            raise FieldError(name, 'belongs to one domain; move it into the entries of "domains"')
    written = convert(raw, _DomainsFile, "")
    if not written.domains:
        raise FieldError("domains", "is empty; smihub init writes an example of a domain")
    http = written.http.checked()
    found = tuple(_entry(each, f"domains[{index}]", file, http) for index, each in enumerate(written.domains))
    for index, config in enumerate(found):
        for other in found[:index]:
            _check_apart(config, other)
    return found


def _entry(written: _DomainSection, place: str, file: Path, http: HttpConfig) -> Config:
    domain = _domain(written.name, written.trust_domain, place)
    try:
        return _checked(written, domain, place, file, http)
    except FieldError as error:
        raise FieldError(f"{place}.{error.field}", error.message) from None


def _domain(name: str, trust_domain: str, place: str) -> Domain:
    match(LABEL, name, f"{place}.name", "lowercase letters, digits and dashes")
    match(_TRUST_DOMAIN, trust_domain, f"{place}.trustDomain", "a SPIFFE trust domain such as example.org")
    return Domain(trust_domain, name)


def _check_apart(config: Config, other: Config) -> None:
    """Refuse two domains that could be taken for one, or that would keep their state in one place. Raises FieldError."""
    place, name, trust_domain = config.place, config.domain.name, config.domain.trust_domain
    if name == other.domain.name:
        raise FieldError(f"{place}.name", f'"{name}" is listed twice; give each domain its own name')
    # A certificate names a trust domain, not a smihub domain: the same name in both would admit callers of the other.
    if trust_domain == other.domain.trust_domain:
        message = f'"{trust_domain}" is also the trust domain of domain "{other.domain.name}", so identities of one would be valid in the other'
        raise FieldError(f"{place}.trustDomain", f"{message}; use one domain with several clusters")
    if config.owner and config.owner == other.owner:
        message = f'"{config.owner}" is also the owner of domain "{other.domain.name}"; use a different one, such as {new_owner()}'
        raise FieldError(f"{place}.owner", message)
    if both := _folders(config) & _folders(other):
        message = f'"{min(both)}" is also a folder of domain "{other.domain.name}"; give each domain its own'
        raise FieldError(f"{place}.state", message)


def _folders(config: Config) -> set[Path]:
    """Where a domain keeps its state, and its sockets."""
    state = config.state.resolve()
    return {state, state.with_name(f"{state.name}-sockets")}


def _checked(written: _Parts, domain: Domain, place: str, file: Path, http: HttpConfig) -> Config:
    if written.owner:
        match(
            _OWNER,
            written.owner,
            "owner",
            f"32 hexadecimal digits that no other smihub.yaml has, such as {new_owner()}",
        )
    between(written.guards.blast_radius_percent, 100, "guards.blastRadiusPercent")
    between(written.guards.min_units, 1_000_000, "guards.minUnits")
    between(written.recheck_seconds, 86_400, "recheckSeconds")
    sources = sources_in(written.sources, file.parent)
    state = (f".smihub-{domain.name}" if place else ".smihub") if written.state is UNSET else written.state
    return Config(
        file=file,
        domain=domain,
        sources=sources,
        meshes=_meshes(written.meshes, {source.cluster for source in sources}),
        state=file.parent / path_text(state, "state"),
        guards=Limits(written.guards.blast_radius_percent, written.guards.min_units),
        accept=accepts_in(written.accept, {mesh.name for mesh in written.meshes}),
        reading=Reading(written.reading.path_regex, written.reading.root_backend),
        owner=written.owner,
        http=http,
        recheck_s=written.recheck_seconds,
        place=place,
    )


def _meshes(written: tuple[_MeshSection, ...], clusters: set[str]) -> tuple[MeshConfig, ...]:
    if not written:
        raise FieldError("meshes", 'is empty; add "- {name: vms, adapter: vm}"')
    for index, mesh in enumerate(written):
        match(LABEL, mesh.name, f"meshes[{index}].name", "lowercase letters, digits and dashes, at most 63")
        if mesh.name in {other.name for other in written[:index]}:
            raise FieldError(f"meshes[{index}].name", f'"{mesh.name}" is listed twice; give each mesh its own name')
        cluster_name(mesh.cluster, f"meshes[{index}].cluster")
        if mesh.cluster not in clusters:
            known = ", ".join(f'"{name}"' for name in sorted(clusters))
            problem = (
                f'no source has cluster "{mesh.cluster}"' if mesh.cluster else "is missing, and every source has one"
            )
            raise FieldError(f"meshes[{index}].cluster", f"{problem}; the sources have {known}")
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
        raise FieldError(f"{place}.namespaces", "is empty; list a namespace, or use governed: all")
    for index, name in enumerate(names):
        match(LABEL, name, f"{place}.namespaces[{index}]", "a namespace name")
    return Governed("namespaces", tuple(sorted(set(names))))
