"""Envoy's HTTP connection manager: what it reads, what it refuses, what its filters and routes then do.

Source: Envoy `http_connection_manager.v3`, `http.rbac.v3`. HTTP/1.1 and HTTP/2 are read apart where they differ (observed on
Envoy 1.40), and the answer is that of the version that lets more pass: HTTP/2 carries bytes beyond ASCII in paths, methods
that nobody registered, and outer blanks of header values, which HTTP/1.1 cuts off, and its cookies are joined. What the
codec refuses is judged all the same, so that a loss code is named only if policy alone would have let the request pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from adapters.vm import wire
from adapters.vm.evaluate.fields import Fields, extension
from adapters.vm.evaluate.match import Call, Connection
from adapters.vm.evaluate.rbac import HTTP, Decision, Engine, engine_of
from adapters.vm.evaluate.resources import Resources
from adapters.vm.evaluate.routes import Choice, Level, RouteTable, VirtualHost, resolve, table_of
from hub.api import (
    INLINE_HEADERS,
    Lines,
    PathOptions,
    Request,
    UnmodelledError,
    differs_by_version,
    header_lines,
    joined_values,
    normalise,
    raw_bytes,
    takes_method,
    target,
)

METHOD, PATH, HEADER = "method.nonstandard", "path.guarded", "header.rejected"
_RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_UNDERSCORES_REJECT, _UNDERSCORES_DROP = 1, 2
_CODECS = (0, 1)
_SANITIZING = (0, 3)
_PATHS, _HEADERS, _PATH = frozenset(("url_path",)), frozenset(("header",)), frozenset((":path",))
_NOBODY = VirtualHost((), (), frozenset())


class HttpFilter(Struct, frozen=True):
    """One RBAC filter: its name, its own engine (None: lets all pass)."""

    name: str
    engine: Engine | None

    def decide(self, call: Call, levels: Sequence[Level]) -> Decision:
        """The engine of the most specific level that names this filter, else its own."""
        found = resolve(levels, self.name)
        engine = self.engine if found is None else found.engine
        return Decision(True) if engine is None else engine.decide(call)


class Manager(Struct, frozen=True):
    """A compiled HTTP connection manager; `table` is None where its route configuration is missing."""

    origin: str
    paths: PathOptions
    underscores: int
    upgrades: frozenset[str]
    filters: tuple[HttpFilter, ...]
    table: RouteTable | None


class Reading(Struct, frozen=True):
    """A request as the codec reads it: the call, the authority, the path before normalisation, what is refused.

    `loose` are the lines as sent of headers that Envoy joins or whose blanks it keeps, `wild` names the headers (and
    `:path`) that it reads byte by byte.
    """

    call: Call
    authority: str
    raw: bytes
    faults: tuple[str, ...]
    loose: Lines
    wild: frozenset[str]


class Outcome(Struct, frozen=True):
    """What becomes of a request: let pass or not, decided by what, on which route, forwarded as which call."""

    passes: bool
    by: tuple[str, ...]
    call: Call
    choice: Choice | None = None
    host: VirtualHost = _NOBODY
    losses: tuple[str, ...] = ()


def serve(manager: Manager, connection: Connection, request: Request) -> Outcome:
    """Judge one HTTP request on an accepted connection; with the losses of both versions where one of them lets it pass."""
    first = _serve(manager, _read(manager, connection, request, http2=False))
    if not differs_by_version(request):
        return first
    # A caller chooses the version of HTTP, so what either of them lets pass counts as let in.
    second = _serve(manager, _read(manager, connection, request, http2=True))
    chosen = second if second.passes and not first.passes else first
    turned = first.passes and second.passes and first.choice != second.choice
    return replace(chosen, losses=tuple(sorted({*first.losses, *second.losses, *((HEADER,) if turned else ())})))


def _serve(manager: Manager, reading: Reading) -> Outcome:
    judged = _judge(manager, reading.call, reading.authority)
    # Envoy answers 400 before any policy is asked: a loss only if policy would
    # let it pass, or cannot tell since the path could not be normalised.
    if reading.faults:
        is_loss = judged.passes or PATH in reading.faults or _excused_by(manager, reading)
        return replace(judged, passes=False, losses=reading.faults if is_loss else ())
    return replace(judged, losses=(_rerouted_by if judged.passes else _excused_by)(manager, reading))


def _excused_by(manager: Manager, reading: Reading) -> tuple[str, ...]:
    """The codes of what alone stands in the way: a guard of paths or of header values, or Envoy's own rewriting."""
    path, headers = reading.wild & _PATH, reading.wild - _PATH
    guarded = replace(reading.call, free=_PATHS, wild=path)
    ways: list[tuple[tuple[str, ...], Call]] = [((PATH,), guarded)]
    if reading.raw != reading.call.path:
        ways.append(((PATH,), replace(guarded, path=reading.raw)))
    if reading.loose or headers:
        loose = replace(reading.call, headers={**reading.call.headers, **reading.loose})
        ways.append(((HEADER,), replace(loose, free=_HEADERS, wild=headers)))
        ways.append(((HEADER, PATH), replace(loose, free=_PATHS | _HEADERS, wild=reading.wild, path=reading.raw)))
    return next((codes for codes, call in ways if _judge(manager, call, reading.authority).passes), ())


