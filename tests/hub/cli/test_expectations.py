"""`smihub test`: what holds and what does not, and why."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.servers.folder import CONFIG, Folder, target

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "deploy" / "examples"
HEAD = "apiVersion: smihub.io/v1alpha1\nkind: Test\ntests:\n"
BOOKS = "- {name: books, from: shop/web, to: 'shop/api:80', path: /books, expect: allow}\n"
ORDERS = "- {from: shop/web, to: 'shop/api:80', method: POST, path: /orders, expect: allow}\n"
STRANGER = "- {name: strangers, from: shop/wob, to: 'shop/api:80', path: /books, expect: deny}\n"
SPLIT = """\
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: s, namespace: shop}
spec: {service: api, backends: [{service: api, weight: 3}, {service: v2, weight: 1}]}
---
apiVersion: v1
kind: Service
metadata: {name: v2, namespace: shop}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
"""


def write(folder: Folder, *tests: str) -> None:
    """A file of expectations, out of the source."""
    (folder.root / "x.yaml").write_text(HEAD + "".join(tests))


def test_what_holds_ends_with_0(folder: Folder) -> None:
    """And a summary; with -q without a word."""
    write(folder, BOOKS, STRANGER)
    result = folder.run("test", "x.yaml")
    assert (result.exit_code, result.stdout) == (0, "2 tests in 1 file: all passed\n")
    assert folder.run("test", "-q", "x.yaml").stdout == ""


def test_a_failure_is_one_line_with_the_near_miss(folder: Folder) -> None:
    """What was expected, who says otherwise, and what stands between; the exit code is 1."""
    write(folder, BOOKS, ORDERS)
    result = folder.run("test", "x.yaml")
    assert result.exit_code == 1
    failure, summary = result.stdout.splitlines()
    assert (
        failure
        == (
            "x.yaml:5: FAIL shop/web -> shop/api:80 POST /orders: expected allow, SMI and mesh vms say deny; "
            'TrafficTarget/shop/api-from-web by match "books" of HTTPRouteGroup/shop/routes would, except for '
        )
        + failure.partition("would, except for ")[2]
    )
    assert "POST" in failure.partition("would, except for ")[2]
    assert summary == "2 tests in 1 file: 1 failed"
    assert folder.run("test", "-q", "x.yaml").stdout.splitlines() == [failure]


def test_what_is_allowed_against_expectation_names_what_grants_it(folder: Folder) -> None:
    """A test that nobody has more than is meant."""
    write(folder, BOOKS.replace("allow", "deny"))
    result = folder.run("test", "x.yaml")
    assert result.exit_code == 1
    assert "expected deny, SMI and mesh vms say allow; by TrafficTarget/shop/api-from-web" in result.stdout


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ("{api: 75, v2: 25}", ""),
        ("{api: 3, v2: 1, x: 0}", ""),
        ("{api: 2, v2: 1}", "expected api 2/3, v2 1/3, SMI and mesh vms say api 3/4, v2 1/4"),
        ("{api: 1}", "expected api 1, SMI and mesh vms say api 3/4, v2 1/4"),
    ],
)
def test_shares_are_exact(folder: Folder, shares: str, said: str) -> None:
    """As weights of any size; who is left out has none."""
    folder.write("split.yaml", SPLIT)
    write(folder, BOOKS.replace("expect: allow", f"expect: {shares}"))
    result = folder.run("test", "x.yaml")
    assert result.exit_code == (1 if said else 0)
    assert said in result.stdout


def test_a_mesh_may_be_expected_to_do_something_else(folder: Folder) -> None:
    """What it cannot say; without that the reason is told."""
    folder.config(
        "domain: {trustDomain: a.b}\nsources: [{path: manifests}]\nmeshes: [{name: gitops, adapter: istio, sink: {path: r}}]\n"
    )
    text = folder.manifests / "routes.yaml"
    folder.write("routes.yaml", text.read_text().replace("pathRegex: /books", "pathRegex: '/b(oo)+ks'"))
    write(folder, BOOKS)
    result = folder.run("test", "x.yaml")
    assert result.exit_code == 1
    assert "expected allow, mesh gitops says deny; " in result.stdout
    assert "istio.path-not-expressible" in result.stdout
    write(folder, BOOKS.replace("expect: allow", "expect: allow, meshes: {gitops: deny}"))
    assert folder.run("test", "x.yaml").exit_code == 0
    write(folder, BOOKS.replace("expect: allow", "expect: allow, meshes: {istio: deny}"))
    assert 'x.yaml:4: tests[0].meshes.istio: unknown mesh "istio"' in folder.run("test", "x.yaml").stderr


def test_a_mesh_that_does_not_govern_has_no_say_while_another_does(folder: Folder) -> None:
    """If none governs the receiver, nothing is denied there, and that fails."""
    meshes = "domain: {trustDomain: a.b}\nsources: [{path: manifests}]\nmeshes:\n"
    other = "- {name: other, adapter: istio, governed: {namespaces: [pay]}, sink: {path: r}}\n"
    folder.config(f"{meshes}- {{name: vms, adapter: vm}}\n{other}")
    write(folder, BOOKS, STRANGER)
    assert folder.run("test", "x.yaml").exit_code == 0
    assert folder.run("test", "x.yaml", "--mesh", "vms").exit_code == 0
    folder.config(f"{meshes}{other}")
    result = folder.run("test", "x.yaml")
    assert result.exit_code == 1
    assert (
        "x.yaml:5: FAIL strangers: shop/wob -> shop/api:80 GET /books: expected deny, mesh other says ungoverned"
        in result.stdout
    )
    write(folder, STRANGER.replace("expect: deny", "expect: deny, meshes: {other: ungoverned}"))
    assert folder.run("test", "x.yaml").exit_code == 0


def test_several_files_and_standard_input(folder: Folder) -> None:
    """Each failure names its own."""
    write(folder, BOOKS)
    result = folder.run("test", "x.yaml", "-", text=HEAD + ORDERS)
    assert result.exit_code == 1
    assert result.stdout.startswith("<stdin>:4: FAIL shop/web")
    assert result.stdout.endswith("2 tests in 2 files: 1 failed\n")


def test_a_bad_file_stops_before_anything_is_asked(folder: Folder) -> None:
    """One line, and 1."""
    write(folder, BOOKS, "- {from: x}\n")
    result = folder.run("test", "x.yaml")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "x.yaml:5: tests[1]" in result.stderr


def test_sources_that_cannot_be_read_end_with_1(folder: Folder) -> None:
    """Though everything that is asked holds: nobody knows what else they say."""
    write(folder, BOOKS)
    folder.write("broken.yaml", "kind: Pod\na: [")
    result = folder.run("test", "x.yaml")
    assert (result.exit_code, "all passed" in result.stdout) == (1, True)
    assert "broken.yaml" in result.stderr


def test_junit_has_a_case_for_each_expectation(folder: Folder) -> None:
    """What a CI system shows; hostile names break neither it nor a terminal."""
    write(folder, BOOKS, ORDERS, '- {name: "\\e[31m\\x01<&\\"", from: shop/web, to: "shop/api:80", expect: allow}\n')
    result = folder.run("test", "x.yaml", "--junit", "report.xml")
    assert "\x1b" not in result.stdout
    root = ET.fromstring((folder.root / "report.xml").read_bytes())
    assert root.attrib == {"name": "smihub test", "tests": "3", "failures": "2", "errors": "0"}
    cases = root.findall("./testsuite[@name='x.yaml']/testcase")
    assert [case.get("name") for case in cases] == [
        "books",
        "shop/web -> shop/api:80 POST /orders",
        '\\x1b[31m\\x01<&"',
    ]
    assert [case.get("line") for case in cases] == [None, "5", "6"]
    failure = cases[1].find("failure")
    assert failure is not None
    assert "expected allow, SMI and mesh vms say deny; TrafficTarget" in failure.get("message", "")
    assert folder.run("test", "x.yaml", "--junit", "no/where.xml").stderr.count("\n") == 1


def test_as_data_every_answer_is_there(folder: Folder) -> None:
    """The near miss with its words; -q leaves out what holds."""
    write(folder, BOOKS, ORDERS)
    found = json.loads(folder.run("test", "x.yaml", "-o", "json").stdout)
    assert found["summary"] == {"total": 2, "passed": 1, "failed": 1}
    assert [each["passed"] for each in found["tests"]] == [True, False]
    failed = found["tests"][1]
    assert (failed["file"], failed["line"], failed["request"]["method"]) == ("x.yaml", 5, "POST")
    assert [each["mesh"] for each in failed["failures"]] == [None, "vms"]
    words = {hurdle["what"] for miss in failed["failures"][0]["near"] for hurdle in miss["between"]}
    assert {"method", "path"} & words
    quiet = yaml.load(folder.run("test", "x.yaml", "-q", "-o", "yaml").stdout, yaml.CSafeLoader)
    assert [each["line"] for each in quiet["tests"]] == [5]


def test_a_file_of_expectations_among_the_sources_is_no_object_of_smi(folder: Folder) -> None:
    """It may lie beside what it is about: check has no word for it, and nothing waits."""
    folder.write("shop.test.yaml", HEAD + BOOKS)
    assert folder.run("check").stdout.startswith("0 errors, 0 warnings")
    assert folder.run("test", "manifests/shop.test.yaml").exit_code == 0
    assert folder.run("apply", "--yes").exit_code == 0


def test_the_example_holds_in_every_installed_mesh(folder: Folder) -> None:
    """As its head says it is run."""
    (folder.root / "smihub.yaml").unlink()
    result = folder.run("test", str(EXAMPLE / "bookshop.test.yaml"), "--source", str(EXAMPLE / "bookshop"))
    assert (result.exit_code, result.stderr) == (
        0,
        "note: not asked: linkerd, which can have no workload of the sources\n",
    )
    assert "all passed" in result.stdout


def test_the_example_holds(folder: Folder) -> None:
    """As its head says it is run."""
    folder.config(
        "domain: {trustDomain: cluster.local}\nsources: [{path: bookshop}]\nmeshes: [{name: vms, adapter: vm}]\n"
    )
    (folder.root / "bookshop").symlink_to(EXAMPLE / "bookshop")
    result = folder.run("test", str(EXAMPLE / "bookshop.test.yaml"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "all passed" in result.stdout
    folder.manifests = folder.root / "changed"
    folder.manifests.mkdir()
    folder.config(
        "domain: {trustDomain: cluster.local}\nsources: [{path: changed}]\nmeshes: [{name: vms, adapter: vm}]\n"
    )
    for file in (EXAMPLE / "bookshop").glob("*.yaml"):
        if file.name != "access-partner.yaml":
            folder.write(file.name, file.read_bytes())
    assert "the partner reads books" in folder.run("test", str(EXAMPLE / "bookshop.test.yaml")).stdout


def test_standard_input_is_read_once(folder: Folder) -> None:
    """It cannot be both."""
    assert "cannot both be standard input" in folder.run("test", "-", "--source", "-").stderr
    assert (
        "--mesh needs smihub.yaml"
        in folder.run("test", "-", "--source", "manifests", "--mesh", "vm", text=HEAD + BOOKS).stderr
    )


def test_every_installed_mesh_is_asked_without_a_configuration(folder: Folder) -> None:
    """As explain does."""
    (folder.root / "smihub.yaml").unlink()
    write(folder, BOOKS, STRANGER)
    assert folder.run("test", "x.yaml", "--source", "manifests").exit_code == 0
    folder.write("more.yaml", target("more", source="wob"))
    result = folder.run("test", "x.yaml", "--source", "manifests")
    assert "SMI and mesh istio and mesh vm say allow; by TrafficTarget/shop/more" in result.stdout


@pytest.mark.parametrize("kind", ["Tets", "test", "Tests"])
def test_a_misspelt_kind_among_the_sources_is_told(folder: Folder, kind: str) -> None:
    """Or nobody would know that it is not what it looks like."""
    folder.write("shop.test.yaml", (HEAD + BOOKS).replace("kind: Test", f"kind: {kind}"))
    result = folder.run("check")
    assert result.exit_code == 1
    assert '"Test"' in result.stdout


def test_a_path_that_a_mesh_normalises_is_told_as_it_arrives(folder: Folder) -> None:
    """What is denied as it was sent is allowed as the application receives it."""
    folder.config(CONFIG.replace("adapter: vm", "adapter: vm, config: {paths: normalise}"))
    write(folder, BOOKS.replace("/books", "//books").replace("allow", "deny"))
    result = folder.run("test", "x.yaml")
    assert result.exit_code == 1
    assert 'expected deny, mesh vms says allow (the application receives "/books")' in result.stdout


def test_a_list_means_each_of_them(folder: Folder) -> None:
    """Every caller with every Service port, each a test and a line of its own; in JUnit each has its own name."""
    write(
        folder,
        "- {name: n, from: [shop/web, shop/wob, outside], to: ['shop/api:80', 'shop/api:81'], path: /books, expect: allow}\n",
    )
    result = folder.run("test", "x.yaml", "--junit", "report.xml")
    *failures, summary = result.stdout.splitlines()
    assert summary == "6 tests in 1 file: 5 failed"
    assert {line.partition(" GET")[0] for line in failures} == {
        f"x.yaml:4: FAIL n: {caller} -> shop/api:{port}"
        for caller in ("shop/web", "shop/wob", "outside")
        for port in (80, 81)
        if (caller, port) != ("shop/web", 80)
    }
    names = [case.get("name") for case in ET.fromstring((folder.root / "report.xml").read_bytes()).iter("testcase")]
    assert len(set(names)) == 6
    assert names[0] == "n: shop/web -> shop/api:80 GET /books"


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("- {from: [], to: 'a/c:1', expect: deny}\n", "tests[0].from: is empty; add"),
        ("- {from: [a/b, c], to: 'a/c:1', expect: deny}\n", 'tests[0].from[1]: invalid value "c"; use NAMESPACE/'),
        ("- {from: a/b, to: ['a/c:1', a/d], expect: deny}\n", 'tests[0].to[1]: invalid value "a/d"; use NAMESPACE/SERVICE:PORT'),
        ("- {from: [a/b, 7], to: 'a/c:1', expect: deny}\n", "tests[0].from[1]: must be a string, not an integer"),
        (f"- {{from: [{'a/b, ' * 101}], to: [{'a/c:1, ' * 100}], expect: deny}}\n", "means 10100 requests, together with"),
    ],
)  # fmt: skip
def test_a_list_that_is_wrong_is_one_line(folder: Folder, test: str, said: str) -> None:
    """With the entry."""
    write(folder, test)
    result = folder.run("test", "x.yaml")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("error: x.yaml:4: tests[0].")
    assert said in result.stderr
