r"""Fixed words of Linkerd: methods, headers that proxies own, and paths in normal form.

Source: Linkerd documentation, "Authorization Policy" and "HTTPRoute" (https://linkerd.io/2-edge/reference/httproute/);
linkerd2, policy-controller/k8s/index/src/routes/http.rs (methods); linkerd2-proxy, linkerd/http/route/src/http/match (how a
path, a header and a method are matched). Observed on Linkerd edge-26.8: a path goes to the application as it came.
"""

from __future__ import annotations

import re

OPAQUE_PORTS = frozenset((25, 587, 3306, 4444, 5432, 6379, 9300, 11211))
"""Ports of Pods and Services that are opaque bytes unless their owners say otherwise (Helm value `proxy.opaquePorts`)."""

METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))
"""The methods that a route can name (Gateway API, HTTPMethod)."""

HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,256}")
"""Lower-case names that a route can name (Gateway API, HTTPHeaderName)."""

_CONNECTION = (
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)
_MANAGED = frozenset((*_CONNECTION, "b3", "content-length", "expect", "forwarded", "host", "traceparent", "tracestate"))
"""What proxies set, drop or rewrite between the two applications: connection headers, the authority, traces."""


def is_managed(header: str) -> bool:
    """Whether a header (lower-case name) tells about proxies rather than about the caller."""
    return header in _MANAGED or header.startswith(("l5d-", "x-b3-", ":"))


_HEX = "[0-9A-Fa-f]"
ESCAPE = (
    "%(?:2[0-246-9A-Ca-c]|3[AC-Eac-e]|[46]0|5[BDEbde]|7[B-Db-d]"  # reserved characters, those that no URI has, and blanks
    f"|[89ABDabd]{_HEX}|[Cc][2-9A-Fa-f]|[Ee](?:[1-9A-Fa-f]|0%[ABab]{_HEX})|[Ff](?:0%[9ABab]{_HEX}|[1-4]))"  # UTF-8
)
"""Escapes that mean what they are: no controls, no `%`, `/`, `;`, `?`, `#` and backslash, nothing that needs no escape."""
PLAIN = r'[!"$&-\-0-:<->@-\[\]-~]'
"""Characters of a segment but the dot: ASCII without `%`, `.`, `/`, `;` and backslash."""
PLAIN_OR_DOT = r'[!"$&-.0-:<->@-\[\]-~]'
SEGMENT = rf"(?:(?:\.*(?:{PLAIN}|{ESCAPE}))+\.*|\.{{3}}\.*)"
"""A segment that is neither empty nor one or two dots."""
NORMAL_PATH = rf"/(?:{SEGMENT}/)*(?:{SEGMENT})?"
"""Paths that have no other normal form, and that no application reads differently (RFC 3986, 6.2.2): all else is refused
where a path is granted by a pattern, as `/public/.*` would else let `/public/../admin` through to applications that resolve it."""
