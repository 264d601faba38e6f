"""Entries in HCL, as smihub reads them; `test_hcl_on_consul.py` has a real Consul read the same."""

from __future__ import annotations

import json
from random import Random

import pytest

from adapters.consul.files import FILES
from adapters.consul.names import entry
from hub.api import ConfigError
from tests.adapters.consul.hcl_changes import changed
from tests.adapters.consul.hcl_entries import ENTRIES

HEAD = 'Kind = "service-defaults"\nName = "web"\n'


@pytest.mark.parametrize("case", ENTRIES)
def test_an_entry_is_read_as_the_api_shows_it(case: str) -> None:
    """With its name, by which it is found where smihub would write another one."""
    text, expected = ENTRIES[case]
    (found,) = FILES.read(text.encode())
    assert json.loads(found.body) == expected
    assert (found.ref, found.mark) == (entry(expected["Kind"], expected["Name"]), None)


REFUSED = [
    ('Protocol = "a"\nProtocol = "b"', 4, "assigned twice"),
    ('Protocol = "a"\nprotocol = "b"', 4, "another spelling"),
    ("Meta = { a = 1 }", 3, "a text in quotes"),
    ("Meta = { a = 1 }\nMeta = { b = 2 }", 4, "assigned twice"),
    ('Meta { a = "1" }\nMeta { b = "2" }', 3, "one object"),
    ('Meta { a = "1" }\nMeta = { b = "2" }', 4, "assigned twice"),
    ("Protcol = 1", 3, '"Protcol" is not a field'),
    ("EnvoyExtensions = []", 3, "is not a field that smihub reads"),
    ("max_request_headers_kb = 1", 3, "is not a field"),
    ("Protocol = http", 3, '"http" is not a value; quote it'),
    ('Protocol = "${env}"', 3, '"${" in a text'),
    ('Protocol = "a', 3, "is not expected here"),
    ('Protocol = "\\q"', 3, "the escape"),
    ('Protocol = "\\xff"', 3, "the escape"),
    ('Protocol = "\\ud800"', 3, "the escape"),
    ("Protocol =", 3, "found 'the end'"),
    ("Protocol", 3, "found 'the end'"),
    ("Meta {", 3, "found 'the end'"),
    ("}", 3, "found '}'"),
    ("Meta = { a = <<EOF\nx\n  EOF\n}", 3, "no line ends"),
    ('Meta = { a = <<EOF\nx\n  EOF\nEOF\nb = "c" }', 3, "takes for the end"),
    ("Meta = { a = <<-EOF\nx\nEOF\n}", 3, "no line ends"),
    ("MaxInboundConnections = 0x10", 3, "is not expected here"),
    ("MaxInboundConnections = 010", 3, "is not expected here"),
    ("MaxInboundConnections = 1e3", 3, "is not expected here"),
    ("MaxInboundConnections = 1.5", 3, "a whole number"),
    ('MaxInboundConnections = "1"', 3, "a whole number"),
    ("MaxInboundConnections = 99999999999999999999", 3, "is not expected here"),
    ("MaxRequestHeadersKB = -1", 3, "a whole number from 0"),
    ("Expose { Checks = 1 }", 3, "true or false"),
    ("Expose = [{ Checks = true }]", 3, "one object in braces"),
    ('Expose { Paths = "a" }', 3, "a list in brackets"),
    ("Expose { Paths = [[]] }", 3, "one object in braces"),
    ('Destination { Addresses = ["a" "b"] }', 3, 'expected ","'),
    ('Destination { Addresses = [, "a"] }', 3, "found ','"),
    ('Destination "a" "b" {}', 3, 'expected "{"'),
    ('Destination "a" = {}', 3, 'expected "{"'),
    ('true = "a"', 3, "is not a name"),
    ("/* no end", 3, "is not expected here"),
    ("Meta = { \x00 = 1 }", 3, "U+0000"),
    ("Meta = { a = " + "[" * 40 + "]" * 40 + " }", 3, "deeper than 32"),
]


@pytest.mark.parametrize(("text", "line", "said"), REFUSED)
def test_what_is_not_known_exactly_is_refused(text: str, line: int, said: str) -> None:
    """With the line, and what is wrong there."""
    with pytest.raises(ConfigError) as refused:
        FILES.read((HEAD + text).encode())
    assert str(refused.value).startswith(f"line {line}: ")
    assert said in str(refused.value)


@pytest.mark.parametrize("text", ["", "# nothing", 'KIND = "service-defaults"', "Kind = 1", "Kind {}"])
def test_a_text_without_a_kind_is_refused(text: str) -> None:
    """It has to be `Kind` or `kind`."""
    with pytest.raises(ConfigError, match="line 1: "):
        FILES.read(text.encode())


def test_of_kinds_that_smihub_does_not_write_the_name_is_read() -> None:
    """Their fields are not known; they are no entry of ours."""
    (found,) = FILES.read(
        b'Kind = "ingress-gateway"\nName = "way"\nListeners = [{ Port = 1 anything "x" { y = 1 } }]\n'
    )
    assert (found.ref, json.loads(found.body)) == (
        entry("ingress-gateway", "way"),
        {"Kind": "ingress-gateway", "Name": "way"},
    )


def test_a_mark_in_hcl_is_a_mark() -> None:
    """Somebody who writes an entry of smihub as HCL is told, and does not get a second one."""
    text = HEAD + 'Meta {\n  "smihub.io/mesh" = "consul"\n  "smihub.io/unit" = "u"\n  team = "a"\n}\n'
    (found,) = FILES.read(text.encode())
    assert (FILES.trace in text.encode(), found.mark is not None and found.mark.mesh) == (True, "consul")


def test_json_in_any_spelling_names_its_entry() -> None:
    """As Consul's command takes it."""
    (found,) = FILES.read(b' {"kind": "service-defaults", "NAME": "web", "protocol": "http"}')
    assert found.ref == entry("service-defaults", "web")
    with pytest.raises(ConfigError, match="two spellings"):
        FILES.read(b'{"kind": "a", "Kind": "b"}')


@pytest.mark.thorough
def test_broken_texts_raise_nothing_else() -> None:
    """Each entry of the table, changed a little, two thousand times."""
    random, refused = Random("hcl"), 0
    for _ in range(2000):
        try:
            FILES.read(changed(random).encode())
        except ConfigError:
            refused += 1
    assert 500 < refused < 1800


@pytest.mark.thorough
@pytest.mark.parametrize(
    "text",
    [
        "[" * 500_000,
        "a{" * 300_000,
        "/*" * 500_000,
        '"\\' * 300_000,
        "<<-A\n" + " " * 900_000,
        "a=1 " * 250_000,
        "a{}" * 300_000,
        'a "b" {}' * 90_000,
        "a=[" + "{}," * 300_000 + "]",
    ],
)
def test_large_texts_are_refused_at_once(text: str) -> None:
    """Whatever they are made of; the sink reads no file of more than 1 MiB."""
    with pytest.raises(ConfigError):
        FILES.read(text.encode())
