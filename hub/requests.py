"""JSON requests and answers: the one shape that `explain --batch`, the case files and the tests speak.

A request is an object with `src`, `dst`, `port` and optionally `protocol`, `method`, `path`, `headers`, `id`; an answer
is `{"smi": ..., "meshes": {...}}`. A path or a header's value is text, or `{"latin1": text}`: one byte for each character.
Decoding is strict: what it does not know is an error with a code and a field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from hub.errors import SmihubError
from hub.model import Answer, Destination, NearMiss, Request, Source, raw_bytes, raw_text

MAX_LINE_BYTES = 1_048_576
MAX_TEXT = 65_536
MAX_HEADER_LINES = 512

_FIELDS = frozenset({"id", "src", "dst", "port", "protocol", "method", "path", "headers"})
_SOURCES = ("identity", "pod", "spiffe", "outside")
_DESTINATIONS = ("identity", "pod", "service")
_LATIN1 = ("latin1",)
_MISSING = "request.missing-field"
_Protocol = Literal["http", "tcp", "udp"]
_PROTOCOLS = get_args(_Protocol)


class RequestError(SmihubError):
    """A request that cannot be read: a stable `code`, the `field` that is wrong, and what it should be."""

    def __init__(self, code: str, field: str, message: str, id_: object = None) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.code = code
        self.field = field
        self.message = message
        self.id = id_

    def to_json(self) -> dict[str, Any]:
        """`{"error": {code, field, message}}`, with the request's `id` where one could be read."""
        error = {"error": {"code": self.code, "field": self.field, "message": self.message}}
        return error if self.id is None else {"id": self.id, **error}


def _expected(code: str, field: str, wanted: str) -> RequestError:
    """What is wrong with a field that is to be `wanted`."""
    return RequestError(code, field, f"{'is missing; ' if code == _MISSING else ''}expected {wanted}")


class RequestLine(Struct, frozen=True):
    """A request and the `id` (text or number) that its answer repeats; None if it had none."""

    request: Request
    id: str | int | float | None = None


_PORT = re.compile("[0-9]{1,5}")


def spelled(caller: str | None, to: str, protocol: str = "http") -> dict[str, Any]:
    """A request, for `decode`, from who calls (NS/SERVICEACCOUNT, a SPIFFE id; None: nobody known) and NS/SERVICE:PORT.

    Raises RequestError where the latter has no port.
    """
    service, colon, port = to.rpartition(":")
    if not colon or not _PORT.fullmatch(port):
        raise RequestError("request.bad-value", "to", "expected NS/SERVICE:PORT")
    known = {"spiffe" if (caller or "").startswith("spiffe://") else "identity": caller}
    src = {"outside": True} if caller is None else known
    return {"src": src, "dst": {"service": service}, "port": int(port), "protocol": protocol}


def decode_line(line: bytes | str) -> RequestLine:
    """Read one line of a batch. Raises RequestError."""
    size = len(line) if isinstance(line, bytes) else len(line.encode("utf-8", "surrogatepass"))
    if size > MAX_LINE_BYTES:
        raise RequestError("request.too-large", "", f"the line has more than {MAX_LINE_BYTES} bytes")
    if not line.strip():
        raise RequestError("request.not-json", "", "the line is empty; expected a JSON object")
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RequestError("request.not-json", "", f"not a JSON object ({error})") from None
    return decode(value)


def decode(value: object) -> RequestLine:
    """Read a request that is already parsed JSON or YAML. Raises RequestError."""
    if not isinstance(value, dict):
        raise _expected("request.wrong-type", "", "a JSON object")
    id_ = value.get("id")
    if "id" in value and (isinstance(id_, bool) or not isinstance(id_, str | int | float)):
        raise _expected("request.wrong-type", "id", "text or a number")
    try:
        return RequestLine(_request(value), id_)
    except RequestError as error:
        error.id = id_
        raise


