"""Random worlds: objects of random versions, valid, subtly wrong and hostile, with few names so that they collide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from random import Random
from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

from hub.model import SERVICE_ACCOUNT_LABEL, Document, Origin, Request
from hub.testing import cluster
from hub.testing.cluster import ACCOUNTS, LABELS, NAMESPACES, PORTS, SERVICES, Value, meta_of
from hub.testing.damage import damaged, declares, doubted
from hub.testing.patterns import any_header, any_path
from hub.testing.random_requests import Hints, any_request
from hub.testing.small_worlds import MATCHES, SELECTORS, again, corrupted, make_small_world, twins

GROUPS = ("r", "q")
ROUTES = ("t", "u")
MATCH_NAMES = ("a", "m", "b", "A b")
BINDINGS = ("b1", "b2")
METHODS = ("GET", "POST", "HEAD", "*", "CONNECT", "TRACE", "get", "FOO", "")
HEADER_NAMES = ("x-tier", "X-Tier", "x-region", "user-agent", "x_y", "host", "x-forwarded-for", ":path", "cookie")
TRUST_DOMAIN = "cluster.local"


class World(Struct, frozen=True):
    """The objects of one folder and requests that stand close to its boundaries."""

    values: tuple[Any, ...]
    requests: tuple[Request, ...]

    @property
    def documents(self) -> tuple[Document, ...]:
        """The objects as documents of one file, in order."""
        return documents_of(self.values)


def documents_of(values: Sequence[Any]) -> tuple[Document, ...]:
    """Values as the documents of one file."""
    return tuple(Document(value, Origin("world", "world.yaml", index + 1), index) for index, value in enumerate(values))


@st.composite
def worlds(draw: st.DrawFn, requests: int = 24) -> World:
    """A hypothesis strategy of worlds; shrinks by shrinking the dice."""
    return make_world(draw(st.randoms(use_true_random=False)), requests)


def make_world(rng: Random, requests: int = 24) -> World:
    """A world from dice."""
    values = make_values(rng)
    hints = Hints.of(values)
    return World(tuple(values), tuple(any_request(rng, hints) for _ in range(requests)))


def make_values(rng: Random) -> list[Any]:
    """The objects of a world: some of every kind, in random order, one in thirty damaged (in some worlds one in six).

    One world in four is a town, with a few such objects in it. In one of six, an object that says what ports speak is doubted.
    """
    values = [_MAKERS[kind](rng) for kind, many in _COUNTS.items() for _ in range(rng.choice(many))]
    if rng.randrange(4) == 0:
        values = _distinct(rng, [*rng.sample(values, 3), *_town(rng)])
    else:
        values = _distinct(rng, values)
        if rng.randrange(3):
            values = [_tamed(rng, value) for value in values]
    if rng.randrange(6) == 0:
        at = rng.choice([at for at, value in enumerate(values) if declares(value)])
        values[at : at + 1] = doubted(rng, values[at])
    sound = 30 if rng.randrange(4) else 6
    values = [damaged(rng, value) if rng.randrange(sound) == 0 else value for value in values]
    if rng.randrange(12) == 0:
        values.append(deepcopy(rng.choice(values)))
    rng.shuffle(values)
    return values


def _town(rng: Random) -> list[Value]:
    """A town, in which now and then an object is spoiled where it hurts, or there in two versions.

    Its Pods go without the label by which meshes find them: what is bound to an account is judged as if all carried it.
    """
    values = make_small_world(rng)
    for value in values:
        template = value["spec"].get("template", value)
        template["metadata"].get("labels", {}).pop(SERVICE_ACCOUNT_LABEL, None)
        for port in value["spec"].get("ports", ()):
            if "appAddress" in port:  # one of many: names that stand for places must not collide
                port["appAddress"] = f"127.0.{rng.randrange(256)}.{rng.randrange(1, 255)}"
    one = rng.randrange(len(values))
    if rng.randrange(5) == 0:
        values[one] = corrupted(rng, values[one])
    elif rng.randrange(5) == 0:
        values.append(again(rng, values[one]))
    return values


def _tamed(rng: Random, value: Value) -> Value:
    """The same object, most likely about the one account `api` behind every Service: so that more is allowed."""
    kind, spec = value["kind"], value.get("spec", value)
    if not rng.randrange(5):
        return value
    if kind == "Service" and "selector" in spec:
        spec["selector"] = {"app": "api"}
    elif kind == "Pod":
        value["metadata"]["labels"] |= {"app": "api"}
        spec["serviceAccountName"] = "api"
    elif kind == "Workload":
        value["metadata"]["labels"] |= {"app": "api"}
        spec["serviceAccount"] = "api"
    elif kind == "TrafficTarget" and spec["destination"]["kind"] == "ServiceAccount":
        spec["destination"]["name"] = "api"
    return value


def _distinct(rng: Random, values: Sequence[Value]) -> list[Value]:
    """The values without further copies of a name: two of one name are void, which is interesting, but seldom."""
    seen: dict[tuple[str, str, str], Value] = {}
    for value in values:
        meta = value["metadata"]
        key = (value["kind"], meta.get("namespace", "default"), meta["name"])
        seen[(*key[:2], f"{key[2]}#") if key in seen and rng.randrange(25) == 0 else key] = value
    return list(seen.values())


# -------------------------------------------------------------------------------------------------------- SMI objects


def _versioned(group: str, kind: str, version: int, meta: Value) -> Value:
    return {"apiVersion": f"{group}.smi-spec.io/v1alpha{version}", "kind": kind, "metadata": meta}


def _headers(rng: Random) -> Any:
    pairs = [
        (rng.choice(HEADER_NAMES[:7] if rng.randrange(12) else HEADER_NAMES), any_header(rng)[0])
        for _ in range(rng.randrange(1, 3))
    ]
    return dict(pairs) if rng.randrange(2) else [{name: pattern} for name, pattern in pairs]


def _match(rng: Random) -> Value:
    match: Value = {"name": rng.choice(MATCH_NAMES[:3] if rng.randrange(8) else MATCH_NAMES)}
    if rng.randrange(6) == 0:
        return match | deepcopy(rng.choice(MATCHES))
    if rng.randrange(4):
        match["pathRegex"] = any_path(rng)[0]
    if rng.randrange(2):
        methods = METHODS[:4] if rng.randrange(30) else METHODS
        match["methods"] = [rng.choice(methods) for _ in range(rng.randrange(3))]
    if rng.randrange(4) == 0:
        match["headers"] = _headers(rng)
    return match


def _group(rng: Random) -> Value:
    version = rng.randrange(1, 5)
    value = _versioned("specs", "HTTPRouteGroup", version, meta_of(rng, rng.choice(GROUPS)))
    matches = [_match(rng) for _ in range(rng.choice((0, 1, 2, 2, 2, 3, 3, 3)))]
    if rng.randrange(10) == 0:
        matches = [{"name": name, **deepcopy(match)} for name, match in zip(MATCH_NAMES, twins(rng), strict=False)]
    if rng.randrange(6):
        for name, match in zip(MATCH_NAMES, matches, strict=False):
            match["name"] = name
    where = value if version <= 2 else value.setdefault("spec", {})
    where["matches"] = matches
    return value


def _port_route(rng: Random) -> Value:
    kind = rng.choice(("TCPRoute", "TCPRoute", "TCPRoute", "UDPRoute"))
    version = 4 if kind == "UDPRoute" and rng.randrange(12) else rng.choice((4, 4, 4, 3, 2, 1))
    value = _versioned("specs", kind, version, meta_of(rng, rng.choice(ROUTES)))
    if version == 4:
        ports = rng.sample(PORTS, rng.randrange(0, 3))
        value["spec"] = rng.choice(({"matches": {"ports": ports}}, {"matches": {"ports": ports}}, {"matches": {}}, {}))
    elif version == 3:
        value["spec"] = {}
    return value


def _subject(rng: Random, version: int) -> Value:
    subject: Value = {"kind": "ServiceAccount", "name": rng.choice(ACCOUNTS), "namespace": rng.choice(NAMESPACES)}
    if rng.randrange(4 if version == 4 else 8) == 0:
        subject["kind"] = "IdentityBinding" if version == 4 or rng.randrange(6) == 0 else "ServiceAccount"
        subject["name"] = rng.choice(BINDINGS)
    if rng.randrange(80) == 0:
        subject["kind"] = rng.choice(("Group", "User", "serviceaccount"))
    if rng.randrange(60) == 0:
        subject["name"] = rng.choice(("*", "a/b", "WEB", "", "d.web"))
    if rng.randrange(60) == 0:
        subject["namespace"] = rng.choice(("", "*", None, "d/x"))
    if version == 4 and rng.randrange(10) == 0:
        subject["group"] = rng.choice(("access.smi-spec.io", "core", "", "rbac"))
    return subject


def _rule(rng: Random) -> Value:
    kind = rng.choice((*("HTTPRouteGroup",) * 6, "TCPRoute", "TCPRoute", "TCPRoute", "UDPRoute"))
    rule: Value = {"kind": kind, "name": rng.choice(GROUPS if kind == "HTTPRouteGroup" else ROUTES)}
    if kind == "HTTPRouteGroup" and rng.randrange(2):
        names = [rng.choice(MATCH_NAMES[:2]), rng.choice(MATCH_NAMES[:2])]
        rule["matches"] = rng.choice((names, names, names, names[:1], names[:1], [*names, "nope"], ["nope"], [], None))
    elif rng.randrange(25) == 0:
        rule["matches"] = ["a"]
    return rule


def _target(rng: Random) -> Value:
    version = rng.choice((1, 2, 3, 3, 4, 4))
    meta = meta_of(rng, f"tt-{rng.randrange(12)}")
    value = _versioned("access", "TrafficTarget", version, meta)
    destination = _subject(rng, version)
    if rng.randrange(5):
        destination["namespace"] = meta.get("namespace", "default")
    elif rng.randrange(2):
        destination.pop("namespace", None)
    if version == 4 and rng.randrange(4) == 0:
        destination |= {"kind": "IdentityBinding", "name": rng.choice(BINDINGS)}
    if rng.randrange(2) == 0 and (version <= 2 or rng.randrange(16) == 0):
        destination["port"] = rng.choice(PORTS)
    body = value if version == 1 else value.setdefault("spec", {})
    body["destination"] = destination
    body["specs" if version == 1 else "rules"] = [_rule(rng) for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))]
    body["sources"] = [_subject(rng, version) for _ in range(rng.choice((1, 1, 2, 3)))]
    return value


def _binding(rng: Random) -> Value:
    schemes: Value = {}
    dice = rng.randrange(8)
    if dice < 4:
        schemes["serviceAccount"] = rng.choice(ACCOUNTS)
    if dice in {0, 4, 5}:
        schemes["podLabelSelector"] = {"matchLabels": dict(rng.choice((*LABELS, *LABELS, *SELECTORS, {})))}
        if dice == 0 and rng.randrange(2):
            del schemes["serviceAccount"]
    if dice in {2, 5, 6, 7}:
        schemes["spiffeIdentities"] = [rng.choice(SPIFFE) for _ in range(rng.randrange(1, 3))]
    meta = meta_of(rng, rng.choice(BINDINGS))
    return {**_versioned("access", "IdentityBinding", 4, meta), "spec": {"schemes": schemes}}


SPIFFE = (
    "spiffe://cluster.local/ns/d/sa/web",
    "spiffe://cluster.local/ns/x/sa/api",
    "cluster.local/ns/d/sa/api",
    "cluster.local/vm/7",
    "spiffe://partner.example/billing",
    "spiffe://partner.example/ns/d/sa/web",
    "spiffe://Partner.example/x",
    "spiffe://partner.example/a/../b",
    "spiffe://partner.example/",
)


def _weight(rng: Random, version: int) -> Any:
    if rng.randrange(14) == 0:
        return rng.choice((0.5, -1, "500m", None, True, "1", "-1", "", "1Q", 2**63, 1e3, "0x10"))
    if version == 1:
        return rng.choice(("1", "500m", "0", "0m", "10m", "1k", "1e3", 3, "1.5", 0, "1Ki"))
    return rng.choice((0, 1, 1, 2, 3, 50, 90, 10, 1000, 50.0, 999_999_937))


def _split(rng: Random) -> Value:
    version = rng.choice((1, 2, 3, 4, 4, 4, 4))
    meta = meta_of(rng, f"ts-{rng.randrange(5)}")
    if rng.randrange(3) == 0:
        meta["creationTimestamp"] = f"2024-0{rng.randrange(1, 4)}-01T00:00:00Z"
    root = _service_name(rng)
    backends = [
        {"service": _other_than(rng, root), "weight": _weight(rng, version)} for _ in range(rng.choice((0, 1, 2, 2, 3)))
    ]
    spec: Value = {"service": root, "backends": backends}
    if version >= 3 and rng.randrange(3):
        entries = [
            {"kind": "HTTPRouteGroup", "name": rng.choice((*GROUPS * 4, "gone"))}
            for _ in range(rng.choice((0, 1, 1, 1, 2)))
        ]
        if entries and rng.randrange(8) == 0:
            entries[0]["kind"] = "TCPRoute"
        if entries and rng.randrange(8) == 0:
            entries[0]["apiGroup"] = rng.choice(("specs.smi-spec.io", "", "other"))
        spec["matches"] = entries
    return {**_versioned("split", "TrafficSplit", version, meta), "spec": spec}


def _other_than(rng: Random, root: str) -> str:
    """A backend's name: seldom the root's."""
    name = _service_name(rng)
    return _service_name(rng) if name == root and rng.randrange(10) else name


def _service_name(rng: Random) -> str:
    name = rng.choice((*SERVICES, *SERVICES, *SERVICES, "gone"))
    if rng.randrange(16):
        return name
    return name + rng.choice((".d", ".x", ".d.svc", ".d.svc.cluster.local", ".", ".d.svc.other", "/x"))


_MAKERS: Mapping[str, Callable[[Random], Value]] = {
    "service": cluster.service,
    "pod": cluster.pod,
    "template": cluster.template,
    "workload": cluster.workload,
    "slice": cluster.endpoints,
    "group": _group,
    "route": _port_route,
    "target": _target,
    "binding": _binding,
    "split": _split,
}
_COUNTS: Mapping[str, Sequence[int]] = {
    "service": (4, 5, 6),
    "pod": (3, 4, 5),
    "template": (0, 0, 1),
    "workload": (0, 1, 2),
    "slice": (0, 0, 1, 2),
    "group": (4, 5, 6),
    "route": (5, 6, 7),
    "target": (5, 6, 7, 8),
    "binding": (1, 2, 2),
    "split": (1, 1, 2, 3),
}
