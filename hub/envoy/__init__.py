"""Facts about Envoy that several meshes share, because their data plane is an Envoy: paths and headers as it reads them."""

from hub.envoy.headers import INLINE_HEADERS, JOINED_HEADERS, NOT_UTF8, is_managed_header
from hub.envoy.lines import (
    Lines,
    differs_by_version,
    header_lines,
    joined_values,
    lines_read_otherwise,
    takes_method,
)
from hub.envoy.paths import (
    KEEP_UNCHANGED,
    METHODS,
    REJECT_REQUEST,
    UNESCAPE_AND_FORWARD,
    UNESCAPE_AND_REDIRECT,
    PathOptions,
    normalise,
    target,
)

__all__ = [
    "INLINE_HEADERS",
    "JOINED_HEADERS",
    "KEEP_UNCHANGED",
    "METHODS",
    "NOT_UTF8",
    "REJECT_REQUEST",
    "UNESCAPE_AND_FORWARD",
    "UNESCAPE_AND_REDIRECT",
    "Lines",
    "PathOptions",
    "differs_by_version",
    "header_lines",
    "is_managed_header",
    "joined_values",
    "lines_read_otherwise",
    "normalise",
    "takes_method",
    "target",
]