def _request(value: dict[Any, Any]) -> Request:
    _known(value, _FIELDS, "")
    return Request(
        src=_source(value.get("src")),
        dst=_destination(value.get("dst")),
        port=_port(value),
        protocol=_protocol(value.get("protocol", "http")),
        method=_text(value.get("method", "GET"), "method"),
        path=_bytes(value.get("path", "/"), "path"),
        headers=_headers(value.get("headers", {})),
    )


def _known(value: Mapping[Any, Any], known: frozenset[str] | tuple[str, ...], prefix: str) -> None:
    for key in value:
        if key not in known:
            field = f"{prefix}{str(key)[:80]}"
            raise RequestError(
                "request.unknown-field", field, f"unknown field; expected one of {', '.join(sorted(known))}"
            )


def _one(value: object, kinds: tuple[str, ...], field: str) -> tuple[str, Any]:
    if value is None:
        raise _expected(_MISSING, field, f"an object with one of {', '.join(kinds)}")
    if not isinstance(value, dict):
        raise _expected("request.wrong-type", field, f"an object with one of {', '.join(kinds)}")
    _known(value, kinds, f"{field}.")
    if len(value) != 1:
        raise _expected("request.one-of", field, f"exactly one of {', '.join(kinds)}")
    return next(iter(value.items()))


def _source(value: object) -> Source:
    kind, written = _one(value, _SOURCES, "src")
    if kind == "outside":
        if written is not True:
            raise _expected("request.one-of", "src.outside", "true; to name the caller, use identity, pod or spiffe")
        return Source(outside=True)
    if kind == "spiffe":
        return Source(spiffe=_named(written, "src.spiffe"))
    pair = _pair(written, f"src.{kind}")
    return Source(identity=pair) if kind == "identity" else Source(pod=pair)


def _destination(value: object) -> Destination:
    kind, written = _one(value, _DESTINATIONS, "dst")
    pair = _pair(written, f"dst.{kind}")
    if kind == "identity":
        return Destination(identity=pair)
    return Destination(pod=pair) if kind == "pod" else Destination(service=pair)


def _pair(value: object, field: str) -> str:
    text = _named(value, field)
    if text.count("/") != 1 or text.startswith("/") or text.endswith("/"):
        raise _expected("request.bad-value", field, 'namespace and name, as "ns/name"')
    return text


def _named(value: object, field: str) -> str:
    text = _text(value, field)
    if not text:
        raise _expected("request.bad-value", field, "a value that is not empty")
    return text


def _port(value: Mapping[str, object]) -> int:
    port = value.get("port")
    if port is None:
        raise _expected(_MISSING, "port", "a number from 1 to 65535")
    if isinstance(port, bool) or not isinstance(port, int):
        raise _expected("request.wrong-type", "port", "a whole number from 1 to 65535")
    if not 1 <= port <= 65535:
        raise _expected("request.bad-value", "port", "a number from 1 to 65535")
    return port


def _protocol(value: object) -> _Protocol:
    if not isinstance(value, str):
        raise _expected("request.wrong-type", "protocol", f"one of {', '.join(_PROTOCOLS)}")
    if value not in _PROTOCOLS:
        raise _expected("request.bad-value", "protocol", f"one of {', '.join(_PROTOCOLS)}")
    return value  # type: ignore[return-value] # mypy does not narrow by `in` a tuple of literals


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise _expected("request.wrong-type", field, "text")
    if len(value) > MAX_TEXT:
        raise _expected("request.too-large", field, f"at most {MAX_TEXT} characters")
    return value


