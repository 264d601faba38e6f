"""The order of pushes: make before break, policy before the cut, deletions last; on both variants of the protocol."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adapters.vm.resource import CDS, ECDS, EDS, LDS, RDS, SDS, Resource, Snapshot, version_of
from adapters.vm.serve.client import DiscoveryRequest, Response
from adapters.vm.serve.delta import DeltaStream
from adapters.vm.serve.sotw import SotwStream
from adapters.vm.serve.stream import Stream, StreamOutput

NODE = "d/web"
URLS = {"cds": CDS, "eds": EDS, "lds": LDS, "rds": RDS, "sds": SDS, "ecds": ECDS}
Make = Callable[[str, Snapshot], Stream]
both = pytest.mark.parametrize("make", [SotwStream, DeltaStream])


def item(name: str, content: str = "1", *needs: tuple[str, str]) -> Resource:
    """A resource whose version is its content's hash."""
    return Resource(name, version_of(content.encode()), content.encode(), needs)


def listener(name: str, chain: str, stem: str, *needs: tuple[str, str]) -> Resource:
    """A listener whose version follows from its chain's name and all the rest."""
    return Resource(name, version_of(f"{chain} {stem}".encode()), b"", needs, stem, chain)


def world(**types: list[Resource]) -> Snapshot:
    """A snapshot from lists named cds, eds, lds, rds, sds, ecds."""
    return {URLS[key]: {each.name: each for each in items} for key, items in types.items()}


class Client:
    """A client that subscribes like Envoy and answers when told to."""

    def __init__(self, make: Make, snapshot: Snapshot) -> None:
        self.stream = make(NODE, snapshot)
        self.names: dict[str, tuple[str, ...]] = {}

    def subscribe(self, type_url: str, *names: str) -> StreamOutput:
        """The first request of a type."""
        self.names[type_url] = names
        return self.stream.receive(DiscoveryRequest(type_url, NODE, names=names, subscribe=names))

    def answer(self, response: Response, error: str | None = None) -> StreamOutput:
        """Accept or refuse one response."""
        names = self.names[response.type_url]
        return self.stream.receive(DiscoveryRequest(response.type_url, NODE, response.nonce, error, names))

    def settle(self, step: StreamOutput) -> list[str]:
        """Accept everything until nothing more comes; gives the short type names in the order received."""
        seen: list[str] = []
        waiting = list(step.responses)
        while waiting:
            response = waiting.pop(0)
            seen.append(next(key for key, url in URLS.items() if url == response.type_url))
            waiting += self.answer(response).responses
        return seen


def kinds(step: StreamOutput) -> list[str]:
    """The short type names of a step's responses."""
    return [next(key for key, url in URLS.items() if url == response.type_url) for response in step.responses]


@both
def test_pushes_go_in_order(make: Make) -> None:
    """Clusters, endpoints, listeners, routes, then secrets and extension configurations."""

    def everything(content: str) -> Snapshot:
        return world(**{key: [item(key, content)] for key in URLS})

    client = Client(make, everything("1"))
    client.settle(client.subscribe(CDS))
    client.settle(client.subscribe(LDS))
    for key in ("eds", "rds", "sds", "ecds"):
        client.settle(client.subscribe(URLS[key], key))
    assert kinds(client.stream.offer(everything("2"))) == ["cds", "eds", "lds", "rds", "sds", "ecds"]


@both
def test_traffic_moves_before_the_old_cluster_goes(make: Make) -> None:
    """Clusters X and Y, endpoints of Y, the route to Y, its acceptance, and only then clusters without X."""
    before = world(cds=[item("x")], eds=[item("x")], lds=[item("l", "1", (RDS, "x"))], rds=[item("x", "x", (CDS, "x"))])
    client = Client(make, before)
    client.settle(client.subscribe(CDS))
    client.settle(client.subscribe(EDS, "x"))
    client.settle(client.subscribe(LDS))
    client.settle(client.subscribe(RDS, "x"))
    after = world(
        cds=[item("y", "y")], eds=[item("y")], lds=[item("l", "1", (RDS, "x"))], rds=[item("x", "y", (CDS, "y"))]
    )
    first = client.stream.offer(after)
    assert kinds(first) == ["cds"]
    assert not first.responses[0].removed
    assert "y" in {each.name for each in first.responses[0].resources}
    second = client.answer(first.responses[0])
    assert kinds(second) == ["rds"]
    third = client.answer(second.responses[0])
    assert kinds(third) == ["cds"]
    assert "x" not in {each.name for each in third.responses[0].resources}
    assert third.responses[0].removed == (("x",) if make is DeltaStream else ())


