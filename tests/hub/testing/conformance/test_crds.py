"""Objects against CustomResourceDefinitions: what an API server would refuse, or drop."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hub.api import ConfigError, NativeObject, ObjectRef, Role
from hub.testing.conformance.crds import crd_schema

CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: doors.x.example}
spec:
  group: x.example
  names: {kind: Door, plural: doors}
  versions:
  - name: v0
    served: false
  - name: v1
    served: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [action]
            oneOf: [{not: {anyOf: [{required: [a]}, {required: [b]}]}}, {required: [a]}, {required: [b]}]
            properties:
              action: {type: string, enum: [ALLOW, DENY]}
              a: {type: boolean}
              b: {type: integer, minimum: 1, maximum: 9, nullable: true}
              ports: {type: array, maxItems: 2, items: {type: string, minLength: 1, pattern: "^[0-9]+$"}}
              labels: {type: object, additionalProperties: {type: string}, maxProperties: 1}
              share: {x-kubernetes-int-or-string: true}
              any: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
FAULTS = crd_schema("---\nkind: Other\n---\n" + CRD)


def faults(spec: Any, **more: Any) -> list[str]:
    """What is wrong with a Door of this spec."""
    body = {"apiVersion": "x.example/v1", "kind": "Door", "metadata": {"name": "d", "x": 1}, "spec": spec, **more}
    return list(FAULTS(NativeObject(ObjectRef("x.example", "Door", "d", "d"), Role.GRANT, json.dumps(body).encode())))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"a": True},
        {"b": None},
        {"b": 9},
        {"ports": ["80", "90"]},
        {"labels": {"app": "x"}},
        {"share": 1},
        {"share": "10%"},
        {"any": {"x": {"y": 1}}},
    ],
)
def test_what_the_schema_takes_is_valid(more: Any) -> None:
    """Also fields below one that keeps what it does not know, and null where that is allowed."""
    assert faults({"action": "DENY", **more}) == []


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "spec.action: is missing"),
        ({"action": "allow"}, "spec.action: expected one of ['ALLOW', 'DENY']"),
        ({"action": None}, "spec.action: expected string"),
        ({"action": "DENY", "acton": 1}, "spec.acton: the schema has no such field"),
        ({"action": "DENY", "a": 1}, "spec.a: expected boolean"),
        ({"action": "DENY", "b": True}, "spec.b: expected integer"),
        ({"action": "DENY", "b": 0}, "spec.b: minimum is 1"),
        ({"action": "DENY", "b": 10}, "spec.b: maximum is 9"),
        (
            {"action": "DENY", "a": True, "b": 1},
            "spec: fits not exactly one of the ways in which the schema lets it be",
        ),
        ({"action": "DENY", "ports": [80]}, "spec.ports[0]: expected string"),
        ({"action": "DENY", "ports": ["x"]}, "spec.ports[0]: pattern is ^[0-9]+$"),
        ({"action": "DENY", "ports": ["1", "2", "3"]}, "spec.ports: maxItems is 2"),
        ({"action": "DENY", "labels": {"a": "b", "c": "d"}}, "spec.labels: maxProperties is 1"),
        ({"action": "DENY", "labels": {"a": 1}}, "spec.labels.a: expected string"),
        ({"action": "DENY", "share": 1.5}, "spec.share: expected an integer or text"),
    ],
)
def test_what_the_schema_does_not_take_is_named(spec: Any, told: str) -> None:
    """With the path, and what the schema asks."""
    assert told in faults(spec)


def test_what_no_definition_is_about_is_no_object() -> None:
    """Another kind, a version that is not served, and a field beside spec."""
    assert faults({"action": "DENY"}, kind="Gate") == ["there is no CustomResourceDefinition of x.example/v1 Gate"]
    assert faults({"action": "DENY"}, apiVersion="x.example/v0")
    assert faults({"action": "DENY"}, rules=[]) == ["rules: the schema has no such field"]


def test_a_keyword_that_nobody_knows_is_an_error() -> None:
    """What it asks would not be asked."""
    with pytest.raises(ConfigError, match=r'Door.spec.action: the keyword "multipleOf" of its schema is not known'):
        crd_schema(CRD.replace("enum: [ALLOW, DENY]", "multipleOf: 2"))
