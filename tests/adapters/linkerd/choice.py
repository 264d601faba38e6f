"""Which callers a set of objects lets send a request, by Linkerd's rules, as few as translation needs; no age decides.

Source: https://linkerd.io/2-edge/reference/authorization-policy/ and .../httproute/ (of the routes that match, the most
specific one counts alone: the longest path, then headers and the method).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import re2

from hub.model import NativeObject, Translation

Body = dict[str, Any]
Headers = Sequence[tuple[str, str]]
Made = Translation | Iterable[NativeObject]


def bodies(made: Made, kind: str) -> dict[str, Body]:
    """The specs of the objects of one kind by name."""
    objects = made.objects if isinstance(made, Translation) else made
    return {one.ref.name: msgspec.json.decode(one.body)["spec"] for one in objects if one.ref.kind == kind}


def callers_of(made: Made, target: str, kind: str) -> set[str]:
    """Who is allowed by the policies of one target; one whose callers are missing is ignored."""
    proven, found = bodies(made, "MeshTLSAuthentication"), set[str]()
    for policy in bodies(made, "AuthorizationPolicy").values():
        (ref,) = policy["requiredAuthenticationRefs"]
        if (policy["targetRef"]["kind"], policy["targetRef"]["name"]) == (kind, target):
            refs = proven[ref["name"]]["identityRefs"] if ref["name"] in proven else ()
            found |= {f"{one['namespace']}/{one['name']}" for one in refs}
    return found


def allowed(made: Made, port: int, path: str, method: str = "GET", headers: Headers = ()) -> set[str]:
    """Who may send this request to a port; nobody where no route matches, unless there is no route at all."""
    ways = ways_of(made, port, path, method, headers)
    assert len(ways) < 2, "the age of routes, or the release, decides"
    return set(*ways)


def ways_of(made: Made, port: int, path: str, method: str, headers: Headers) -> set[frozenset[str]]:
    """The callers of each route that might be the one that counts."""
    (server,) = [name for name, spec in bodies(made, "Server").items() if spec["port"] == port]
    raw = callers_of(made, server, "Server")
    here = {name: spec for name, spec in bodies(made, "HTTPRoute").items() if spec["parentRefs"][0]["name"] == server}
    if not here or bodies(made, "Server")[server]["proxyProtocol"] == "opaque":
        return {frozenset(raw)}
    found = {
        (name, *specificity(match, path))
        for name, spec in here.items()
        for rule in spec["rules"]
        for match in rule["matches"]
        if matches(match, path, method, headers)
    }
    # Releases differ in whether headers or the method go first.
    by_headers = max(((one[1], one[2], one[3]) for one in found), default=None)
    by_method = max(((one[1], one[3], one[2]) for one in found), default=None)
    best = {one[0] for one in found if one[1:] == by_headers or (one[1], one[3], one[2]) == by_method}
    return {frozenset(raw | callers_of(made, name, "HTTPRoute")) for name in best}


def specificity(match: Body, path: str) -> tuple[int, int, bool]:
    """How much of the path counts, how many headers, and whether a method does."""
    length = 1 if match["path"]["type"] == "PathPrefix" else len(path)
    return length, len(match.get("headers", ())), "method" in match


def matches(match: Body, path: str, method: str, headers: Headers) -> bool:
    """Whether a request meets one match of a route."""
    return (
        match.get("method", method) == method
        and (match["path"] == {"type": "PathPrefix", "value": "/"} or _whole(match["path"]["value"], path))
        and all(
            any(name == asked["name"] and _whole(asked["value"], value) for name, value in headers)
            for asked in match.get("headers", ())
        )
    )


def _whole(pattern: str, text: str) -> bool:
    """The first match that is found spans all of the text: Linkerd does not look for another one."""
    found = re2.search(pattern, text)
    return found is not None and found.span() == (0, len(text))
