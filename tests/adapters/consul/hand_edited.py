"""Intentions of `web` as somebody left them who edited them by hand, and what may be left of the one that is wanted."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from adapters.consul.translate.grants import permissions
from adapters.consul.vocabulary import UNTIL_KNOWN
from hub.api import HttpMatch, NativeObject, ObjectRef
from tests.adapters.consul.native import Json, allow, deny, entry, header, intentions, refuse, service

NEEDS = (ObjectRef("", "service-defaults", "", "shop_web"),)
Calls = set[tuple[str, str]]
"""Who gets in with which path."""


def granted(name: str, *paths: str) -> Json:
    """A source with these paths, as smihub writes it."""
    return {"Name": service(name), "Permissions": permissions([HttpMatch(path) for path in paths])}


def canonical(native: NativeObject, *needs: ObjectRef) -> NativeObject:
    """As a sink hands it over."""
    return replace(native, body=msgspec.json.encode(msgspec.json.decode(native.body), order="sorted"), needs=needs)


def wrote(*sources: Json) -> NativeObject:
    """The intention of `web` as smihub writes it."""
    needs = NEEDS if any("Permissions" in one for one in sources) else ()
    return canonical(intentions("web", *sources, deny()), *needs)


def shut(name: str) -> Json:
    """A source that is denied for a while."""
    return {**deny(name), "Description": UNTIL_KNOWN}


WANTED = wrote(granted("a", "/x", "/y"), granted("b", "/x"))
KEPT: Calls = {("a", "/x"), ("a", "/y"), ("b", "/x")}


def stood(*sources: Json, **fields: Json) -> NativeObject:
    """The intention of `web` as somebody left it."""
    return canonical(entry("service-intentions", "web", Sources=list(sources), **fields), *NEEDS)


# --------------------------------------------------------------------------- edits of one source, and what is left

MAY_A, MAY_B = granted("a", "/x", "/y"), granted("b", "/x")
"""What `a` and `b` may send."""
EDITED: dict[str, tuple[NativeObject, Calls]] = {
    "nothing": (WANTED, KEPT),
    "a caller that is not wanted any more": (stood(MAY_A, MAY_B, granted("c", "/x"), deny()), KEPT),
    "a caller that may send anything": (stood(allow("a"), MAY_B, deny()), KEPT),
    "a path more": (stood(granted("a", "/x", "/y", "/z"), MAY_B, deny()), KEPT),
    "a path less": (stood(granted("a", "/x"), MAY_B, deny()), KEPT - {("a", "/y")}),
    "another path": (stood(granted("a", "/z"), MAY_B, deny()), {("b", "/x")}),
    "a caller less": (stood(MAY_A, deny()), KEPT - {("b", "/x")}),
    "a caller denied": (stood(deny("a"), MAY_B, deny()), {("b", "/x")}),
    "the last source": (stood(MAY_A, MAY_B), KEPT),
    "everybody": (stood(MAY_A, MAY_B, allow("*")), KEPT),
    "everybody and a caller less": (stood(MAY_A, allow("*")), KEPT - {("b", "/x")}),
    "the last permission": (stood({**MAY_A, "Permissions": MAY_A["Permissions"][:-1]}, MAY_B, deny()), KEPT),
    "no guard": (stood({**MAY_A, "Permissions": MAY_A["Permissions"][1:]}, MAY_B, deny()), KEPT),
    "a denial of everything first": (
        stood({**MAY_A, "Permissions": [MAY_A["Permissions"][-1], *MAY_A["Permissions"]]}, MAY_B, deny()),
        {("b", "/x")},
    ),
    "a denial by a pattern": (
        stood({**MAY_A, "Permissions": [refuse(regex="/[yz]"), *MAY_A["Permissions"]]}, MAY_B, deny()),
        KEPT - {("a", "/y")},
    ),
    "a denial in between": (
        stood(
            {**MAY_A, "Permissions": [*MAY_A["Permissions"][:2], refuse(exact="/x"), *MAY_A["Permissions"][2:]]},
            MAY_B,
            deny(),
        ),
        KEPT,
    ),
    "a denial by a prefix, a method and a header": (
        stood(
            {
                **MAY_A,
                "Permissions": [
                    refuse(prefix="/y", Methods=["GET"], Header=[header("x-not-there", Present=True, Invert=True)]),
                    *MAY_A["Permissions"],
                ],
            },
            MAY_B,
            deny(),
        ),
        KEPT - {("a", "/y")},
    ),
    "descriptions, and what Consul fills in": (
        stood({**MAY_A, "Description": "mine", "Precedence": 9, "Type": "consul"}, MAY_B, deny()),
        KEPT,
    ),
    "another order": (stood(deny(), MAY_B, MAY_A), KEPT),
    "a name of any character": (stood({"Name": "shop_.", "Action": "deny"}, MAY_A, MAY_B, deny()), KEPT),
}


# --------------------------------------------------------------------------- what cannot be proven

_JWT = {"Providers": [{"Name": "okta"}]}
UNPROVEN: dict[str, tuple[NativeObject, bool]] = {
    "tokens that are asked for": (stood(MAY_A, MAY_B, deny(), JWT=_JWT), False),
    "a namespace": (stood(MAY_A, MAY_B, deny(), Namespace="team"), False),
    "a source twice": (stood(MAY_A, allow("a"), MAY_B, deny()), False),
    "a source without a name": (stood(MAY_A, MAY_B, {"Action": "deny"}, deny()), False),
    "a source with a pattern": (stood(MAY_A, MAY_B, {"Name": "(", "Action": "deny"}, deny()), False),
    "sources that are none": (stood(MAY_A, "b", deny()), False),
    "a source that asks for tokens": (stood({**MAY_A, "JWT": _JWT}, MAY_B, deny()), True),
    "a permission that asks for tokens": (
        stood(
            {**MAY_A, "Permissions": [{**MAY_A["Permissions"][0], "JWT": _JWT}, *MAY_A["Permissions"]]}, MAY_B, deny()
        ),
        True,
    ),
    "an action beside permissions": (stood({**MAY_A, "Action": "allow"}, MAY_B, deny()), True),
    "an action that is none": (stood({"Name": service("a"), "Action": "Allow"}, MAY_B, deny()), True),
    "no permissions and no action": (stood({**MAY_A, "Permissions": []}, MAY_B, deny()), True),
    "a type": (stood({**MAY_A, "Type": "vm"}, MAY_B, deny()), True),
    "permissions that are none": (stood({**MAY_A, "Permissions": {"Action": "allow"}}, MAY_B, deny()), True),
    "a denial that Envoy refuses": (
        stood({**MAY_A, "Permissions": [refuse(regex="(["), *MAY_A["Permissions"]]}, MAY_B, deny()),
        True,
    ),
    "a denial by two paths": (
        stood({**MAY_A, "Permissions": [refuse(exact="/y", prefix="/z"), *MAY_A["Permissions"]]}, MAY_B, deny()),
        True,
    ),
    "a denial of nothing": (stood({**MAY_A, "Permissions": [refuse(), *MAY_A["Permissions"]]}, MAY_B, deny()), True),
    "a denial by a header twice": (
        stood(
            {**MAY_A, "Permissions": [refuse(Header=[header("x", Exact="a", Prefix="b")]), *MAY_A["Permissions"]]},
            MAY_B,
        ),
        True,
    ),
    "a denial by a query": (
        stood({**MAY_A, "Permissions": [refuse(QueryParam=[{"Name": "q"}]), *MAY_A["Permissions"]]}, MAY_B, deny()),
        True,
    ),
    "a source of somebody else's mesh": (stood({**MAY_A, "Peer": "east"}, MAY_B, deny()), True),
}
