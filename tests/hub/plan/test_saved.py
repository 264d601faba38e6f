"""Saved plans as bytes: one form, nothing lost, every altered byte found; and what must still hold."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json
from msgspec.structs import replace

from hub.errors import RefusedError
from hub.memory.permits import Permit
from hub.model import (
    Access,
    Backend,
    Change,
    HttpMatch,
    Identity,
    Loss,
    NativeObject,
    ObjectRef,
    Op,
    Origin,
    Placement,
    Problem,
    Reading,
    Role,
    Route,
    RoutePort,
    Split,
    UnitKey,
)
from hub.plan.causes import ChangeCause, FieldLocation, InputChange
from hub.plan.changes import Conflict
from hub.plan.guards import Refusal
from hub.plan.moved import Fingerprint
from hub.plan.plan import Plan
from hub.plan.saved import (
    PREFIX,
    SCHEMA,
    CompiledUnit,
    MeshSetup,
    Saved,
    SavedMesh,
    Setup,
    check_inputs,
    check_plan,
    check_setup,
    check_token,
    check_verdict,
    decode,
    encode,
    inputs_digest,
    settings_digest,
)
from hub.smi.types import PortRoute

KEY = UnitKey("access", "d", "api", "eu")
API = Identity("td", "d", "api")
REF = ObjectRef("xds", "Thing", "", "t")
NATIVE = NativeObject(REF, Role.GRANT, b"\x00\xffbody", (REF,), (REF,))
LOSS = Loss("a.b", REF, "spec", "cannot", "GET /", "upgrade", unit=KEY)
PLAN = Plan(
    mesh="vms",
    token="7-abc",
    changes=(
        Change(Op.REPLACE, REF, 4, b"before", NATIVE, KEY, "6-abc"),
        Change(Op.DELETE, REF, 7, b"x", None, KEY, "5"),
    ),
    memory={KEY: b"lines", UnitKey("route", "d", "s"): b""},
    losses=(LOSS,),
    conflicts=(Conflict(REF, None, KEY),),
    frozen=(KEY,),
    unrevoked=(Permit(API, "spiffe://td/ns/d/sa/e", "TCP", (2,), None, None, (REF,)),),
    held=(KEY,),
    unproven=(KEY,),
    paused=(REF,),
    pieces=(KEY,),
    gained=(Permit(API, "spiffe://td/ns/d/sa/a", "TCP", (1,), None, HttpMatch("/\u00fc", ("GET",)), (REF,)),),
    lost=(Permit(API, "spiffe://td/ns/d/sa/c", "TCP", None, (("x", "y"),), None, (REF,)),),
    lost_lines=("c -> d:* any bytes",),
    governs=(KEY,),
    recalled=(REF,),
    rerouted=(("s:1 -> a 1", "s:1 -> b 1"),),
    losing=(KEY,),
    because=(ChangeCause(KEY, REF, (InputChange(REF, "removed", ("smi:a.yaml",)),)),),
    governed=3,
    first=True,
)
SETUP = Setup("0.1.0", "default", "td", Reading(), (MeshSetup("vms", "vm", ("all",), "0a"),))
PRINT = Fingerprint(REF, "0f", ("smi:a.yaml",))
ORIGIN = Origin("smi", "a.yaml", 1)
MESH = SavedMesh(PLAN, (), ("a.b",), (PRINT,), ((REF, ORIGIN),), ((LOSS, FieldLocation(REF, "spec", ("m",), ORIGIN)),))
PROBLEM = Problem("a.d", REF, "spec", "wrong", "write it", ORIGIN)
SAVED = Saved(SETUP, "1b", "2024-05-06T07:08:09+00:00", (MESH,), (PRINT,), (PROBLEM,))
RAW = encode(SAVED)


def test_saved_plan_comes_back_whole() -> None:
    """Every field of a plan that has all of them filled is the same afterwards."""
    empty = Plan("vms", "7-abc")
    same = [name for name in Plan.__struct_fields__ if getattr(PLAN, name) == getattr(empty, name)]
    assert same == ["mesh", "token"]
    assert decode(RAW) == SAVED


def test_saved_plan_is_one_document_that_names_kind_schema_and_digest() -> None:
    """What other programs may rely on."""
    found = json.decode(RAW)
    assert (found["kind"], found["schema"], len(found["digest"])) == ("SmihubSavedPlan", SCHEMA, 64)
    assert RAW.startswith(PREFIX)
    assert RAW.endswith(b"}\n")


def test_saved_plan_has_one_form() -> None:
    """The same plan with its memory in another order gives the same bytes."""
    turned = replace(PLAN, memory=dict(reversed(list(PLAN.memory.items()))))
    assert list(turned.memory) != list(PLAN.memory)
    assert encode(replace(SAVED, meshes=(replace(MESH, plan=turned),))) == RAW


@pytest.mark.thorough
@pytest.mark.parametrize("by", [1, 32, 128, 255])
def test_decode_when_a_byte_is_another_refuses(by: int) -> None:
    """Each single byte of the file, in four ways."""
    for place in range(len(RAW)):
        altered = bytearray(RAW)
        altered[place] ^= by
        with pytest.raises(RefusedError):
            decode(bytes(altered))


@given(st.integers(0, len(RAW)), st.integers(0, len(RAW)), st.binary(max_size=20))
def test_decode_when_a_piece_is_another_refuses(start: int, end: int, piece: bytes) -> None:
    """Cut out, put in, cut short, lengthened."""
    altered = RAW[: min(start, end)] + piece + RAW[max(start, end) :]
    if altered == RAW:
        return
    with pytest.raises(RefusedError):
        decode(altered)


@given(st.binary(max_size=200))
def test_decode_of_anything_gives_a_plan_or_refuses(tail: bytes) -> None:
    """Nothing that stands in a file ends in a trace."""
    for raw in (tail, PREFIX + tail, PREFIX + b'1,"digest":"","content":' + tail):
        with pytest.raises(RefusedError):
            decode(raw)


@pytest.mark.parametrize("spoilt", [b"[" * 100_000, b'{"a":' * 100_000])
def test_decode_when_nested_without_end_refuses(spoilt: bytes) -> None:
    """Depth is no way to crash it."""
    with pytest.raises(RefusedError):
        decode(PREFIX + b'1,"digest":"","content":' + spoilt)


def test_decode_when_another_schema_says_which() -> None:
    """A file of a later smihub is not called altered."""
    with pytest.raises(RefusedError, match=r"has schema 12, this smihub reads 3; plan again"):
        decode(RAW.replace(b'"schema":3', b'"schema":12', 1))


@pytest.mark.parametrize("change", ["unknown field", "missing field", "spaces", "twice"])
def test_decode_when_the_digest_is_right_but_the_form_is_not_refuses(change: str) -> None:
    """A program that knows how to compute the digest can still not put in what is not read."""
    content = json.encode(json.decode(RAW)["content"])
    forged = {
        "unknown field": content[:-1] + b',"token":"secret"}',
        "missing field": content.replace(b'"inputs":"1b",', b""),
        "spaces": content.replace(b'"inputs":', b'"inputs": '),
        "twice": content.replace(b'"inputs":', b'"inputs":"x","inputs":'),
    }[change]
    assert forged != content
    assert decode(_signed(content)) == SAVED
    with pytest.raises(RefusedError, match="was modified"):
        decode(_signed(forged))


def _signed(content: bytes) -> bytes:
    found = hashlib.sha256(content).hexdigest().encode()
    return PREFIX + b'%d,"digest":"' % SCHEMA + found + b'","content":' + content + b"}\n"


def test_saved_plan_has_no_field_for_a_secret() -> None:
    """Every leaf that the file can hold is listed here; a new one must be thought about."""
    assert set(_leaves(json.decode(RAW)["content"], "")) == {
        ".setup.smihub",
        ".setup.domain",
        ".setup.trust_domain",
        ".setup.reading.path_regex",
        ".setup.reading.root_backend",
        *(f".setup.meshes.{name}" for name in ("name", "adapter", "governed", "settings")),
        ".inputs",
        ".saved_at",
        *(f".meshes.plan.{name}" for name in _PLAN_LEAVES),
        ".meshes.accepted",
        *(f".{where}.{leaf}" for where in ("objects", "meshes.standing") for leaf in _PRINT_LEAVES),
        *(f".meshes.places.{leaf}" for leaf in (*_REF, *_ORIGIN)),
        *(f".meshes.spots.{leaf}" for leaf in _SPOT_LEAVES),
        *(f".problems.{leaf}" for leaf in ("code", "field", "message", "remedy", "severity")),
        *(f".problems.ref.{part}" for part in _REF),
        *(f".problems.origin.{part}" for part in _ORIGIN),
    }


_UNIT = ("kind", "namespace", "name", "domain")
_REF = ("group", "kind", "namespace", "name")
_ORIGIN = ("source", "file", "line")
_PRINT_LEAVES = (*(f"ref.{part}" for part in _REF), "digest", "files")
_SPOT_LEAVES = {
    *(f"{where}.{part}" for where in ("object", "origin") for part in _REF),
    *(f"unit.{part}" for part in _UNIT),
    *(f"origin.{part}" for part in _ORIGIN),
    *("code", "field", "message", "example", "remedy", "access", "matches"),
}
_PERMITS = ("gained", "lost", "unrevoked")
_PLAN_LEAVES = {
    *("mesh", "token", "lost_lines", "rerouted", "governed", "first", "memory"),
    *(
        f"{where}.{part}"
        for where in ("memory", "frozen", "held", "unproven", "pieces", "losing", "governs")
        for part in _UNIT
    ),
    *(f"because.unit.{part}" for part in _UNIT),
    *(f"because.{where}.{part}" for where in ("origin", "changes.ref") for part in _REF),
    *("because.changes.how", "because.changes.files"),
    *(
        f"{where}.{part}"
        for where in ("paused", "recalled", "gained.origins", "lost.origins", "unrevoked.origins")
        for part in _REF
    ),
    *(f"{where}.{part}" for where in _PERMITS for part in ("source", "transport", "ports", "labels")),
    *(f"{where}.receiver.{part}" for where in _PERMITS for part in ("trust_domain", "namespace", "service_account")),
    *("gained.match.path", "gained.match.methods", "lost.match", "unrevoked.match"),
    *(f"changes.{part}" for part in ("op", "wave", "before", "after", "token")),
    *(f"changes.{where}.{part}" for where in ("ref", "after.ref", "after.origins", "after.needs") for part in _REF),
    *(f"changes.unit.{part}" for part in _UNIT),
    *(f"changes.after.{part}" for part in ("role", "body")),
    *(f"losses.{part}" for part in ("code", "field", "message", "example", "remedy", "access")),
    *(f"losses.unit.{part}" for part in _UNIT),
    *(f"losses.origin.{part}" for part in _REF),
    "conflicts.first",
    *(f"conflicts.ref.{part}" for part in _REF),
    *(f"conflicts.second.{part}" for part in _UNIT),
}


def _leaves(value: Any, path: str) -> list[str]:
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{path}.{key}")]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner, path)]
    return [path]


# --------------------------------------------------------------------------- what governs

ACCESS = Access(
    Identity("td", "d", "api"), workloads=(Placement(REF, Identity("td", "d", "api"), addresses=("10.0.0.1",)),)
)
HALF = Split(REF, None, (Backend("v1", Fraction(1, 2)),))
ROUTE = Route("d", "s", (RoutePort(80, "TCP", "http", (HALF,)),), (REF,))
ROUTES = PortRoute(REF, Origin(), (1,))


def digest(unit: Access | Route, *objects: PortRoute, files: tuple[str, ...] = ("a",), unread: str = "") -> str:
    """The digest of one unit."""
    return inputs_digest([CompiledUnit(KEY, unit, files)], objects, [("src", unread)] if unread else [])


def test_inputs_digest_when_something_that_governs_differs_is_another() -> None:
    """Units, the files they come from, the objects they rest on, and what cannot be read."""
    other = replace(ROUTE, ports=(RoutePort(80, "TCP", "http", (replace(HALF, backends=()),)),))
    found = [
        digest(ROUTE),
        digest(other),
        digest(ACCESS),
        digest(ROUTE, files=("b",)),
        digest(ROUTE, ROUTES),
        digest(ROUTE, replace(ROUTES, ports=(2,))),
        digest(ROUTE, unread="a"),
        digest(ROUTE, unread="b"),
        inputs_digest([], [], []),
    ]
    assert len(set(found)) == len(found)
    assert digest(ROUTE) == found[0]


def test_inputs_digest_when_a_workload_has_another_address_is_the_same() -> None:
    """Where it stands is no policy; its identity and labels are."""
    moved = replace(ACCESS.workloads[0], addresses=("10.0.0.2", "10.0.0.3"))
    assert digest(replace(ACCESS, workloads=(moved,))) == digest(ACCESS)
    labelled = replace(moved, labels=(("a", "b"),))
    assert digest(replace(ACCESS, workloads=(labelled,))) != digest(ACCESS)


def test_settings_digest_follows_values_and_not_their_order() -> None:
    """A file that was sorted is the same configuration."""
    assert settings_digest([{"a": 1, "b": {"c": 2, "d": 3}}]) == settings_digest([{"b": {"d": 3, "c": 2}, "a": 1}])
    assert settings_digest([{"a": 1}]) != settings_digest([{"a": 2}])
    assert settings_digest([{"a": 1}, {}]) != settings_digest([{}, {"a": 1}])


# --------------------------------------------------------------------------- what must still hold


def test_checks_when_all_holds_pass() -> None:
    """Nothing that was saved a moment ago is refused."""
    check_verdict(SAVED)
    check_setup(SAVED, SETUP)
    check_inputs(SAVED, "1b")
    check_token(SAVED.meshes[0], "7-abc")
    check_plan(SAVED.meshes[0], PLAN, ())


def test_check_verdict_when_it_was_refused_names_mesh_and_code() -> None:
    """A refused plan can be saved, and is never applied."""
    refused = replace(SAVED, meshes=(SavedMesh(PLAN, (Refusal("guard.blast-radius", "much", "look"),)),))
    with pytest.raises(RefusedError, match=r'mesh "vms" was refused .*\(guard.blast-radius\)'):
        check_verdict(refused)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (replace(SETUP, smihub="0.2.0"), "saved by smihub 0.1.0, this is smihub 0.2.0"),
        (replace(SETUP, domain="eu"), r"\(domain.name\)"),
        (replace(SETUP, trust_domain="other"), r"\(domain.trustDomain\)"),
        (replace(SETUP, reading=Reading("prefix")), r"\(reading\)"),
        (replace(SETUP, meshes=()), r"\(meshes vms instead of \)"),
        (replace(SETUP, meshes=(MeshSetup("vms", "istio", ("all",), "0a"),)), r"\(settings of mesh vms\)"),
        (replace(SETUP, meshes=(MeshSetup("vms", "vm", ("targets",), "0a"),)), r"\(settings of mesh vms\)"),
        (replace(SETUP, meshes=(MeshSetup("vms", "vm", ("all",), "0b"),)), r"\(settings of mesh vms\)"),
    ],
)
def test_check_setup_when_something_differs_names_it(now: Setup, said: str) -> None:
    """One line says which part of smihub.yaml to look at."""
    with pytest.raises(RefusedError, match=said):
        check_setup(SAVED, now)


def test_check_setup_when_a_mesh_is_missing_or_twice_refuses() -> None:
    """A forged file cannot leave a mesh out."""
    for meshes in ((), SAVED.meshes * 2):
        with pytest.raises(RefusedError, match="each of its meshes exactly once"):
            check_setup(replace(SAVED, meshes=meshes), SETUP)


def test_checks_when_inputs_or_token_moved_refuse() -> None:
    """Each says what moved."""
    with pytest.raises(RefusedError, match="sources have changed"):
        check_inputs(SAVED, "1c")
    with pytest.raises(RefusedError, match='mesh "vms" has changed'):
        check_token(SAVED.meshes[0], "8-abc")


def test_check_plan_when_planning_gives_another_or_guards_refuse_now() -> None:
    """A forged body is found although its digest is right, and a tightened guard is obeyed."""
    forged = replace(PLAN, changes=PLAN.changes[:1])
    with pytest.raises(RefusedError, match="planning now gives a different result"):
        check_plan(SAVED.meshes[0], forged, ())
    with pytest.raises(RefusedError, match=r"refused by the guards .*\(a.b\)"):
        check_plan(SAVED.meshes[0], PLAN, (Refusal("a.b", "m", "r"),))
