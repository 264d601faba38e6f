"""Kubernetes names and SPIFFE ids at their bounds."""

from __future__ import annotations

import pytest

from hub.smi.names import canonical_spiffe, is_label, is_subdomain


@pytest.mark.parametrize(("text", "label", "subdomain"), [
    ("a", True, True),
    ("0", True, True),
    ("a-b", True, True),
    ("a.b", False, True),
    ("a" * 63, True, True),
    ("a" * 64, False, True),
    ("a" * 253, False, True),
    ("a" * 254, False, False),
    ("", False, False),
    ("-a", False, False),
    ("a-", False, False),
    ("a.-b", False, False),
    (".a", False, False),
    ("a.", False, False),
    ("a\n", False, False),
    ("A", False, False),
    ("a_b", False, False),
    ("a/b", False, False),
    ("*", False, False),
    ("é", False, False),
    ("１", False, False),
])  # fmt: skip
def test_names(text: str, label: bool, subdomain: bool) -> None:  # noqa: FBT001 - columns of the table
    """Labels have no dots and 63 characters, subdomains 253."""
    assert (is_label(text), is_subdomain(text)) == (label, subdomain)


def test_hostile_name_is_judged_quickly() -> None:
    """Length is looked at before the pattern is."""
    assert not is_subdomain("a" * 10**6 + "!")
    assert not is_subdomain("a-" * 126 + "!")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a/x", "spiffe://a/x"),
        ("spiffe://a/x", "spiffe://a/x"),
        ("a", "spiffe://a"),
        ("a-b.c_d/X-Y.Z_1/...", "spiffe://a-b.c_d/X-Y.Z_1/..."),
        ("a/", None),
        ("a/.", None),
        ("a/../b", None),
        ("spiffe:/a/x", None),
        ("x://a/x", None),
        ("spiffe://spiffe://a", None),
    ],
)
def test_spiffe_ids(text: str, canonical: str | None) -> None:
    """SMI writes them without a scheme, SPIFFE with it."""
    assert canonical_spiffe(text) == canonical
