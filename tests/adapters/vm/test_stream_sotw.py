"""State-of-the-world streams, rule by rule of the xDS protocol."""

from __future__ import annotations

import pytest

from adapters.vm.resource import CDS, EDS, LDS, RDS, Resource, Snapshot, version_of
from adapters.vm.serve.client import DiscoveryRequest, Response, StreamError
from adapters.vm.serve.sotw import SotwStream
from adapters.vm.serve.stream import StreamOutput

NODE = "d/web"


def item(name: str, content: str = "1", *needs: tuple[str, str]) -> Resource:
    """A resource whose version is its content's hash."""
    return Resource(name, version_of(content.encode()), content.encode(), needs)


def world(**types: list[Resource]) -> Snapshot:
    """A snapshot from lists named cds, eds, lds, rds."""
    urls = {"cds": CDS, "eds": EDS, "lds": LDS, "rds": RDS}
    return {urls[key]: {each.name: each for each in items} for key, items in types.items()}


def ask(type_url: str, *names: str, nonce: str = "", error: str | None = None, node: str = NODE) -> DiscoveryRequest:
    """A SotW request."""
    return DiscoveryRequest(type_url, node, nonce, error, names)


def names(step: StreamOutput) -> list[list[str]]:
    """The resource names of each response."""
    return [[each.name for each in response.resources] for response in step.responses]


def only(step: StreamOutput) -> Response:
    """The one response of a step."""
    assert len(step.responses) == 1
    return step.responses[0]


def test_node_is_remembered_after_the_first_request() -> None:
    """Later requests may leave the node out."""
    stream = SotwStream(NODE, world(cds=[item("a")], lds=[item("l")]))
    stream.receive(ask(CDS))
    assert names(stream.receive(ask(LDS, node=""))) == [["l"]]


def test_first_request_without_node_is_refused() -> None:
    """A stream that does not introduce itself ends with INVALID_ARGUMENT."""
    with pytest.raises(StreamError) as caught:
        SotwStream(NODE, world()).receive(ask(CDS, node=""))
    assert caught.value.code == "INVALID_ARGUMENT"


def test_request_without_type_url_is_refused() -> None:
    """An ADS request must name its type."""
    with pytest.raises(StreamError) as caught:
        SotwStream(NODE, world()).receive(ask(""))
    assert caught.value.code == "INVALID_ARGUMENT"


def test_unknown_type_is_ignored_and_others_live_on() -> None:
    """A type that we do not serve is met with silence."""
    stream = SotwStream(NODE, world(cds=[item("a")]))
    assert stream.receive(ask("type.googleapis.com/envoy.unknown.v3.Thing")) == StreamOutput()
    assert names(stream.receive(ask(CDS))) == [["a"]]


def test_node_that_changes_is_refused() -> None:
    """The node id must not change on a stream."""
    stream = SotwStream(NODE, world(cds=[item("a")]))
    stream.receive(ask(CDS))
    with pytest.raises(StreamError) as caught:
        stream.receive(ask(LDS, node="d/other"))
    assert caught.value.code == "INVALID_ARGUMENT"


def test_node_of_another_workload_is_denied_before_any_config() -> None:
    """The node id must be the workload that the credential belongs to."""
    with pytest.raises(StreamError) as caught:
        SotwStream(NODE, world(cds=[item("a")])).receive(ask(CDS, node="d/api"))
    assert caught.value.code == "PERMISSION_DENIED"


@pytest.mark.parametrize("requested", [(), ("*",)])
def test_no_names_or_star_is_the_wildcard(requested: tuple[str, ...]) -> None:
    """Both spellings of the wildcard give everything."""
    stream = SotwStream(NODE, world(cds=[item("a"), item("b")]))
    assert names(stream.receive(ask(CDS, *requested))) == [["a", "b"]]


def test_no_names_is_no_wildcard_for_types_without_one() -> None:
    """Only listeners and clusters know the wildcard without a name."""
    assert SotwStream(NODE, world(rds=[item("r")])).receive(ask(RDS)).responses == ()


def test_empty_list_after_a_name_means_nothing() -> None:
    """Once a name was asked for, an empty list unsubscribes."""
    stream = SotwStream(NODE, world(cds=[item("a")]))
    first = only(stream.receive(ask(CDS, "a")))
    assert stream.receive(ask(CDS, nonce=first.nonce)).responses == ()
    assert stream.offer(world(cds=[item("a", "2"), item("b")])).responses == ()


