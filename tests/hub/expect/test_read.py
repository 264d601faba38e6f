"""Files of expectations are read strictly: each mistake is one line with file, line, field and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.errors import ConfigError
from hub.expect.read import Expectation, check_names, read

HEAD = "apiVersion: smihub.io/v1alpha1\nkind: Test\n"
ONE = "- {from: shop/web, to: 'shop/api:80', expect: allow}\n"


@pytest.fixture(name="file")
def a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test writes."""
    monkeypatch.chdir(tmp_path)
    return Path("x.yaml")


def of(file: Path, text: str) -> list[Expectation]:
    """What a file of this text holds."""
    file.write_text(text)
    return read(str(file))


def test_everything_that_can_be_left_out_has_a_meaning(file: Path) -> None:
    """GET of / over HTTP, in every cluster."""
    (one,) = of(file, f"{HEAD}tests:\n{ONE}")
    assert (one.request.method, one.request.path, one.request.protocol, one.request.headers) == ("GET", "/", "http", ())
    assert (one.request.src.identity, one.request.dst.service, one.request.port) == ("shop/web", "shop/api", 80)
    assert (one.asked, one.name, one.cluster, one.line) == ("shop/web -> shop/api:80 GET /", "", "", 4)
    assert (str(one.expected), one.meshes) == ("allow", {})


def test_everything_can_be_said(file: Path) -> None:
    """Headers with one value or several, shares, single meshes, who has no identity, and several documents."""
    found = of(
        file,
        f"""{HEAD}metadata: {{name: all}}
tests:
- name: one
  from: spiffe://example.org/x
  to: shop/api:80
  method: POST
  path: /a?b
  headers: {{x-a: b, x-c: [d, e]}}
  expect: {{v1: 90, v2: 10, v3: 0}}
  meshes: {{vms: deny, istio: {{v1: 1}}}}
  cluster: east
---
{HEAD}tests:
- {{from: outside, to: "shop/db:5432", protocol: tcp, expect: deny}}
""",
    )
    one, two = found
    assert one.request.headers == (("x-a", "b"), ("x-c", "d"), ("x-c", "e"))
    assert one.expected.shares == {"v1": "9/10", "v2": "1/10"}
    assert {name: str(said) for name, said in one.meshes.items()} == {"vms": "deny", "istio": "v1 1"}
    assert one.request.src.spiffe == "spiffe://example.org/x"
    assert (two.request.src.outside, two.request.protocol, two.asked) == (True, "tcp", "outside -> shop/db:5432 tcp")
    assert (one.line, two.line) == (5, 18)


def test_json_is_yaml(file: Path) -> None:
    """As everywhere."""
    text = '{"apiVersion": "smihub.io/v1alpha1", "kind": "Test", "tests": [{"from": "a/b", "to": "a/c:1", "expect": "deny"}]}'
    assert len(of(file, text)) == 1


