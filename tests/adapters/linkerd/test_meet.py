"""What both stands and is wanted, where somebody edited an account's objects: nobody gains, who is revoked goes, all others stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from adapters.linkerd.config import LinkerdConfig, Probe, Probes
from adapters.linkerd.translate.meet import meet
from hub.model import Access, Grant, HttpMatch, NativeObject, ObjectRef, Role
from tests.adapters.linkerd.edits import edited, less, some_grants
from tests.adapters.linkerd.met import Judge, allowed, bodies, made, wider
from tests.hub.plan.test_waiting import DEPLOYMENT
from tests.servers.folder import Folder, target
from tests.servers.units import access, http_grant, inbound, tcp_grant

A, B, UNDER_A = HttpMatch("/a"), HttpMatch("/b"), HttpMatch("/a/.*")
Objects = Sequence[NativeObject]


def unit(*grants: Grant) -> Access:
    """Grants on two ports that declare nothing."""
    return access(*grants, ports=(inbound(8080, "none"), inbound(9000, "none")))


def of(*grants: Grant) -> tuple[NativeObject, ...]:
    """The objects for these grants."""
    return made(unit(*grants))


def changed(objects: Objects, edit: Callable[[Any], object], kind: str, *texts: str) -> list[NativeObject]:
    """The objects after an edit of the spec of the first one of a kind whose body has these texts."""
    chosen = next(one for one in objects if one.ref.kind == kind and all(text in one.body.decode() for text in texts))
    value = msgspec.json.decode(chosen.body)
    edit(value["spec"])
    body = msgspec.json.encode(value, order="sorted")
    return [replace(one, body=body) if one is chosen else one for one in objects]


def without(objects: Objects, kind: str, containing: str = "") -> list[NativeObject]:
    """The objects without those of a kind whose body has some text."""
    return [one for one in objects if one.ref.kind != kind or containing not in one.body.decode()]


def met(standing: Objects, wanted: Objects) -> tuple[NativeObject, ...]:
    """What `meet` makes of it, which no write on the way there exceeds, and to which it has nothing to add."""
    found = meet(standing, wanted)
    for seed in range(3):
        assert not wider(standing, found, Random(seed))
    assert bodies(meet(found, wanted)) == bodies(found)
    return found


def callers(objects: Objects, path: str = "/a", port: int = 8080) -> set[str]:
    """Who may GET a path, as things stand if the objects came in their order."""
    return {call[0] for call in allowed(objects) if call[1:] == (port, "GET", path, "")}


EVIL, WEB = http_grant("evil", ["evil"], A), http_grant("web", ["web"], A)
REVOCATIONS: dict[str, tuple[Sequence[Grant], Sequence[Grant]]] = {
    "one of two callers": ((WEB, EVIL), (WEB,)),
    "all": ((WEB, EVIL), ()),
    "a path of several": ((http_grant("t", ["web", "evil"], A, B), WEB), (http_grant("t", ["evil"], B), WEB)),
    "a path within another": ((http_grant("t", ["web"], UNDER_A), http_grant("u", ["evil"], HttpMatch("/a/b"))),) * 1
    + ((http_grant("t", ["web"], UNDER_A),),),
    "part of a path": (
        (http_grant("t", ["web", "evil"], UNDER_A),),
        (http_grant("t", ["web"], UNDER_A), http_grant("u", ["evil"], HttpMatch("/a/b"))),
    ),
    "raw bytes": ((tcp_grant("t", ["web", "evil"]), WEB), (tcp_grant("t", ["web"]),)),
    "raw bytes beside requests": ((tcp_grant("t", ["evil"]), WEB), (WEB, http_grant("u", ["evil"], B))),
    "a method within a header": (
        (
            http_grant("t", ["web", "evil"], HttpMatch(None, ("GET",))),
            http_grant("u", ["shop"], HttpMatch("/a", None, (("x-a", "1"),))),
        ),
        (
            http_grant("t", ["web"], HttpMatch(None, ("GET",))),
            http_grant("u", ["shop"], HttpMatch("/a", None, (("x-a", "1"),))),
        ),
    ),
    "one port": (
        (http_grant("t", ["web", "evil"], A),),
        (http_grant("t", ["web"], A), http_grant("u", ["evil"], A, ports=(9000,))),
    ),
}


@pytest.mark.parametrize("case", REVOCATIONS)
def test_unedited_objects_become_what_is_wanted(case: str) -> None:
    """Whatever was revoked, and however that splits conditions otherwise."""
    before, after = REVOCATIONS[case]
    assert bodies(met(of(*before), of(*after))) == bodies(of(*after))


@pytest.mark.parametrize("case", REVOCATIONS)
def test_the_same_is_what_it_is(case: str) -> None:
    """What is wanted stands."""
    for grants in REVOCATIONS[case]:
        assert meet(of(*grants), of(*grants)) == tuple(sorted(of(*grants), key=lambda one: one.ref))


def test_a_gain_waits_and_what_is_revoked_goes() -> None:
    """Nobody gets what does not stand, of the same route, of another one, or of raw bytes."""
    before, gain = (WEB, EVIL), http_grant("g", ["shop"], A, B)
    found = met(of(*before), of(WEB, gain, http_grant("h", ["web"], UNDER_A), tcp_grant("r", ["job"])))
    assert {call[0] for call in allowed(found)} == {"web"} == callers(found)


def test_who_has_some_of_what_is_wanted_keeps_that() -> None:
    """A path that became wider, and one that became narrower."""
    under, within = http_grant("t", ["web"], UNDER_A), http_grant("t", ["web"], HttpMatch("/a/b"))
    assert callers(met(of(within, EVIL), of(under)), "/a/b") == {"web"}
    found = met(of(under, EVIL), of(within, http_grant("g", ["job"], B)))
    assert (callers(found, "/a/b"), callers(found, "/a/c"), callers(found, "/b")) == ({"web"}, set(), set())


# ------------------------------------------------------------------------------------------------ one edit


def _account(name: str) -> dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": "d"}


def _path(value: str, **more: Any) -> dict[str, Any]:
    return {"path": {"type": "RegularExpression", "value": f"^(?:{value})$"}, **more}


_HEADER = {"name": "x-b", "type": "Exact", "value": "1"}
BEFORE = of(http_grant("t", ["web", "evil"], A), http_grant("u", ["shop", "evil"], B))
AFTER = of(http_grant("t", ["web"], A), http_grant("u", ["shop"], B))
EDITS: dict[str, tuple[list[NativeObject], set[str], set[str]]] = {
    "nothing": (list(BEFORE), {"web"}, {"shop"}),
    "a caller more": (changed(BEFORE, lambda spec: spec["identityRefs"].append(_account("job")), "MeshTLSAuthentication", "web"), {"web"}, {"shop"}),
    "a caller less": (changed(BEFORE, lambda spec: spec["identityRefs"].remove(_account("web")), "MeshTLSAuthentication", "web"), set(), {"shop"}),
    "a caller twice": (changed(BEFORE, lambda spec: spec["identityRefs"].append(_account("web")), "MeshTLSAuthentication", "web"), {"web"}, {"shop"}),
    "all who come": (changed(BEFORE, lambda spec: spec.update(requiredAuthenticationRefs=[]), "AuthorizationPolicy"), {"web"}, {"shop"}),
    "a path more": (changed(BEFORE, lambda spec: spec["rules"][0]["matches"].append(_path("/x")), "HTTPRoute", "/a", "8080"), {"web"}, {"shop"}),
    "a restriction": (changed(BEFORE, lambda spec: spec["rules"][0]["matches"][0].update(method="POST"), "HTTPRoute", "/a", "8080"), set(), {"shop"}),
    "no route": (without(BEFORE, "HTTPRoute", "/a"), set(), {"shop"}),
    "a Server that opens": (changed(BEFORE, lambda spec: spec.update(accessPolicy="all-unauthenticated"), "Server", "8080"), {"web"}, {"shop"}),
    "a Server without its word": (changed(BEFORE, lambda spec: spec.pop("accessPolicy"), "Server", "8080"), {"web"}, {"shop"}),
    "no Server": (without(BEFORE, "Server", "8080"), set(), set()),
    "a Server elsewhere": (changed(BEFORE, lambda spec: spec.update(port=9999), "Server", "8080"), set(), set()),
    "a Server for all Pods": (changed(BEFORE, lambda spec: spec.update(podSelector={}), "Server", "8080"), set(), set()),
}  # fmt: skip


@pytest.mark.parametrize("case", EDITS)
def test_one_edit_concerns_no_other_caller(case: str) -> None:
    """Of web's /a and shop's /b, what was not edited stays, and evil, who is revoked, gets nothing on any port."""
    standing, web, shop = EDITS[case]
    found = met(standing, AFTER)
    assert (callers(found), callers(found, "/b")) == (web, shop)
    assert {call[0] for call in allowed(found)} <= {"web", "shop"}


def test_the_path_of_others_takes_nothing_from_the_rest_of_a_rule() -> None:
    """Whether shop keeps /b goes by the ages of the two routes that have it now; web has no more than before, and no less."""
    standing = changed(BEFORE, lambda spec: spec["rules"][0]["matches"].append(_path("/b")), "HTTPRoute", "/a", "8080")
    found = met(standing, AFTER)
    assert (callers(found), callers(found, "/b") <= {"shop"}) == ({"web"}, True)


def test_a_restriction_by_hand_stays() -> None:
    """A route that somebody made, with a form that smihub never writes, keeps refusing; so does a method that he asked for."""
    own = ObjectRef("policy.linkerd.io", "HTTPRoute", "d", "closed")
    match = {"path": {"type": "Exact", "value": "/a/b"}, "headers": [{"name": "x-a", "type": "Exact", "value": "1"}]}
    parent = {"group": "policy.linkerd.io", "kind": "Server", "name": "smihub-8080-api"}
    head = {
        "apiVersion": "policy.linkerd.io/v1beta3",
        "kind": "HTTPRoute",
        "metadata": {"name": "closed", "namespace": "d"},
    }
    body = {**head, "spec": {"parentRefs": [parent], "rules": [{"matches": [match]}]}}
    under = http_grant("t", ["web", "evil"], UNDER_A)
    standing = [*of(under), NativeObject(own, Role.GRANT, msgspec.json.encode(body, order="sorted"))]
    found = met(standing, of(http_grant("t", ["web"], UNDER_A)))
    may = {call[2:] for call in allowed(found) if call[:2] == ("web", 8080) and call[3] in {"/a/b", "/a/c"}}
    assert ("GET", "/a/b", "1") not in may
    assert {("GET", "/a/b", ""), ("GET", "/a/c", "1")} <= may
    assert "evil" not in {call[0] for call in allowed(found)}


def test_two_routes_of_one_condition_keep_their_ages() -> None:
    """Which of them counts goes by age: neither goes, nor is made anew."""
    (route,) = (one for one in BEFORE if one.ref.kind == "HTTPRoute" and b"/a" in one.body and b"8080" in one.body)
    twin = replace(
        route, ref=replace(route.ref, name="twin"), body=route.body.replace(route.ref.name.encode(), b"twin")
    )
    found = met([*BEFORE, twin], AFTER)
    assert {route.ref, twin.ref} <= {one.ref for one in found}


# ------------------------------------------------------------------------------------------------ names and waves


def test_a_name_that_a_policy_waits_for_is_not_given_to_others() -> None:
    """The policy whose callers somebody deleted is for /b: what web proves for /a must not stand under that name."""
    wanted = of(WEB, http_grant("b", ["web"], B))
    standing = of(http_grant("t", ["web", "evil"], A), http_grant("b", ["web"], B))
    (proof,) = (one.ref for one in standing if one.ref.kind == "MeshTLSAuthentication" and b"evil" not in one.body)
    found = met([one for one in standing if one.ref != proof], wanted)
    assert (callers(found), callers(found, "/b")) == ({"web"}, set())


def test_no_server_comes_back_before_what_it_would_bring_into_force() -> None:
    """It is gone, and so its port is refused by default; another Server denies, and the next plan brings it back."""
    server = ObjectRef("policy.linkerd.io", "Server", "d", "smihub-8080-api")
    standing = [one for one in BEFORE if one.ref != server]
    found = met(standing, AFTER)
    servers = [msgspec.json.decode(one.body)["spec"] for one in found if one.ref.kind == "Server"]
    assert sorted(spec["port"] for spec in servers) == [8080, 9000]
    assert server not in {one.ref for one in found}
    assert all(one.role is Role.GUARD for one in found if one.ref.kind == "Server")
    # Where nothing waits for it, it is the usual one.
    none = [one for one in of() if one.ref != server]
    assert bodies(met(none, of(WEB))) == bodies(of())


def test_a_server_that_somebody_moved_denies_where_it_is() -> None:
    """What it stands before then is nobody's to open."""
    moved = changed(BEFORE, lambda spec: spec.update(port=9999, accessPolicy="all-unauthenticated"), "Server", "8080")
    specs = [msgspec.json.decode(one.body)["spec"] for one in met(moved, AFTER) if one.ref.kind == "Server"]
    assert sorted((spec["port"], spec["accessPolicy"]) for spec in specs) == [
        (8080, "deny"),
        (9000, "deny"),
        (9999, "deny"),
    ]


