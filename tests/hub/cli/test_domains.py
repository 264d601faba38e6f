"""Several domains in one smihub.yaml that call everything alike: sources, meshes, namespaces, objects. None knows of another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hub.cli.two_domains import NAMES, TEXT, Two
from tests.servers.folder import CONFIG, ROUTES, target

pytestmark = pytest.mark.thorough

POLICY = "AuthorizationPolicy/shop/smihub-api"


# --------------------------------------------------------------------------- check, plan, apply


def test_check_reports_by_domain(two: Two) -> None:
    """What is wrong in one is not said of the other, though both have an object of that name."""
    good = two.run("check")
    assert good.exit_code == 0
    assert [row for row in good.stdout.splitlines() if "domain" in row] == ["domain eu", "domain us"]
    two.write("us", "access.yaml", ROUTES, target("api-from-web").replace("HTTPRouteGroup", "HTTPRoutGroup"))
    bad = two.run("check")
    assert bad.exit_code == 1
    first, _, second = bad.stdout.partition("domain us")
    assert "error" not in first.replace("0 errors", "")
    assert "TrafficTarget/shop/api-from-web" in second
    rows = json.loads(two.run("check", "-o", "json").stdout)["problems"]
    assert {row["domain"] for row in rows if row["severity"] == "error"} == {"us"}


def test_plan_shows_every_mesh_by_its_domain(two: Two) -> None:
    """With the domain's own grants and identities, in text and as data."""
    shown = two.run("plan").stdout
    parts = shown.split("mesh ")
    by_mesh = {part.split()[0]: part for part in parts if part}
    assert list(by_mesh) == ["eu/vms", "eu/istio", "us/vms", "us/istio"]
    for mesh, part in by_mesh.items():
        own, other = ("GET /books", "POST /orders") if mesh.startswith("eu") else ("POST /orders", "GET /books")
        assert (own in part, other in part) == (True, False), mesh
    data = json.loads(two.run("plan", "-o", "json").stdout)
    assert [(row["domain"], row["mesh"]) for row in data["meshes"]] == [
        (domain, mesh) for domain in NAMES for mesh in ("vms", "istio")
    ]
    for row in data["meshes"]:
        own, other = NAMES if row["domain"] == "eu" else reversed(NAMES)
        fields = json.dumps(row["changes"])
        assert (f"{own}.example.org" in fields, f"{other}.example.org" in fields) == (True, False)


def test_a_change_in_one_domain_changes_nothing_in_the_other(two: Two) -> None:
    """A revocation is written where it was made; state, files and records are apart."""
    two.applied()
    assert two.run("plan").exit_code == 0
    assert not (two.root / ".smihub").exists()
    eu, us = two.standing("eu"), two.standing("us")
    assert eu[1].keys() == us[1].keys()
    two.write("eu", "access.yaml", ROUTES)
    result = two.run("apply", "--yes")
    assert result.exit_code == 0
    assert result.stdout.count("newly denied") == 2
    assert "mesh eu/vms: applied" in result.stderr
    assert "mesh us/" not in result.stderr
    assert two.standing("us") == us
    assert two.standing("eu") != eu
    assert two.run("explain", "--domain", "eu", *ASKED).stdout.startswith("SMI: deny")
    assert two.run("explain", "--domain", "us", *ASKED).stdout.startswith("SMI: allow")


def test_a_domain_that_cannot_be_read_stops_no_other(two: Two) -> None:
    """It is named, and the code is 1; the other one's revocation is written."""
    two.applied()
    us = two.standing("us")
    (two.root / "us").rename(two.root / "gone")
    two.write("eu", "access.yaml", ROUTES)
    for verb in (("check",), ("plan",)):
        result = two.run(*verb)
        assert (result.exit_code, "error: domain us: " in result.stderr) == (1, True), result.output
    saved = two.run("plan", "--save", "review.plan")
    assert saved.stderr.splitlines()[-1] == "error: domain us could not be planned, so nothing was saved"
    result = two.run("apply", "--yes")
    assert (result.exit_code, two.revision("eu")) == (1, 2)
    assert two.standing("us") == us


ASKED = ("--from", "shop/web", "--to", "shop/api:80", "--method", "POST", "--path", "/orders")


