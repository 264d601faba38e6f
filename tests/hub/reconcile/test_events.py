"""Events and time: whatever happens to a folder and its hubs, nobody is served whom SMI denied both before and after.

After each step it is asked what stands in both meshes, and which connections Envoys keep that were away. A row of steps
that ends badly is made smaller and printed; what it shows becomes a test of its own, since seeds mean something else as
soon as towns are made otherwise.
"""

from __future__ import annotations

import os
from copy import deepcopy
from random import Random

import pytest
import yaml

from tests.servers.ground import COPY
from tests.servers.scene import PATIENCE_S, STEPS, Scene
from tests.servers.searching import search

SEARCH = int(os.environ.get("SMIHUB_SEARCH", "1"))
FEW, MANY = (5 * SEARCH, 20), (100, 20)
"""Towns, and steps in each; tests/mutants/test_searches.py takes some times as many."""
FOLDER = """
{apiVersion: smihub.io/v1alpha1, kind: Workload, metadata: {name: web-1, namespace: d},
 spec: {serviceAccount: web, addresses: [127.0.0.1], ports: [{port: 8080}]}}
---
{apiVersion: smihub.io/v1alpha1, kind: Workload, metadata: {name: api-1, namespace: d, labels: {app: api}},
 spec: {serviceAccount: api, addresses: [127.0.0.3], ports: [{port: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: api, namespace: d},
 spec: {selector: {app: api}, ports: [{port: 80, targetPort: 8080, name: http}]}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, metadata: {name: r, namespace: d},
 spec: {matches: [{name: m, pathRegex: /a}]}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: TCPRoute, metadata: {name: t, namespace: d}, spec: {}}
---
{apiVersion: access.smi-spec.io/v1alpha4, kind: TrafficTarget, metadata: {name: web, namespace: d},
 spec: {destination: {kind: ServiceAccount, name: api, namespace: d},
        sources: [{kind: ServiceAccount, name: web, namespace: d}], rules: [{kind: HTTPRouteGroup, name: r}]}}
---
{apiVersion: access.smi-spec.io/v1alpha4, kind: TrafficTarget, metadata: {name: peer, namespace: d},
 spec: {destination: {kind: ServiceAccount, name: api, namespace: d},
        sources: [{kind: ServiceAccount, name: peer, namespace: d}], rules: [{kind: TCPRoute, name: t}]}}
"""


@pytest.mark.thorough
def test_nobody_is_served_whom_smi_denied_before_and_after() -> None:
    """Fixed seeds; with many steps what ends badly is not made small for long."""
    search(Scene, STEPS, *FEW, fixed=True, patience_s=PATIENCE_S / SEARCH)


@pytest.mark.slow
def test_nobody_is_served_whom_smi_denied_before_and_after_many_steps() -> None:
    """Two thousand steps and new seeds."""
    search(Scene, STEPS, *MANY, fixed=False)


@pytest.mark.thorough
def test_second_copy_revokes_what_the_running_hub_recalled() -> None:
    """What it recalled because a Service is broken, it took for the only copy for as long as nothing else changed."""
    rng = Random(0)
    with Scene() as scene:
        for value in yaml.load_all(FOLDER, yaml.CSafeLoader):
            scene.put(f"{value['kind'].lower()}/{value['metadata']['name']}", value)
        scene.restart(rng)
        scene.ground.hide("tcproute")
        scene.follow(rng)
        service, target = (deepcopy(scene.ground.files[name].value) for name in ("service/api", "traffictarget/web"))
        service["spec"]["ports"][0]["port"] = ["80"]
        scene.put("service/api", service)
        scene.follow(rng)
        scene.ground.show("tcproute")
        scene.follow(rng)
        target["spec"]["sources"][0]["name"] = "nobody"
        scene.put(f"traffictarget/web{COPY}", target)
        scene.follow(rng)


@pytest.mark.thorough
def test_towns_begin_sound_and_with_open_connections() -> None:
    """Every object can be decoded, and callers have connections of both kinds: else the search would see little."""
    with Scene() as scene:
        scene.take("begin", 0)
        assert not scene.ground.broken
        assert {link.kind for link in scene.trial.envoys.links} == {"raw", "pooled"}


LABELLED = """
{apiVersion: apps/v1, kind: Deployment, metadata: {name: api-t, namespace: d},
 spec: {selector: {matchLabels: {app: api}}, template: {metadata: {labels: {app: api, tier: gold, smihub.io/sa: api}},
        spec: {serviceAccountName: api, containers: [{name: main, image: main, ports: [{containerPort: 8080}]}]}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: api, namespace: d},
 spec: {selector: {app: api}, ports: [{port: 80, targetPort: 8080, name: http}]}}
---
{apiVersion: access.smi-spec.io/v1alpha4, kind: IdentityBinding, metadata: {name: gold, namespace: d},
 spec: {schemes: {podLabelSelector: {matchLabels: {tier: gold}}}}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: TCPRoute, metadata: {name: t, namespace: d}, spec: {}}
---
{apiVersion: access.smi-spec.io/v1alpha4, kind: TrafficTarget, metadata: {name: bound, namespace: d},
 spec: {destination: {kind: IdentityBinding, name: gold, namespace: d},
        sources: [{kind: ServiceAccount, name: nobody, namespace: d}], rules: [{kind: TCPRoute, name: t}]}}
"""


@pytest.mark.thorough
def test_copy_for_a_whole_account_opens_no_port_to_a_grant_by_labels() -> None:
    """Facts told of the labels that grants name. The copy names none, so nothing barred the HTTP port from the raw grant any more."""
    rng = Random(0)
    with Scene() as scene:
        for value in yaml.load_all(LABELLED, yaml.CSafeLoader):
            scene.put(f"{value['kind'].lower()}/{value['metadata']['name']}", value)
        scene.apply(rng)
        copy = deepcopy(scene.ground.files["traffictarget/bound"].value)
        copy["spec"]["destination"] = {"kind": "ServiceAccount", "name": "api", "namespace": "d"}
        scene.put(f"traffictarget/bound{COPY}", copy)
        scene.apply(rng)


@pytest.mark.thorough
def test_workload_of_which_copies_name_other_accounts_is_no_caller_any_more() -> None:
    """It kept the certificate of the account that it ran as before both copies were written, and what that one was granted since."""
    rng = Random(0)
    with Scene() as scene:
        for value in yaml.load_all(FOLDER, yaml.CSafeLoader):
            scene.put(f"{value['kind'].lower()}/{value['metadata']['name']}", value)
        scene.apply(rng)
        workload = deepcopy(scene.ground.files["workload/web-1"].value)
        for name, account in (("workload/web-1", "peer"), (f"workload/web-1{COPY}", "nobody")):
            workload["spec"]["serviceAccount"] = account
            scene.put(name, deepcopy(workload))
        scene.apply(rng)
        match = deepcopy(scene.ground.files["httproutegroup/r"].value)
        match["spec"]["matches"].append({"name": "n", "pathRegex": "/b"})
        scene.put("httproutegroup/r", match)
        scene.apply(rng)
