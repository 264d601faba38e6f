"""The access log of denials: one JSON line on Envoy's standard output for each request or connection that it refuses.

Never a file: Envoy refuses a listener whose log it cannot open, and with it every later change of that listener. Nobody is
told anything until whoever starts Envoy turns it on (`DENIAL_SWITCH`), who also says where the lines go. They have no header value
and no query. `caller` was proven by a certificate of our authority; `claims` is what one said that was not.
Source: Envoy, "Access logging"; Envoy API, config.accesslog.v3 and extensions.access_loggers.{stream,filters.cel}.v3.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from adapters.vm import wire
from adapters.vm.vocabulary import (
    CEL_FILTER,
    DENIAL_SWITCH,
    DENIED_KNOWN_CALLERS,
    DENIED_REQUESTS,
    DENIED_UNKNOWN_CALLERS,
    STDOUT_LOG,
)
from hub.api import Identity

_CALLER = "%DOWNSTREAM_PEER_URI_SAN%"
_FAILURE = {"why": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%", "ended": "%CONNECTION_TERMINATION_DETAILS%"}


def _lines(fields: Mapping[str, str]) -> bytes:
    """A log whose lines have these fields, as bytes: reading them is much faster than building the same again."""
    line = wire.Struct()
    line.update({"time": "%START_TIME%", "port": "%DOWNSTREAM_LOCAL_PORT%", **fields})
    form = wire.SubstitutionFormatString(json_format=line, omit_empty_values=True)
    return wire.pack(wire.StdoutAccessLog(log_format=form))


_REQUEST = _lines(
    {
        "caller": _CALLER,
        "method": "%REQ(:METHOD):64%",
        "path": "%PATH(NQ:PATH):2048%",
        "status": "%RESPONSE_CODE%",
        "why": "%RESPONSE_CODE_DETAILS%",
    }
)
_KNOWN, _UNKNOWN = _lines({**_FAILURE, "caller": _CALLER}), _lines({**_FAILURE, "claims": _CALLER})


def request_log(listener: str, to: Identity) -> wire.AccessLog:
    """Of requests that the port's policy refuses."""
    return _log(DENIED_REQUESTS, _REQUEST, listener, to)


def connection_logs(listener: str, to: Identity) -> list[wire.AccessLog]:
    """Of connections that end in the TLS handshake or at the TCP policy: of known callers, and of all others."""
    return [_log(DENIED_KNOWN_CALLERS, _KNOWN, listener, to), _log(DENIED_UNKNOWN_CALLERS, _UNKNOWN, listener, to)]


def _log(which: str, lines: bytes, listener: str, to: Identity) -> wire.AccessLog:
    log: Any = wire.StdoutAccessLog.FromString(lines)
    fields = log.log_format.json_format.fields
    fields["listener"].string_value = listener
    fields["to"].string_value = f"{to.namespace}/{to.service_account}"
    return wire.AccessLog(name=STDOUT_LOG, filter=_denial_filter(which), typed_config=wire.any_of(log))


@cache  # it is copied into each log
def _denial_filter(which: str) -> wire.AccessLogFilter:
    """The switch first: it costs nothing where nobody reads."""
    expression = wire.any_of(wire.ExpressionFilter(expression=which))
    of_kind = wire.ExtensionFilter(name=CEL_FILTER, typed_config=expression)
    on = wire.AccessLogFilter(runtime_filter=wire.RuntimeFilter(runtime_key=DENIAL_SWITCH))
    return wire.AccessLogFilter(and_filter=wire.AndFilter(filters=[on, wire.AccessLogFilter(extension_filter=of_kind)]))
