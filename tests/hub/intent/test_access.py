"""Access units: grants in normal form, inbound ports and their variants, placements."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs

from hub.intent.targets import read_match, unprovable_source
from hub.model import Access, Document, HttpMatch, ObjectRef, Origin, Reading, UnitKey
from hub.smi import decode
from hub.smi.types import TrafficTarget
from hub.store import Store
from hub.store.view import RecordingView
from hub.testing.documents import decoded, store_of
from hub.testing.worlds import make_values

R = """
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: r, namespace: d}
spec: {matches: [{name: m, pathRegex: /metrics, methods: [GET]}, {name: a, pathRegex: /api}]}
"""
T80 = """
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: t80, namespace: d}
spec: {matches: {ports: [8080]}}
"""
ALL = T80.replace("t80", "all").replace("[8080]", "[]")
U = T80.replace("TCPRoute", "UDPRoute").replace("t80", "u")
BINDING = """
apiVersion: access.smi-spec.io/v1alpha4
kind: IdentityBinding
metadata: {{name: b, namespace: d}}
spec: {{schemes: {schemes}}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: d, labels: {labels}}}
spec: {{serviceAccountName: api, containers: [{{name: c, ports: [{{containerPort: 8080}}]}}]}}
"""
WEB = "spiffe://td/ns/d/sa/web"
API_PATH = HttpMatch("/api")


def target(rules: str, *, version: int = 4, destination: str = "", sources: str = "") -> str:
    """A TrafficTarget of namespace d to `api` (or another destination) from `web` (or other sources)."""
    to = destination or "{kind: ServiceAccount, name: api}"
    of = sources or "[{kind: ServiceAccount, name: web, namespace: d}]"
    spec = f"{{destination: {to}, sources: {of}, rules: {rules}}}"
    return f"apiVersion: access.smi-spec.io/v1alpha{version}\nkind: TrafficTarget\nmetadata: {{name: t, namespace: d}}\nspec: {spec}\n"


def rules(*names: str) -> str:
    """Rules by short name: r, r:a (one match), t80, all, u, and gone-* that do not exist."""
    kinds = {"r": "HTTPRouteGroup", "t": "TCPRoute", "a": "TCPRoute", "u": "UDPRoute", "g": "TCPRoute"}
    found = []
    for name in names:
        base, _, match = name.partition(":")
        matches = f", matches: [{match}]" if match else ""
        found.append(f"{{kind: {kinds[base[0]]}, name: {base}{matches}}}")
    return f"[{', '.join(found)}]"


def store(*objects: str, reading: Reading | None = None) -> Store:
    """A store of the route objects and these."""
    return store_of("\n---\n".join((R, T80, ALL, U, *objects)), reading or Reading())


def access(found: Store, account: str = "api") -> Access:
    """The Access of an account of namespace d."""
    unit, _ = found.compile(UnitKey("access", "d", account))
    assert isinstance(unit, Access)
    return unit


def codes(found: Store) -> list[str]:
    """The codes of all Problems."""
    return [problem.code for problem in found.problems()]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("r:a",), [("TCP", None, (API_PATH,))]),
        (("r:a", "t80"), [("TCP", (8080,), (API_PATH,))]),
        (("r:a", "t80", "all"), [("TCP", None, (API_PATH,))]),
        (("t80",), [("TCP", (8080,), None)]),
        (("all", "u"), [("TCP", None, None), ("UDP", (8080,), None)]),
        (("u",), [("UDP", (8080,), None)]),
        (("r:a", "gone", "u"), []),
        (("r:nope", "t80"), []),
        (("r:nope", "u"), [("UDP", (8080,), None)]),
        (("t80:a", "u"), []),
    ],
)
def test_grants_are_those_of_the_rules_taken_together(
    names: tuple[str, ...], wanted: list[tuple[str, tuple[int, ...] | None, tuple[HttpMatch, ...] | None]]
) -> None:
    """HTTP rules never open raw TCP, TCPRoutes limit them, a dangling TCPRoute takes all down, UDP stands apart."""
    found = store(target(rules(*names)))
    assert [(grant.transport, grant.ports, grant.http) for grant in access(found).grants] == wanted
    assert all(grant.sources == (WEB,) for grant in access(found).grants)
    assert wanted or codes(found)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("r:a",), [((9090,), True)]),
        (("r:a", "all"), [((9090,), True)]),
        (("r:a", "t80"), []),
        (("r:a", "gone"), [((9090,), True)]),
        (("all",), [((9090,), False)]),
        (("gone",), []),
        (("gone", "all"), []),
    ],
)
def test_destination_port_limits_and_opens_nothing(
    names: tuple[str, ...], wanted: list[tuple[tuple[int, ...], bool]]
) -> None:
    """`destination.port` of v1alpha2 narrows HTTP and raw grants; beside a missing TCPRoute it still limits HTTP."""
    to = "{kind: ServiceAccount, name: api, port: 9090}"
    found = store(target(rules(*names), version=2, destination=to))
    assert [(grant.ports, grant.http is not None) for grant in access(found).grants] == wanted
    assert wanted or codes(found)


@pytest.mark.parametrize(
    ("sources", "code"),
    [
        ("[{kind: ServiceAccount, name: web}]", "target.source-namespace"),
        ("[{kind: IdentityBinding, name: b, namespace: d}]", "target.source-missing"),
        ("[{kind: Group, name: web, namespace: d}]", "target.no-source"),
        ("[{kind: ServiceAccount, name: '*', namespace: d}]", "target.no-source"),
    ],
)
def test_source_that_matches_nobody_grants_nothing(sources: str, code: str) -> None:
    """No source left: no grant, and the reason is reported."""
    found = store(target(rules("r"), sources=sources))
    assert access(found).grants == ()
    assert code in codes(found)


@pytest.mark.parametrize(
    ("destination", "code"),
    [
        ("{kind: ServiceAccount, name: api, namespace: x}", "target.destination-namespace"),
        ("{kind: IdentityBinding, name: gone}", "target.destination-missing"),
    ],
)
def test_destination_elsewhere_grants_nothing(destination: str, code: str) -> None:
    """A TrafficTarget opens only its own namespace, and is reported though no unit reads it."""
    found = store(target(rules("r"), destination=destination))
    units = [found.compile(key)[0] for key in found.units()]
    assert not any(unit.grants for unit in units if isinstance(unit, Access))
    assert code in codes(found)


def test_binding_as_source_gives_ids_and_counts_labels() -> None:
    """Accounts and own-namespace ids are identities, foreign ids are literal, labels are not provable."""
    schemes = (
        "{podLabelSelector: {matchLabels: {app: web}}, spiffeIdentities: "
        "[td/ns/d/sa/pay, td/ns/x/sa/web, 'spiffe://partner/billing', td/vm/7]}"
    )
    source = "[{kind: IdentityBinding, name: b, namespace: d}]"
    found = store(BINDING.format(schemes=schemes), target(rules("r"), sources=source))
    [grant] = access(found).grants
    assert grant.sources == ("spiffe://partner/billing", "spiffe://td/ns/d/sa/pay", "spiffe://td/vm/7")
    assert grant.unauthenticated == ("IdentityBinding/d/b (app=web)",)
    assert codes(found) == ["binding.foreign-namespace"]


def test_grant_by_labels_alone_admits_nobody() -> None:
    """A source that no certificate can prove leaves a grant that a mesh can report, and that admits no one."""
    source = "[{kind: IdentityBinding, name: b, namespace: d}]"
    found = store(
        BINDING.format(schemes="{podLabelSelector: {matchLabels: {app: web}}}"), target(rules("r"), sources=source)
    )
    [grant] = access(found).grants
    view = RecordingView({}, found._index, "td", Reading())
    assert grant.sources == (unprovable_source(view),) == ("spiffe://td/nobody",)
    assert grant.unauthenticated


def test_binding_as_destination_reaches_workloads_by_labels() -> None:
    """Only workloads that carry the labels get the grant, in a variant of their own."""
    schemes = "{podLabelSelector: {matchLabels: {track: canary}}}"
    to = "{kind: IdentityBinding, name: b}"
    pods = [POD.format(name="p1", labels="{app: api}"), POD.format(name="p2", labels="{app: api, track: canary}")]
    found = store(BINDING.format(schemes=schemes), target(rules("r"), destination=to), *pods)
    unit = access(found)
    assert [grant.labels for grant in unit.grants] == [(("track", "canary"),)]
    assert [(port.variant[:5], port.labels) for port in unit.ports] == [
        ("none", ()),
        ("none+", ((("track", "canary"),),)),
    ]
    placed = [found.placement(ObjectRef("", "Pod", "d", name)) for name in ("p1", "p2")]
    variants = ("none", unit.ports[1].variant)
    assert [one and one.inbound for one in placed] == [((8080, "TCP", each),) for each in variants]


def test_binding_by_account_beats_its_labels() -> None:
    """An identity that the binding names gets the grant at every workload, once."""
    schemes = "{podLabelSelector: {matchLabels: {app: api}}, spiffeIdentities: [td/ns/d/sa/api]}"
    to = "{kind: IdentityBinding, name: b}"
    found = store(
        BINDING.format(schemes=schemes), target(rules("r"), destination=to), POD.format(name="p", labels="{app: api}")
    )
    assert [grant.labels for grant in access(found).grants] == [None]


@pytest.mark.parametrize(
    ("pattern", "read"),
    [
        ("/api", "(?:/api).*"),
        ("/a|/b", "(?:/a|/b).*"),
        ("/api$", "/api$"),
        (r"/api\z", r"/api\z"),
        (r"/api\$", r"(?:/api\$).*"),
        (r"/api\\$", r"/api\\$"),
        (r"/a\Qb", r"/a\Qb"),
    ],
)
def test_prefix_reading_appends_unless_anchored(pattern: str, read: str) -> None:
    """In the prefix reading a path may go on, unless its pattern ends in an anchor or would change its meaning."""
    assert read_match(HttpMatch(pattern), Reading(path_regex="prefix")) == HttpMatch(read)
    assert read_match(HttpMatch(pattern), Reading()) == HttpMatch(pattern)


def test_grant_lists_a_tcp_port_beside_http_rules_is_reported() -> None:
    """A listed port that is declared TCP grants nothing beside HTTP rules; the remedy is a target of its own."""
    service = """
