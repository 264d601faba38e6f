"""Which header values are text. Envoy takes any byte above 0x7f in one, and its RE2 runs over bytes (observed on Envoy 1.40)."""

from __future__ import annotations

_REST = r"[\x80-\xbf]"
_CHARACTER = rf"[\x00-\x7f]|[\xc2-\xdf]{_REST}|[\xe0-\xef]{_REST}{{2}}|[\xf0-\xf4]{_REST}{{3}}"
_CUT_SHORT = rf"(?:[\xc2-\xf4]|[\xe0-\xf4]{_REST}|[\xf0-\xf4]{_REST}{{2}})(?:[^\x80-\xbf]|$)"
_NEVER = r"[\x80-\xc1\xf5-\xff]|\xe0[\x80-\x9f]|\xed[\xa0-\xbf]|\xf0[\x80-\x8f]|\xf4[\x90-\xbf]"
NOT_UTF8 = rf"(?:{_CHARACTER})*(?:{_CUT_SHORT}|{_NEVER})[\x00-\xff]*"
"""Values that are no UTF-8 (The Unicode Standard, table 3-7), which no pattern of SMI matches. For RE2 over bytes; Go compiles it."""
