"""What is valid and probably a mistake: accounts that nobody has, ports that no workload has, patterns that match no path.

Pure. Only `check` tells; nothing here takes anything away.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator

from msgspec import Struct

from hub.envoy.headers import is_managed_header
from hub.model import ObjectRef, Problem, Severity
from hub.regex import PATH, RegexRefusedError, language
from hub.smi.types import HTTPRouteGroup, PortRoute, ServiceAccount, SmiObject, TrafficTarget, Workload
from hub.store import Store

_GLOB = re.compile(r"/\*+")
_WORD_GLOB = re.compile(r"(?<=\w)\*+")
_PLAIN = re.compile(r"[\w/.*-]+")
"""A pattern of these alone, with a star after a letter or digit, is one that somebody wrote as a glob (`/api*`, `gold*`)."""
_SCHEME = re.compile(r"\^?[a-z]+://[^/]*")
_SHOWN = 5
_Account = tuple[str, str]


class _Known(Struct, frozen=True):
    """Who runs, and which accounts there are; `shown`: whether the sources show workloads at all."""

    accounts: frozenset[_Account]
    running: frozenset[_Account]

    @property
    def shown(self) -> bool:
        return bool(self.running)


def hints(store: Store) -> Iterator[Problem]:
    """A warning for each probable mistake, at each place where its object was read."""
    objects = tuple(store.objects())
    running = frozenset((one.ref.namespace, one.service_account) for one in objects if isinstance(one, Workload))
    named = frozenset((one.ref.namespace, one.ref.name) for one in objects if isinstance(one, ServiceAccount))
    known = _Known(running | named, running)
    for found in objects:
        for problem in _of(store, known, found):
            for origin in store.origins(found.ref):
                yield Problem(
                    problem.code, problem.ref, problem.field, problem.message, problem.remedy, origin, Severity.WARNING
                )


def _of(store: Store, known: _Known, found: SmiObject) -> Iterator[Problem]:
    if isinstance(found, TrafficTarget):
        if known.shown:
            yield from _accounts(known, found)
        yield from _ports(store, found)
    elif isinstance(found, HTTPRouteGroup):
        yield from _matches(found)


def _accounts(known: _Known, target: TrafficTarget) -> Iterator[Problem]:
    subjects = [("spec.destination.name", target.destination.kind, _destination(target))]
    subjects += [
        (f"spec.sources[{index}].name", one.kind, (one.namespace, one.name))
        for index, one in enumerate(target.sources)
        if one.namespace  # without one it is nobody, which is told as an error
    ]
    for field, kind, account in subjects:
        if kind == "ServiceAccount" and account not in known.accounts:
            message = f'no known workload runs as "{"/".join(account)}"'
            yield Problem("target.unknown-account", target.ref, field, message, _meant(account, known.accounts))


def _destination(target: TrafficTarget) -> _Account:
    """The account that receives; without a namespace it is of the target's own."""
    return target.destination.namespace or target.ref.namespace, target.destination.name


def _meant(account: _Account, accounts: Collection[_Account]) -> str:
    namespace, name = account
    here = sorted(other for there, other in accounts if there == namespace)
    if near := difflib.get_close_matches(name, here, 1):
        return f'did you mean "{near[0]}"? If the workload runs outside of the sources, ignore this'
    if elsewhere := sorted(there for there, other in accounts if other == name):
        return f'did you mean the account in namespace "{elsewhere[0]}"? If the workload runs outside of the sources, ignore this'
    return "correct the name; if the workload runs outside of the sources, ignore this"


