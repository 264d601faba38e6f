"""Incremental streams, rule by rule of the xDS protocol."""

from __future__ import annotations

import pytest

from adapters.vm.resource import CDS, EDS, LDS, RDS, Resource, Snapshot, set_version, version_of
from adapters.vm.serve.client import NAMES_BYTES, NAMES_LIMIT, DiscoveryRequest, Response, StreamError
from adapters.vm.serve.delta import DeltaStream
from adapters.vm.serve.stream import StreamOutput

NODE = "d/web"


def item(name: str, content: str = "1", *needs: tuple[str, str]) -> Resource:
    """A resource whose version is its content's hash."""
    return Resource(name, version_of(content.encode()), content.encode(), needs)


def world(**types: list[Resource]) -> Snapshot:
    """A snapshot from lists named cds, eds, lds, rds."""
    urls = {"cds": CDS, "eds": EDS, "lds": LDS, "rds": RDS}
    return {urls[key]: {each.name: each for each in items} for key, items in types.items()}


def ask(
    type_url: str, *subscribe: str, drop: tuple[str, ...] = (), initial: dict[str, str] | None = None
) -> DiscoveryRequest:
    """A spontaneous request."""
    return DiscoveryRequest(type_url, NODE, subscribe=subscribe, unsubscribe=drop, initial=initial or {})


def answer(response: Response, error: str | None = None, *subscribe: str) -> DiscoveryRequest:
    """An acceptance or a refusal."""
    return DiscoveryRequest(response.type_url, nonce=response.nonce, error=error, subscribe=subscribe)


def shape(step: StreamOutput) -> list[tuple[list[str], list[str]]]:
    """(resource names, removed names) of each response."""
    return [([each.name for each in response.resources], list(response.removed)) for response in step.responses]


def only(step: StreamOutput) -> Response:
    """The one response of a step."""
    assert len(step.responses) == 1
    return step.responses[0]


def test_first_request_without_names_is_the_wildcard() -> None:
    """Both spellings of the wildcard give everything."""
    for requested in ((), ("*",)):
        stream = DeltaStream(NODE, world(cds=[item("a"), item("b")]))
        assert shape(stream.receive(ask(CDS, *requested))) == [(["a", "b"], [])]


def test_no_fallback_to_the_wildcard_once_a_name_was_asked_for() -> None:
    """A stream that began with a name and gave it up gets nothing."""
    stream = DeltaStream(NODE, world(cds=[item("a"), item("b")]))
    stream.receive(answer(only(stream.receive(ask(CDS, "a")))))
    stream.receive(ask(CDS, drop=("a",)))
    stream.receive(ask(CDS))
    assert stream.offer(world(cds=[item("a", "2"), item("b", "2")])).responses == ()


def test_names_and_star_come_and_go_by_themselves() -> None:
    """A name added under the wildcard keeps it; without `*` the names stay; without names nothing is left."""
    stream = DeltaStream(NODE, world(cds=[item("a"), item("b")]))
    stream.receive(answer(only(stream.receive(ask(CDS, "*")))))
    stream.receive(answer(only(stream.receive(ask(CDS, "a")))))
    stream.receive(ask(CDS, drop=("*",)))
    named = only(stream.offer(world(cds=[item("a", "2"), item("b", "2")])))
    assert [each.name for each in named.resources] == ["a"]
    stream.receive(answer(named))
    stream.receive(ask(CDS, drop=("a",)))
    assert stream.offer(world(cds=[item("a", "3"), item("b", "3")])).responses == ()


def test_name_given_up_under_the_wildcard_is_answered() -> None:
    """The client must learn whether the wildcard still holds the name."""
    stream = DeltaStream(NODE, world(cds=[item("a")]))
    stream.receive(answer(only(stream.receive(ask(CDS, "*", "a", "gone")))))
    assert shape(stream.receive(ask(CDS, drop=("a", "gone")))) == [(["a"], ["gone"])]


def test_phantom_unsubscribe_is_ignored() -> None:
    """Giving up what was never asked for changes nothing."""
    stream = DeltaStream(NODE, world(rds=[item("r")]))
    stream.receive(answer(only(stream.receive(ask(RDS, "r")))))
    assert stream.receive(ask(RDS, drop=("x",))) == StreamOutput()


