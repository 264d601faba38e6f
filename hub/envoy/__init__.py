"""Facts about Envoy that several meshes share, because their data plane is an Envoy: paths and headers as it reads them."""

from hub.envoy.headers import (
    INLINE_HEADERS as INLINE_HEADERS,
    JOINED_HEADERS as JOINED_HEADERS,
    NOT_UTF8 as NOT_UTF8,
    is_managed_header as is_managed_header,
)
from hub.envoy.lines import (
    Lines as Lines,
    differs_by_version as differs_by_version,
    header_lines as header_lines,
    joined_values as joined_values,
    lines_read_otherwise as lines_read_otherwise,
    takes_method as takes_method,
)
from hub.envoy.paths import (
    KEEP_UNCHANGED as KEEP_UNCHANGED,
    METHODS as METHODS,
    REJECT_REQUEST as REJECT_REQUEST,
    UNESCAPE_AND_FORWARD as UNESCAPE_AND_FORWARD,
    UNESCAPE_AND_REDIRECT as UNESCAPE_AND_REDIRECT,
    PathOptions as PathOptions,
    normalise as normalise,
    target as target,
)