def test_raw_callers_go_from_what_somebody_shut() -> None:
    """The route by which somebody refuses all requests stays, with the callers of raw bytes who are wanted."""
    raw = of(tcp_grant("t", ["web", "evil"]), http_grant("u", ["shop"], A))
    odd = changed(
        raw, lambda spec: spec["rules"][0]["matches"][0].update(headers=[_HEADER]), "HTTPRoute", '"/"', "8080"
    )
    found = met(odd, of(tcp_grant("t", ["web"])))
    assert {call[0] for call in allowed(found)} == {"web"}


def test_a_policy_that_lets_in_all_gets_no_request_of_another() -> None:
    """Somebody took all out that it required: no other route of the Server goes while it lets in everybody."""
    under, within = http_grant("t", ["web", "evil"], HttpMatch(None)), http_grant("u", ["shop"], A)
    (route,) = (
        one.ref.name
        for one in of(under, within)
        if one.ref.kind == "HTTPRoute" and b"/a" not in one.body and b"8080" in one.body
    )
    standing = changed(
        of(under, within), lambda spec: spec.update(requiredAuthenticationRefs=[]), "AuthorizationPolicy", route
    )
    found = met(standing, of(http_grant("t", ["web"], HttpMatch(None))))
    assert {call[0] for call in allowed(found)} <= {"web"}