def _ports(store: Store, target: TrafficTarget) -> Iterator[Problem]:
    """Ports of the target, and of its routes, that no workload of the destination has: mostly those of its Service."""
    if target.destination.kind != "ServiceAccount":
        return
    namespace, account = _destination(target)
    refs = tuple(store.workloads_of(namespace, account))
    there = _ports_of(store, refs)
    if not there:
        return
    asked = [("spec.destination.port", "destination.port", target.port)] if target.port is not None else []
    for index, rule in enumerate(target.rules):
        route = store.object(ObjectRef("specs.smi-spec.io", rule.kind, target.ref.namespace, rule.name))
        ports = route.ports or () if isinstance(route, PortRoute) else ()
        asked += [(f"spec.rules[{index}].name", f"{rule.kind} {rule.name}", port) for port in ports]
    for field, where, port in asked:
        if port not in there:
            shown = ", ".join(map(str, sorted(there)[:_SHOWN]))
            message = f"port {port} of {where} is not a port of any workload that runs as {namespace}/{account} (they have {shown}"
            leads = _leading(store, refs, port)
            yield Problem("target.no-such-port", target.ref, field, f"{message}{leads})", "use the workload's port")


def _ports_of(store: Store, refs: Collection[ObjectRef]) -> frozenset[int]:
    """The ports that these workloads declare, or that a Service leads to by number."""
    found = set[int]()
    for ref in refs:
        workload = store.workload(ref)
        found |= {port.port for port in workload.ports} if workload is not None else set()
        found |= {port.target for one in store.services_of(ref) for port in one.ports if isinstance(port.target, int)}
    return frozenset(found)


def _leading(store: Store, refs: Collection[ObjectRef], port: int) -> str:
    """Which Service has this port, and where it leads."""
    for ref in sorted(refs):
        for service in store.services_of(ref):
            for one in service.ports:
                if one.port == port:
                    return f"; port {port} of Service {service.ref.name} maps to {one.target}"
    return ""


def _matches(group: HTTPRouteGroup) -> Iterator[Problem]:
    for index, named in enumerate(group.matches):
        if named.match is None:
            continue
        field = f"spec.matches[{index}]"
        if named.match.path is not None:
            yield from _path(group.ref, f"{field}.pathRegex", named.match.path)
        for header, pattern in named.match.headers:
            yield from _glob(group.ref, f"{field}.headers.{header}", pattern)
            if is_managed_header(header) or "_" in header:
                why = "set, rewrite or remove it" if is_managed_header(header) else 'refuse or drop names with "_"'
                message = f'meshes refuse conditions on the header "{header}", because proxies {why}'
                remedy = "match a different header"
                yield Problem("match.refused-header", group.ref, f"{field}.headers", message, remedy)


def _path(ref: ObjectRef, field: str, pattern: str) -> Iterator[Problem]:
    globs = tuple(_glob(ref, field, pattern))
    if globs:
        yield from globs
        return
    try:
        never = language(pattern, PATH).is_empty()
    except RegexRefusedError:
        return
    if never:
        why, remedy = _no_path(pattern)
        yield Problem("match.no-path", ref, field, f'"{pattern}" matches no path: {why}', remedy)


def _no_path(pattern: str) -> tuple[str, str]:
    if pattern.startswith(("/", "^/")):
        return "no path has a space, a query or a fragment", 'remove spaces, "?" and "#"; queries cannot be matched'
    if scheme := _SCHEME.match(pattern):
        return 'every path begins with "/", without scheme and host', f'use "{pattern[scheme.end() :] or "/"}"'
    return 'every path begins with "/"', f'use "/{pattern.lstrip("^")}"'


def _glob(ref: ObjectRef, field: str, pattern: str) -> Iterator[Problem]:
    if _GLOB.search(pattern):
        message = f'"/*" in "{pattern}" means zero or more slashes; this is an RE2 pattern, not a glob'
        yield Problem("match.glob", ref, field, message, f'use "{_GLOB.sub("/.*", pattern)}"')
    elif (star := _WORD_GLOB.search(pattern)) and _PLAIN.fullmatch(pattern):
        letter = pattern[star.start() - 1]
        message = f'"{letter}*" in "{pattern}" means zero or more "{letter}"; this is an RE2 pattern, not a glob'
        yield Problem("match.glob", ref, field, message, f'use "{_WORD_GLOB.sub(".*", pattern)}"')
