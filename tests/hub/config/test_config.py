"""smihub.yaml: what it says, and what is said about a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from hub.config.file import Config, Governed, MeshConfig, adapter_config, load_config, template
from hub.config.http import HttpConfig
from hub.config.settings import FieldError
from hub.errors import ConfigError
from hub.model import Reading
from hub.plan.guards import Limits

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
    return load_config(path)


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
    assert (config.accept, config.state) == (("guard.blast-radius", "port.undeclared-mixed"), Path("/var/lib/smihub"))


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("trustDomain", "trustdomain", 1, 'domain.trustdomain: there is no such field; did you mean "trustDomain"?'),
        ("sources", "srcs", 2, "srcs: there is no such field; "),
        ("- path", "- pth", 3, 'sources[0].pth: there is no such field; did you mean "path"?'),
        ("  adapter: vm", "", 5, "meshes[0].adapter: is missing; add adapter: ..."),
        ("adapter: vm", "adapter: 5", 6, 'meshes[0].adapter: expected "str", got "int"'),
        ("name: vms", "name: Vms", 5, 'meshes[0].name: "Vms" will not do; write lower-case letters'),
        ("example.org", "Example", 1, 'domain.trustDomain: "Example" will not do; write a SPIFFE trust domain'),
        ("manifests", "''", 3, "sources[0].path: will not do; write a path"),
        ("sources:\n- path: manifests", "sources: []", 2, 'sources: is empty; write "- path: FOLDER"'),
        ("- path: manifests", "- path: a\n- path: ./a", 4, 'sources[1].path: "./a" is there twice'),
        ("- path: manifests", "- path: a\n- path: a:b", 4, 'sources[1]: the name "a:b" and "a" cannot be told apart'),
        ("- path: manifests", "- {path: a, name: x}\n- {path: b, name: x}", 4, 'sources[1].name: "x" names another source'),
        ("path: manifests", "path: manifests\n  cluster: east", 6, 'meshes[0].cluster: is missing, and every source has one; those of sources are "east"'),
        ("adapter: vm", "adapter: vm\nhttp:", 7, 'http: expected "object", got "null"; write a mapping of fields, or'),
        ("adapter: vm", "adapter: vm\nhttp: {objectNames: yes}", 7, 'got "str"; write true or false'),
        ("adapter: vm", "adapter: vm\nowner: 1", 7, 'owner: expected "str", got "int"; write a text, in quotes'),
        ("adapter: vm", "adapter: vm\n- {name: vms, adapter: x}", 7, 'meshes[1].name: "vms" is there twice'),
        ("adapter: vm", "adapter: vm\n  governed: some", 7, "meshes[0].governed: "),
        ("adapter: vm", "adapter: vm\n  governed: {namespaces: []}", 7, "meshes[0].governed.namespaces: is empty"),
        ("adapter: vm", "adapter: vm\n  governed: {namespace: [a]}", 7, 'did you mean "namespaces"?'),
        ("adapter: vm", "adapter: vm\nhttp: {address: 9464}", 7, 'http.address: expected "str"'),
        ("adapter: vm", "adapter: vm\nhttp: {address: 'localhost:9464'}", 7, "an IP address and a port"),
        ("adapter: vm", "adapter: vm\nhttp: {address: '127.0.0.1'}", 7, "an IP address and a port"),
        ("adapter: vm", "adapter: vm\nhttp: {address: '127.0.0.1:65536'}", 7, "an IP address and a port"),
        ("adapter: vm", "adapter: vm\nhttp: {address: '127.0.0:80'}", 7, "an IP address and a port"),
        ("adapter: vm", "adapter: vm\nguards: {blastRadiusPercent: 101}", 7, "write a number from 0 to 100"),
        ("adapter: vm", "adapter: vm\naccept: [a b]", 7, 'accept[0]: "a b" will not do; write a code'),
        ("adapter: vm", "adapter: vm\n  adapter: vm", 7, '"adapter" is there twice'),
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
    with pytest.raises(ConfigError, match="no such file or directory; write one with smihub init"):
        load_config(tmp_path / "smihub.yaml")


class Settings(Struct, frozen=True):
    """An adapter's settings, for the test."""

    ads_port: int = 0


def test_an_adapter_reads_its_own_settings() -> None:
    """The adapter's type decides; a mistake names the field."""
    assert adapter_config(MeshConfig("m", "a", config={"ads_port": 5}), Settings) == Settings(5)
    with pytest.raises(FieldError, match=r'config.ads_prt: there is no such field; did you mean "ads_port"\?'):
        adapter_config(MeshConfig("m", "a", config={"ads_prt": 5}), Settings)
    with pytest.raises(FieldError, match=r'config.ads_port: expected "int", got "str"'):
        adapter_config(MeshConfig("m", "a", config={"ads_port": "5"}), Settings)