def test_the_last_route_never_goes_while_raw_callers_have_less() -> None:
    """Without any route, whom the Server lets in may send every request."""
    raw = tcp_grant("t", ["web"])
    standing = without(of(raw, EVIL), "HTTPRoute", '"value":"/"')
    assert callers(standing, "/b") == set()
    found = met(standing, of(raw))
    assert (callers(found), callers(found, "/b")) == ({"web"}, set())
    assert allowed(met(standing, of())) == set()


def test_marks_do_not_count() -> None:
    """Roles and needs are what an object is, and not what its marks say."""
    marked = [replace(one, role=Role.GUARD if one.role is Role.GRANT else Role.GRANT, needs=()) for one in AFTER]
    assert bodies(meet(marked, AFTER)) == bodies(AFTER)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b"null", b'{"spec":{}}', b'{"spec":' * 5000, b"[" * 5000])
def test_garbage_lets_nobody_in(body: bytes) -> None:
    """In the place of any object, and of all at once: nothing raises, and each port has a Server that denies."""
    for broken in BEFORE:
        found = meet([replace(one, body=body) if one is broken else one for one in BEFORE], AFTER)
        assert bodies(meet(found, AFTER)) == bodies(found)
        assert callers(found) <= {"web"}
    nothing = meet([replace(one, body=body) for one in BEFORE], AFTER)
    assert allowed(nothing) == set()
    assert bodies(meet(nothing, AFTER)) == bodies(nothing)


