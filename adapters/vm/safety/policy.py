"""Shapes of policies: RBAC of HTTP and TCP ports, route tables of both directions, secrets.

Source: Envoy API, config.rbac.v3; what opens was tried on Envoy 1.40: RBACPerRoute without rules, a DENY action, `any`
with `any`, matching only by negation, principals by header or by name, entries below the virtual host.
"""

from __future__ import annotations

import re
from typing import Any

from adapters.vm import names, wire
from adapters.vm.safety.parts import (
    BUNDLE,
    DURATION,
    LABEL,
    OWN,
    PRINCIPAL,
    SANS,
    SERVICE,
    STEM,
)
from adapters.vm.safety.shape import (
    Shape,
    ShapeError,
    anything,
    each,
    either,
    equal,
    exactly_one,
    extension,
    keyed,
    message,
    number,
    sequence,
    text,
    wrapped,
)
from adapters.vm.vocabulary import (
    HEADER_NAME,
    HTTP_RBAC,
    PATH_GUARD,
    REMOVED_HEADERS,
    ROUTE_PATH_GUARD,
    UINT32_MAX,
)
from hub.api import NON_ASCII, NOT_UTF8, OUTER_BLANK, is_managed_header

_REGEX = message(must={"safe_regex": message(must={"regex": text(r"(?s).+")})})


def _path(pattern: Shape) -> Shape:
    return message(must={"path": message(must={"safe_regex": message(must={"regex": pattern})})})


def _matchable_header(value: Any, path: str) -> None:
    if not HEADER_NAME.fullmatch(value) or is_managed_header(value):
        raise ShapeError(f'{path}: a match on "{value}" asks about Envoy and not about the caller')


_METHOD = message(must={"name": equal(":method"), "string_match": message(must={"exact": text(r"[!-~]+")})})
_VALUE = message(must={"name": _matchable_header, "string_match": _REGEX})
_GUARD_PATTERN = text("|".join(map(re.escape, (NON_ASCII, NOT_UTF8, OUTER_BLANK))))
_HEADER_GUARD = message(
    must={
        "name": _matchable_header,
        "string_match": message(must={"safe_regex": message(must={"regex": _GUARD_PATTERN})}),
    }
)


def _header(value: Any, path: str) -> None:
    (_METHOD if value.name == ":method" else _VALUE)(value, path)


_METHODS = message(must={"rules": each(message(must={"header": _METHOD}), least=2)})
_CONDITION = exactly_one(
    {
        "url_path": _path(text(r"(?s).+")),
        "or_rules": _METHODS,
        "not_rule": message(must={"header": _HEADER_GUARD}),
        "header": _header,
    }
)
_OLDER_GUARD = (
    r".*(?:[;\\]|//|%(?:[01][0-9A-Fa-f]|7[fF]|2[35fF]|3[bBfF]|5[cC]|2[dDeE]|3[0-9]|4[1-9A-Fa-f]|5[0-9aAfF]|6[1-9A-Fa-f]"
    r"|7[0-9aAeE]|[cC][01]|[eE]0%[89]|[fF]0%8|[^0-9A-Fa-f]|[0-9A-Fa-f][^0-9A-Fa-f]|[0-9A-Fa-f]?$)).*|.*/\.{1,2}(?:/.*)?"
)
"""The path guard before bytes beyond ASCII were in it. A hub serves what an older one left until its first plan is applied:
were that withheld, an Envoy that starts in between would have nothing, and the others would keep it all the same."""
_GUARD = message(must={"not_rule": message(must={"url_path": _path(equal(PATH_GUARD, _OLDER_GUARD))})})
_ANY = message(must={"any": equal(True)})


def _conditions(value: Any, path: str) -> None:
    """At least one positive condition (or `any`), then the path guard."""
    if len(value) < 2:
        raise ShapeError(f"{path}: a permission needs a condition and the path guard")
    _GUARD(value[-1], f"{path}[{len(value) - 1}]")
    positive, first = value[:-1], value[0]
    if len(positive) == 1 and first.HasField("any"):
        return _ANY(first, f"{path}[0]")
    # "Not /admin" alone would allow everything else.
    if all(one.HasField("not_rule") for one in positive):
        raise ShapeError(f"{path}: only negative conditions")
    return each(_CONDITION)(positive, path)


