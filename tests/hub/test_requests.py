"""The JSON shape of requests and answers: strict in, complete out."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model import Answer, Destination, Request, Source, raw_bytes
from hub.requests import MAX_LINE_BYTES, RequestError, answer_to_json, decode, decode_line, explained_to_json, to_json
from hub.testing.worlds import make_world

GOOD: dict[str, Any] = {"src": {"identity": "d/web"}, "dst": {"service": "d/api"}, "port": 80}


def test_decode_fills_what_a_request_leaves_out() -> None:
    """Protocol, method, path and headers have defaults."""
    wanted = Request(Source(identity="d/web"), Destination(service="d/api"), 80, "http", "GET", "/", ())
    assert decode(GOOD).request == wanted
    assert decode(GOOD).id is None


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"src": None}, "request.missing-field", "src"),
        ({"src": {}}, "request.one-of", "src"),
        ({"src": {"identity": "d/web", "pod": "d/x"}}, "request.one-of", "src"),
        ({"src": {"outside": False}}, "request.one-of", "src.outside"),
        ({"src": {"outside": 1}}, "request.one-of", "src.outside"),
        ({"src": "d/web"}, "request.wrong-type", "src"),
        ({"src": {"identity": "web"}}, "request.bad-value", "src.identity"),
        ({"src": {"identity": "a/b/c"}}, "request.bad-value", "src.identity"),
        ({"src": {"identity": "/web"}}, "request.bad-value", "src.identity"),
        ({"src": {"pod": 7}}, "request.wrong-type", "src.pod"),
        ({"src": {"spiffe": ""}}, "request.bad-value", "src.spiffe"),
        ({"src": {"service": "d/web"}}, "request.unknown-field", "src.service"),
        ({"dst": {"outside": True}}, "request.unknown-field", "dst.outside"),
        ({"dst": {"identity": "d/a", "service": "d/a"}}, "request.one-of", "dst"),
        ({"port": None}, "request.missing-field", "port"),
        ({"port": True}, "request.wrong-type", "port"),
        ({"port": 80.0}, "request.wrong-type", "port"),
        ({"port": "80"}, "request.wrong-type", "port"),
        ({"port": 0}, "request.bad-value", "port"),
        ({"port": 65536}, "request.bad-value", "port"),
        ({"protocol": "HTTP"}, "request.bad-value", "protocol"),
        ({"protocol": None}, "request.wrong-type", "protocol"),
        ({"method": 1}, "request.wrong-type", "method"),
        ({"path": None}, "request.wrong-type", "path"),
        ({"path": "/" * 70_000}, "request.too-large", "path"),
        ({"path": {"latin1": "/€"}}, "request.bad-value", "path.latin1"),
        ({"path": {"latin1": 1}}, "request.wrong-type", "path.latin1"),
        ({"path": {}}, "request.one-of", "path"),
        ({"path": {"utf8": "/"}}, "request.unknown-field", "path.utf8"),
        ({"headers": {"x": {"latin1": "€"}}}, "request.bad-value", "headers.x.latin1"),
        ({"headers": []}, "request.wrong-type", "headers"),
        ({"headers": {"x": 1}}, "request.wrong-type", "headers.x"),
        ({"headers": {"x": ["a", None]}}, "request.wrong-type", "headers.x"),
        ({"headers": {"": "a"}}, "request.bad-value", "headers."),
        ({"headers": {"x": ["a"] * 600}}, "request.too-large", "headers"),
        ({"headers": {"x": "a" * 60_000, "y": "b" * 60_000}}, "request.too-large", "headers"),
        ({"verb": "GET"}, "request.unknown-field", "verb"),
        ({"id": [1]}, "request.wrong-type", "id"),
        ({"id": True}, "request.wrong-type", "id"),
    ],
)
def test_decode_names_code_and_field_when_a_request_is_wrong(change: dict[str, Any], code: str, field: str) -> None:
    """Every way to be wrong has its code and its field."""
    with pytest.raises(RequestError) as caught:
        decode({**GOOD, **change})
    assert (caught.value.code, caught.value.field) == (code, field)


def test_decode_leaves_header_values_as_they_are() -> None:
    """Blanks around a value are kept: HTTP/2 sends them, and what they mean is for a reading to say."""
    assert decode({**GOOD, "headers": {"x": [" a ", "\tb c\t"]}}).request.headers == (("x", " a "), ("x", "\tb c\t"))


def test_decode_takes_bytes_that_are_no_text() -> None:
    """A path or a value may be bytes, one for each character; what is UTF-8 is the text that it says."""
    said = {**GOOD, "path": {"latin1": "/\xff\xc3\xa9"}, "headers": {"x": [{"latin1": "a\xfe"}, "é"]}}
    request = decode(said).request
    assert (raw_bytes(request.path), [raw_bytes(value) for _, value in request.headers]) == (
        b"/\xff\xc3\xa9", [b"a\xfe", "é".encode()])  # fmt: skip
    assert request.path == "/\udcffé"
    assert decode(to_json(request)).request == request
    assert decode({**GOOD, "path": {"latin1": "/\xc3\xa9"}}) == decode({**GOOD, "path": "/é"})
    assert answer_to_json(Answer("allow", received="/a?\udcff"))["received"] == {"latin1": "/a?\xff"}


def test_decode_error_repeats_the_id_when_one_was_given() -> None:
    """A reader of a batch can tell which line was bad."""
    with pytest.raises(RequestError) as caught:
        decode({**GOOD, "id": 7, "port": -1})
    assert caught.value.to_json()["id"] == 7
    assert caught.value.to_json()["error"]["field"] == "port"


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[1]", b"7", b"\xff\xfe", b"[" * 5000, b" " * (MAX_LINE_BYTES + 1), b'{"src": "\\ud800"}']
)
def test_decode_line_refuses_what_is_no_json_object(line: bytes) -> None:
    """Hostile lines are errors of the line, never of the program."""
    with pytest.raises(RequestError):
        decode_line(line)


@given(st.integers(min_value=0, max_value=2**32))
def test_to_json_is_read_back_to_the_same_request(seed: int) -> None:
    """Whatever can be asked can be written down, also in a case file."""
    for request in make_world(Random(seed), 8).requests:
        line = msgspec.json.encode(to_json(request))
        read = decode_line(line).request
        if request.protocol != "http":
            assert read == Request(request.src, request.dst, request.port, request.protocol)
            continue
        assert msgspec.structs.replace(read, headers=()) == msgspec.structs.replace(request, headers=())
        assert _by_name(read) == _by_name(request)


def _by_name(request: Request) -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {}
    for name, value in request.headers:
        lines.setdefault(name, []).append(value)
    return lines


def test_answers_have_a_route_part_only_for_services() -> None:
    """An identity has no route; an empty route part of a Service is there all the same."""
    plain = Answer("deny", ("TrafficTarget/d/t",))
    routed = Answer("deny", (), "unavailable", {}, {}, ("x.y",))
    assert answer_to_json(plain) == {"verdict": "deny", "by": ["TrafficTarget/d/t"]}
    assert answer_to_json(routed) == {
        "verdict": "deny",
        "by": [],
        "route": "unavailable",
        "weights": {},
        "backends": {},
    }
    reply = explained_to_json(plain, {"vm": routed}, "a")
    assert reply["id"] == "a"
    assert reply["meshes"]["vm"]["losses"] == ["x.y"]
    assert "losses" not in reply["smi"]
