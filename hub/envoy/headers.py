"""What Envoy does to request headers before any filter sees them. Measured on Envoy 1.40.

Two lists of the same facts, on purpose: translations are made with one, and judged with the other.
tests/adapters/vm/test_access_on_envoy.py repeats the measurement.
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


def is_managed_header(header: str) -> bool:
    """Whether Envoy itself may set, remove or rewrite this request header (lower-case name) before a filter sees it.

    A match on such a header would ask about Envoy, not about the caller. Pseudo headers (`:path`) belong here too.
    """
    return header in _MANAGED or header.startswith((":", "x-envoy-"))
