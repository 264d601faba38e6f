"""Intentions: who may call a service, and with which requests.

What stands for a destination is the entry of its name and that of `*`; an exact source comes before `*`, and an exact destination
before `*`. Of one source only the first counts. A `*` leaves out the exact sources before it, and nothing leaves out an exact
source, so a denial of `*` before the allowance of an exact source does not hold (under the default `deny`). Of permissions the first
that matches counts; where none does, the default does, and not the next source.
Under the default `allow` Envoy gets denials alone: permissions that only allow leave everything open to their source.
Source: https://developer.hashicorp.com/consul/docs/secure-mesh/intention (precedence), the comments on makeRBACRules in Consul
(agent/xds/rbac.go); observed on Consul 1.22 with Envoy 1.40, where the endpoints that explain intentions say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from adapters.consul.evaluate.entries import DEFAULTS, INTENTIONS, ConfigEntry
from adapters.consul.evaluate.matching import STRICT, Leniency, Question, headers_of, methods_of, path_of, regex
from adapters.consul.evaluate.request import Http
from hub.api import Fields, UnmodelledError

Default = Literal["allow", "deny"]
"""`default_intention_policy` of the agents, which no entry tells."""
HTTP_PROTOCOLS = frozenset(("http", "http2", "grpc"))
_KINDS = ("Exact", "Prefix", "Suffix", "Contains", "Regex")
_READ_ONLY = ("Precedence", "LegacyID", "LegacyMeta", "LegacyCreateTime", "LegacyUpdateTime")
_STORED = ("Meta", "CreateIndex", "ModifyIndex", "Hash")


class Permission(Struct, frozen=True):
    """One permission: what it says of the requests that meet all of its conditions."""

    action: Default
    conditions: tuple[Question, ...]

    def meets(self, http: Http, leniency: Leniency) -> bool:
        """Whether a request meets them."""
        if leniency.paths and self.action == "deny" and {one.about for one in self.conditions} == {"path"}:
            return False
        return all(one.holds(http, leniency) for one in self.conditions)


class SourceIntention(Struct, frozen=True):
    """One source of an entry; either `action` says what becomes of its calls, or the permissions do."""

    label: str
    name: str
    test: Callable[[bytes], bool]
    action: Default | None
    permissions: tuple[Permission, ...]

    def decide(self, http: Http, leniency: Leniency) -> Default | None:
        """What it says of a request, None where no permission matches."""
        if self.action is not None:
            return self.action
        return next((one.action for one in self.permissions if one.meets(http, leniency)), None)


class Decision(Struct, frozen=True):
    """Whether a call gets in, and the entries that said so (none: the default did)."""

    allowed: bool
    by: tuple[str, ...] = ()


class Gate(Struct, frozen=True):
    """What stands before a service: its protocol is one of HTTP or not, and its sources.

    `exact` and `patterned` are sources by name, each with its rank (what compares lower comes first); a pattern is a name with a
    dot, which means any character in the regex that Consul makes of it. `wild` is the `*` that counts, if there is one.
    """

    http: bool
    labels: tuple[str, ...] = ()
    exact: Mapping[str, tuple[int, SourceIntention]] = {}
    patterned: tuple[tuple[int, SourceIntention], ...] = ()
    wild: tuple[int, SourceIntention] | None = None

    def decide(self, caller: str, http: Http, default: Default, leniency: Leniency = STRICT) -> Decision:
        """What becomes of a call of the service `caller`, where agents have this default."""
        said = [(one.label, one.decide(http, leniency)) for one in self._about(caller)]
        turning = tuple(sorted({label for label, word in said if word not in {None, default}}))
        allowed = bool(turning) != (default == "allow")
        return Decision(allowed, turning or self.labels)

    def _about(self, caller: str) -> Iterator[SourceIntention]:
        """The sources that the caller is, without a `*` after one of them."""
        raw = caller.encode("utf-8", "surrogatepass")
        found = [one for one in (self.exact.get(caller),) if one is not None]
        found += [one for one in self.patterned if one[1].test(raw)]
        yield from (one for _, one in found)
        if self.wild is not None and not any(rank < self.wild[0] for rank, _ in found):
            yield self.wild[1]


class Gates:
    """All intentions, asked by the name of a service; what was found is kept."""

    def __init__(self, entries: Mapping[tuple[str, str], ConfigEntry]) -> None:
        self._protocols = {name: _protocol(one) for (kind, name), one in entries.items() if kind == DEFAULTS}
        self._sources = {name: _sources(one) for (kind, name), one in entries.items() if kind == INTENTIONS}
        self._found: dict[str, Gate] = {}
        for name, sources in self._sources.items():
            _check_permissions(name, sources, http=self.speaks_http(name))

    def speaks_http(self, service: str) -> bool:
        """Whether proxies read the calls of a service as HTTP; without service-defaults it is TCP."""
        return self.protocol(service) in HTTP_PROTOCOLS

    def protocol(self, service: str) -> str:
        """The protocol of a service; proxy-defaults are not read."""
        return self._protocols.get(service, "tcp")

    def knows(self, service: str) -> bool:
        """Whether an entry is about this service alone."""
        return service in self._sources

    def before(self, service: str) -> Gate:
        """What stands before a service."""
        if service not in self._found:
            listed = [(rank, one) for rank, name in enumerate((service, "*")) for one in self._sources.get(name, ())]
            self._found[service] = _gate(listed, http=self.speaks_http(service))
        return self._found[service]


def _gate(listed: Iterable[tuple[int, SourceIntention]], *, http: bool) -> Gate:
    """The sources in their order: exact destinations, then exact sources; of one name the first counts."""
    ranked = sorted(((2 * rank + (one.name == "*"), one) for rank, one in listed), key=lambda each: each[0])
    exact: dict[str, tuple[int, SourceIntention]] = {}
    for rank, one in ranked:
        exact.setdefault(one.name, (rank, one))
    wild = exact.pop("*", None)
    patterned = tuple(each for name, each in exact.items() if "." in name)
    labels = tuple(sorted({one.label for _, one in ranked}))
    return Gate(http, labels, {name: each for name, each in exact.items() if "." not in name}, patterned, wild)


# --------------------------------------------------------------------------- compiling


def _protocol(entry: ConfigEntry) -> str:
    """The protocol of service-defaults; what else they set may open a service in other ways."""
    with entry.fields() as left:
        left.neutral(*_STORED, "MaxInboundConnections", "LocalConnectTimeoutMs", "LocalRequestTimeoutMs")
        left.neutral("BalanceInboundConnections", "MaxRequestHeadersKB")
        protocol = left.text("Protocol", "tcp").lower() or "tcp"
        _check_empty(left)
    if protocol not in {*HTTP_PROTOCOLS, "tcp"}:
        raise left.unmodelled(f'the protocol "{protocol}"')
    return protocol


def _check_empty(left: Fields) -> None:
    """Objects that Consul answers with although nothing is set in them."""
    for name in ("TransparentProxy", "MeshGateway", "Expose"):
        value = left.take(name)
        if value not in (None, {}):
            raise left.unmodelled(f'the meaning of "{name}"')


def _sources(entry: ConfigEntry) -> tuple[SourceIntention, ...]:
    with entry.fields() as left:
        left.neutral(*_STORED)
        values = left.items("Sources")
    found = tuple(_source(value, entry) for value in values)
    if not found or len({one.name for one in found}) < len(found):
        raise UnmodelledError(f"{entry.label}: Consul refuses an entry without sources, and one source twice")
    return found


def _source(value: Any, entry: ConfigEntry) -> SourceIntention:
    with Fields(value, entry.label) as left:
        left.neutral(*_READ_ONLY, "Description")
        name, action, kind = left.text("Name"), left.text("Action"), left.text("Type", "consul")
        permissions = tuple(_permission(one, entry.label) for one in left.items("Permissions"))
    if kind not in {"consul", ""}:
        raise left.unmodelled(f'a source of the type "{kind}"')
    if entry.name == "*" and permissions:
        raise UnmodelledError(f"{entry.label}: Consul refuses permissions where the destination is *")
    if permissions and action:
        raise UnmodelledError(f"{entry.label}: Consul refuses a source with an action and permissions")
    word = None if permissions else _action(action, entry.label)
    return SourceIntention(entry.label, name, _named(name, entry.label), word, permissions)


def _named(name: str, where: str) -> Callable[[bytes], bool]:
    """Whether a caller has this name: Consul writes it into a regex as it is, so a dot is any character."""
    if name != "*" and (not name or not set(name) <= _NAMING):
        raise UnmodelledError(f'{where}: the source "{name[:80]}" is not modelled')
    wanted = name.encode()
    return regex(name, where) if "." in name else (lambda caller: name == "*" or caller == wanted)


_NAMING = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def _permission(value: Any, where: str) -> Permission:
    with Fields(value, where) as left:
        action, http = _action(left.text("Action"), where), left.take("HTTP")
    with Fields(http, where) as inner:
        asked = (path_of(inner), methods_of(inner), *headers_of(inner, kinds=_KINDS))
    conditions = tuple(one for one in asked if one is not None)
    if not conditions:
        raise UnmodelledError(f"{where}: Consul refuses a permission that asks for nothing")
    return Permission(action, conditions)


def _action(word: str, where: str) -> Default:
    if word == "allow":
        return "allow"
    if word == "deny":
        return "deny"
    raise UnmodelledError(f'{where}: Consul refuses the action "{word[:40]}"; it is allow or deny')


def _check_permissions(name: str, sources: Sequence[SourceIntention], *, http: bool) -> None:
    if not http and any(one.permissions for one in sources):
        raise UnmodelledError(
            f'{sources[0].label}: Consul refuses permissions for "{name}", whose protocol is TCP: they ask about HTTP'
        )
