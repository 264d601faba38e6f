"""What custom resources of others do to ours, as far as one of them tells."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.consul.config import ConsulConfig
from adapters.consul.files import FILES
from adapters.consul.overrides import learned, overrides
from adapters.consul.vocabulary import UNTIL_KNOWN

VERSION = "consul.hashicorp.com/v1alpha1"


def resource(kind: str, **spec: Any) -> dict[str, Any]:
    """Somebody's."""
    return {"apiVersion": VERSION, "kind": kind, "metadata": {"name": "web"}, "spec": spec}


EVERYWHERE = {
    "destination": {"name": "*"},
    "sources": [{"name": "a", "action": "allow"}, {"name": "b", "action": "deny"}],
}


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (resource("ServiceSplitter"), '"web"'),
        (resource("ServiceRouter"), '"web"'),
        (resource("ServiceResolver"), '"web"'),
        (resource("Mesh"), "without a certificate"),
        (resource("ProxyDefaults"), "protocol"),
        (resource("ServiceIntentions", **EVERYWHERE), 'lets "a" call every service'),
        (
            resource(
                "ServiceIntentions",
                destination={"name": "*"},
                sources=[{"name": "a", "action": "allow", "description": UNTIL_KNOWN}],
            ),
            'lets "a" call every service',
        ),
    ],
)
def test_what_takes_the_place_of_ours_is_told(manifest: dict[str, Any], told: str) -> None:
    """With the name that it is about."""
    assert told in overrides(manifest)


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"apiVersion": 1, "kind": "Mesh"},
        {"apiVersion": "v1", "kind": "ServiceSplitter"},
        resource("ServiceIntentions", destination={"name": "web"}, sources=[{"name": "a", "action": "allow"}]),
        resource("ServiceIntentions", destination={"name": "*"}, sources=[{"name": "a", "action": "deny"}]),
        resource("ServiceIntentions", destination="x", sources=1),
        {"apiVersion": VERSION, "kind": "ServiceIntentions", "spec": None},
        resource("JWTProvider"),
    ],
)
def test_what_does_nothing_to_ours_is_not_told(manifest: dict[str, Any]) -> None:
    """Nor what cannot be read."""
    assert overrides(manifest) == ""


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"Kind": "service-splitter", "Name": "web"}, '"web"'),
        (
            {"Kind": "service-intentions", "Name": "*", "sources": [{"name": "a", "ACTION": "allow"}]},
            'lets "a" call every service',
        ),
        (
            {"Kind": "service-intentions", "Name": "*", "Sources": [], "sources": [{"Name": "a", "Action": "allow"}]},
            'lets "a" call every service',
        ),
        (
            {"Kind": "service-intentions", "Name": "*", "Sources": {"Name": "a", "Action": "allow"}},
            'lets "a" call every service',
        ),
        ({"Kind": "service-router", "Name": "web"}, '"web"'),
        ({"Kind": "service-resolver", "Name": "web"}, '"web"'),
        ({"Kind": "mesh", "Name": "mesh"}, "without a certificate"),
        ({"Kind": "proxy-defaults", "Name": "global"}, "protocol"),
        (
            {"Kind": "service-intentions", "Name": "*", "Sources": [{"Name": "a", "Action": "allow"}]},
            'lets "a" call every service',
        ),
    ],
)
def test_entries_are_told_like_resources(entry: dict[str, Any], told: str) -> None:
    """As they stand in the folder."""
    assert told in overrides(entry)


@pytest.mark.parametrize(
    "entry",
    [
        {"Kind": "service-intentions", "Name": "web", "Sources": [{"Name": "a", "Action": "allow"}]},
        {"Kind": "service-intentions", "Name": "*", "Sources": [{"Name": "*", "Action": "deny"}]},
        {"Kind": "service-intentions", "Name": "*"},
        {"Kind": "service-defaults", "Name": "web"},
        {"Kind": 1},
    ],
)
def test_entries_that_do_nothing_to_ours_are_not_told(entry: dict[str, Any]) -> None:
    """Nor what cannot be read."""
    assert overrides(entry) == ""


def test_whom_others_allow_everywhere_is_learned_however_the_entry_is_spelled() -> None:
    """From its file: who is not learned is not denied by name, and where Consul denies by default he would be let in."""
    text = b'{"kind": "service-intentions", "name": "*", "sources": [{"name": "evil", "action": "allow"}]}'
    (one,) = FILES.read(text)
    assert learned(ConsulConfig(), [json.loads(one.body)], []).wildcard_sources == ("evil",)
