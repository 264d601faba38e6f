"""Matches of one set of callers, spread over as many HTTPRoutes as they need.

Source: the schemas of HTTPRoute: 16 rules of 8 matches (policy.linkerd.io), fewer than 128 matches (Gateway API v1).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from adapters.linkerd.translate.objects import RouteMatch, match_body, sort_key

MAX_MATCHES = 120
"""Most matches of one route: 15 rules of 8."""
MAX_ROUTES = 64
"""Most routes of one set of callers on one port."""
_MAX_BYTES = 400_000

Share = tuple[RouteMatch, ...]


def shared_out(matches: Iterable[RouteMatch]) -> list[Share] | None:
    """The matches in one route, or by their digests in 2, 4, 8...: a further match moves few others. None beyond the cap."""
    sized = [
        (match, body) for match in sorted(matches, key=sort_key) for body in [msgspec.json.encode(match_body(match))]
    ]
    count = 1
    while count <= MAX_ROUTES:
        shares: list[list[RouteMatch]] = [[] for _ in range(count)]
        bytes_of = [0] * count
        for match, body in sized:
            place = 0 if count == 1 else int.from_bytes(sha256(body).digest()[:4]) % count
            shares[place].append(match)
            bytes_of[place] += len(body)
        if max(map(len, shares)) <= MAX_MATCHES and max(bytes_of) <= _MAX_BYTES:
            return [tuple(share) for share in shares]
        count *= 2
    return None
