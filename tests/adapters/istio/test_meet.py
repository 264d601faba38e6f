"""What is written of an account's objects that somebody edited, while nobody can tell what they permit: what both states allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from adapters.istio.config import IstioConfig
from adapters.istio.evaluate.mesh import evaluator
from adapters.istio.translate.meet import meet
from adapters.istio.translate.unit import translate
from hub.api import stateless
from hub.model import (
    Destination,
    Facts,
    Grant,
    HttpMatch,
    Identity,
    NativeObject,
    ObjectRef,
    Op,
    Placement,
    Request,
    Role,
    Source,
    Translation,
    UnitKey,
)
from hub.plan.changes import Desired
from hub.plan.plan import plan
from hub.testing.stepping import observed
from tests.hub.plan.test_waiting import BROKEN, DEPLOYMENT, ISTIO, ROUTES, SERVICE, applied
from tests.servers.folder import Folder, target
from tests.servers.units import API, TRUST_DOMAIN, access, http_grant, tcp_grant

Objects = tuple[NativeObject, ...]
Calls = set[str]
"""Who gets in at which Pod with what."""
Json = Any
KEY = UnitKey("access", "d", "api")
GOLD = (("tier", "gold"),)
A, B = HttpMatch(path="/a", methods=("GET",)), HttpMatch(path="/b", methods=("GET",))


# --------------------------------------------------------------------------- the account, and what gets in


def made(*grants: Grant, config: IstioConfig | None = None) -> Objects:
    """The objects of the account with these grants."""
    return translate(access(*grants, ports=()), config or IstioConfig()).objects


def golden(grant: Grant) -> Grant:
    """The grant at golden Pods alone."""
    return replace(grant, labels=GOLD)


def placed(name: str, account: Identity = API, labels: tuple[tuple[str, str], ...] = ()) -> Placement:
    """A Pod that says nothing of its ports."""
    return Placement(ObjectRef("", "Pod", "d", name), account, labels)


PODS = (placed("gold", labels=GOLD), placed("plain"), placed("other", Identity(TRUST_DOMAIN, "d", "other"), GOLD))
FACTS = Facts(TRUST_DOMAIN, {one.ref: one for one in PODS})


def requests() -> Iterator[tuple[str, Request]]:
    """Calls by what they are, such as "web gold /a"."""
    callers = {name: Source(identity=f"d/{name}") for name in ("web", "pay", "evil")} | {"nobody": Source(outside=True)}
    for caller, source in callers.items():
        for pod in PODS:
            for path in ("/a", "/b", "/z"):
                for port in (80, 81):
                    yield (
                        f"{caller} {pod.ref.name} {path}:{port}",
                        Request(source, Destination(pod=f"d/{pod.ref.name}"), port, path=path),
                    )
            yield f"{caller} {pod.ref.name} bytes", Request(source, Destination(pod=f"d/{pod.ref.name}"), 80, "tcp")


def allowed(objects: Iterable[NativeObject]) -> Calls:
    """What gets in."""
    judge = evaluator([*objects], FACTS)
    return {name for name, request in requests() if judge.judge(request).verdict == "allow"}


def states(standing: Objects, met: Sequence[NativeObject]) -> Iterator[Objects]:
    """What stands after each write."""
    goal = {KEY: Desired(None, Translation(tuple(met)))}
    now = {one.ref: one for one in standing}
    for change in plan("m", goal, observed((KEY, one) for one in standing), stateless).changes:
        if change.op is Op.DELETE:
            del now[change.ref]
        else:
            assert change.after is not None
            now[change.ref] = change.after
        yield tuple(now.values())
    assert {one.ref: one.body for one in now.values()} == {one.ref: one.body for one in met}


def met(standing: Objects, wanted: Objects) -> Objects:
    """What is to be written, after what must be true of it whatever was edited."""
    found = tuple(meet(standing, wanted))
    before = allowed(standing)
    for objects in (*states(standing, found), found):
        assert allowed(objects) <= before
    assert {call for call in allowed(found) if " other " not in call} <= allowed(wanted)
    assert {*meet(found, wanted)} == {*found}
    assert {*meet(wanted, wanted)} == {*wanted}
    return found


# --------------------------------------------------------------------------- edits of one object

BEFORE = made(http_grant("h", ["pay", "web"], A), http_grant("e", ["evil"], A, B), golden(http_grant("g", ["pay"], B)))
AFTER = made(http_grant("h", ["pay", "web"], A), golden(http_grant("g", ["pay"], B)))
KEPT = {f"{who} {pod} /a:{port}" for who in ("pay", "web") for pod in ("gold", "plain") for port in (80, 81)} | {
    f"pay gold /b:{port}" for port in (80, 81)
}
EVERYBODY_ELSE = {call for call, _ in requests() if " other " in call}


def edited(objects: Objects, kind: str, edit: Callable[[Json], object], role: Role = Role.GRANT) -> Objects:
    """The objects with an edit of the spec of one: the first policy, the golden one, or that of mutual TLS."""

    def of(one: NativeObject) -> NativeObject:
        body = msgspec.json.decode(one.body)
        edit(body["spec"])
        return replace(one, body=msgspec.json.encode(body, order="sorted"), role=role)

    return tuple(of(one) if named(one) == kind else one for one in objects)


def named(one: NativeObject) -> str:
    """A short name."""
    if one.ref.kind != "AuthorizationPolicy":
        return one.ref.kind
    return "golden" if b"tier" in one.body else "first"


def caller(name: str) -> str:
    """A principal."""
    return f"{TRUST_DOMAIN}/ns/d/sa/{name}"


def rule_for(spec: Json, name: str) -> Json:
    """The rule that names a caller."""
    return next(one for one in spec["rules"] if caller(name) in one["from"][0]["source"]["principals"])


def source_of(spec: Json, name: str = "web") -> Json:
    """Whom that rule names."""
    return rule_for(spec, name)["from"][0]["source"]


def operation_of(spec: Json, name: str = "web") -> Json:
    """What that rule lets them do."""
    return rule_for(spec, name)["to"][0]["operation"]


def without(*gone: str) -> Calls:
    """What is kept, less the calls that begin so."""
    return {call for call in KEPT if not call.startswith(gone)}


EDITS: list[tuple[str, Callable[[Json], object], Calls]] = [
    ("first", lambda spec: spec.update(rules=[*spec["rules"]]), KEPT),
    ("first", lambda spec: source_of(spec)["principals"].append(caller("evil")), KEPT),
    ("first", lambda spec: source_of(spec)["principals"].remove(caller("web")), without("web")),
    ("first", lambda spec: source_of(spec).update(principals=["*"]), KEPT),
    ("first", lambda spec: source_of(spec).update(principals=[f"{TRUST_DOMAIN}/*"]), KEPT),
    ("first", lambda spec: source_of(spec).update(notPrincipals=[caller("web")]), without("web")),
    (
        "first",
        lambda spec: source_of(spec).update(namespaces=["elsewhere"]),
        without("web", "pay gold /a", "pay plain"),
    ),
    ("first", lambda spec: rule_for(spec, "web").pop("from"), KEPT),
    ("first", lambda spec: rule_for(spec, "web")["from"].append({"source": {"namespaces": ["d"]}}), KEPT),
    ("first", lambda spec: operation_of(spec)["paths"].append("/b"), KEPT),
    ("first", lambda spec: operation_of(spec).update(paths=["/z"]), without("web", "pay gold /a", "pay plain")),
    ("first", lambda spec: operation_of(spec).update(paths=["/*"]), KEPT),
    ("first", lambda spec: operation_of(spec).update(notPaths=["/a"]), without("web", "pay gold /a", "pay plain")),
    ("first", lambda spec: operation_of(spec)["methods"].append("POST"), KEPT),
    ("first", lambda spec: operation_of(spec).update(methods=["POST"]), without("web", "pay gold /a", "pay plain")),
    ("first", lambda spec: operation_of(spec).update(ports=["80"]), {one for one in KEPT if "/a:81" not in one}),
    ("first", lambda spec: operation_of(spec).update(notPorts=["80"]), {one for one in KEPT if "/a:80" not in one}),
    ("first", lambda spec: operation_of(spec).update(ports=["80", "http"]), without("web", "pay gold /a", "pay plain")),
    ("first", lambda spec: rule_for(spec, "web").pop("to"), KEPT),
    ("first", lambda spec: rule_for(spec, "web")["to"].append({"operation": {"ports": ["81"]}}), KEPT),
    (
        "first",
        lambda spec: rule_for(spec, "web").update(when=[{"key": "request.headers[x-t]", "values": ["1"]}]),
        without("web", "pay gold /a", "pay plain"),
    ),
    (
        "first",
        lambda spec: rule_for(spec, "web").update(when=[{"key": "request.headers[x-t]", "notValues": ["1"]}]),
        KEPT,
    ),
    ("first", lambda spec: spec["rules"].append({}), KEPT),
    ("first", lambda spec: spec["rules"].reverse(), KEPT),
    ("first", lambda spec: spec["rules"].remove(rule_for(spec, "web")), without("web", "pay gold /a", "pay plain")),
    ("first", lambda spec: spec.pop("rules"), without("web", "pay gold /a", "pay plain")),
    ("first", lambda spec: spec.pop("action"), KEPT),
    ("first", lambda spec: spec.update(action=None, rules=[*spec["rules"], {}]), KEPT),
    ("first", lambda spec: spec.update(action="DENY"), without("web", "pay gold /a", "pay plain")),
    (
        "first",
        lambda spec: spec["selector"]["matchLabels"].update(tier="gold"),
        {one for one in KEPT if " gold " in one},
    ),
    (
        "first",
        lambda spec: spec["selector"].update(matchLabels={"tier": "gold"}),
        without("web", "pay gold /a", "pay plain"),
    ),
    ("first", lambda spec: spec.pop("selector"), without("web", "pay gold /a", "pay plain")),
    ("golden", lambda spec: spec["selector"]["matchLabels"].pop("tier"), without("pay gold /b")),
    ("golden", lambda spec: source_of(spec, "pay")["principals"].append(caller("web")), KEPT),
    ("golden", lambda spec: spec.update(action="DENY"), without("pay gold /b")),
    ("golden", lambda spec: spec["rules"].append({}), KEPT),
    ("PeerAuthentication", lambda spec: spec["mtls"].update(mode="PERMISSIVE"), KEPT),
    ("PeerAuthentication", lambda spec: spec["mtls"].update(mode="DISABLE"), set()),
    ("PeerAuthentication", lambda spec: spec["selector"].update(matchLabels={"tier": "gold"}), KEPT),
    ("PeerAuthentication", lambda spec: spec.pop("selector"), KEPT),
]


@pytest.mark.parametrize("number", range(len(EDITS)))
def test_only_what_was_edited_is_lost_and_what_is_revoked_goes(number: int) -> None:
    """One edit of what stands, whoever it lets in or keeps out, beside the revocation of evil."""
    kind, edit, kept = EDITS[number]
    found = allowed(met(edited(BEFORE, kind, edit), AFTER))
    assert {call for call in found if " other " not in call} == kept


@pytest.mark.parametrize("number", [0, 1, 3, 8, 13, 22])
def test_what_stands_for_no_more_than_is_wanted_is_written_as_wanted(number: int) -> None:
    """Nothing is left of the edit, in text either."""
    kind, edit, _ = EDITS[number]
    assert {*met(edited(BEFORE, kind, edit, Role.GUARD), AFTER)} == {*AFTER}


@pytest.mark.parametrize("gone", ["first", "golden", "PeerAuthentication"])
def test_deleted_object_lets_nobody_in_again(gone: str) -> None:
    """Where the first policy is missing, nobody knows what else would be open, so what comes back denies."""
    found = met(tuple(one for one in BEFORE if named(one) != gone), AFTER)
    lost = {"first": ("web", "pay gold /a", "pay plain"), "golden": ("pay gold /b",), "PeerAuthentication": ()}[gone]
    assert allowed(found) - EVERYBODY_ELSE == without(*lost)
    assert allowed(met((), AFTER)) == EVERYBODY_ELSE  # all of it deleted: a policy of others may be all that refuses


def test_caller_moved_to_fewer_pods_keeps_these() -> None:
    """Its rule goes from the policy of all Pods into one of some that is new."""
    before, after = http_grant("h", ["pay", "web"], A), golden(http_grant("h", ["web"], A))
    assert {*met(made(before), made(after))} == {*made(after)}
    more = edited(made(before), "first", lambda spec: source_of(spec)["principals"].append(caller("evil")))
    assert {*met(more, made(after))} == {*made(after)}


def test_bytes_are_not_let_in_by_a_rule_about_requests() -> None:
    """An operation about HTTP takes a rule off TCP; without that one, what is left of the rule would let in bytes."""
    before, after = (
        made(tcp_grant("t", ["web"], ports=(80,))),
        made(tcp_grant("t", ["web"], ports=(80,)), tcp_grant("u", ["pay"])),
    )
    mixed = edited(
        before,
        "first",
        lambda spec: spec["rules"][0]["to"].append({"operation": {"ports": ["81"], "methods": ["GET"]}}),
    )
    assert allowed(met(mixed, after)) - EVERYBODY_ELSE == {
        f"web {pod} {path}:80" for pod in ("gold", "plain") for path in ("/a", "/b", "/z")
    }


@pytest.mark.parametrize(
    "edit",
    [
        lambda body: body["spec"]["rules"][0]["from"][0]["source"].update(serviceAccounts=["d/web"]),
        lambda body: body["spec"]["rules"][0]["to"][0]["operation"].update(verbs=["GET"]),
        lambda body: body["spec"]["rules"][0].update(when=[{"key": "source.ip"}]),
        lambda body: body["spec"]["rules"][0]["to"][0]["operation"].update(paths=[]),
        lambda body: body["spec"]["rules"][0]["from"].append({}),
        lambda body: body["spec"].update(rules="all"),
        lambda body: body["spec"].update(more=1),
        lambda body: body["metadata"].update(annotations={"istio.io/dry-run": "true"}),
        lambda body: body["metadata"].update(labels={"istio.io/rev": "canary"}),
        lambda body: body["spec"].update(selector=["api"]),
        lambda body: body.update(spec=None),
        lambda body: body.update(kind="Pod"),
        lambda body: body.clear(),
    ],
)
def test_what_nobody_can_tell_the_meaning_of_grants_nothing_and_denies(edit: Callable[[Json], object]) -> None:
    """Fields that are not known, or empty, and marks by which Istio passes a policy over."""
    grants = made(http_grant("h", ["web"], A))
    body = msgspec.json.decode(grants[0].body)
    edit(body)
    for text in (msgspec.json.encode(body), b"[", b"\xff", b"[" * 100_000):
        found = tuple(meet((replace(grants[0], body=text), *grants[1:]), grants))
        assert allowed(found) == EVERYBODY_ELSE
        assert {*meet(found, grants)} == {*found}


def test_policy_of_other_targets_stays_with_them() -> None:
    """Without a selector it would deny everything to its whole namespace."""
    grants = made(http_grant("h", ["web"], A))
    targets = [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "main"}]
    there = edited(grants, "first", lambda spec: (spec.pop("selector"), spec.update(targetRefs=targets)))
    found = {
        one.ref.name: msgspec.json.decode(one.body)["spec"]
        for one in meet(there, grants)
        if one.ref.kind == "AuthorizationPolicy"
    }
    assert found["smihub-api"] == {"action": "ALLOW", "targetRefs": targets}
    assert [spec for name, spec in found.items() if name != "smihub-api"] == [
        {"action": "ALLOW", "selector": {"matchLabels": {"smihub.io/sa": "api"}}}
    ]


# --------------------------------------------------------------------------- filters

PATTERNS = IstioConfig(patterns="envoyfilter")
ODD = http_grant("h", ["pay", "web"], HttpMatch(path="/[ab]+"))


def test_rule_of_a_filter_stays_where_the_filter_stands_as_it_is_wanted() -> None:
    """A revoked pattern: the new filter and the old one are both asked."""
    before, after = (
        made(http_grant("h", ["web"], HttpMatch(path="/[ab]+"), HttpMatch(path="/z+")), config=PATTERNS),
        made(http_grant("h", ["web"], HttpMatch(path="/[ab]+")), config=PATTERNS),
    )
    assert allowed(met(before, after)) - EVERYBODY_ELSE == allowed(after) - EVERYBODY_ELSE != set()
    more = edited(
        before, "first", lambda spec: spec["rules"][0]["from"][0]["source"]["principals"].append(caller("evil"))
    )
    assert allowed(met(more, after)) - EVERYBODY_ELSE == allowed(after) - EVERYBODY_ELSE


def test_filter_that_was_edited_or_deleted_is_not_counted_on() -> None:
    """A rule that stands asks for it, and would let in what the filter does not while it is not as it was."""
    after = made(ODD, config=PATTERNS)
    gone = tuple(one for one in after if one.ref.kind != "EnvoyFilter")
    assert allowed(met(gone, after)) == EVERYBODY_ELSE
    text = b"/[ab]+"
    other = tuple(replace(one, body=one.body.replace(text, b"/[a]+")) for one in after)
    assert allowed(other) != allowed(after)
    assert allowed(met(other, after)) == EVERYBODY_ELSE
    (filter_,) = (one for one in after if one.ref.kind == "EnvoyFilter")
    double = (*after, replace(filter_, ref=replace(filter_.ref, name="other")))
    assert {one.ref for one in meet(double, after)} >= {filter_.ref}
    assert allowed(one for one in meet(double, after) if one.ref.name != "other") == EVERYBODY_ELSE


# --------------------------------------------------------------------------- the whole way


@pytest.mark.thorough
def test_a_caller_is_revoked_beside_an_edit_and_an_unread_file_and_others_stay(tmp_path: Path) -> None:
    """Nobody can tell what its policy permits; when everything can be read, it is as it would be without all that."""
    folder = Folder(tmp_path)
    folder.config(ISTIO)
    for name, text in {"work": DEPLOYMENT, "svc": SERVICE, "routes": ROUTES, "web": target("web", matches="x")}.items():
        folder.write(f"{name}.yaml", text)
    applied(folder)
    (policy,) = (file for file in (tmp_path / "rendered").rglob("*.yaml") if "/x" in file.read_text())
    wanted = policy.read_text()
    folder.write("evil.yaml", target("evil", source="evil", matches="x"))
    applied(folder)
    policy.write_text(policy.read_text().replace("- /x\n", "- /x\n        - /y\n"))
    assert "sa/evil" in policy.read_text()
    assert "/y" in policy.read_text()
    folder.write("bad.yaml", BROKEN)
    folder.remove("evil.yaml")
    code, _ = applied(folder)
    assert (code, policy.read_text()) == (1, wanted)
    assert folder.plan()["meshes"][0]["changes"] == []
    folder.remove("bad.yaml")
    assert (applied(folder)[0], policy.read_text()) == (0, wanted)


def test_rule_with_a_port_that_is_none_counts_for_nothing() -> None:
    """Istio passes over the whole of it, so that the other port of it is closed too."""
    wanted = made(replace(http_grant("h", ["web"], A), ports=(80,)))
    standing = edited(wanted, "first", lambda spec: spec["rules"][0]["to"][0]["operation"].update(ports=["80", "x"]))
    assert allowed(wanted) > allowed(standing) == allowed(met(standing, wanted))


def test_what_somebody_denied_stays_denied() -> None:
    """Also what another policy grants."""
    wanted = made(http_grant("h", ["pay"], A, B), golden(http_grant("g", ["pay"], B)))
    standing = edited(wanted, "golden", lambda spec: spec.update(action="DENY"))
    assert allowed(wanted) > allowed(standing) == allowed(met(standing, wanted))
