"""`smihub explain`: one request in words, both verdicts, the difference, and what no verdict covers."""

from __future__ import annotations

import json

import pytest
import yaml

from hub.cli.verdict import compared
from hub.model import Answer
from tests.servers.folder import ROUTES, Folder

ASK = ("explain", "--from", "shop/web", "--to", "shop/api:80")
SPLIT = """\
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: canary, namespace: shop}
spec:
  service: api
  backends: [{service: api-v1, weight: 2}, {service: api-v2, weight: 1}]
---
apiVersion: v1
kind: Service
metadata: {name: api-v1, namespace: shop}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080, appProtocol: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: api-v2, namespace: shop}
spec: {selector: {app: none}, ports: [{name: http, port: 80, targetPort: 8080, appProtocol: http}]}
"""


def test_explain_when_allowed_names_both_verdicts_and_what_decides(folder: Folder) -> None:
    """SMI's TrafficTarget, the mesh's native object, and that both agree."""
    result = folder.run(*ASK, "--path", "/books")
    lines = result.stdout.splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    assert lines[:2] == ["SMI: allow", "  by TrafficTarget/shop/api-from-web"]
    assert "mesh vms: allow" in lines
    assert any(line.startswith("  by RouteConfiguration/in/shop/api/8080/") for line in lines)
    assert "  the same as SMI" in lines


@pytest.mark.parametrize(
    "options",
    [("--path", "/orders"), ("--path", "/books", "--method", "POST"), ("--path", "/books", "--from", "shop/stranger")],
)
def test_explain_when_denied_says_that_nothing_grants_it(folder: Folder, options: tuple[str, ...]) -> None:
    """Wrong path, method and caller."""
    lines = folder.run(*ASK, *options).stdout.splitlines()
    assert lines[:2] == ["SMI: deny", "  nothing grants it"]
    assert "mesh vms: deny" in lines


def test_explain_when_denied_tells_what_nearly_grants_it(folder: Folder) -> None:
    """The TrafficTarget, by which match, and what stands between, both values named."""
    lines = folder.run(*ASK, "--path", "/books", "--method", "POST").stdout.splitlines()
    said = 'TrafficTarget/shop/api-from-web by match "books" of HTTPRouteGroup/shop/routes would, except for its methods: GET'
    assert f"  {said}; the request's is POST" in lines
    lines = folder.run("explain", "--from", "shop/wbe", "--to", "shop/api:80", "--path", "/books").stdout.splitlines()
    assert (
        '  ServiceAccount/shop/wbe: no workload runs as it, and no TrafficTarget names it; did you mean "web"?' in lines
    )


def test_explain_always_says_that_nothing_is_intercepted(folder: Folder) -> None:
    """A verdict is about what passes an Envoy; the port of the application may be reached past it."""
    for path in ("/books", "/none"):
        last = folder.run(*ASK, "--path", path).stdout.splitlines()[-1]
        assert last.startswith("note: mesh vms: traffic is not intercepted")
        assert "capture.bypass" in last


def test_explain_when_the_mesh_is_narrower_says_why(folder: Folder) -> None:
    """A path that SMI allows and the mesh's path guard refuses: the difference, its code and its meaning."""
    text = (folder.manifests / "routes.yaml").read_text().replace("/books", "/books.*")
    folder.write("routes.yaml", text)
    result = folder.run(*ASK, "--path", "/books;v=1")
    assert "SMI: allow" in result.stdout
    assert "mesh vms: deny" in result.stdout
    difference = next(line for line in result.stdout.splitlines() if "differs from SMI" in line)
    assert "verdict deny instead of allow" in difference
    assert "(path.guarded)" in difference
    assert "normal form" in difference


def test_explain_of_a_split_shows_exact_shares_and_each_backend(folder: Folder) -> None:
    """Shares are fractions; a backend without endpoints is named as such."""
    folder.write("split.yaml", SPLIT)
    lines = folder.run(*ASK, "--path", "/books").stdout.splitlines()
    assert "    2/3  api-v1  allow" in lines
    assert "    1/3  api-v2  no-endpoint" in lines
    assert "  by TrafficSplit/shop/canary" in lines


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("shop/none:80", 'Service "shop/none" does not exist'),
        ("shop/api:81", 'Service "shop/api" has no port 81 for http'),
    ],
)
def test_explain_when_the_target_is_not_there_says_so(folder: Folder, to: str, said: str) -> None:
    """A misspelt Service or port is told apart from a denial."""
    assert said in folder.run("explain", "--from", "shop/web", "--to", to).stdout


def test_explain_reads_a_header_that_is_given_again_as_several_lines(folder: Folder) -> None:
    """-H twice with one name; a value may hold an equals sign."""
    headers = (
        "apiVersion: specs.smi-spec.io/v1alpha4\nkind: HTTPRouteGroup\nmetadata: {name: routes, namespace: shop}\n"
    )
    folder.write("routes.yaml", headers + "spec: {matches: [{name: books, headers: {x-tier: 'a=b'}}]}\n")
    assert "SMI: allow" in folder.run(*ASK, "-H", "x-tier=a=b").stdout
    assert "SMI: deny" in folder.run(*ASK, "-H", "x-tier=a").stdout
    assert "SMI: deny" in folder.run(*ASK, "-H", "x-tier=other").stdout
    assert "SMI: allow" in folder.run(*ASK, "-H", "x-tier=other", "--header", "x-tier=a=b").stdout


