"""How Envoy reads a request line: path normalisation, and what its HTTP/1.1 codec refuses.

Source: Envoy HTTP connection manager v3, `normalize_path`, `merge_slashes`, `path_with_escaped_slashes_action`; the
details (which characters are escaped or unescaped, nested escapes, dot segments with parameters) were observed on
Envoy 1.40 with the table of tests/adapters/vm/test_normalise.py.
"""

from __future__ import annotations

import re

from msgspec import Struct

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPED = frozenset(b'"<>^`{|}')
_ESCAPED_SLASH = re.compile(rb"%(2[fF]|5[cC])")
_PLAIN = re.compile(rb"[A-Za-z0-9_~!$&'()*+,;=:@/?\[\]-]*")
_DOT_PARAMETERS = re.compile(rb"(?<=/)(\.\.?);[^/]*")
_REFUSED_BYTES = re.compile(rb"[\x00-\x20#\x7f-\xff]")
_REFUSED_BYTES_2 = re.compile(rb"[\x00-\x20#\x7f]")
_ABSOLUTE = re.compile(rb"(?i:https?)://[A-Za-z0-9._~:\[\]-]+(?=[/?#]|\Z)")
_SLASHES = ((b"2f", b"/"), (b"5c", b"\\"))

KEEP_UNCHANGED, REJECT_REQUEST, UNESCAPE_AND_REDIRECT, UNESCAPE_AND_FORWARD = 1, 2, 3, 4
"""PathWithEscapedSlashesAction; 0 is `IMPLEMENTATION_SPECIFIC_DEFAULT`, which is KEEP_UNCHANGED."""

_METHOD_NAMES = (
    "ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH NOTIFY"
    " OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK"
    " UNSUBSCRIBE"
)
METHODS = frozenset(_METHOD_NAMES.split())
"""The methods that Envoy's HTTP/1.1 parser takes without `allow_custom_methods`; others are answered 400."""


class PathOptions(Struct, frozen=True):
    """What an HTTP connection manager does with `:path`."""

    normalize: bool = False
    merge: bool = False
    slashes: int = KEEP_UNCHANGED


def target(raw: bytes, *, http2: bool = False) -> bytes | None:
    """The `:path` of a request target, or None if Envoy answers 400 or 404, or ends the stream.

    HTTP/1.1 has an absolute form; HTTP/2 carries bytes beyond ASCII.
    """
    if http2:
        return None if not raw.startswith(b"/") or _REFUSED_BYTES_2.search(raw) else raw
    absolute = _ABSOLUTE.match(raw)
    if absolute:
        raw = raw[absolute.end() :] or b"/"
    if not raw.startswith(b"/") or _REFUSED_BYTES.search(raw):
        return None
    return raw


def normalise(path: bytes, options: PathOptions) -> bytes | None:
    """The `:path` that filters, routes and the application see, or None if Envoy answers the request itself."""
    if _is_plain(path):
        return path
    part, mark, query = path.partition(b"?")
    # Escaped slashes before normalisation, slashes merged after it: the order is Envoy's, and %2F..%2F depends on it.
    if options.slashes in (REJECT_REQUEST, UNESCAPE_AND_REDIRECT) and _ESCAPED_SLASH.search(part):
        return None
    if options.slashes == UNESCAPE_AND_FORWARD:
        part = _unescape_slashes(part)
    if options.normalize:
        canonical = _canonical(_DOT_PARAMETERS.sub(rb"\1", part))
        if canonical is None:
            return None
        part = canonical
    if options.merge:
        part = _merged(part)
    return part + mark + query


def _is_plain(path: bytes) -> bool:
    return b"//" not in path and _PLAIN.fullmatch(path) is not None


def _unescape_slashes(part: bytes) -> bytes:
    return _ESCAPED_SLASH.sub(lambda found: dict(_SLASHES)[found.group(1).lower()], part)


def _merged(part: bytes) -> bytes:
    if b"//" not in part:
        return part
    end = b"/" if part.endswith(b"/") else b""
    return b"/" + b"/".join(segment for segment in part.split(b"/") if segment) + end


class _Canon:
    """One pass over a path: `out` is the canonical form so far, `stray` where its last `%` without two digits stands."""

    def __init__(self, part: bytes) -> None:
        self.part = part
        self.out = bytearray()
        self.stray = -3
        self.at = 0

    def escape(self) -> int | None:
        """The byte that the escape sequence at `at` means, or None."""
        return _decoded(self.part, self.at)

    def dot(self, at: int) -> int:
        """The length of the dot (plain or escaped) at `at`; 0 if there is none."""
        if self.part[at : at + 1] == b".":
            return 1
        return 3 if self.part[at : at + 3].lower() == b"%2e" else 0

    def ends(self, at: int) -> bool:
        """Whether a segment ends at `at`."""
        return self.part[at : at + 1] in (b"", b"/", b"\\")


def _decoded(text: bytes | bytearray, at: int) -> int | None:
    digits = bytes(text[at + 1 : at + 3])
    if text[at : at + 1] != b"%" or re.fullmatch(rb"[0-9A-Fa-f]{2}", digits) is None:
        return None
    return int(digits, 16)


def _canonical(part: bytes) -> bytes | None:
    canon = _Canon(part)
    while canon.at < len(part):
        length = canon.dot(canon.at)
        if length:
            _step_dot(canon, length)
        elif part[canon.at] == ord("%"):
            if canon.escape() == 0:
                return None
            _step_percent(canon)
        else:
            _step_plain(canon)
    return bytes(canon.out)


def _step_dot(canon: _Canon, length: int) -> None:
    after = canon.at + length
    if not canon.out.endswith(b"/"):
        canon.out += b"."
        canon.at = after
        return
    if canon.ends(after):
        canon.at = after + 1
        return
    second = canon.dot(after)
    if second and canon.ends(after + second):
        canon.out = canon.out[: canon.out.rfind(b"/", 0, -1) + 1] or bytearray(b"/")
        canon.at = after + second + 1
        return
    canon.out += b"."
    canon.at = after


def _step_percent(canon: _Canon) -> None:
    value = canon.escape()
    if value is None:
        canon.stray = len(canon.out)
        canon.out += b"%"
        canon.at += 1
        return
    if value not in _UNRESERVED:
        canon.out += canon.part[canon.at : canon.at + 3]
        canon.at += 3
        return
    canon.out.append(value)
    canon.at += 3
    _guard_nested(canon)


def _guard_nested(canon: _Canon) -> None:
    """Escape a stray `%` that the byte just unescaped would complete to a new escape sequence (`%4%31`)."""
    tail = canon.out[canon.stray :] if canon.stray >= 0 else b""
    if len(tail) == 2:
        tail = tail + canon.part[canon.at : canon.at + 1]
    if len(tail) == 3 and _decoded(tail, 0) is not None:
        canon.out[canon.stray + 1 : canon.stray + 1] = b"25"


def _step_plain(canon: _Canon) -> None:
    byte = canon.part[canon.at]
    canon.at += 1
    if byte == ord("\\"):
        canon.out += b"/"
    elif byte in _ESCAPED or byte >= 0x80:
        canon.out += b"%%%02X" % byte
    else:
        canon.out.append(byte)