def test_explain_wants_the_domain(two: Two) -> None:
    """A request is one in a domain; which one is never guessed."""
    assert two.run("explain", *ASKED).stderr == "error: --domain: use one of eu, us\n"
    assert two.run("explain", "--domain", "asia", *ASKED).stderr == (
        'error: --domain: unknown domain "asia"; use one of eu, us\n'
    )
    assert two.run("explain", "--domain", "us", *ASKED).stdout.startswith("SMI: allow")
    assert two.run("explain", "--domain", "eu", *ASKED).stdout.startswith("SMI: deny")


# --------------------------------------------------------------------------- saved plans


def test_a_saved_plan_has_every_domain(two: Two) -> None:
    """It is written exactly, in both."""
    assert two.run("plan", "--save", "review.plan").exit_code == 2
    result = two.run("apply", "review.plan", "--yes")
    assert result.exit_code == 0, result.output
    assert [two.revision(name) for name in NAMES] == [1, 1]
    assert two.run("plan").exit_code == 0
    assert two.run("apply", "review.plan", "--yes").exit_code == 3


@pytest.mark.parametrize("what", ["source", "one left out", "turned around", "another domain", "half"])
def test_a_saved_plan_that_no_longer_holds_in_one_domain_writes_nothing(two: Two, what: str) -> None:
    """Neither where it does not hold nor in the other one, in which it does."""
    assert two.run("plan", "--save", "review.plan").exit_code == 2
    file = two.root / "review.plan"
    lines = file.read_bytes().splitlines(keepends=True)
    if what == "source":
        two.write("us", "access.yaml", ROUTES)
    elif what == "another domain":
        two.folder.config(TEXT.replace("name: us\n", "name: asia\n"))
    else:
        kept = {"one left out": lines[:1], "turned around": lines[::-1], "half": [lines[0], lines[1][:-20]]}
        file.write_bytes(b"".join(kept[what]))
    result = two.run("apply", "review.plan", "--yes")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1), result.output
    assert [two.revision(name) for name in NAMES] == [0, 0]
    assert not (two.root / "rendered").exists()


def test_a_saved_plan_keeps_what_was_accepted_by_domain(two: Two) -> None:
    """It is told of the mesh in whose domain it was."""
    two.applied()
    two.folder.config(TEXT + "  guards: {blastRadiusPercent: 0, minUnits: 0}\n")
    two.write("us", "access.yaml", ROUTES)
    two.run("plan", "--save", "review.plan", "--accept", "guard.blast-radius")
    result = two.run("apply", "review.plan", "--yes")
    assert result.exit_code == 0, result.output
    assert "mesh us/vms: accepted when it was saved: guard.blast-radius" in result.stderr
    assert "mesh eu/" not in result.stderr


# --------------------------------------------------------------------------- one mesh, by name


def test_a_mesh_is_named_by_domain_and_name(two: Two) -> None:
    """The name alone never means one of several."""
    wrong = two.run("render", "vms")
    assert wrong.stderr == 'error: unknown mesh "vms"; use one of eu/vms, eu/istio, us/vms, us/istio\n'
    for own, other in (NAMES, NAMES[::-1]):
        shown = two.run("render", f"{own}/vms").stdout
        assert (f"spiffe://{own}.example.org" in shown, f"spiffe://{other}." in shown) == (True, False)
        assert json.loads(two.run("render", f"{own}/vms", "-o", "json").stdout)["domain"] == own
    two.applied()
    assert "--mesh: use one of eu/vms, us/vms" in two.run("bootstrap", "shop/web-1").stderr
    assert two.run("bootstrap", "shop/web-1", "--mesh", "us/vms", "--out", "envoy").exit_code == 0
    assert ".smihub-us-sockets/vms.sock" in (two.root / "envoy" / "envoy.json").read_text()
    enrolled = {
        row["domain"]: row["workloads"]["shop/web-1"]["enrolled"]
        for row in json.loads(two.run("status", "-o", "json").stdout)["meshes"]
        if row["mesh"] == "vms"
    }
    assert enrolled == {"eu": False, "us": True}