@both
def test_refused_route_keeps_the_old_cluster(make: Make) -> None:
    """A client that refused the new route still uses the old one, so its cluster stays."""
    client = Client(make, world(cds=[item("x")], rds=[item("r", "x", (CDS, "x"))]))
    client.settle(client.subscribe(CDS))
    client.settle(client.subscribe(RDS, "r"))
    step = client.stream.offer(world(cds=[], rds=[item("r", "none")]))
    assert kinds(step) == ["rds"]
    assert client.answer(step.responses[0], "bad").responses == ()


@both
def test_endpoints_follow_every_change_of_their_cluster(make: Make) -> None:
    """Equal endpoints are sent again in the same push, without waiting for the cluster's acceptance."""
    client = Client(make, world(cds=[item("a"), item("b")], eds=[item("a"), item("b")]))
    client.settle(client.subscribe(CDS))
    client.settle(client.subscribe(EDS, "a", "b"))
    step = client.stream.offer(world(cds=[item("a", "2"), item("b")], eds=[item("a"), item("b")]))
    assert kinds(step) == ["cds", "eds"]
    assert [each.name for each in step.responses[1].resources] == ["a"]


@both
def test_route_waits_for_a_new_cluster(make: Make) -> None:
    """Envoy does not warm routes: the cluster must be accepted first. A refused cluster does not hold a route back."""
    client = Client(make, world(cds=[], rds=[item("r", "deny")]))
    client.settle(client.subscribe(CDS))
    client.settle(client.subscribe(RDS, "r"))
    for error in (None, "bad cluster"):
        name = f"new-{error}"
        step = client.stream.offer(world(cds=[item(name, name)], rds=[item("r", name, (CDS, name))]))
        assert kinds(step)[:1] == ["cds"]
        assert "rds" not in kinds(step)
        after = client.answer(step.responses[0], error)
        assert "rds" in kinds(after)
        client.settle(after)


@both
def test_route_waits_for_the_endpoints_of_a_new_cluster(make: Make) -> None:
    """A cluster is of use only with its endpoints; those of a cluster that was in use already hold nothing back."""
    client = Client(make, world(cds=[item("a")], eds=[item("a")], rds=[item("r", "a", (CDS, "a"))]))
    client.settle(client.subscribe(CDS))
    client.settle(client.subscribe(EDS, "a"))
    client.settle(client.subscribe(RDS, "r"))
    both_clusters = [item("a"), item("b")]
    step = client.stream.offer(world(cds=both_clusters, eds=both_clusters, rds=[item("r", "b", (CDS, "b"))]))
    endpoints = client.subscribe(EDS, "a", "b")
    assert kinds(client.answer(step.responses[0])) == []
    assert kinds(client.answer(endpoints.responses[0])) == ["rds"]


@both
def test_revocation_does_not_wait_for_an_unrelated_cluster(make: Make) -> None:
    """A route whose clusters the client has goes out at once, whatever else is pending."""
    client = Client(make, world(cds=[item("app")], rds=[item("r", "open", (CDS, "app"))]))
    client.settle(client.subscribe(CDS))
    client.settle(client.subscribe(RDS, "r"))
    step = client.stream.offer(world(cds=[item("app"), item("slow")], rds=[item("r", "shut", (CDS, "app"))]))
    assert kinds(step) == ["cds", "rds"]


@both
def test_endpoints_are_not_sent_unasked(make: Make) -> None:
    """Only subscribed endpoints go out."""
    client = Client(make, world(cds=[item("a")], eds=[item("a")]))
    client.settle(client.subscribe(CDS))
    client.settle(client.subscribe(EDS, "a"))
    snapshot = world(cds=[item("a"), item("b")], eds=[item("a"), item("b")])
    assert client.settle(client.stream.offer(snapshot)) == ["cds"]


@both
@pytest.mark.parametrize("policy", ["rds", "sds", "ecds"])
def test_cut_waits_for_the_policy(make: Make, policy: str) -> None:
    """A listener whose chain's name alone changes is sent only after the changed policy was accepted."""
    need = (URLS[policy], "p")
    client = Client(make, world(lds=[listener("l", "g0", "s", need)], **{policy: [item("p", "open")]}))
    client.settle(client.subscribe(LDS))
    client.settle(client.subscribe(URLS[policy], "p"))
    step = client.stream.offer(world(lds=[listener("l", "g1", "s", need)], **{policy: [item("p", "shut")]}))
    assert kinds(step) == [policy]
    after = client.answer(step.responses[0])
    assert kinds(after) == ["lds"]
    assert [each.cut for each in client.answer(after.responses[0]).answers] == [True]