def _rerouted_by(manager: Manager, reading: Reading) -> tuple[str, ...]:
    """The codes of what is judged joined or byte by byte, where lines or characters could take another route."""
    if manager.table is None or not (reading.loose or reading.wild):
        return ()
    sent = {**reading.call.headers, **reading.loose}
    loose = replace(reading.call, headers=sent, free=_HEADERS, wild=reading.wild)
    host = manager.table.host(reading.authority)
    taken, meant = (manager.table.choose(host, call) for call in (reading.call, loose))
    if taken == meant:
        return ()
    return tuple(
        code for code, odd in ((HEADER, reading.loose or reading.wild - _PATH), (PATH, reading.wild & _PATH)) if odd
    )


def _judge(manager: Manager, call: Call, authority: str) -> Outcome:
    table = manager.table or RouteTable(manager.origin)
    host = table.host(authority)
    choice = table.choose(host, call)
    decision = _filtered(manager, call, choice)
    if not decision.passes:
        return Outcome(False, (decision.by,), call, choice, host or _NOBODY)
    if choice is None or not choice.shares:
        return Outcome(False, (choice.label if choice else table.origin,), call, choice, host or _NOBODY)
    return Outcome(True, (decision.by or choice.label,), call, choice, host or _NOBODY)


def _filtered(manager: Manager, call: Call, choice: Choice | None) -> Decision:
    """The filters' decision; with weighted clusters the most generous of their levels, for a call may meet any."""
    if choice is None:
        return _run_filters(manager, call, ())
    ways = [share.levels for share in choice.shares] or [choice.levels]
    decisions = [_run_filters(manager, call, way) for way in dict.fromkeys(ways)]
    # Which cluster is drawn is chance: if one of them opens, the request gets in sooner or later.
    return next((one for one in decisions if one.passes), decisions[0])


def _run_filters(manager: Manager, call: Call, levels: Sequence[Level]) -> Decision:
    last = Decision(True)
    for rbac in manager.filters:
        last = rbac.decide(call, levels)
        if not last.passes:
            return last
    return last


# --------------------------------------------------------------------------- reading a request


def _read(manager: Manager, connection: Connection, request: Request, *, http2: bool) -> Reading:
    faults = set() if takes_method(request.method, http2=http2) else {METHOD}
    lines, refused = _headers(manager, request, http2=http2)
    headers = {name: seen for name, values in lines.items() if (seen := joined_values(name, values, http2=http2))}
    faults |= {HEADER} if refused else set()
    sent = raw_bytes(request.path)
    raw = target(sent, http2=http2) if sent.startswith(b"/") else None  # a path, not any request target
    path = None if raw is None else normalise(raw, manager.paths)
    if path is None:
        faults.add(PATH)
        path = raw or sent
    authority = headers.get("host", (b"",))[0].decode("latin-1")
    call = Call(connection, raw_bytes(request.method), path, headers)
    wild = {name for name, values in lines.items() if not all(map(bytes.isascii, values))}
    wild |= frozenset() if call.plain_path.isascii() else _PATH
    return Reading(
        call, authority, raw or path, tuple(sorted(faults)), _lines_as_sent(lines, http2=http2), frozenset(wild)
    )


def _lines_as_sent(lines: Lines, *, http2: bool) -> dict[str, tuple[bytes, ...]]:
    """Headers whose lines a policy may not see as they were sent: those lines, and an empty value."""
    found = {}
    for name, values in lines.items():
        trimmed = tuple(value.strip(b" \t") for value in values)
        joined = name in INLINE_HEADERS and b"," in b",".join(values)
        if joined or trimmed != values or (name == "cookie" and http2 and (len(values) > 1 or not values[0])):
            found[name] = (*values, *trimmed, b"")
    return found


def _headers(manager: Manager, request: Request, *, http2: bool) -> tuple[Lines, bool]:
    """The header lines that filters see, and whether Envoy refuses one; those with "_" it takes, drops or refuses, as it is set."""
    odd = [name for name, _ in request.headers if "_" in name]
    if manager.underscores == _UNDERSCORES_DROP:
        request = replace(request, headers=tuple(pair for pair in request.headers if "_" not in pair[0]))
    lines, refused = header_lines(request, http2=http2, upgrades=manager.upgrades)
    return lines, refused or (bool(odd) and manager.underscores == _UNDERSCORES_REJECT)


# --------------------------------------------------------------------------- compiling


