"""Which Consul service is who: no two accounts, and no account and a virtual service, are one."""

from __future__ import annotations

from itertools import product

import pytest
from msgspec import ValidationError, convert

from adapters.consul.config import ConsulConfig, ConsulK8sConfig
from adapters.consul.names import INSERT, Names

PARTS = ("a", "b", "a-b", "a--b", "b--a", "a-b--c", "a--smihub-b", "smihub", "a--smihub")


@pytest.mark.parametrize(
    "template", ["{namespace}_{name}", "{namespace}--{name}", "{namespace}-{name}", "x-{namespace}-{name}"]
)
def test_no_two_accounts_have_one_service(template: str) -> None:
    """Those whose names would be read in two ways have none."""
    names = Names(template)
    found = {pair: names.service(*pair) for pair in product(PARTS, PARTS)}
    services = [service for service in found.values() if service is not None]
    assert len(set(services)) == len(services) >= 4
    assert not any(INSERT in service for service in services)
    assert all(names.owner(service) == pair for pair, service in found.items() if service is not None)


def test_without_namespaces_only_one_has_services() -> None:
    """Two services of one name would be one identity."""
    names = Names("{name}", "shop")
    assert names.service("shop", "web") == "web"
    assert names.service("blog", "web") is None
    assert names.owner("web") == ("shop", "web")


@pytest.mark.parametrize("name", ["pay.v1", "Web", "-a", "a-", "", "a_b", "*", "a/b", "ü", "a" * 201])
def test_names_that_consul_reads_otherwise_have_no_service(name: str) -> None:
    """A dot is any character in the pattern of certificates, and the store folds case."""
    assert Names("{namespace}_{name}").service("shop", name) is None
    assert Names("{namespace}_{name}").service(name, "web") is None


@pytest.mark.parametrize(
    "settings",
    [
        {"names": "{name}"},
        {"names": "{name}_{namespace}"},
        {"names": "{namespace}{name}"},
        {"names": "{namespace}.{name}"},
        {"names": "_{namespace}_{name}"},
        {"namespace": "shop"},
        {"names": "{name}", "namespace": "Shop"},
        {"wildcardSources": ["*"]},
        {"mode": "all"},
        {"Namespace": "x"},
    ],
)
def test_settings_that_would_give_two_services_one_name_are_refused(settings: dict[str, object]) -> None:
    """With what to write instead."""
    with pytest.raises(ValidationError):
        convert(settings, ConsulConfig)


def test_names_of_kubernetes_have_no_underscore() -> None:
    """Custom resources are named like their entry."""
    with pytest.raises(ValidationError, match='no "_"'):
        convert({"names": "{namespace}_{name}"}, ConsulK8sConfig)
    assert convert({"names": "{name}", "namespace": "shop"}, ConsulK8sConfig).naming.service("shop", "web") == "web"