@pytest.mark.thorough
@pytest.mark.parametrize(("output", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_explain_as_data_is_the_answer_of_the_batch(folder: Folder, output: str, load: object) -> None:
    """-o json and -o yaml hold what `--batch` answers; of a denied request also what nearly grants it, as `--near` does."""
    assert callable(load)
    found = load(folder.run(*ASK, "--path", "/books", "-o", output).stdout)
    asked = {"src": {"identity": "shop/web"}, "dst": {"service": "shop/api"}, "port": 80, "path": "/books"}
    batch = folder.run("explain", "--batch", "-", text=json.dumps(asked))
    assert found == json.loads(batch.stdout)
    assert found["smi"]["verdict"] == "allow"
    denied = load(folder.run(*ASK, "--path", "/orders", "-o", output).stdout)
    asked["path"] = "/orders"
    assert denied == json.loads(folder.run("explain", "--batch", "-", "--near", text=json.dumps(asked)).stdout)
    assert denied["smi"]["near"] == [
        {
            "object": "TrafficTarget/shop/api-from-web",
            "via": 'match "books" of HTTPRouteGroup/shop/routes',
            "between": [{"what": "path", "message": "its path: /books; the request's is /orders"}],
        }
    ]
    assert "near" not in json.loads(folder.run("explain", "--batch", "-", text=json.dumps(asked)).stdout)["smi"]


def test_explain_reads_a_folder_without_any_configuration(folder: Folder) -> None:
    """--source needs no smihub.yaml; every installed adapter is a mesh by its own name."""
    (folder.root / "smihub.yaml").unlink()
    result = folder.run(*ASK, "--path", "/books", "--source", "manifests")
    assert result.exit_code == 0
    assert "mesh vm: allow" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "use either"),
        (("--to", "shop/api:80", "--batch", "-"), "use either"),
        (("--to", "api"), "NS/SERVICE:PORT"),
        (("--to", "shop/api:http"), "NS/SERVICE:PORT"),
        (("--to", "api:80"), '"ns/name"'),
        (("--to", "shop/api:0"), "from 1 to 65535"),
        (("--to", "shop/api:80", "--from", "web"), '"ns/name"'),
        (("--to", "shop/api:80", "-H", "x"), 'write "NAME: VALUE"'),
        (("--to", "shop/api:80", "--protocol", "quic"), "one of http, tcp, udp"),
        (("--to", "shop/api:80", "--source", "[red]none[/red]"), "[red]none[/red]"),
        (("--to", "shop/api:²"), "NS/SERVICE:PORT"),
        (("--to", "shop/api:" + "9" * 5000), "NS/SERVICE:PORT"),
    ],
)
def test_explain_when_asked_wrongly_is_one_line(folder: Folder, arguments: tuple[str, ...], said: str) -> None:
    """Bad input ends with 1 and says what to write."""
    result = folder.run("explain", *arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert said in result.stderr


def test_difference_when_the_mesh_is_wider_is_called_by_its_name() -> None:
    """It must not be, so it must be seen."""
    text = str(compared(Answer("deny"), Answer("allow"), ()))
    assert "WIDER THAN SMI" in text
    assert "verdict allow instead of deny" in text


@pytest.mark.thorough
@pytest.mark.parametrize("header", ["x-tier: gold", "x-tier:gold", "x-tier=gold", "x-tier:\tgold"])
def test_explain_takes_headers_as_curl_does(folder: Folder, header: str) -> None:
    """And as before, with `=`; several of one name are several lines."""
    folder.write("routes.yaml", ROUTES.replace("{name: books,", '{name: books, headers: {x-tier: "g[a-z:= ]+"},'))
    asked = ("explain", "--from", "shop/web", "--to", "shop/api:80", "--path", "/books")
    assert folder.run(*asked, "-H", header).stdout.startswith("SMI: allow")
    assert folder.run(*asked, "-H", "x-tier: g: a = b").stdout.startswith("SMI: allow")
    assert folder.run(*asked, "-H", "x-tier: silver").stdout.startswith("SMI: deny")


@pytest.mark.thorough
@pytest.mark.parametrize("output", [(), ("-o", "json")])
def test_explain_with_exit_code_ends_with_4_on_a_deny(folder: Folder, output: tuple[str, ...]) -> None:
    """Without it a deny is an answer like any other."""
    asked = ("explain", "--from", "shop/web", "--to", "shop/api:80", *output)
    assert folder.run(*asked, "--path", "/books", "--exit-code").exit_code == 0
    assert folder.run(*asked, "--path", "/other", "--exit-code").exit_code == 4
    assert folder.run(*asked, "--path", "/other").exit_code == 0
    folder.write("broken.yaml", "kind: Pod\na: [")
    assert folder.run(*asked, "--path", "/other", "--exit-code").exit_code == 1
    assert "--exit-code is for one request" in folder.run("explain", "--batch", "-", "--exit-code").stderr
