"""Conditions on a port that declares gRPC: a call is a POST to `/service/method`, and GRPCRoute matches those two.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Requests; Gateway API, GRPCMethodMatch.
"""

from __future__ import annotations

import re

from hub.api import Forms, HttpMatch, RoutePort
from smihub_gamma import losses
from smihub_gamma.conditions import Paths, Said, combine, paths_of

_SERVICE = re.compile(r"/\.?[A-Za-z_][A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)*")
_CALL = re.compile(_SERVICE.pattern + r"/[A-Za-z_][A-Za-z_0-9]*")


def speaks_grpc(port: RoutePort) -> bool:
    """Whether a port declares gRPC (grpc-web is plain HTTP to a route)."""
    return port.word.partition("-")[0] == "grpc" and not port.word.startswith("grpc-web")


def say_grpc(match: HttpMatch) -> Said:
    """A match of SMI as matches of a GRPCRoute, which is as precise as one of an HTTPRoute where every request is a call."""
    if match.methods is not None and "POST" not in match.methods:
        return Said((), tuple(map(losses.no_call, sorted(set(match.methods)))))
    return combine(paths_of(match.path, _services_and_methods), ("",), match.headers)


def _services_and_methods(forms: Forms) -> Paths | None:
    """`/service/` begins the calls of a service; a text that is no path of a call is asked about by none."""
    if "/" in forms.prefixes:
        return (("/", False),)
    services = {text.removesuffix("/") for text in forms.prefixes}
    whole = all(text.endswith("/") and _SERVICE.fullmatch(text[:-1]) for text in forms.prefixes)
    calls = {text for text in forms.exact if _CALL.fullmatch(text)}
    paths = [(text, False) for text in services] + [(text, True) for text in calls]
    return tuple(sorted(paths)) if whole else None
