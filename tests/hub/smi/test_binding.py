"""Every field of IdentityBinding, valid and invalid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hub.smi.types import IdentityBinding

Valid = Callable[[str], Any]
Invalid = Callable[[str], list[tuple[str, str]]]


def binding(schemes: str, version: str = "v1alpha4") -> str:
    """An IdentityBinding with these schemes (flow YAML)."""
    head = f"apiVersion: access.smi-spec.io/{version}, kind: IdentityBinding, metadata: {{name: b, namespace: d}}"
    return f"{{{head}, spec: {{schemes: {schemes}}}}}"


def test_binding_reads_each_scheme(valid: Valid) -> None:
    """Account and SPIFFE ids together, or labels and SPIFFE ids; ids get their scheme and are sorted, each once."""
    read = valid(binding("{serviceAccount: api, spiffeIdentities: ['spiffe://b/x', a/x, 'spiffe://a/x', b-1.c_2]}"))
    assert isinstance(read, IdentityBinding)
    assert (read.labels, read.service_account) == (None, "api")
    assert read.spiffe == ("spiffe://a/x", "spiffe://b-1.c_2", "spiffe://b/x")
    labelled = valid(binding("{podLabelSelector: {matchLabels: {b: '2', a: '1'}}, spiffeIdentities: []}"))
    assert (labelled.labels, labelled.spiffe) == ((("a", "1"), ("b", "2")), ())


@pytest.mark.parametrize(
    ("schemes", "code", "field"),
    [
        ("{}", "binding.empty", "spec.schemes"),
        ("{spiffeIdentities: []}", "binding.empty", "spec.schemes"),
        ("{podLabelSelector: {}}", "binding.empty", "spec.schemes.podLabelSelector.matchLabels"),
        ("{podLabelSelector: {matchLabels: {}}}", "binding.empty", "spec.schemes.podLabelSelector.matchLabels"),
        ("{podLabelSelector: {matchLabels: {a: b}}, serviceAccount: s}", "binding.exclusive", "spec.schemes"),
        ("{podLabelSelector: {matchLabels: {a: 1}}}", "field.type", "spec.schemes.podLabelSelector.matchLabels.a"),
        ("{podLabelSelector: null, serviceAccount: s}", "field.type", "spec.schemes.podLabelSelector"),
        ("{serviceAccount: ''}", "field.type", "spec.schemes.serviceAccount"),
        ("{serviceAccount: '*'}", "binding.account", "spec.schemes.serviceAccount"),
        ("{serviceAccount: d/api}", "binding.account", "spec.schemes.serviceAccount"),
        ("{spiffeIdentities: x/y}", "field.type", "spec.schemes.spiffeIdentities"),
        ("{spiffeIdentities: [1]}", "field.type", "spec.schemes.spiffeIdentities[0]"),
        ("{serviceAccount: s, matchLabels: {}}", "field.unknown", "spec.schemes.matchLabels"),
        (
            "{podLabelSelector: {matchLabels: {a: b}, matchExpressions: []}}",
            "field.misplaced",
            "spec.schemes.podLabelSelector.matchExpressions",
        ),
        ("null", "field.type", "spec.schemes"),
    ],
)
def test_binding_is_void(schemes: str, code: str, field: str, invalid: Invalid) -> None:
    """Nothing, everything, contradictions and unknown words give no identity."""
    assert (code, field) in invalid(binding(schemes))


@pytest.mark.parametrize(
    "text",
    [
        "''",
        "spiffe://",
        "/x",
        "A.b/x",
        "a/x/",
        "a//x",
        "a/./x",
        "a/../x",
        "https://a/x",
        "SPIFFE://a/x",
        "a/x y",
        "a/x%41",
        "a:80/x",
        "a/*",
        "u@a/x",
        "'a/x?y'",
        "'a/x#y'",
        '"a/x\\n"',
        "a/é",
        "a/" + "x" * 2040,
    ],
)
def test_binding_is_void_when_an_id_is_none(text: str, invalid: Invalid) -> None:
    """One text that is no SPIFFE id voids the binding, good ones beside it notwithstanding."""
    found = invalid(binding(f"{{spiffeIdentities: [good/x, {text}]}}"))
    assert found == [("binding.spiffe", "spec.schemes.spiffeIdentities[1]")]


def test_binding_needs_v1alpha4_and_schemes(invalid: Invalid) -> None:
    """There is no earlier IdentityBinding, and one without schemes names nobody."""
    assert invalid(binding("{serviceAccount: s}", "v1alpha3")) == [("version.unknown", "apiVersion")]
    assert invalid(binding("{}").replace("{schemes: {}}", "{}")) == [("binding.empty", "spec.schemes")]
    assert ("field.missing", "spec") in invalid(binding("{}").replace(", spec: {schemes: {}}", ""))


def test_longest_spiffe_id_is_read(valid: Valid) -> None:
    """2048 bytes are allowed."""
    longest = "spiffe://a/" + "x" * 2037
    assert valid(binding(f"{{spiffeIdentities: ['{longest}']}}")).spiffe == (longest,)