@both
def test_cut_is_held_while_the_policy_is_refused(make: Make) -> None:
    """Cutting connections that would meet the old policy again helps nobody; the refusal is what is reported."""
    need = (RDS, "p")
    client = Client(make, world(lds=[listener("l", "g0", "s", need)], rds=[item("p", "open")]))
    client.settle(client.subscribe(LDS))
    client.settle(client.subscribe(RDS, "p"))
    step = client.stream.offer(world(lds=[listener("l", "g1", "s", need)], rds=[item("p", "shut")]))
    assert client.answer(step.responses[0], "bad").responses == ()
    assert client.stream.unsettled(LDS) == ("l",)
    fixed = client.stream.offer(world(lds=[listener("l", "g1", "s", need)], rds=[item("p", "shut2")]))
    assert client.settle(fixed) == ["rds", "lds"]


@both
def test_other_listeners_do_not_wait_for_a_cut(make: Make) -> None:
    """While one listener's cut waits, others are updated, and the waiting one keeps its old form."""
    need = (RDS, "p")
    old = [listener("l", "g0", "s", need), listener("m", "g0", "s")]
    client = Client(make, world(lds=old, rds=[item("p", "open")]))
    client.settle(client.subscribe(LDS))
    client.settle(client.subscribe(RDS, "p"))
    new = [listener("l", "g1", "s", need), listener("m", "g0", "t")]
    step = client.stream.offer(world(lds=new, rds=[item("p", "shut")]))
    assert kinds(step) == ["lds", "rds"]
    sent = {each.name: each.version for each in step.responses[0].resources}
    assert sent.pop("m") == new[1].version
    assert sent == ({"l": old[0].version} if make is SotwStream else {})


@both
def test_listener_that_takes_over_a_port_comes_with_the_removal(make: Make) -> None:
    """The old owner of the address leaves in the same response, else Envoy refuses the new one."""
    client = Client(make, world(lds=[item("old")]))
    client.settle(client.subscribe(LDS))
    step = client.stream.offer(world(lds=[item("new")]))
    assert [[each.name for each in response.resources] for response in step.responses] == [["new"]]
    assert step.responses[0].removed == (("old",) if make is DeltaStream else ())


@both
def test_first_listeners_wait_for_their_clusters(make: Make) -> None:
    """The first answer ends initialisation, so it is complete or not there yet."""
    client = Client(make, world(cds=[item("a")], lds=[item("l", "1", (CDS, "a")), item("m")]))
    clusters = client.subscribe(CDS)
    assert client.subscribe(LDS).responses == ()
    step = client.answer(clusters.responses[0])
    assert [[each.name for each in response.resources] for response in step.responses] == [["l", "m"]]


def test_route_is_named_as_removed_after_its_listener_is_gone() -> None:
    """Deleting a route revokes nothing, so it goes last."""
    client = Client(DeltaStream, world(lds=[item("l", "1", (RDS, "r"))], rds=[item("r")]))
    client.settle(client.subscribe(LDS))
    client.settle(client.subscribe(RDS, "r"))
    step = client.stream.offer(world(lds=[], rds=[]))
    assert kinds(step) == ["lds"]
    assert [response.removed for response in client.answer(step.responses[0]).responses] == [("r",)]


def test_reconnect_keeps_clusters_until_routes_are_known() -> None:
    """After a reconnect nothing is removed that the client's own routes may still use."""
    stream = DeltaStream(
        NODE, world(cds=[item("y", "y")], lds=[item("l", "1", (RDS, "r"))], rds=[item("r", "y", (CDS, "y"))])
    )
    clusters = stream.receive(DiscoveryRequest(CDS, NODE, initial={"x": "old", "y": version_of(b"y")}))
    assert clusters.responses[0].removed == ()
    accepted = stream.receive(DiscoveryRequest(CDS, nonce=clusters.responses[0].nonce))
    held = stream.receive(DiscoveryRequest(LDS, initial={"l": version_of(b"1")}))
    assert "cds" not in kinds(accepted) + kinds(held)
    routes = stream.receive(DiscoveryRequest(RDS, subscribe=("r",), initial={"r": "old"}))
    assert kinds(routes) == ["rds"]
    last = stream.receive(DiscoveryRequest(RDS, nonce=routes.responses[0].nonce))
    assert [response.removed for response in last.responses] == [("x",)]


