"""What is written of an intention that somebody edited, while nobody can tell what it permits: what both it and the wanted one do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.consul.config import ENTRY_NAMES, RESOURCE_NAMES
from adapters.consul.evaluate.intentions import Default
from adapters.consul.evaluate.mesh import BOTH, mesh_of
from adapters.consul.names import Names
from adapters.consul.translate.meet import meet
from hub.api import Facts, NativeObject, Role
from tests.adapters.consul.hand_edited import (
    EDITED,
    MAY_A,
    MAY_B,
    NEEDS,
    UNPROVEN,
    WANTED,
    Calls,
    canonical,
    granted,
    shut,
    stood,
    wrote,
)
from tests.adapters.consul.native import (
    HTTP,
    OTHER,
    A,
    B,
    Json,
    allow,
    ask,
    deny,
    entry,
    intentions,
    manifest,
    may,
    raw_entry,
    refuse,
    send,
    service,
    source,
)

CALLERS, PATHS = {"a": A, "b": B, "c": OTHER}, ("/x", "/y", "/admin", "/x/admin")


def in_form(native: NativeObject, form: str) -> NativeObject:
    """The same as an entry, or as the custom resource."""
    if form == "entry":
        return native
    needs = tuple(manifest(raw_entry(ref.kind, ref.name)).ref for ref in native.needs)
    return canonical(manifest(native), *needs)


def get_in(
    facts: Facts, objects: Iterable[NativeObject], form: str, default: Default, others: Sequence[NativeObject] = ()
) -> Calls:
    """Who gets in at `web`, where agents have this default."""
    names = Names(ENTRY_NAMES if form == "entry" else RESOURCE_NAMES)
    beside = [in_form(one, form) for one in (*HTTP, *others)]
    judge = mesh_of((*objects, *beside), facts, names, (default,)).judge
    calls = {(name, path): ask(path, account) for name, account in CALLERS.items() for path in PATHS}
    return {call for call, request in calls.items() if judge(request).verdict == "allow"}


@pytest.fixture(name="form", params=["entry", "resource"])
def make_form(request: pytest.FixtureRequest) -> str:
    """Both forms."""
    return str(request.param)


# --------------------------------------------------------------------------- what is left after edits


@pytest.mark.parametrize("default", BOTH)
@pytest.mark.parametrize("name", EDITED)
def test_only_what_was_edited_is_affected(facts: Facts, name: str, default: Default, form: str) -> None:
    """Nobody gains, whoever is no longer wanted is out, and the others keep what they have."""
    standing, left = EDITED[name]
    if name == "a name of any character" and default == "allow":
        left = set()  # where agents allow by default, Consul denies whoever is denied by any name
    standing, wanted = in_form(standing, form), in_form(WANTED, form)
    (found,) = met = meet([standing], [wanted])
    assert get_in(facts, met, form, default) == left <= get_in(facts, [standing], form, default)
    assert found.needs == (wanted.needs if left or b"ermissions" in found.body else ())
    assert (found.ref, found.role) == (wanted.ref, Role.GRANT)
    assert meet(met, [wanted]) == met


def test_what_stands_as_it_is_wanted_is_written_as_it_stands(form: str) -> None:
    """Byte by byte; marks count as little as the role that they tell of."""
    for wanted in (in_form(WANTED, form), in_form(wrote(allow("a"), deny("b")), form), in_form(wrote(), form)):
        assert meet([wanted], [wanted]) == (wanted,)
        assert meet([replace(wanted, role=Role.GUARD, needs=())], [wanted]) == (wanted,)


# --------------------------------------------------------------------------- what cannot be proven grants nothing


@pytest.mark.parametrize("default", BOTH)
@pytest.mark.parametrize("name", UNPROVEN)
def test_what_cannot_be_proven_grants_nothing(facts: Facts, name: str, default: Default, form: str) -> None:
    """Its source is denied, or where it is about all of the intention, everybody; and all that is left, Consul takes."""
    standing, others_stay = UNPROVEN[name]
    standing, wanted = in_form(standing, form), in_form(WANTED, form)
    met = meet([standing], [wanted])
    denied = [replace(one, body=_without_peers(one.body)) for one in met]  # which `evaluate` does not read
    assert get_in(facts, denied, form, default) == ({("b", "/x")} if others_stay else set())
    assert meet(met, [wanted]) == met


def _without_peers(body: bytes) -> bytes:
    whole = json.loads(body)
    held = whole.get("spec", whole)
    name = "sources" if "spec" in whole else "Sources"
    held[name] = [one for one in held[name] if "Peer" not in one and "peer" not in one]
    return json.dumps(whole).encode()


def test_a_denial_of_a_peer_stays(form: str) -> None:
    """The denial of everybody is about this mesh alone."""
    peer = {"Name": "*", "Peer": "east", "Action": "deny"}
    met = meet([in_form(stood(MAY_A, peer, deny()), form)], [in_form(WANTED, form)])
    assert in_form(stood(peer), form).body.partition(b"ources")[2][3:40] in met[0].body


def _bodies() -> dict[str, bytes]:
    body = json.loads(WANTED.body)
    found: dict[str, Any] = {
        "no object": [body],
        "nothing": {},
        "no name": {**body, "Name": 5},
        "a name of no service": {**body, "Name": "a/../b"},
        "another kind": {**body, "Kind": "service-defaults"},
        "no sources": {**body, "Sources": None},
    }
    raw = {"no text": b"\xff\xfe", "no end": WANTED.body[:-3], "too deep": b"[" * 200_000}
    return {name: json.dumps(value).encode() for name, value in found.items()} | raw


@pytest.mark.parametrize("body", _bodies().values(), ids=_bodies())
def test_garbage_becomes_an_intention_that_denies(body: bytes, form: str) -> None:
    """It is the one of the object's name, whether anybody wants it still or not."""
    wanted = in_form(WANTED, form)
    closed = in_form(wrote(shut("a"), shut("b")), form)
    assert meet([replace(wanted, body=body)], [wanted]) == (closed,)
    (found,) = meet([replace(wanted, body=body)], [])
    assert found.body in {in_form(wrote(), form).body, closed.body}