BAD = [
    ("", "x.yaml: is empty; begin with apiVersion: smihub.io/v1alpha1, kind: Test"),
    ("tests: []", "x.yaml:1: not a file of expectations; begin with apiVersion"),
    ("- a", "x.yaml:1: not a file of expectations"),
    (f"{HEAD}tests: []", "x.yaml:3: tests: is empty; add tests: [{from: "),
    (HEAD, "x.yaml:1: tests: is missing; add tests: [{from: "),
    (f"{HEAD}test:\n{ONE}", 'x.yaml:3: test: unknown field; did you mean "tests"?'),
    (f"{HEAD}tests:\n- {{form: a/b, to: 'a/c:1', expect: deny}}", 'x.yaml:4: tests[0].form: unknown field; did you mean "from"?'),
    (f"{HEAD}tests:\n{ONE}- {{to: 'a/c:1', expect: deny}}", "x.yaml:5: tests[1].from: is missing; add from: ..."),
    (f"{HEAD}tests:\n- {{from: web, to: 'a/c:1', expect: deny}}", 'tests[0].from: invalid value "web"; use NAMESPACE/SERVICEACCOUNT, a SPIFFE ID, or outside'),
    (f"{HEAD}tests:\n- {{from: a/b, to: a/c, expect: deny}}", 'tests[0].to: invalid value "a/c"; use NAMESPACE/SERVICE:PORT'),
    (f"{HEAD}tests:\n- {{from: a/b, to: 'c:80', expect: deny}}", 'tests[0].to: invalid value "c:80"; use NAMESPACE/SERVICE:PORT'),
    (f"{HEAD}tests:\n- {{from: a/b, to: 'a/c:99999', expect: deny}}", 'tests[0].to: invalid value "a/c:99999"'),
    (f"{HEAD}tests:\n- {{from: a/b, to: 'a/c:1', expect: yes}}", 'tests[0].expect: invalid value "yes"; use allow or deny, or BACKEND: SHARE'),
    (f"{HEAD}tests:\n- {{from: a/b, to: 'a/c:1', expect: allowed}}", "tests[0].expect: "),
    (f"{HEAD}tests:\n- {{from: a/b, to: 'a/c:1', expect: {{v1: 0}}}}", "tests[0].expect: gives no backend a share"),
    (f"{HEAD}tests:\n- {{from: a/b, to: 'a/c:1', expect: {{}}}}", "tests[0].expect: "),
    (f"{HEAD}tests:\n- {{from: a/b, to: 'a/c:1', expect: {{v1: -1}}}}", "tests[0].expect"),
    (f"{HEAD}tests:\n- {{from: a/b, to: 'a/c:1', expect: {{v1: 0.5}}}}", "tests[0].expect"),
    (f"{HEAD}tests:\n- {{from: a/b, to: 'a/c:1', expect: allow, protocol: tcp, path: /}}", "tests[0].path: is only valid for HTTP; remove it, or use protocol: http instead of tcp"),
    (f"{HEAD}tests:\n- {{from: a/b, to: 'a/c:1', expect: allow, headers: {{x: 1}}}}", "tests[0].headers"),
    (f"{HEAD}tests:\n- {{from: a/b, to: 'a/c:1', expect: allow, headers: {{'': x}}}}", "tests[0].headers"),
    (f"{HEAD}tests:\n- {{from: a/b, to: 'a/c:1', expect: allow, method: 7}}", "x.yaml:4: tests[0].method: must be a string, not an integer"),
    (f"{HEAD}tests: [", "x.yaml:"),
    (f"{HEAD}tests: {'[' * 100}{']' * 100}", "yaml.too-deep"),
    (f"{HEAD}a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n", "yaml."),
    (f"{HEAD}kind: Test\n", "yaml.duplicate-key"),
    (f"{HEAD}tests: !!python/object/apply:os.system [x]", "yaml.tag"),
    (f"{HEAD}# {'x' * 5_000_000}", "yaml.too-large"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), BAD)
def test_a_mistake_is_one_line_with_its_place_and_remedy(file: Path, text: str, said: str) -> None:
    """Whatever is in the file, it is one ConfigError that names it."""
    with pytest.raises(ConfigError) as error:
        of(file, text)
    assert said in str(error.value)
    assert str(error.value).startswith("x.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "said"), [("none.yaml", "no such file"), (".", "is a folder"), ("a\0b", "cannot be read")]
)
def test_what_is_no_file_is_told(file: Path, name: str, said: str) -> None:
    """Each with its name and what to name instead."""
    with pytest.raises(ConfigError, match=said):
        read(name)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("meshes: {vm: deny}", 'x.yaml:5: tests[0].meshes.vm: unknown mesh "vm"; did you mean "vms"?'),
        ("cluster: eats", 'x.yaml:5: tests[0].cluster: unknown cluster "eats"; did you mean "east"?'),
        ("cluster: z", 'unknown cluster "z"; expected one of east, west'),
    ],
)
def test_a_mesh_or_cluster_that_is_not_there_is_a_mistake(file: Path, more: str, said: str) -> None:
    """A misspelt name must not let an expectation pass unasked."""
    found = of(file, f"{HEAD}tests:\n- {{from: a/b, to: 'a/c:1', expect: deny,\n   {more}}}\n")
    with pytest.raises(ConfigError) as error:
        check_names(found, ["vms"], ["east", "west"])
    assert said in str(error.value)
