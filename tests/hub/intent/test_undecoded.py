"""Objects as a plugin may build them, and no file gives them: they grant nothing, and a Problem of intent says so."""

from __future__ import annotations

import pytest

from hub.model import ObjectRef, Origin
from hub.smi import Decoded
from hub.smi.types import Rule, SmiObject, Subject, TrafficSplit, TrafficTarget
from hub.testing.documents import decoded, store_of

PLACES = """
apiVersion: v1
kind: Service
metadata: {name: api, namespace: d}
spec: {selector: {app: api}, ports: [{port: 80}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: r, namespace: d}
spec: {matches: [{name: m, methods: [GET]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api-0, namespace: d, labels: {app: api}}
spec: {serviceAccountName: api, containers: [{name: c}]}
"""
API, WEB = Subject("ServiceAccount", "d", "api"), Subject("ServiceAccount", "d", "web")
RULES = (Rule("HTTPRouteGroup", "r"),)


def target(
    destination: Subject = API, sources: tuple[Subject, ...] = (WEB,), rules: tuple[Rule, ...] = RULES
) -> TrafficTarget:
    """A TrafficTarget of namespace d."""
    return TrafficTarget(
        ObjectRef("access.smi-spec.io", "TrafficTarget", "d", "t"), Origin(), destination, rules, sources
    )


def codes(found: SmiObject) -> set[str]:
    """What is wrong with it, beside Pods and a Service in which all is well."""
    store = store_of((*decoded(PLACES), Decoded(found.ref, found)))
    return {problem.code for problem in store.problems() if problem.ref == found.ref}


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        (Subject("User", "d", "api"), "target.destination-kind"),
        (Subject("ServiceAccount", "d", "*"), "target.destination-name"),
    ],
)
def test_a_destination_that_decoding_would_have_refused(subject: Subject, code: str) -> None:
    """Nobody receives by it."""
    assert codes(target(destination=subject)) == {code}


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        (Subject("User", "d", "web"), "target.source-kind"),
        (Subject("ServiceAccount", "d", "*"), "target.source-name"),
    ],
)
def test_a_source_that_decoding_would_have_refused(subject: Subject, code: str) -> None:
    """No caller is meant by it; another source of the same object is."""
    assert codes(target(sources=(subject, WEB))) == {code}


def test_a_target_without_rules() -> None:
    """It is there, and grants nothing."""
    assert codes(target(rules=())) == {"target.nothing"}


def test_a_split_without_backends() -> None:
    """The root Service answers."""
    split = TrafficSplit(ObjectRef("split.smi-spec.io", "TrafficSplit", "d", "s"), Origin(), "api", ())
    assert "split.no-backend" in codes(split)
