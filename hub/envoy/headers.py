"""What Envoy does to request headers before any filter sees them. Measured on Envoy 1.40.

Two lists of the same facts, on purpose: translations are made with one, and judged with the other.
tests/adapters/vm/test_access_on_envoy.py repeats the measurement. Values are bytes: Envoy takes any above 0x7f, and its RE2
runs over bytes, so not every value is text.
"""

from __future__ import annotations

JOINED_HEADERS = frozenset(
    """
    accept accept-encoding access-control-request-headers access-control-request-method authentication
    access-control-request-private-network authorization cache-control cdn-loop content-encoding content-type
    grpc-accept-encoding grpc-timeout if-match if-modified-since if-none-match if-range if-unmodified-since origin
    pragma proxy-status referer user-agent via x-client-trace-id x-forwarded-host x-forwarded-port
    """.split()  # noqa: SIM905 - a table of words is easier to compare with the measurement than a column of strings
)
"""Request headers whose repeated lines Envoy joins (`a,b`) before any filter sees them."""

_MANAGED = frozenset(
    """
    connection content-length expect host http2-settings keep-alive proxy-connection te transfer-encoding upgrade
    x-forwarded-client-cert x-forwarded-for x-forwarded-proto x-request-id
    """.split()  # noqa: SIM905 - as above
)


_INLINE_NAMES = (
    "accept accept-encoding access-control-request-headers access-control-request-method"
    " access-control-request-private-network authentication authorization cache-control cdn-loop content-encoding"
    " content-type expect grpc-accept-encoding grpc-timeout if-match if-modified-since if-none-match if-range"
    " if-unmodified-since origin pragma proxy-status referer user-agent via x-client-trace-id x-envoy-attempt-count"
    " x-envoy-decorator-operation x-envoy-downstream-service-cluster x-envoy-downstream-service-node"
    " x-envoy-external-address x-envoy-is-timeout-retry x-envoy-original-path x-envoy-original-host x-forwarded-for"
    " x-forwarded-host x-forwarded-port"
)
INLINE_HEADERS = frozenset(_INLINE_NAMES.split())
"""Request headers of which Envoy keeps one value: it joins repeated lines with a comma before filters see them."""

_REST = r"[\x80-\xbf]"
_CHARACTER = rf"[\x00-\x7f]|[\xc2-\xdf]{_REST}|[\xe0-\xef]{_REST}{{2}}|[\xf0-\xf4]{_REST}{{3}}"
_CUT_SHORT = rf"(?:[\xc2-\xf4]|[\xe0-\xf4]{_REST}|[\xf0-\xf4]{_REST}{{2}})(?:[^\x80-\xbf]|$)"
_NEVER = r"[\x80-\xc1\xf5-\xff]|\xe0[\x80-\x9f]|\xed[\xa0-\xbf]|\xf0[\x80-\x8f]|\xf4[\x90-\xbf]"
NOT_UTF8 = rf"(?:{_CHARACTER})*(?:{_CUT_SHORT}|{_NEVER})[\x00-\xff]*"
"""Values that are no UTF-8 (The Unicode Standard, table 3-7), which no pattern of SMI matches. For RE2 over bytes; Go compiles it."""


def is_managed_header(header: str) -> bool:
    """Whether Envoy itself may set, remove or rewrite this request header (lower-case name) before a filter sees it.

    A match on such a header would ask about Envoy, not about the caller. Pseudo headers (`:path`) belong here too.
    """
    return header in _MANAGED or header.startswith((":", "x-envoy-"))