def bound(name: str, *needs: tuple[str, str]) -> Resource:
    """A listener of an inbound port on 10.0.0.1."""
    return listener(f"in/d/api/{name}@10.0.0.1", "g0", name, *needs)


def renamed(variant: str, *ports: int, more: Resource | None = None) -> Snapshot:
    """Listeners of these ports under one variant; each needs a cluster of that variant."""
    needed = [item(f"c/{variant}")] if ports else []
    listeners = [bound(f"{port}/{variant}", (CDS, f"c/{variant}")) for port in ports]
    return world(cds=needed, lds=[*listeners, *([more] if more else [])])


@both
@pytest.mark.parametrize("ports", [(1,), (1, 2), tuple(range(1, 12))])
def test_socket_is_handed_on_in_one_response(make: Make, ports: tuple[int, ...]) -> None:
    """A listener whose place another one takes goes with that one: not before, and not after it."""
    client = Client(make, renamed("old", *ports))
    client.settle(client.subscribe(CDS))
    client.settle(client.subscribe(LDS))
    places = {f"in/d/api/{port}/old@10.0.0.1" for port in ports}
    queue = list(client.stream.offer(renamed("new", *ports)).responses)
    assert kinds(StreamOutput(tuple(queue))) == ["cds"]
    while queue:
        response = queue.pop(0)
        if response.type_url == LDS:
            fresh = {each.name for each in response.resources if "/new@" in each.name}
            kept = {each.name for each in response.resources if "/old@" in each.name}
            gone = set(response.removed) if make is DeltaStream else places - kept
            assert gone == {name.replace("/new@", "/old@") for name in fresh} & places
            places -= gone
        queue += client.answer(response).responses
    assert not places


@both
def test_listener_whose_place_nobody_takes_goes_at_once(make: Make) -> None:
    """Another one that waits for its cluster does not hold it up."""
    client = Client(make, renamed("old", 1, 2))
    client.settle(client.subscribe(CDS))
    client.settle(client.subscribe(LDS))
    first = client.stream.offer(renamed("new", 1)).responses
    (listeners,) = [response for response in first if response.type_url == LDS]
    if make is DeltaStream:
        assert listeners.removed == ("in/d/api/2/old@10.0.0.1",)
    else:
        assert [each.name for each in listeners.resources] == ["in/d/api/1/old@10.0.0.1"]


def _returning(make: Make, type_url: str, *held: str) -> DiscoveryRequest:
    """The first request of a client that has these resources of an earlier stream."""
    if make is SotwStream:
        return DiscoveryRequest(type_url, NODE, names=() if type_url in {CDS, LDS} else held, version="old")
    subscribe = () if type_url in {CDS, LDS} else held
    return DiscoveryRequest(type_url, NODE, subscribe=subscribe, initial=dict.fromkeys(held, "old"))


@both
@pytest.mark.parametrize("policy", [RDS, SDS, ECDS])
def test_client_that_returns_gets_its_policies_before_its_connections_are_cut(make: Make, policy: str) -> None:
    """Whoever connects after the cut would stay: so the chain is renamed when the client has accepted what it asks for."""
    snapshot = world(cds=[item("c")], lds=[listener("l", "g1", "s", (policy, "p"))])
    stream = make(NODE, {**snapshot, policy: {"p": item("p", "narrow")}})
    clusters = stream.receive(_returning(make, CDS, "c"))
    assert kinds(clusters) == ["cds"]
    assert kinds(stream.receive(_returning(make, LDS, "l"))) == []
    told = stream.receive(_returning(make, policy, "p"))
    assert [response.type_url for response in told.responses] == [policy]
    answered = stream.receive(DiscoveryRequest(CDS, nonce=clusters.responses[0].nonce))
    assert kinds(answered) == []
    names = ("p",) if make is SotwStream else ()
    last = stream.receive(DiscoveryRequest(policy, nonce=told.responses[0].nonce, names=names))
    assert kinds(last) == ["lds"]


@both
def test_client_that_returns_without_policies_is_not_kept_waiting(make: Make) -> None:
    """Its first answer shows that it asks for nothing more."""
    stream = make(NODE, world(cds=[item("c")], lds=[listener("l", "g1", "s", (SDS, "p"))], sds=[item("p")]))
    clusters = stream.receive(_returning(make, CDS, "c"))
    assert kinds(stream.receive(_returning(make, LDS, "l"))) == []
    assert kinds(stream.receive(DiscoveryRequest(CDS, nonce=clusters.responses[0].nonce))) == ["lds"]