def manager_of(message: wire.Message, origin: str, resources: Resources) -> Manager:
    """Compile an HttpConnectionManager."""
    with Fields(message, origin) as left:
        left.neutral("stat_prefix", "server_name", "server_header_transformation", "access_log", "generate_request_id")
        left.neutral("stream_idle_timeout", "request_timeout", "request_headers_timeout", "drain_timeout")
        left.neutral("delayed_close_timeout", "set_current_client_cert_details", "max_request_headers_kb")
        left.neutral("always_set_request_id_in_response", "preserve_external_request_id", "skip_xff_append")
        _check_fixed(left)
        paths = _paths(left)
        underscores = _underscores(left.take("common_http_protocol_options"), origin)
        upgrades = frozenset(_upgrade(one, origin) for one in left.take("upgrade_configs", ()))
        filters = _filters(left.take("http_filters", ()), origin)
        table = _table(left, resources)
    return Manager(origin, paths, underscores, upgrades, filters, table)


def _check_fixed(left: Fields) -> None:
    """The fields of which only some values are modelled."""
    if left.take("codec_type", 0) not in _CODECS:
        raise UnmodelledError(f"{left.where}: only the codecs AUTO and HTTP1 are modelled")
    if left.flag("use_remote_address"):
        raise UnmodelledError(f'{left.where}: "use_remote_address" rewrites headers in ways that are not modelled')
    if left.take("forward_client_cert_details", 0) not in _SANITIZING:
        raise UnmodelledError(f"{left.where}: a caller's own x-forwarded-client-cert would reach the application")
    for name, known in (("http_protocol_options", ()), ("http2_protocol_options", _HTTP2)):
        options = left.take(name)
        if options is not None:
            with Fields(options, left.where) as inner:
                inner.neutral(*known)


_HTTP2 = (
    "max_concurrent_streams",
    "initial_stream_window_size",
    "initial_connection_window_size",
    "connection_keepalive",
)


def _paths(left: Fields) -> PathOptions:
    normalize, merge = left.flag("normalize_path"), left.flag("merge_slashes")
    return PathOptions(normalize, merge, left.take("path_with_escaped_slashes_action", 0))


def _underscores(message: wire.Message | None, origin: str) -> int:
    if message is None:
        return 0
    with Fields(message, origin) as left:
        left.neutral("idle_timeout", "max_connection_duration", "max_headers_count", "max_stream_duration")
        left.neutral("max_requests_per_connection")
        return int(left.take("headers_with_underscores_action", 0))


def _upgrade(message: wire.Message, origin: str) -> str:
    with Fields(message, origin) as left:
        name = str(left.take("upgrade_type", "")).lower()
        enabled = left.take("enabled")
    if name != "websocket":
        raise UnmodelledError(f'{origin}: the upgrade "{name}" is not modelled')
    return name if enabled is None or enabled.value else ""


def _filters(messages: Sequence[wire.Message], origin: str) -> tuple[HttpFilter, ...]:
    compiled = [_filter(one, origin) for one in messages]
    if not compiled or compiled[-1] is not None or None in compiled[:-1]:
        raise UnmodelledError(f"{origin}: Envoy rejects a filter list whose last and only router is not at its end")
    return tuple(one for one in compiled if one is not None)


def _filter(message: wire.Message, origin: str) -> HttpFilter | None:
    """One HTTP filter; None is the router."""
    with Fields(message, origin) as left:
        left.neutral("is_optional")
        name, packed, disabled = left.take("name", ""), left.take("typed_config"), left.flag("disabled")
    if packed is None:
        raise left.rejected("an HTTP filter without a configuration")
    kind, config = extension(packed, origin)
    if kind == _ROUTER and not disabled:
        _check_router(config, origin)
        return None
    if kind != _RBAC:
        raise UnmodelledError(f'{origin}: the HTTP filter "{name}" of type "{kind}" is not modelled here')
    engine = engine_of(config, origin, HTTP)
    # A disabled filter runs only where a level configures it; elsewhere everything passes.
    return HttpFilter(name, None if disabled else engine)


def _check_router(config: wire.Message, origin: str) -> None:
    with Fields(config, origin) as left:
        left.neutral("dynamic_stats", "start_child_span", "suppress_envoy_headers", "respect_expected_rq_timeout")


def _table(left: Fields, resources: Resources) -> RouteTable | None:
    inline, rds = left.take("route_config"), left.take("rds")
    if inline is not None:
        return table_of(inline, left.where)
    if rds is None:
        raise left.rejected("no route configuration")
    name = _rds_name(rds, left.where)
    found = resources.find("RouteConfiguration", name)
    return None if found is None else table_of(found, f"RouteConfiguration/{name}")


def _rds_name(message: Any, origin: str) -> str:
    with Fields(message, origin) as left:
        left.neutral("config_source")
        return str(left.take("route_config_name", ""))