_PERMISSION = message(must={"and_rules": message(must={"rules": _conditions})})


def _rules(permission: Shape) -> Shape:
    """ALLOW (its number is 0, so it is never set) with policies of this permission; none of them denies everybody."""
    policy = message(must={"permissions": each(permission), "principals": each(PRINCIPAL)})
    return message(may={"policies": keyed(policy)})


# Set and empty, which denies everything. Not set at all, the filter would enforce nothing.
CLOSED_HTTP_RBAC = message(must={"rules": message()})
_PER_ROUTE = extension(wire.RBACPerRoute, message(must={"rbac": message(must={"rules": _rules(_PERMISSION)})}))

NETWORK_RBAC = message(
    must={
        "name": text(rf"rbac/{STEM}"),
        "typed_config": extension(wire.NetworkRbac, message(must={"rules": _rules(_ANY), "stat_prefix": anything})),
    }
)


def inbound_routes(name: str) -> Shape:
    """The route table of an inbound HTTP port: one virtual host for everything, one route, the policy at the host."""
    _, namespace, account, *_ = name.split("/")
    app = text(rf"app/{LABEL}/{LABEL}/[0-9A-Fa-f.:]+:[0-9]{{1,5}}")

    def own(value: Any, path: str) -> None:
        app(value, path)
        # A listener that forwards to another account's application would put that one's traffic under the wrong policy.
        if not value.startswith(f"app/{namespace}/{account}/"):
            raise ShapeError(f'{path}: "{value}" is the application of another identity')

    route = message(
        must={
            "match": message(must={"prefix": equal("/")}),
            "route": message(must={"cluster": own, "timeout": DURATION}),
        }
    )
    host = message(
        must={
            "name": equal("in"),
            "domains": sequence(equal("*")),
            "routes": sequence(route),
            "request_headers_to_remove": sequence(*(equal(header) for header in REMOVED_HEADERS)),
            "typed_per_filter_config": keyed(_PER_ROUTE, (HTTP_RBAC,)),
        }
    )
    return message(must={"name": text(rf"in/{STEM}"), "virtual_hosts": sequence(host)})


def _outbound_routes() -> Shape:
    cluster = text(SERVICE)
    share = message(must={"name": cluster, "weight": wrapped(number(1, UINT32_MAX))})
    weighted = message(must={"clusters": each(share)})
    action = exactly_one({"cluster": cluster, "weighted_clusters": weighted}, beside={"timeout": DURATION})
    # Routes only choose a backend, so an inverted condition may stand alone here; in a policy it must not.
    negative = message(must={"name": _matchable_header, "string_match": _REGEX, "invert_match": equal(True)})
    beyond = message(must={"safe_regex": message(must={"regex": equal(ROUTE_PATH_GUARD)})})
    guard = message(must={"name": equal(":path"), "string_match": beyond, "invert_match": equal(True)})

    def header(value: Any, path: str) -> None:
        if value.name == ":path":
            guard(value, path)
        else:
            (negative if value.invert_match else _header)(value, path)

    paths = {"safe_regex": message(must={"regex": text(r"(?s).+")}), "prefix": equal("/")}
    match = either(exactly_one(paths, beside={"headers": each(header)}), exactly_one(paths))
    answer = message(must={"status": equal(503), "body": message(must={"inline_string": anything})})
    route = exactly_one({"direct_response": answer, "route": action}, beside={"name": anything, "match": match})
    host = message(must={"name": equal("out"), "domains": sequence(equal("*")), "routes": each(route)})
    return message(must={"name": cluster, "virtual_hosts": sequence(host)})


OUTBOUND_ROUTES = _outbound_routes()

_PEM = exactly_one({"inline_bytes": anything, "inline_string": anything})
SECRETS = {
    names.SELF: message(
        must={
            "name": text(OWN),
            "tls_certificate": message(must={"certificate_chain": _PEM, "private_key": _PEM}),
        }
    ),
    names.TRUST: message(must={"name": equal(names.TRUST), "validation_context": message(must={"trusted_ca": BUNDLE})}),
}
PEERS = message(
    must={
        "name": text(rf"peers/{STEM}"),
        "validation_context": message(must={"trusted_ca": BUNDLE, "match_typed_subject_alt_names": SANS}),
    }
)
