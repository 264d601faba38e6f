"""What plans look like as data is described in docs/schemas/plan.json, field by field."""

from __future__ import annotations

import json

import pytest
from fastjsonschema import JsonSchemaValueException

from tests.hub.cli.test_losses import lossy
from tests.servers.folder import Folder, target
from tests.servers.saved import save
from tests.servers.schemas import check_strictly

SPLIT = """\
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: s, namespace: shop}
spec: {service: api, backends: [{service: api, weight: 1}]}
"""


@pytest.mark.thorough
def test_a_plan_with_everything_in_it_is_as_described(folder: Folder) -> None:
    """Problems, losses, refusals, gains, losses of access, splits, and what is saved of them."""
    lossy(folder)
    check_strictly("plan.json", json.loads(folder.run("plan", "-o", "json").stdout))
    folder.run("apply", "--yes", "--accept", "istio.path-not-expressible")
    folder.write("split.yaml", SPLIT)
    folder.write("access.yaml", target("api-from-web", matches="nothing"))
    save(folder)
    found = json.loads(folder.run("plan", "-o", "json").stdout)
    mesh = found["meshes"][0]
    assert all((found["problems"], mesh["revokes"], mesh["rerouted"], mesh["changes"]))
    check_strictly("plan.json", found)
    shown = json.loads(folder.run("show", "review.plan", "-o", "json").stdout)
    assert shown["saved"]["holds"] is True
    check_strictly("plan.json", shown)
    folder.remove("access.yaml")
    stale = json.loads(folder.run("show", "review.plan", "-o", "json").stdout)
    assert stale["saved"]["stale"]["objects"]
    check_strictly("plan.json", stale)


@pytest.mark.thorough
def test_a_plan_of_several_domains_is_as_described(folder: Folder) -> None:
    """Each mesh and problem has its domain."""
    folder.config(
        "domains:\n"
        "- {name: eu, trustDomain: eu.example, sources: [{path: manifests}], meshes: [{name: vms, adapter: vm}]}\n"
        "- {name: us, trustDomain: us.example, sources: [{path: manifests}], meshes: [{name: vms, adapter: vm}]}\n"
    )
    folder.write("bad.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: UPPER, namespace: shop}\n")
    found = json.loads(folder.run("plan", "-o", "json").stdout)
    assert [each["domain"] for each in found["meshes"]] == ["eu", "us"]
    check_strictly("plan.json", found)


@pytest.mark.thorough
def test_the_check_finds_a_field_that_is_not_described(folder: Folder) -> None:
    """It could fail."""
    found = json.loads(folder.run("plan", "-o", "json").stdout)
    for spoilt in ({**found, "more": 1}, {**found, "schema": 1}, {**found, "meshes": [{**found["meshes"][0], "x": 1}]}):
        with pytest.raises(JsonSchemaValueException):
            check_strictly("plan.json", spoilt)