def test_probes_stay_as_smihub_writes_them() -> None:
    """Networks that somebody edited let nobody in."""
    config = LinkerdConfig(probes=Probes(("10.0.0.0/8",), (Probe("d/api", 8080, "/healthz"),)))
    before, after = made(unit(WEB, EVIL), config), made(unit(WEB), config)
    assert bodies(met(before, after)) == bodies(after)
    wide = changed(before, lambda spec: spec["networks"].append({"cidr": "0.0.0.0/0"}), "NetworkAuthentication")
    found = met(wide, after)
    assert not [one for one in found if one.ref.kind == "NetworkAuthentication"]
    assert callers(found) == {"web"}


# ------------------------------------------------------------------------------------------------ by chance


@pytest.mark.parametrize("seed", range(40))
def test_whatever_somebody_did(seed: int) -> None:
    """Random grants, some of them revoked, some new, and any edits."""
    dice = Random(seed)
    grants = some_grants(dice)
    after = [*less(dice, grants), *(some_grants(dice)[:1] if dice.randrange(3) == 0 else ())]
    wanted = of(*after)
    standing = edited(dice, of(*grants), of(*some_grants(dice)))
    found = meet(standing, wanted)
    assert not wider(standing, found, dice)
    may = Judge(standing, dice).allowed(found)
    assert may is None or may <= allowed(wanted)
    assert bodies(meet(found, wanted)) == bodies(found) == bodies(meet(standing[::-1], wanted[::-1]))
    assert {need for one in found for need in one.needs} <= {one.ref for one in found}


