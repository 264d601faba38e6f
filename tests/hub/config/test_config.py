"""smihub.yaml: what it says, and what is said about a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from hub.config.accepts import Accept
from hub.config.file import Config, Governed, MeshConfig, load_configs
from hub.config.http import HttpConfig
from hub.config.own import adapter_config
from hub.config.settings import FieldError
from hub.config.template import template
from hub.errors import ConfigError
from hub.model import Reading
from hub.plan.guards import Limits
from hub.reconcile.domains import Domains
from tests.servers.hubs import config_of

SMALL = """\
domain: {trustDomain: example.org}
sources:
- path: manifests
meshes:
- name: vms
  adapter: vm
"""


def load(folder: Path, text: str) -> Config:
    """Read a configuration of that text."""
    path = folder / "smihub.yaml"
    path.write_text(text, encoding="utf-8")
    return config_of(path)


def test_a_small_file_gets_the_defaults(tmp_path: Path) -> None:
    """Three fields are enough; paths start from the file."""
    config = load(tmp_path, SMALL)
    assert config.sources[0].path == tmp_path / "manifests"
    assert config.state == tmp_path / ".smihub"
    assert config.meshes == (MeshConfig("vms", "vm", Governed("all"), {}),)
    assert (config.domain.name, config.guards, config.accept, config.reading) == (
        "default",
        Limits(20, 5),
        (),
        Reading(),
    )


def test_the_template_is_a_valid_file_with_the_defaults(tmp_path: Path) -> None:
    """`init` writes what a small file means."""
    from_template = load(tmp_path, template("manifests"))
    small = load(tmp_path, SMALL.replace("example.org", "cluster.local"))
    assert re.fullmatch("[0-9a-f]{32}", from_template.owner)
    assert replace(from_template, owner="") == small


def test_the_template_quotes_its_source(tmp_path: Path) -> None:
    """A folder's name may be anything."""
    assert load(tmp_path, template('a: "b" # c')).sources[0].name == 'a: "b" # c'


