"""Lines as f44faaa and older remembered them: the only way to tell what such a memory lets one compare.

Pure. They are about what SMI grants, also where a mesh refused it, and two grants may have one line: so they decide nothing
while gains have to wait (hub.planner). Do not change this form, nor share it with hub.memory.permits: it is in folders and state
files, and the lines that people read may change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec.structs import replace

from hub.model import Access, Grant, HttpMatch, Transport, identity_of


def old_lines(access: Access) -> frozenset[str]:
    """Every line of a unit."""
    return frozenset(_line(access, grant, *each) for grant in access.grants for each in _parts(grant))


def unlisted(access: Access, lines: Collection[str]) -> tuple[Grant, ...]:
    """What of the grants has no line among these: each source and match by itself."""
    return tuple(
        replace(grant, sources=(source,), http=None if match is None else (match,))
        for grant in access.grants
        for source, match in _parts(grant)
        if _line(access, grant, source, match) not in lines
    )


def _parts(grant: Grant) -> Iterator[tuple[str, HttpMatch | None]]:
    return ((source, match) for source in grant.sources for match in grant.http or (None,))


def _line(access: Access, grant: Grant, source: str, match: HttpMatch | None) -> str:
    where = f"{access.identity}{_ports(grant.ports, grant.transport)}{_labels(grant.labels)}"
    what = "any bytes" if match is None else _describe(match)
    return f"{_name(source, access.identity.trust_domain)} -> {where} {what}"


def _name(spiffe: str, trust_domain: str) -> str:
    identity = identity_of(spiffe)
    return str(identity) if identity and identity.trust_domain == trust_domain else spiffe


def _ports(ports: tuple[int, ...] | None, transport: Transport) -> str:
    suffix = "/udp" if transport == "UDP" else ""
    return f":{'*' if ports is None else ','.join(map(str, ports))}{suffix}"


def _labels(labels: tuple[tuple[str, str], ...] | None) -> str:
    return "" if labels is None else "[" + ",".join(f"{key}={value}" for key, value in labels) + "]"


def _describe(match: HttpMatch) -> str:
    methods = ",".join(match.methods) if match.methods else "any method"
    path = match.path if match.path is not None else "any path"
    headers = "".join(f" {name}={pattern}" for name, pattern in match.headers)
    return f"{methods} {path}{headers}"