def _bytes(value: object, field: str) -> str:
    """Text, or bytes that need not be UTF-8."""
    if not isinstance(value, dict):
        return raw_text(raw_bytes(_text(value, field)))
    _, latin1 = _one(value, _LATIN1, field)
    try:
        return raw_text(_text(latin1, f"{field}.latin1").encode("latin-1"))
    except UnicodeEncodeError:
        raise _expected("request.bad-value", f"{field}.latin1", "characters up to U+00FF, one for each byte") from None


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise _expected("request.wrong-type", "headers", "an object of name to value, or to a list of values")
    lines: list[tuple[str, str]] = []
    for name, given in value.items():
        field = f"headers.{str(name)[:80]}"
        if not isinstance(name, str):
            raise _expected("request.wrong-type", field, "a header name as text")
        if not name:
            raise _expected("request.bad-value", field, "a header name that is not empty")
        values = given if isinstance(given, list) else [given]
        if len(lines) + len(values) > MAX_HEADER_LINES:
            raise _expected("request.too-large", "headers", f"at most {MAX_HEADER_LINES} lines")
        lines.extend((name, _bytes(one, field)) for one in values)
    if sum(len(name) + len(one) for name, one in lines) > MAX_TEXT:
        raise _expected("request.too-large", "headers", f"at most {MAX_TEXT} characters together")
    return tuple(lines)


def to_json(request: Request) -> dict[str, Any]:
    """A request as JSON; `decode` reads it back to an equal one (lines of one header name stand together)."""
    source, destination = request.src, request.dst
    out: dict[str, Any] = {
        "src": {kind: given for kind in _SOURCES if (given := getattr(source, kind))},
        "dst": {kind: given for kind in _DESTINATIONS if (given := getattr(destination, kind))},
        "port": request.port,
        "protocol": request.protocol,
    }
    if request.protocol != "http":
        return out
    out |= {"method": request.method, "path": _text_or_latin1(request.path)}
    headers: dict[str, list[Any]] = {}
    for name, value in request.headers:
        headers.setdefault(name, []).append(_text_or_latin1(value))
    return {**out, "headers": headers} if headers else out


def _text_or_latin1(text: str) -> str | dict[str, str]:
    try:
        text.encode()
    except UnicodeEncodeError:
        return {"latin1": raw_bytes(text).decode("latin-1")}
    return text


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """An answer without its losses: `verdict`, `by`, for a Service `route`, `weights`, `backends`, and `received` if any."""
    out: dict[str, Any] = {"verdict": answer.verdict, "by": list(answer.by)}
    if answer.route is not None:
        out["route"] = answer.route
        out["weights"] = dict(answer.weights or {})
        out["backends"] = dict(answer.backends or {})
    if answer.received is not None:
        out["received"] = _text_or_latin1(answer.received)
    return out


def near_to_json(near: Sequence[NearMiss]) -> list[dict[str, Any]]:
    """What nearly grants a denied request: `object`, `via` (a match, where one is concerned), `between`: {what, message}."""
    found: list[dict[str, Any]] = msgspec.to_builtins(near)
    return found


def explained_to_json(
    smi: Answer, meshes: Mapping[str, Answer], id_: object = None, near: Sequence[NearMiss] = ()
) -> dict[str, Any]:
    """A whole reply: SMI's answer, each mesh's with its `losses`, and the request's `id` if it had one.

    `near`, if there is any, stands beside SMI's answer.
    """
    judged = {name: {**answer_to_json(answer), "losses": list(answer.losses)} for name, answer in meshes.items()}
    smi_reply = {**answer_to_json(smi), "near": near_to_json(near)} if near else answer_to_json(smi)
    reply: dict[str, Any] = {"smi": smi_reply, "meshes": judged}
    return reply if id_ is None else {"id": id_, **reply}


def reply_to_json(
    answers: Mapping[str, tuple[Answer, Mapping[str, Answer]]],
    id_: object = None,
    near: Mapping[str, Sequence[NearMiss]] | None = None,
) -> dict[str, Any]:
    """The reply of every cluster under its name; of one cluster its whole reply, without a name. `near`: by cluster."""
    replies = {
        name: explained_to_json(smi, meshes, near=() if near is None else near[name])
        for name, (smi, meshes) in answers.items()
    }
    reply = next(iter(replies.values())) if len(replies) == 1 else {"clusters": replies}
    return reply if id_ is None else {"id": id_, **reply}
