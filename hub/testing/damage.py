"""Objects spoiled in one place, as typos, old tools and attackers spoil them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from random import Random
from typing import Any

_JUNK: Sequence[Any] = (
    *(None, "", 0, -1, True, [], {}, "*", "x" * 300, [None], {"a": {}}, 1.5, "a/b", "8080"),
    *("api", "main", "http", "TCP", "UDP", "SCTP", "Always", "ExternalName", "fe80::1%eth0", 8080, ["a"], {"a": "b"}),
)
_ADDED = (
    *("unknown", "port", "matches", "spec", "name", "namespace", "labels", "ports", "protocol", "appProtocol", "type"),
    *("targetPort", "selector", "serviceAccount", "serviceAccountName", "initContainers", "restartPolicy", "targetRef"),
    *("addresses", "conditions", "upstreams", "bind", "appAddress", "status"),
)
"""Keys that somebody reads somewhere."""
_NEW_VERSIONS = (
    "v1",
    "v1alpha1",
    "v1alpha2",
    "v1alpha3",
    "v1alpha4",
    "v1alpha9",
    "access.smi-spec.io/v1alpha5",
    "/",
    "",
)


def damaged(rng: Random, value: dict[str, Any]) -> Any:
    """Spoil one place of an object: junk, a missing or unknown key, a doubled entry, another apiVersion."""
    spoiled = deepcopy(value)
    if rng.randrange(5) == 0:
        version = rng.choice((*_NEW_VERSIONS, None))
        if version is None:
            spoiled.pop("apiVersion")
        else:
            group = value["apiVersion"].rpartition("/")[0]
            spoiled["apiVersion"] = f"{group}/{version}" if group and "/" not in version else version
        return spoiled
    places: list[tuple[Any, Any]] = []
    _places(spoiled, places)
    holder, key = rng.choice(places)
    dice = rng.randrange(4)
    if dice == 0:
        del holder[key]
    elif dice == 1 and isinstance(holder, dict):
        holder[rng.choice((*_ADDED, str(key).upper()))] = deepcopy(rng.choice(_JUNK))
    elif dice == 2 and isinstance(holder, list):
        holder.append(deepcopy(holder[key]))
    else:
        holder[key] = deepcopy(rng.choice(_JUNK))
    return spoiled


_NO_LABELS: Sequence[Any] = (7, ["api"], "api", {"app": 7}, {"app": ["api"]})
_NO_ACCOUNTS: Sequence[Any] = (7, ["api"], {"name": "api"}, "*", "API")
_NO_NAMES = ("API", "a/b", "*", "a_b", "-a", "x" * 300)
_ACCOUNTS = {"Pod": "serviceAccountName", "Workload": "serviceAccount"}


def declares(value: Any) -> bool:
    """Whether this is an object that says what ports speak: a Service, a Workload, a Pod or a pod template."""
    spec = value.get("spec") if isinstance(value, dict) else None
    return isinstance(spec, dict) and (value.get("kind") in {"Service", *_ACCOUNTS} or "template" in spec)


def doubted(rng: Random, value: dict[str, Any]) -> list[Any]:
    """What may stand for an object that `declares`: two unequal copies, no readable selector or account, or no valid name."""
    other = deepcopy(value)
    spec = other["spec"].get("template", other)["spec"]
    key = "selector" if other["kind"] == "Service" else _ACCOUNTS.get(other["kind"], "serviceAccountName")
    dice = rng.randrange(3)
    if dice == 0:
        spec[key] = {"app": "else"} if key == "selector" else "else"
        return [value, other]
    if dice == 1:
        spec[key] = deepcopy(rng.choice(_NO_LABELS if key == "selector" else _NO_ACCOUNTS))
    else:
        other["metadata"][rng.choice(("name", "name", "name", "namespace"))] = rng.choice(_NO_NAMES)
    return [other]


def _places(value: Any, out: list[tuple[Any, Any]]) -> None:
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    for key in keys:
        out.append((value, key))
        _places(value[key], out)