def test_whose_an_object_is_is_said_in_one_domain(two: Two) -> None:
    """Paused in one; the other one's object of the same name is written on."""
    two.applied()
    assert two.run("pause", "eu/istio", POLICY).exit_code == 0
    for name in NAMES:
        two.write(name, "access.yaml", ROUTES)
    result = two.run("apply", "--yes")
    assert result.exit_code == 0
    parts = result.stdout.partition("mesh us/vms")
    assert ("paused" in parts[0], "paused" in parts[2]) == (True, False)
    rest = ("release", "us/istio", "access/shop/api", "--delete", "--yes")
    assert two.run(*rest).exit_code == 0
    assert "smihub-api.yaml" not in "".join(two.standing("us")[1])
    assert "smihub-api.yaml" in "".join(two.standing("eu")[1])


def test_an_approval_is_one_domain_s(two: Two) -> None:
    """Both lose the same; only the plan that was approved passes, and the history says of which domain."""
    two.applied()
    guards = "  guards: {blastRadiusPercent: 0, minUnits: 0}\n"
    two.folder.config(TEXT.replace("- name: us", f"{guards}- name: us") + guards)
    for name in NAMES:
        two.write(name, "access.yaml", ROUTES)
    shown = json.loads(two.run("plan", "-o", "json").stdout)["meshes"]
    digests = {
        (row["domain"], row["mesh"]): next(
            refusal["remedy"].partition("approve ")[2].partition(" ")[0] for refusal in row["refused"]
        )
        for row in shown
    }
    assert len(set(digests.values())) == 4
    result = two.run("approve", digests["us", "vms"], "--yes", "--why", "moved")
    assert "mesh us/vms: approved" in result.stderr
    assert two.run("apply", "--yes").exit_code == 3
    assert [two.revision(name) for name in NAMES] == [1, 2]
    rows = json.loads(two.run("history", "-o", "json").stdout)["entries"]
    assert [(row["domain"], row["mesh"]) for row in rows if row["action"] == "approve"] == [("us", "vms")]
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    text = two.run("history", "--mesh", "us/vms").stdout
    assert "us/vms" in text
    assert "eu/vms" not in text
    assert "us/istio" not in text
    assert len(two.run("history", "--limit", "1").stdout.splitlines()) == 2
    assert two.run("history", "--mesh", "vms").stderr == 'error: unknown mesh "vms"; did you mean "us/vms"?\n'


def test_status_shows_every_mesh_by_its_domain(two: Two) -> None:
    """From the record of its own domain."""
    two.run("apply", "--yes")
    two.folder.config(TEXT + "  guards: {blastRadiusPercent: 0, minUnits: 0}\n")
    two.write("us", "access.yaml", ROUTES)
    assert two.run("apply", "--yes").exit_code == 3
    result = two.run("status", "--mesh", "eu/istio", "--mesh", "us/istio")
    assert result.exit_code == 1
    eu, _, us = result.stdout.partition("mesh us/istio")
    assert eu.startswith("mesh eu/istio: ")
    assert ("refused since" in eu, "refused since" in us) == (False, True)
    assert us.splitlines()[-2:] == [
        f"domain {name}: no hub is running here; this is the result of the last run or apply" for name in NAMES
    ]
    rows = json.loads(two.run("status", "-o", "json").stdout)["meshes"]
    assert [(row["domain"], row["mesh"]) for row in rows] == [(d, m) for d in NAMES for m in ("vms", "istio")]
    assert two.run("status", "--mesh", "istio").exit_code == 1


# --------------------------------------------------------------------------- from one to several


def test_one_domain_moves_into_a_list_with_all_it_has(tmp_path: Path) -> None:
    """With its state folder named, nothing changes, and its record and its authority stay."""
    two = Two(tmp_path)
    short = (
        CONFIG.replace("path: manifests", "path: eu, name: manifests")
        .replace("- path", "- {path", 1)
        .replace("name: manifests", "name: manifests}")
        .replace("cluster.local", "eu.example.org")
    )
    two.folder.config(short + f'owner: "{ord("e"):032x}"\n')
    assert two.run("apply", "--yes").exit_code == 0
    two.folder.config(TEXT.replace("  owner", "  state: .smihub\n  owner", 1))
    rows = json.loads(two.run("plan", "-o", "json").stdout)["meshes"]
    assert (rows[0]["domain"], rows[0]["mesh"], rows[0]["changes"]) == ("eu", "vms", [])
    assert "eu/vms" in two.run("history").stdout
