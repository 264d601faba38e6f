"""Shapes of access logs: denials, on standard output, with nothing in a line but what is listed here.

A log into a file is refused: Envoy does not take a listener whose file it cannot open. So is every other header than the
method, and the query: they may hold secrets.
Source: Envoy, "Access logging".
"""

from __future__ import annotations

from typing import Any

from adapters.vm import wire
from adapters.vm.safety.shape import Shape, ShapeError, equal, extension, message, sequence
from adapters.vm.vocabulary import (
    CEL_FILTER,
    DENIAL_SWITCH,
    DENIED_KNOWN_CALLERS,
    DENIED_REQUESTS,
    DENIED_UNKNOWN_CALLERS,
    STDOUT_LOG,
)

_PEER, _FAILURE = "%DOWNSTREAM_PEER_URI_SAN%", "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%"
_REQUEST = {
    "caller": _PEER,
    "method": "%REQ(:METHOD):64%",
    "path": "%PATH(NQ:PATH):2048%",
    "status": "%RESPONSE_CODE%",
    "why": "%RESPONSE_CODE_DETAILS%",
}
_CONNECTION = {"why": _FAILURE, "ended": "%CONNECTION_TERMINATION_DETAILS%"}


def request_logs(listener: str, owner: str) -> Shape:
    """The logs of an HTTP port: of refused requests."""
    return sequence(_log(DENIED_REQUESTS, _line(listener, owner, _REQUEST)))


def connection_logs(listener: str, owner: str) -> Shape:
    """The logs of a listener: of connections whose caller is known, and of those whose caller is not."""
    known, unknown = ({**_CONNECTION, who: _PEER} for who in ("caller", "claims"))
    return sequence(
        _log(DENIED_KNOWN_CALLERS, _line(listener, owner, known)),
        _log(DENIED_UNKNOWN_CALLERS, _line(listener, owner, unknown)),
    )


def _line(listener: str, owner: str, fields: dict[str, str]) -> Shape:
    every = {"time": "%START_TIME%", "port": "%DOWNSTREAM_LOCAL_PORT%", "listener": listener, "to": owner}
    wanted = {**every, **fields}

    def check(value: Any, path: str) -> None:
        for key in sorted(value.fields):
            written = value.fields[key].string_value
            if wanted.get(key) != written:
                raise ShapeError(f'{path}["{key}"]: "{written[:80]}" is never logged')
        if missing := wanted.keys() - set(value.fields):
            raise ShapeError(f'{path}: "{min(missing)}" is not logged')

    return check


def _log(which: str, line: Shape) -> Shape:
    form = message(must={"json_format": line, "omit_empty_values": equal(True)})
    switch = message(must={"runtime_filter": message(must={"runtime_key": equal(DENIAL_SWITCH)})})
    expression = extension(wire.ExpressionFilter, message(must={"expression": equal(which)}))
    kind = message(must={"name": equal(CEL_FILTER), "typed_config": expression})
    both = message(must={"filters": sequence(switch, message(must={"extension_filter": kind}))})
    return message(
        must={
            "name": equal(STDOUT_LOG),
            "filter": message(must={"and_filter": both}),
            "typed_config": extension(wire.StdoutAccessLog, message(must={"log_format": form})),
        }
    )
