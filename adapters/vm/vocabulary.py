"""Fixed words of our xDS resources: filter names, the impossible peer, the path guard, header names that Envoy owns.

Measured on Envoy 1.40 with the settings that smihub emits; tests/adapters/vm/test_access_on_envoy.py repeats it.
"""

from __future__ import annotations

import re

HCM = "envoy.filters.network.http_connection_manager"
TCP_PROXY = "envoy.filters.network.tcp_proxy"
CONNECTION_LIMIT = "envoy.filters.network.connection_limit"
ROUTER = "envoy.filters.http.router"
HTTP_RBAC = "envoy.filters.http.rbac"
"""Name of the HTTP filter *instance*: a vhost's typed_per_filter_config finds it by this key, not by its type."""
MTLS_PRINCIPAL = "envoy.rbac.principals.mtls_authenticated"
TLS_SOCKET = "envoy.transport_sockets.tls"
STDOUT_LOG = "envoy.access_loggers.stdout"
CEL_FILTER = "envoy.access_loggers.extension_filters.cel"
DENIAL_SWITCH = "smihub.denials"
"""Key of Envoy's runtime: the percentage of denials that are written to its standard output; 0 where nobody sets it."""
_RBAC = 'startsWith("rbac_access_denied")'
_SAN_MISMATCH = 'connection.transport_failure_reason.contains("SAN matcher")'
"""The certificate is of our authority, and its identity is not among those let in: Envoy verifies the chain first."""
DENIED_REQUESTS = f"response.code_details.{_RBAC}"
"""Which requests are denials. Not those with an escaped slash, answered 400: their path would be logged unescaped."""
DENIED_KNOWN_CALLERS = f"{_SAN_MISMATCH} || connection.termination_details.{_RBAC}"
"""Which connections are denials of a caller who is known."""
DENIED_UNKNOWN_CALLERS = f'connection.transport_failure_reason != "" && !{_SAN_MISMATCH}'
"""Which connections are denials of a caller who has proven nothing: no certificate, or one of somebody else's authority."""
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

NOBODY = "urn:smihub:nobody"
"""A URI SAN that no certificate of ours carries (it is no SPIFFE id): the SAN list of "nobody", never an empty list."""

_ESCAPES = (
    "[01][0-9A-Fa-f]|7[fF]"  # controls
    "|2[35fF]|3[bBfF]|5[cC]"  # # % / ; ? \\, which mean something else when they are decoded
    "|2[dDeE]|3[0-9]|4[1-9A-Fa-f]|5[0-9aAfF]|6[1-9A-Fa-f]|7[0-9aAeE]"  # characters that need no escape (RFC 3986, 2.3)
    "|[cC][01]|[eE]0%[89]|[fF]0%8|[fF]8%8[0-7]|[fF][cC]%8[0-3]"  # UTF-8 longer than it need be
    "|[^0-9A-Fa-f]|[0-9A-Fa-f][^0-9A-Fa-f]|[0-9A-Fa-f]?$"  # not two hexadecimal digits
)
_BEYOND_ASCII = r"[^\x00-\x7f]"

PATH_GUARD = rf"\C*(?:[;\\]|//|{_BEYOND_ASCII}|%(?:{_ESCAPES}))\C*|\C*/\.{{1,2}}(?:/\C*)?"
"""Paths that have another normal form, or that an application may read differently: dot segments, empty segments,
parameters, backslashes, needless, second, overlong or broken escapes. They are refused, not normalised: after
normalising, Envoy would allow `/public/../admin` to whoever may call `/admin`, and SMI says nothing of the kind.

Bytes beyond ASCII too, which no URI has unescaped (RFC 3986, 2.1) and HTTP/2 carries all the same: Envoy's RE2 counts them one
by one, SMI's patterns count characters, and what is no UTF-8 matches none of these."""

ROUTE_PATH_GUARD = rf"[^?]*{_BEYOND_ASCII}\C*"
"""Values of `:path` (it has the query) whose path has a byte beyond ASCII: no condition of a split holds for them."""

REMOVED_HEADERS = (
    "x-envoy-original-path",
    "x-envoy-decorator-operation",
    "x-envoy-external-address",
    "x-forwarded-path",
    "x-forwarded-uri",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-rewrite-url",
    "x-forwarded-method",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "forwarded",
    "x-forwarded-for",
    "x-real-ip",
)
"""Request headers that never reach an application: they would tell it another path, method or caller than Envoy judged."""

MAX_PROGRAM_SIZE = 32768
"""RE2 program size that Envoy takes with `re2.max_program_size.error_level` of our bootstrap."""

UINT32_MAX = 2**32 - 1

HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^`|~-]+")
"""Lower-case header names (RFC 9110 token) without `_`: Envoy refuses requests that carry an underscored name."""