def test_fields_in_another_spelling_are_fields_for_consul() -> None:
    """It takes `sources` and `Sources` for one field, and knows which of both counts."""
    closed = wrote(shut("a"), shut("b"))
    assert meet([stood(MAY_A, MAY_B, deny(), sources=[])], [WANTED]) == (closed,)
    resource = in_form(WANTED, "resource")
    spelled = replace(resource, body=resource.body.replace(b'"permissions"', b'"Permissions"'))
    assert meet([spelled], [resource]) == (in_form(closed, "resource"),)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"metadata": {"name": "shop--other", "namespace": "shop"}},
        {"metadata": {"name": "shop--web", "namespace": "shop", "annotations": {"consul.hashicorp.com/migrate-entry": "true"}}},
        {"apiVersion": "consul.hashicorp.com/v1"},
        {"status": {}},
        {"spec": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_a_resource_that_is_not_what_smihub_made_grants_nothing(spoiled: Json) -> None:
    """Whatever consul-k8s makes of it."""
    wanted = in_form(WANTED, "resource")
    body = {**json.loads(wanted.body), **spoiled}
    (found,) = meet([replace(wanted, body=json.dumps(body).encode())], [wanted])
    assert found == in_form(wrote(shut("a"), shut("b")), "resource")


def test_labels_of_others_do_not_matter() -> None:
    """They say nothing to Consul, as its own numbers do."""
    assert meet([stood(MAY_A, MAY_B, deny(), Meta={"by": "me"}, Hash=1, CreateIndex=2, ModifyIndex=3)], [WANTED]) == (
        WANTED,
    )
    wanted = in_form(WANTED, "resource")
    body = json.loads(wanted.body)
    body["metadata"] |= {"labels": {"team": "shop"}, "annotations": {"example.com/by": "me"}}
    assert meet([replace(wanted, body=json.dumps(body).encode())], [wanted]) == (wanted,)


# --------------------------------------------------------------------------- whole objects


@pytest.mark.parametrize("default", BOTH)
def test_an_intention_that_is_gone_comes_back_and_denies(facts: Facts, default: Default, form: str) -> None:
    """Without one the default decides."""
    wanted = in_form(WANTED, form)
    (found,) = meet([], [wanted])
    assert found == in_form(wrote(shut("a"), shut("b")), form)
    assert get_in(facts, [found], form, default) == set()


def test_an_intention_that_nobody_wants_stays_and_denies(form: str) -> None:
    """Its absence would open what it refuses."""
    assert meet([in_form(WANTED, form)], []) == (in_form(wrote(shut("a"), shut("b")), form),)


@pytest.mark.parametrize("default", BOTH)
def test_another_destination_stays_denied(facts: Facts, default: Default) -> None:
    """consul-k8s does not let a destination change, and without this one its default would decide."""
    wanted = in_form(WANTED, "resource")
    moved = replace(wanted, body=wanted.body.replace(b'"name":"shop--web"}', b'"name":"shop--web-v1"}', 1))
    assert moved != wanted
    (found,) = met = meet([moved], [wanted])
    assert json.loads(found.body)["spec"]["destination"] == {"name": "shop--web-v1"}
    names = Names(RESOURCE_NAMES)
    judge = mesh_of((*met, *(in_form(one, "resource") for one in HTTP)), facts, names, (default,)).judge
    there = replace(ask("/x").dst, pod="shop/web-v1")
    assert {judge(ask(path, who, there)).verdict for path in PATHS for who in CALLERS.values()} == {"deny"}


def test_of_two_intentions_for_one_service_neither_grants(form: str) -> None:
    """Consul has the one that was written last; names have no upper and lower case there."""
    wanted = in_form(WANTED, form)
    if form == "entry":
        double = replace(raw_entry("service-intentions", "SHOP_WEB", Sources=[MAY_A, deny()]), needs=NEEDS)
    else:
        double = replace(wanted, ref=replace(wanted.ref, name="double"))
    for met in (meet([wanted, double], [wanted]), meet([double], [wanted])):
        assert all(b'"allow"' not in one.body for one in met)
    assert len(meet([double], [wanted])) == 1


def test_what_else_stands_may_change_what_an_intention_means(form: str) -> None:
    """It stays as it is, and nothing is granted meanwhile."""
    wanted = in_form(WANTED, form)
    other = in_form(replace(entry("service-defaults", "web", MutualTLSMode="permissive"), role=Role.GRANT), form)
    assert set(meet([wanted, other], [wanted])) == {in_form(wrote(shut("a"), shut("b")), form), other}


# --------------------------------------------------------------------------- bytes and HTTP


@pytest.mark.parametrize("default", BOTH)
def test_bytes_are_allowed_where_both_allow_them(facts: Facts, default: Default) -> None:
    """What has permissions is a service of HTTP, and where bytes are wanted it is not to be one: then neither counts."""
    raw = partial(intentions, "tcpsvc")
    wanted = canonical(raw(allow("a"), allow("b"), deny()))
    judge = mesh_of(meet([canonical(raw(allow("a"), allow("c"), deny()))], [wanted]), facts, Names(ENTRY_NAMES), (default,)).judge  # fmt: skip
    assert [judge(send(account)).verdict for account in (A, B, OTHER)] == ["allow", "deny", "deny"]
    (found,) = meet([canonical(raw(source("a", may(regex="/x"), refuse(prefix="/")), allow("b"), deny()))], [wanted])
    assert [(one["Name"], one.get("Action")) for one in json.loads(found.body)["Sources"]] == [
        ("shop_a", "deny"),
        ("shop_b", "allow"),
        ("*", "deny"),
    ]


# --------------------------------------------------------------------------- beside intentions of others


@pytest.mark.parametrize("everywhere", [allow("c"), deny("c"), allow("a"), deny("a"), allow("*")], ids=str)
@pytest.mark.parametrize("default", BOTH)
def test_nobody_gains_by_an_intention_of_others_for_every_service(
    facts: Facts, default: Default, everywhere: Json
) -> None:
    """Whoever was named stays named: a source that this intention does not name is under theirs."""
    theirs = [intentions("*", everywhere)]
    for standing, _ in EDITED.values():
        before = get_in(facts, [standing], "entry", default, theirs)
        assert get_in(facts, meet([standing], [WANTED]), "entry", default, theirs) <= before


def test_of_equal_permissions_the_first_counts(facts: Facts) -> None:
    """For Consul, too: what is before a denial is allowed whether it is there once more or not."""
    first, *rest = granted("b", "/x")["Permissions"][1:]
    wanted = wrote({"Name": service("b"), "Permissions": [first, *rest]})
    standing = stood({"Name": service("b"), "Permissions": [first, refuse(prefix="/x"), first, *rest]}, deny())
    for default in BOTH:
        assert get_in(facts, meet([standing], [wanted]), "entry", default) == {("b", "/x")}


def test_many_permissions_that_are_alike_are_quick() -> None:
    """Nothing is compared with everything."""
    paths = [f"/{number}" for number in range(3000)]
    wanted = wrote(granted("a", *paths))
    standing = stood(granted("a", *paths[1:], "/z"), deny())
    (found,) = meet([standing], [wanted])
    assert len(json.loads(found.body)["Sources"][0]["Permissions"]) == 3001
