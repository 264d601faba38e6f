"""What adapters declare of themselves is what they do."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from hub.cli.main import app
from hub.features import Feature, Support
from hub.testing.documents import SinklessMesh
from hub.testing.probes import PROBES, faults
from tests.servers.readings import CONSUL, CONSUL_K8S, MESHES

EVERY = (*MESHES, CONSUL, CONSUL_K8S)


def test_every_feature_is_probed_once() -> None:
    """The probes leave nothing out."""
    assert [probe.feature for probe in PROBES] == list(Feature)


@pytest.mark.thorough
@pytest.mark.parametrize("mesh", EVERY, ids=[mesh.name for mesh in EVERY])
@pytest.mark.parametrize("feature", list(Feature))
def test_a_false_declaration_is_noticed(mesh: SinklessMesh, feature: Feature) -> None:
    """Whoever promises too much, or too little, is found out."""
    true = mesh.spec.features[feature]
    false = Support.NEVER if true in {Support.FULL, Support.PARTIAL, Support.APPROXIMATE} else Support.FULL
    spec = replace(mesh.spec, features={**mesh.spec.features, feature: false})
    assert any(fault.why.startswith(feature) for fault in faults(spec))


@pytest.mark.thorough
def test_a_limit_without_its_code_is_noticed() -> None:
    """What is lost of a feature has a code that the adapter lists for it."""
    istio = next(mesh for mesh in MESHES if mesh.name == "istio")
    limits = {**istio.spec.limits, Feature.ACCESS_UDP: ("port.unexposed",)}
    (fault,) = faults(replace(istio.spec, limits=limits))
    why = 'access.udp: "never" is declared, proto.udp-not-captured is reported, and the adapter lists port.unexposed'
    assert fault.why == why


@pytest.mark.thorough
def test_partial_is_not_full() -> None:
    """Istio has no words for some patterns, and knows no other trust domains: declaring them whole is noticed."""
    istio = next(mesh for mesh in MESHES if mesh.name == "istio")
    boast = {feature: Support.FULL for feature, said in istio.spec.features.items() if said is Support.PARTIAL}
    said = list(faults(replace(istio.spec, features={**istio.spec.features, **boast})))
    assert len(boast) == len(said) == 3


@pytest.mark.thorough
def test_access_is_never_approximate() -> None:
    """Nor is a feature left out."""
    vm = MESHES[0].spec
    said = {**vm.features, Feature.ACCESS_TCP: Support.APPROXIMATE}
    del said[Feature.SPLIT_TCP]
    assert [claim.why for claim in faults(replace(vm, features=said))] == [
        'access.tcp: "approximate" is declared, but whoever is nearly allowed is denied',
        "split.tcp: nothing is declared",
    ]


def test_features_are_printed_as_a_table() -> None:
    """One row each, one column per mesh, and what the words mean."""
    done = CliRunner().invoke(app, ["features"])
    assert done.exit_code == 0
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["consul", "consul-k8s", "istio", "linkerd", "vm"]
    assert rows[0].split() == ["access.http.path", "partial", "partial", "partial", "partial", "full"]
    meanings = rows[len(Feature) + 1 :][: len(Support)]
    assert [each.split()[0] for each in meanings] == [*Support]
    assert "istio access.http.path: istio.path-not-expressible, istio.path-narrowed" in rows
    assert any(each.startswith("istio.path-not-expressible: a path pattern") for each in rows)