def test_star_left_out_keeps_the_names() -> None:
    """`*` and a name, then the name alone, leaves the wildcard."""
    stream = SotwStream(NODE, world(cds=[item("a"), item("b")]))
    first = only(stream.receive(ask(CDS, "*", "a")))
    stream.receive(ask(CDS, "a", nonce=first.nonce))
    step = stream.offer(world(cds=[item("a", "2"), item("b", "2")]))
    assert names(step) == [["a"]]


def test_every_cluster_answer_is_the_whole_set() -> None:
    """A change of one cluster sends all; a cluster that is left out is deleted; none left sends the empty set."""
    stream = SotwStream(NODE, world(cds=[item("a"), item("b")]))
    first = only(stream.receive(ask(CDS)))
    assert stream.receive(ask(CDS, nonce=first.nonce)).responses == ()
    second = only(stream.offer(world(cds=[item("a", "2"), item("b")])))
    assert [each.name for each in second.resources] == ["a", "b"]
    stream.receive(ask(CDS, nonce=second.nonce))
    third = only(stream.offer(world(cds=[item("b")])))
    assert [each.name for each in third.resources] == ["b"]
    stream.receive(ask(CDS, nonce=third.nonce))
    assert names(stream.offer(world(cds=[]))) == [[]]


def test_route_answers_are_partial_and_absence_deletes_nothing() -> None:
    """Only the changed route is sent; a route that vanished sends nothing."""
    stream = SotwStream(NODE, world(rds=[item("r"), item("s")]))
    first = only(stream.receive(ask(RDS, "r", "s")))
    stream.receive(ask(RDS, "r", "s", nonce=first.nonce))
    second = only(stream.offer(world(rds=[item("r", "2"), item("s")])))
    assert [each.name for each in second.resources] == ["r"]
    stream.receive(ask(RDS, "r", "s", nonce=second.nonce))
    assert stream.offer(world(rds=[item("r", "2")])).responses == ()


def test_newly_named_resource_is_sent_though_its_version_is_old() -> None:
    """A name that is given up and asked for again is answered again."""
    stream = SotwStream(NODE, world(rds=[item("r"), item("s")]))
    first = only(stream.receive(ask(RDS, "r", "s")))
    stream.receive(ask(RDS, "s", nonce=first.nonce))
    again = stream.receive(ask(RDS, "r", "s", nonce=first.nonce))
    assert names(again) == [["r"]]


def test_named_cluster_that_the_wildcard_sent_is_sent_again() -> None:
    """An explicit name is answered even if the wildcard had brought the resource."""
    stream = SotwStream(NODE, world(cds=[item("a")]))
    first = only(stream.receive(ask(CDS)))
    assert names(stream.receive(ask(CDS, "*", "a", nonce=first.nonce))) == [["a"]]


def test_named_route_that_the_wildcard_sent_is_sent_again() -> None:
    """The same for a type whose answers are partial."""
    stream = SotwStream(NODE, world(rds=[item("r"), item("s")]))
    first = only(stream.receive(ask(RDS, "*")))
    assert names(stream.receive(ask(RDS, "*", "r", nonce=first.nonce))) == [["r"]]


def test_ack_is_not_answered() -> None:
    """The matching nonce without an error is an acceptance."""
    stream = SotwStream(NODE, world(cds=[item("a")]))
    first = only(stream.receive(ask(CDS)))
    step = stream.receive(ask(CDS, nonce=first.nonce))
    assert step.responses == ()
    assert [(each.name, each.detail) for each in step.answers] == [("a", None)]
    assert stream.unsettled(CDS) == ()


def test_nack_is_not_resent() -> None:
    """A refused resource is held until it changes; the refusal is reported and stands until then."""
    stream = SotwStream(NODE, world(cds=[item("a")]))
    first = only(stream.receive(ask(CDS)))
    step = stream.receive(ask(CDS, nonce=first.nonce, error="bad regex"))
    assert step.responses == ()
    assert [(each.name, each.detail) for each in step.answers] == [("a", "bad regex")]
    assert stream.offer(world(cds=[item("a")])).responses == ()
    assert [each.name for each in stream.refused()] == ["a"]
    fixed = only(stream.offer(world(cds=[item("a", "2")])))
    stream.receive(ask(CDS, nonce=fixed.nonce))
    assert stream.refused() == ()