def test_subscribing_again_is_answered_again() -> None:
    """A subscription is always answered, whatever was sent before."""
    stream = DeltaStream(NODE, world(rds=[item("r")]))
    stream.receive(answer(only(stream.receive(ask(RDS, "r")))))
    assert shape(stream.receive(ask(RDS, "r"))) == [(["r"], [])]


def test_missing_name_is_answered_as_removed_and_remembered() -> None:
    """The client need not wait for its timer, and gets the resource when it appears."""
    stream = DeltaStream(NODE, world())
    missing = stream.receive(ask(RDS, "r"))
    assert shape(missing) == [([], ["r"])]
    stream.receive(answer(only(missing)))
    assert shape(stream.offer(world(rds=[item("r")]))) == [(["r"], [])]


def test_everything_that_vanished_is_named() -> None:
    """Resources of wildcard and of named types are reported as removed."""
    stream = DeltaStream(NODE, world(lds=[item("l"), item("m")], rds=[item("r"), item("s")]))
    stream.receive(answer(only(stream.receive(ask(LDS)))))
    stream.receive(answer(only(stream.receive(ask(RDS, "r", "s")))))
    assert shape(stream.offer(world(lds=[item("m")], rds=[item("r")]))) == [([], ["l"]), ([], ["s"])]


def test_stale_nonce_keeps_its_subscriptions() -> None:
    """Unlike SotW, a delta request's names count whatever nonce it answers."""
    stream = DeltaStream(NODE, world(rds=[item("r"), item("s")]))
    first = only(stream.receive(ask(RDS, "r")))
    stream.receive(answer(first))
    second = only(stream.offer(world(rds=[item("r", "2"), item("s")])))
    assert stream.receive(answer(first, None, "s")) == StreamOutput()
    assert shape(stream.receive(answer(second))) == [(["s"], [])]


def test_answers_of_several_types_may_interleave() -> None:
    """Each type has its own outstanding response; spontaneous requests carry no nonce."""
    stream = DeltaStream(NODE, world(cds=[item("a")], lds=[item("l")], rds=[item("r")]))
    clusters = only(stream.receive(ask(CDS)))
    listeners = only(stream.receive(ask(LDS)))
    routes = only(stream.receive(ask(RDS, "r")))
    assert [each.name for each in stream.receive(answer(routes)).answers] == ["r"]
    assert [each.detail for each in stream.receive(answer(listeners, "no")).answers] == ["no"]
    assert [each.name for each in stream.receive(answer(clusters)).answers] == ["a"]


def test_refused_version_is_not_resent_and_a_later_one_is() -> None:
    """All resources of the refused response are marked; each is sent again only when it changed."""
    stream = DeltaStream(NODE, world(cds=[item("a"), item("b")]))
    first = only(stream.receive(ask(CDS)))
    step = stream.receive(answer(first, "bad"))
    assert [each.name for each in step.answers] == ["a", "b"]
    assert step.responses == ()
    assert stream.offer(world(cds=[item("a"), item("b")])).responses == ()
    later = only(stream.offer(world(cds=[item("a", "2"), item("b")])))
    assert [each.name for each in later.resources] == ["a"]
    stream.receive(answer(later))
    assert [each.name for each in stream.refused()] == ["b"]


def test_reconnect_costs_what_changed_and_names_what_is_gone() -> None:
    """The client's own version map decides: equal is skipped, other is sent, unknown to us is removed."""
    stream = DeltaStream(NODE, world(lds=[item("same"), item("new", "2")]))
    held = {"same": version_of(b"1"), "new": version_of(b"1"), "gone": "whatever"}
    assert shape(stream.receive(ask(LDS, initial=held))) == [(["new"], ["gone"])]
    assert stream.unsettled(LDS) == ("gone", "new")


def test_named_resources_are_sent_again_on_reconnect() -> None:
    """A subscription is answered even if the client's version is ours: Envoy would lose its endpoints otherwise."""
    stream = DeltaStream(NODE, world(eds=[item("a")]))
    held = {"a": version_of(b"1")}
    assert shape(stream.receive(ask(EDS, "a", initial=held))) == [(["a"], [])]


@pytest.mark.parametrize("initial", [{}, {"a": version_of(b"1")}])
def test_first_wildcard_answer_is_sent_though_it_is_empty(initial: dict[str, str]) -> None:
    """The client waits for it to end its initialisation."""
    present = [item("a")] if initial else []
    stream = DeltaStream(NODE, world(cds=present))
    assert shape(stream.receive(ask(CDS, initial=initial))) == [([], [])]