apiVersion: v1
kind: Service
metadata: {name: api, namespace: d}
spec: {selector: {app: api}, ports: [{name: mysql, port: 8080}]}
"""
    found = store(service, POD.format(name="p", labels="{app: api}"), target(rules("r", "t80")))
    problem = next(each for each in found.problems() if each.code == "target.tcp-port")
    assert problem.field == "spec.rules[1].name"
    assert "separate TrafficTarget" in problem.remedy


def test_dangling_tcp_route_takes_udp_down_beside_a_destination_port() -> None:
    """`destination.port` saves the HTTP grant alone."""
    decoded_target = decoded(target(rules("r:a", "gone", "u")))[0]
    assert isinstance(decoded_target.object, TrafficTarget)
    limited = structs.replace(decoded_target.object, port=9090)
    found = store()
    found.upsert("test", "target", (structs.replace(decoded_target, object=limited),))
    assert [(grant.transport, grant.ports) for grant in access(found).grants] == [("TCP", (9090,))]


@settings(max_examples=60, derandomize=True, database=None, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(rng=st.randoms(use_true_random=False))
def test_target_that_grants_nothing_has_a_problem(rng: Random) -> None:
    """Whoever wrote a TrafficTarget that no unit carries is told why."""
    found = store_of(decode(Document(value, Origin("s", f"{at}", 1))) for at, value in enumerate(make_values(rng)))
    units = [found.compile(key)[0] for key in found.units()]
    granting = {grant.origin for unit in units if isinstance(unit, Access) for grant in unit.grants}
    told = {problem.ref for problem in found.problems()}
    written = {ref for ref in found._copies._copies if ref.kind == "TrafficTarget"}
    silent = written - granting - told
    assert all(_by_labels(found, ref) for ref in silent)


def _by_labels(found: Store, ref: ObjectRef) -> bool:
    """A destination by labels waits for workloads that carry them: nothing is wrong with it."""
    each = found._objects[ref]
    return isinstance(each, TrafficTarget) and each.destination.kind == "IdentityBinding"