def test_stale_nonce_is_ignored() -> None:
    """A request that answers an older response neither accepts nor changes names."""
    stream = SotwStream(NODE, world(rds=[item("r"), item("s")]))
    first = only(stream.receive(ask(RDS, "r")))
    stream.receive(ask(RDS, "r", nonce=first.nonce))
    second = only(stream.offer(world(rds=[item("r", "2"), item("s")])))
    assert stream.receive(ask(RDS, "r", "s", nonce=first.nonce)) == StreamOutput()
    assert stream.unsettled(RDS) == ("r",)
    assert names(stream.receive(ask(RDS, "r", "s", nonce=second.nonce))) == [["s"]]


def test_names_that_race_a_new_version_are_no_refusal() -> None:
    """A request made before our newest response arrived says nothing about that response."""
    stream = SotwStream(NODE, world(rds=[item("r")]))
    first = only(stream.receive(ask(RDS, "r")))
    stream.receive(ask(RDS, "r", nonce=first.nonce))
    second = only(stream.offer(world(rds=[item("r", "2")])))
    assert stream.receive(ask(RDS, "r", "x", nonce=first.nonce)).answers == ()
    assert stream.refused() == ()
    assert [each.detail for each in stream.receive(ask(RDS, "r", "x", nonce=second.nonce)).answers] == [None]


def test_missing_name_is_remembered_and_sent_when_it_appears() -> None:
    """A name that does not exist is no error, and needs no second request."""
    stream = SotwStream(NODE, world())
    assert stream.receive(ask(RDS, "r")) == StreamOutput()
    assert names(stream.offer(world(rds=[item("r")]))) == [["r"]]


def test_missing_cluster_name_is_remembered() -> None:
    """The same for a type whose answers are whole sets."""
    stream = SotwStream(NODE, world())
    assert stream.receive(ask(CDS, "a")) == StreamOutput()
    assert names(stream.offer(world(cds=[item("a")]))) == [["a"]]


def test_missing_cluster_among_others_is_answered_by_their_set() -> None:
    """A whole set without the new name says that there is none."""
    stream = SotwStream(NODE, world(cds=[item("a")]))
    first = only(stream.receive(ask(CDS, "a")))
    stream.receive(ask(CDS, "a", nonce=first.nonce))
    assert names(stream.receive(ask(CDS, "a", "x", nonce=first.nonce))) == [["a"]]


def test_a_name_asked_for_twice_is_sent_once() -> None:
    """No answer holds one name twice."""
    stream = SotwStream(NODE, world(cds=[item("a")], rds=[item("r")]))
    assert names(stream.receive(ask(CDS, "*", "a", "a"))) == [["a"]]
    assert names(stream.receive(ask(RDS, "r", "r"))) == [["r"]]


def test_endpoints_follow_a_changed_cluster() -> None:
    """The same endpoints are sent again after their cluster changed, and only theirs."""
    eds = [item("a", "e"), item("b", "e")]
    stream = SotwStream(NODE, world(cds=[item("a"), item("b")], eds=eds))
    first = only(stream.receive(ask(CDS)))
    second = only(stream.receive(ask(EDS, "a", "b")))
    stream.receive(ask(CDS, nonce=first.nonce))
    stream.receive(ask(EDS, "a", "b", nonce=second.nonce))
    step = stream.offer(world(cds=[item("a", "2"), item("b")], eds=eds))
    assert [response.type_url for response in step.responses] == [CDS, EDS]
    assert names(step)[1] == ["a"]


def test_first_answer_of_an_empty_wildcard_is_sent() -> None:
    """A client waits for its first listeners; an empty set is an answer."""
    assert names(SotwStream(NODE, world()).receive(ask(LDS))) == [[]]


def test_removal_waits_for_routes_in_a_whole_set() -> None:
    """A cluster that a held route uses stays in the set until the route's new form is accepted."""
    stream = SotwStream(NODE, world(cds=[item("x"), item("y")], rds=[item("r", "x", (CDS, "x"))]))
    first = only(stream.receive(ask(CDS)))
    stream.receive(ask(CDS, nonce=first.nonce))
    second = only(stream.receive(ask(RDS, "r")))
    stream.receive(ask(RDS, "r", nonce=second.nonce))
    step = stream.offer(world(cds=[item("y")], rds=[item("r", "y", (CDS, "y"))]))
    assert [response.type_url for response in step.responses] == [RDS]
    after = stream.receive(ask(RDS, "r", nonce=step.responses[0].nonce))
    assert names(after) == [["y"]]
    assert after.responses[0].type_url == CDS