def test_versions_are_equal_on_every_server() -> None:
    """Versions are content hashes: two streams of two servers give the same, whatever happened before."""
    one = DeltaStream(NODE, world(cds=[item("a"), item("b")]))
    two = DeltaStream(NODE, world(cds=[item("b", "0"), item("a", "0")]))
    two.offer(world(cds=[item("b"), item("a")]))
    first, second = only(one.receive(ask(CDS))), only(two.receive(ask(CDS)))
    assert (first.version, first.resources) == (second.version, second.resources)


def test_order_does_not_change_versions() -> None:
    """The version of a set does not depend on the order in which it was put together."""
    assert set_version({"a": "1", "b": "2"}) == set_version({"b": "2", "a": "1"})
    assert set_version({"a": "1", "b": "2"}) != set_version({"a": "2", "b": "1"})


def test_one_response_is_outstanding_and_the_newest_state_wins() -> None:
    """While an answer is awaited nothing is sent; then the newest form goes out once, or nothing if it is the sent one."""
    stream = DeltaStream(NODE, world(cds=[item("a")]))
    first = only(stream.receive(ask(CDS)))
    for content in ("2", "3", "4"):
        assert stream.offer(world(cds=[item("a", content)])).responses == ()
    step = stream.receive(answer(first))
    assert only(step).resources[0].version == version_of(b"4")
    assert stream.offer(world(cds=[item("a", "5")])).responses == ()
    assert stream.offer(world(cds=[item("a", "4")])).responses == ()
    assert stream.receive(answer(only(step))).responses == ()


def test_few_updates_of_policy_go_out_one_by_one() -> None:
    """A refusal then names one route and spares its neighbours."""
    stream = DeltaStream(NODE, world(rds=[item("r"), item("s")]))
    stream.receive(answer(only(stream.receive(ask(RDS, "r", "s")))))
    first = only(stream.offer(world(rds=[item("r", "2"), item("s", "2")])))
    second = only(stream.receive(answer(first, "bad regex")))
    stream.receive(answer(second))
    assert [each.name for each in stream.refused()] == ["r"]
    assert stream.unsettled(RDS) == ("r",)


@pytest.mark.thorough
def test_names_of_one_type_are_bounded() -> None:
    """A client that asks for more and more names, or claims to hold them, is ended and not served to exhaustion."""
    many = {f"n{number}": "1" for number in range(NAMES_LIMIT + 1)}
    with pytest.raises(StreamError) as caught:
        DeltaStream(NODE, world()).receive(ask(LDS, initial=many))
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    stream = DeltaStream(NODE, world())
    half = [f"n{number}" for number in range(NAMES_LIMIT // 2 + 1)]
    stream.receive(ask(RDS, *half[: len(half) // 2]))
    with pytest.raises(StreamError):
        stream.receive(ask(RDS, *half))


def test_bytes_of_names_are_bounded() -> None:
    """Few names can be as large as many: what is kept of a client's words is bounded, whatever its request calls them."""
    long = ["x" * (NAMES_BYTES // 16) + str(number) for number in range(17)]
    for request in (
        ask(RDS, *long),
        ask(LDS, "*", drop=tuple(long)),
        ask(LDS, initial=dict.fromkeys(long, "1")),
        ask(LDS, initial={str(number): name for number, name in enumerate(long)}),
    ):
        with pytest.raises(StreamError) as caught:
            DeltaStream(NODE, world()).receive(request)
        assert caught.value.code == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("second", [None, "no"])
def test_what_a_refused_response_took_away_is_said_once_more(second: str | None) -> None:
    """Envoy may have taken the removal over or not; without an answer about it the stream would wait for ever."""
    stream = DeltaStream(NODE, world(lds=[item("a")]))
    stream.receive(answer(only(stream.receive(ask(LDS)))))
    step = stream.offer(world(lds=[item("b")]))
    assert shape(step) == [(["b"], ["a"])]
    again = stream.receive(answer(only(step), "no"))
    assert shape(again) == [([], ["a"])]
    assert stream.receive(answer(only(again), second)).responses == ()
    assert stream.unsettled(LDS) == (("b",) if second is None else ("a", "b"))