def test_everything_can_be_said(tmp_path: Path) -> None:
    """Every field with another value than its default."""
    text = """\
domain: {name: eu, trustDomain: example.org}
sources: [{path: a}, {path: /b}]
meshes:
- {name: one, adapter: vm, governed: targets, config: {x: 1}}
- {name: two, adapter: vm, governed: {namespaces: [shop, pay]}}
state: /var/lib/smihub
guards: {blastRadiusPercent: 50, minUnits: 0}
accept: [port.undeclared-mixed, guard.blast-radius]
reading: {pathRegex: prefix, rootBackend: endpoints}
http: {address: '[::1]:9464', objectNames: true}
"""
    config = load(tmp_path, text)
    assert [mesh.governed for mesh in config.meshes] == [Governed("targets"), Governed("namespaces", ("pay", "shop"))]
    assert [source.path for source in config.sources] == [tmp_path / "a", Path("/b")]
    assert config.meshes[0].config == {"x": 1}
    assert config.http == HttpConfig(("::1", 9464), object_names=True)
    assert (config.guards, config.reading) == (Limits(50, 0), Reading("prefix", "endpoints"))
    assert (tuple(each.word for each in config.accept), config.state) == (
        ("guard.blast-radius", "port.undeclared-mixed"),
        Path("/var/lib/smihub"),
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("trustDomain", "trustdomain", 1, 'domain.trustdomain: unknown field; did you mean "trustDomain"?'),
        ("sources", "srcs", 2, "srcs: unknown field; "),
        ("- path", "- pth", 3, 'sources[0].pth: unknown field; did you mean "path"?'),
        ("  adapter: vm", "", 5, "meshes[0].adapter: is missing; add adapter: vm"),
        ("adapter: vm", "adapter: 5", 6, "meshes[0].adapter: must be a string, not an integer"),
        ("name: vms", "name: Vms", 5, 'meshes[0].name: invalid value "Vms"; expected lowercase letters'),
        ("example.org", "Example", 1, 'domain.trustDomain: invalid value "Example"; expected a SPIFFE trust domain'),
        ("manifests", "''", 3, "sources[0].path: invalid value; expected a path"),
        ("sources:\n- path: manifests", "sources: []", 2, 'sources: is empty; add "- path: FOLDER"'),
        ("- path: manifests", "- path: a\n- path: ./a", 4, 'sources[1].path: "./a" is listed twice'),
        ("- path: manifests", "- path: a\n- path: a:b", 4, 'sources[1]: the name "a:b" and "a" cannot be told apart'),
        ("- path: manifests", "- {path: a, name: x}\n- {path: b, name: x}", 4, 'sources[1].name: "x" is also the name of another source'),
        ("path: manifests", "path: manifests\n  cluster: east", 6, 'meshes[0].cluster: is missing, and every source has one; the sources have "east"'),
        ("adapter: vm", "adapter: vm\nhttp:", 7, "http: must be a mapping, not null; use a mapping of fields, or"),
        ("adapter: vm", "adapter: vm\nhttp: {objectNames: yes}", 7, "must be true or false, not a string; use true or false"),
        ("adapter: vm", "adapter: vm\nowner: 1", 7, "owner: must be a string, not an integer; use a string, in quotes"),
        ("adapter: vm", "adapter: vm\n- {name: vms, adapter: x}", 7, 'meshes[1].name: "vms" is listed twice'),
        ("adapter: vm", "adapter: vm\n  governed: some", 7, "meshes[0].governed: "),
        ("adapter: vm", "adapter: vm\n  governed: {namespaces: []}", 7, "meshes[0].governed.namespaces: is empty"),
        ("adapter: vm", "adapter: vm\n  governed: {namespace: [a]}", 7, 'did you mean "namespaces"?'),
        ("adapter: vm", "adapter: vm\nhttp: {address: 9464}", 7, "http.address: must be a string"),
        ("adapter: vm", "adapter: vm\nhttp: {address: 'localhost:9464'}", 7, "an IP address and a port"),
        ("adapter: vm", "adapter: vm\nhttp: {address: '127.0.0.1'}", 7, "an IP address and a port"),
        ("adapter: vm", "adapter: vm\nhttp: {address: '127.0.0.1:65536'}", 7, "an IP address and a port"),
        ("adapter: vm", "adapter: vm\nhttp: {address: '127.0.0:80'}", 7, "an IP address and a port"),
        ("adapter: vm", "adapter: vm\nguards: {blastRadiusPercent: 101}", 7, "expected a number from 0 to 100"),
        ("adapter: vm", "adapter: vm\naccept: [a b]", 7, 'accept[0]: invalid value "a b"; expected a code'),
        ("adapter: vm", "adapter: vm\n  adapter: vm", 7, '"adapter" is set twice'),
        ("adapter: vm", "adapter: [vm", 7, "meshes[0].adapter[1]"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_line_field_and_remedy(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    """One mistake each, in the small file."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, SMALL.replace(old, new))
    text = str(caught.value)
    assert said in text
    assert f"smihub.yaml:{line}: " in text
    assert "\n" not in text


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a list\n", "just text\n", "a: 1\n---\nb: 2\n"])
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    """Empty, not a mapping, or two documents."""
    with pytest.raises(ConfigError, match=r"smihub\.yaml"):
        load(tmp_path, text)


def test_a_missing_file_names_init(tmp_path: Path) -> None:
    """The first thing that a new user meets."""
    with pytest.raises(ConfigError, match="no such file or directory; create one with smihub init"):
        config_of(tmp_path / "smihub.yaml")


class Settings(Struct, frozen=True):
    """An adapter's settings, for the test."""

    ads_port: int = 0


def test_an_adapter_reads_its_own_settings() -> None:
    """The adapter's type decides; a mistake names the field."""
    assert adapter_config(MeshConfig("m", "a", config={"ads_port": 5}), Settings) == Settings(5)
    with pytest.raises(FieldError, match=r'config.ads_prt: unknown field; did you mean "ads_port"\?'):
        adapter_config(MeshConfig("m", "a", config={"ads_prt": 5}), Settings)
    with pytest.raises(FieldError, match=r"config.ads_port: must be an integer, not a string"):
        adapter_config(MeshConfig("m", "a", config={"ads_port": "5"}), Settings)


def domain(name: str, extra: str = "", trust_domain: str = "") -> str:
    """One entry of `domains`, on five lines and what is extra."""
    trust = trust_domain or f"{name}.example.org"
    meshes = "  meshes: [{name: vms, adapter: vm}]\n"
    return f"- name: {name}\n  trustDomain: {trust}\n  sources: [{{path: manifests}}]\n{meshes}{extra}"


def test_domains_are_a_configuration_each(tmp_path: Path) -> None:
    """What one has is nothing to the other; they share where metrics are."""
    path = tmp_path / "smihub.yaml"
    text = domain("eu", "  accept: [a.b]\n  state: kept\n") + domain("us", "  guards: {minUnits: 7}\n")
    path.write_text(f"domains:\n{text}http: {{objectNames: true}}\n", encoding="utf-8")
    eu, us = load_configs(path)
    assert [(each.title, each.domain.trust_domain) for each in (eu, us)] == [
        ("eu", "eu.example.org"),
        ("us", "us.example.org"),
    ]
    assert (eu.accept, us.accept, eu.guards, us.guards) == ((Accept("a.b"),), (), Limits(), Limits(20, 7))
    assert (eu.state, us.state) == (tmp_path / "kept", tmp_path / ".smihub-us")
    assert eu.meshes == us.meshes
    assert eu.http == us.http == HttpConfig(object_names=True)
    assert load(tmp_path, SMALL).title == ""


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("domains: []\n", 1, "domains: is empty"),
        ("domains:\n" + domain("eu") + "accept: []\n", 6, 'accept: belongs to one domain; move it into the entries of "domains"'),
        ("domains:\n" + domain("eu") + "domain: {trustDomain: a}\n", 6, "domain: belongs to one domain"),
        ("domains:\n" + domain("eu") + "statee: x\n", 6, "statee: unknown field"),
        ("domains:\n" + domain("eu") + domain("eu", trust_domain="b"), 6, 'domains[1].name: "eu" is listed twice'),
        ("domains:\n" + domain("EU"), 2, 'domains[0].name: invalid value "EU"'),
        ("domains:\n" + domain("eu", trust_domain="A"), 3, 'domains[0].trustDomain: invalid value "A"'),
        ("domains:\n" + domain("eu") + "- trustDomain: a\n", 6, "domains[1].sources: is missing; add sources: [{path: manifests}]"),
        ("domains:\n" + domain("eu") + domain("us", trust_domain="eu.example.org"), 7, 'domains[1].trustDomain: "eu.example.org" is also the trust domain of domain "eu"'),
        ("domains:\n" + domain("eu") + domain("us", "  guards: {minUnits: -1}\n"), 10, "domains[1].guards.minUnits: invalid value -1"),
        ("domains:\n" + domain("eu") + domain("us", "  guards: {minUnit: 1}\n"), 10, 'domains[1].guards.minUnit: unknown field; did you mean "minUnits"?'),
        ("domains:\n" + domain("eu") + domain("us", "  state: .smihub-eu\n"), 10, 'is also a folder of domain "eu"; give each domain its own'),
        ("domains:\n" + domain("eu-sockets") + domain("eu"), 6, 'is also a folder of domain "eu-sockets"'),
        ("domains:\n" + domain("eu", f"  owner: '{'1' * 32}'\n") + domain("us", f"  owner: '{'1' * 32}'\n"), 11, 'is also the owner of domain "eu"; use a different one'),
        ("domains:\n" + domain("eu").replace("vms", "V"), 5, 'domains[0].meshes[0].name: invalid value "V"'),
        ("http: {address: x}\ndomains:\n" + domain("eu"), 1, 'http.address: "x" is not a valid address'),
    ],
)  # fmt: skip
def test_a_mistake_in_a_domain_is_named_with_line_field_and_remedy(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    """Also what would make two domains one."""
    path = tmp_path / "smihub.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_configs(path)
    assert said in str(caught.value)
    assert f"smihub.yaml:{line}: " in str(caught.value)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("mesh", "line", "said"),
    [
        ("{name: vms, adapter: vm, config: {path: x}}", 10, 'domains[1].meshes[0].config.path: unknown field; did you mean "paths"?'),
        ("{name: vms, adapter: vm, sink: {kind: 5}}", 10, "domains[1].meshes[0].sink.kind: must be a string"),
        ("{name: vms, adapter: vm, sink: {kind: directory}}", 10, 'domains[1].meshes[0].sink.kind: sink kind "directory" does not support "xds"'),
        ("{name: vms, adapter: vm, sink: {adress: x}}", 10, "domains[1].meshes[0].sink.adress: unknown field"),
        ("{name: vms, adapter: vms}", 10, 'domains[1].meshes[0].adapter: unknown adapter "vms"'),
        ("{name: vms, adapter: vm, governed: targets}", 10, 'domains[1].meshes[0].governed: "vm" does not support this mode'),
        ("{name: vms, adapter: istio, sink: {path: rendered}}", 10, '" is also used by mesh "eu/gitops"; give each mesh its own'),
        ("{name: vms, adapter: vm, sink: {socket: {folder: run}}}", 10, 'vms.sock" is also used by mesh "eu/vms"'),
    ],
)  # fmt: skip
def test_settings_of_plugins_are_named_in_the_domain_that_has_them(
    tmp_path: Path, mesh: str, line: int, said: str
) -> None:
    """Both domains have a mesh of that name; two meshes of two domains cannot write to one place either."""
    path = tmp_path / "smihub.yaml"
    gitops = "  - {name: gitops, adapter: istio, sink: {path: rendered}}\n"
    head = "domains:\n- name: eu\n  trustDomain: a\n  sources: [{path: eu}]\n  meshes:\n"
    vms = "  - {name: vms, adapter: vm, sink: {socket: {folder: run}}}\n"
    tail = f"- {{name: us, trustDomain: b, sources: [{{path: us}}],\n  accept: [],\n  meshes: [{mesh}]}}\n"
    path.write_text(head + vms + gitops + tail, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        Domains.open(path)
    assert said in str(caught.value)
    assert f"smihub.yaml:{line}: " in str(caught.value)