def test_much_of_it_takes_no_longer_than_it_has_to() -> None:
    """Thousands of callers and conditions, of which all change."""
    grants = [http_grant(f"t{at}", [f"c{at}", "evil"], HttpMatch(f"/p{at}")) for at in range(600)]
    before, after = of(*grants), of(*(replace(one, sources=one.sources[:1]) for one in grants))
    start = perf_counter()
    found = meet(before, after)
    assert perf_counter() - start < 20
    assert not [one for one in found if b'"evil"' in one.body]
    assert sum(one.ref.kind == "AuthorizationPolicy" for one in found) >= len(grants)


# ------------------------------------------------------------------------------------------------ end to end

SMIHUB = """\
domain: {trustDomain: cluster.local}
sources:
- path: manifests
meshes:
- {name: linkerd, adapter: linkerd, config: {defaultPolicy: cluster}, sink: {path: rendered}}
"""
ROUTES = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: routes, namespace: shop}
spec: {matches: [{name: x, pathRegex: /x, methods: [GET]}]}
"""


def test_who_is_revoked_goes_from_what_somebody_edited(tmp_path: Path) -> None:
    """Somebody let job in by hand, and a file is broken: evil goes, web stays, job gains nothing; then all is as wanted."""
    folder = Folder(tmp_path)
    folder.config(SMIHUB)
    folder.write("work.yaml", DEPLOYMENT)
    folder.write("routes.yaml", ROUTES)
    for name in ("web", "evil"):
        folder.write(f"{name}.yaml", target(name, source=name, matches="x"))
    assert folder.run("apply", "--yes").exit_code == 0
    (file,) = (folder.root / "rendered").rglob("*MeshTLSAuthentication*.yaml")
    file.write_text(file.read_text() + "  - {kind: ServiceAccount, name: job, namespace: shop}\n")
    folder.write("bad.yaml", "kind: Pod\n<<<<<<< HEAD\nkind: [\n")
    folder.remove("evil.yaml")
    plan = folder.plan()["meshes"][0]
    assert (plan["frozen"], plan["edited"]) == ([], ["access/shop/api"])
    assert folder.run("apply", "--yes").exit_code == 1
    assert _callers(folder) == {"web"}
    assert folder.run("apply", "--yes").exit_code == 1
    folder.remove("bad.yaml")
    assert folder.run("apply", "--yes").exit_code == 0
    assert _callers(folder) == {"web"}
    assert "evil" not in folder.run("plan").stdout


def _callers(folder: Folder) -> set[str]:
    """The accounts that any of our objects names as callers."""
    texts = [file.read_text() for file in (folder.root / "rendered").rglob("*MeshTLSAuthentication*.yaml")]
    return {
        line.split("name: ")[1] for text in texts for line in text.split("spec:")[1].splitlines() if " name: " in line
    }
