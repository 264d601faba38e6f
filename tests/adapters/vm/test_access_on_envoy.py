"""Inbound access on a real Envoy: the verdicts of translated bytes, what a refused peer sees, paths and headers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec import Struct
from msgspec.structs import replace

from adapters.vm.config import VmConfig
from adapters.vm.translate.unit import translate
from adapters.vm.vocabulary import REMOVED_HEADERS
from hub.envoy import JOINED_HEADERS, is_managed_header
from hub.model import Access, Grant, HttpMatch
from tests.servers import calls
from tests.servers.apps import GREETING, App, echo, greeter
from tests.servers.calls import Connect, Lines, http1, http2, listen, plain, tls
from tests.servers.certificates import Authority, Leaf
from tests.servers.ports import held_port
from tests.servers.sidecar import Sidecar, sidecar
from tests.servers.units import access, http_grant, inbound, spiffe, tcp_grant

pytestmark = pytest.mark.envoy
BANNED = "http-nobody"


class World(Struct, frozen=True):
    """An Envoy of `d/api`, its applications, and callers' certificates by name."""

    sidecar: Sidecar
    app: App
    banner: App
    ports: dict[str, int]
    leaves: dict[str, Leaf | None]
    authority: Authority

    def caller(self, who: str, port: str = "http", alpn: tuple[str, ...] = ()) -> Connect:
        """Connect to a port of the sidecar with the certificate of this name."""
        return tls(self.ports[port], self.authority.pem, self.leaves[who], alpn)


GRANTS = (
    http_grant("web-v1", ["web"], HttpMatch(path="/v1/.*", methods=("GET", "HEAD"))),
    http_grant("web-orders", ["web"], HttpMatch(path="/orders", methods=("POST",), headers=(("x-tier", "gold.*"),))),
    http_grant("third", ["third"], HttpMatch(path="/t")),
    http_grant("public", ["web"], HttpMatch(path="/public/.*"), HttpMatch(path="/big/[a-z]{500}")),
    http_grant(
        "headers",
        ["web"],
        HttpMatch(path="/agent", headers=(("user-agent", "a.+b"),)),
        HttpMatch(path="/cookie", headers=(("cookie", ".*id=1.*"),)),
        HttpMatch(path="/two", headers=(("x-a", ".."),)),
        HttpMatch(path="/empty", headers=(("x-a", ""),)),
        HttpMatch(path="/both", headers=(("x-a", "a.*"), ("x-a", ".*b"))),
    ),
)


def world_of(ports: dict[str, int], app: int, banner: int) -> Access:
    """HTTP with grants, HTTP without, TCP for `web`, TCP for nobody."""
    return access(
        *(_on(grant, ports["http"]) for grant in GRANTS),
        tcp_grant("raw", ["web"], ports=(ports["tcp"],)),
        ports=[
            inbound(ports["http"], "http", app),
            inbound(ports[BANNED], "http", app),
            inbound(ports["tcp"], "tcp", banner),
            inbound(ports["tcp-nobody"], "tcp", banner),
        ],
    )


def _on(grant: Grant, port: int) -> Grant:
    return replace(grant, ports=(port,))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One Envoy for this file."""
    authority, other = Authority(), Authority("another ca")
    web, third = spiffe("web"), spiffe("third")
    leaves: dict[str, Leaf | None] = {
        "web": authority.issue([web]),
        "third": authority.issue([third]),
        "other": authority.issue([spiffe("other")]),
        "dns": authority.issue(dns=[web]),
        "common-name": authority.issue(common_name=web),
        "foreign": other.issue([web]),
        "nothing": authority.issue(),
        "none": None,
    }
    ports = {name: held_port() for name in ("http", BANNED, "tcp", "tcp-nobody")}
    folder = tmp_path_factory.mktemp("access")
    with echo() as app, greeter() as banner:
        objects = translate(world_of(ports, app.port, banner.port), VmConfig()).objects
        with sidecar(folder, authority, authority.issue([spiffe("api")]), objects) as running:
            yield World(running, app, banner, ports, leaves, authority)


def test_resources_when_envoy_reads_them(world: World) -> None:
    """Envoy takes every resource of both port kinds without a NACK."""
    assert world.sidecar.ads.nacks == []


VERDICTS = [
    ("web", "GET", "/v1/a", (), 200),
    ("web", "HEAD", "/v1/a", (), 200),
    ("web", "GET", "/v1/a?x=1", (), 200),
    ("web", "GET", "/v1/a", (("Host", "unknown.example"),), 200),
    ("web", "POST", "/orders", (("x-tier", "gold1"),), 200),
    ("web", "POST", "/orders", (("X-TIER", "  gold  "),), 200),
    ("web", "POST", "/orders", (("x-tier", "silver"), ("x-tier", "gold")), 200),
    ("third", "GET", "/t", (), 200),
    ("third", "DELETE", "/t", (), 200),
    ("web", "DELETE", "/v1/a", (), 403),
    ("web", "POST", "/v1/a", (), 403),
    ("web", "POST", "/orders", (), 403),
    ("web", "POST", "/orders", (("x-tier", "agold"),), 403),
    ("web", "POST", "/orders", (("x-tier", "silver"),), 403),
    ("web", "GET", "/orders", (("x-tier", "gold"),), 403),
    ("web", "GET", "/t", (), 403),
    ("third", "GET", "/v1/a", (), 403),
    ("other", "GET", "/v1/a", (), 403),
    ("web", "GET", "/v1", (), 403),
    ("web", "GET", "/x/v1/a", (), 403),
    ("web", "GET", "/V1/a", (), 403),
    ("web", "GET", "/admin?q=/v1/a", (), 403),
    ("dns", "GET", "/v1/a", (), 403),
    ("common-name", "GET", "/v1/a", (), 403),
    ("nothing", "GET", "/v1/a", (), 403),
    ("web", "GET", "/v1/a", (("x_under", "1"),), 400),
    ("foreign", "GET", "/v1/a", (), calls.REFUSED),
    ("none", "GET", "/v1/a", (), calls.REFUSED),
]


@pytest.mark.parametrize(("who", "method", "path", "headers", "status"), VERDICTS)
def test_verdict_when_called_directly(
    world: World, who: str, method: str, path: str, headers: Lines, status: int
) -> None:
    """The verdict table, on HTTP/1.1 and HTTP/2; a refused request never reaches the application."""
    before = len(world.app.seen)
    assert http1(world.caller(who), path, method, headers).status == status
    lower = [(name.lower(), value) for name, value in headers if name.lower() != "host"]
    if all(str(value) == str(value).strip() for _, value in lower):
        assert http2(world.caller(who, alpn=("h2",)), path, method, lower).status in {
            status,
            0 if status == 400 else status,
        }
    assert (len(world.app.seen) > before) == (status == 200)


def test_every_caller_when_nothing_is_granted(world: World) -> None:
    """A port without a grant answers 403 to all, whatever they ask."""
    for who in ("web", "third", "other"):
        assert http1(world.caller(who, BANNED), "/v1/a").status == 403


def test_plain_text_when_tls_is_required(world: World) -> None:
    """Plain text gets no HTTP answer on any port, and the application sees nothing."""
    before = len(world.app.seen)
    for port in ("http", "tcp"):
        assert http1(plain(world.ports[port]), "/v1/a").status == calls.REFUSED
    assert len(world.app.seen) == before


PATHS = [
    ("/public/x", 200),
    ("/public/x?q=;%25", 200),
    ("/public/%20", 200),
    ("/public/%c3%a9", 200),
    ("/public/~", 200),
    ("/public/.hidden", 200),
    ("/public/...", 200),
    ("/public/a..b", 200),
    ("/public/%40", 200),
    ("/public/%e2%82%ac", 200),
    ("/public/%61", 403),
    ("/public/%7E", 403),
    ("/public/./x", 403),
    ("/public//x", 403),
    ("/public/.", 403),
    ("/public/..", 403),
    ("/public/%", 403),
    ("/public/%4", 403),
    ("/public/%zz", 403),
    ("/public/%4%31", 403),
    ("/public/%E0%80%AE", 403),
    ("/public/../admin", 403),
    ("/public/%2e%2e/admin", 403),
    ("/public/.%2E/admin", 403),
    ("/public/..\\admin", 403),
    ("/public/..;/admin", 403),
    ("/public/x;a=1", 403),
    ("/public/%252e%252e/admin", 403),
    ("/public/%0a", 403),
    ("/public/%C0%AE", 403),
    ("/public/%F8%80%80%80%AF", 403),
    ("/public/%fc%83%bf%bf%bf%bf", 403),
    ("/public/%23", 403),
    ("/public/%3Fx", 403),
    ("/public/%7f", 403),
    ("/public/..%2fadmin", 400),
    ("/public/%5c..%5cadmin", 400),
    ("/public/%00", 403),
    ("/public/x#f", 400),
    ("//public/x", 403),
    ("/big/" + "a" * 500, 200),
    ("/big/" + "a" * 499, 403),
]


@pytest.mark.parametrize(("path", "status"), PATHS)
def test_path_when_it_may_be_read_twice(world: World, path: str, status: int) -> None:
    """Paths are judged as they were sent; those with another normal form, or another reading, are refused."""
    assert http1(world.caller("web"), path).status == status


HEADERS = [
    ("/agent", (("user-agent", "a x b"),), 200),
    ("/agent", (("user-agent", "a, x b"),), 403),
    ("/agent", (("user-agent", "a"), ("user-agent", "b")), 403),
    ("/cookie", (("cookie", "x=2; id=1"),), 200),
    ("/cookie", (("cookie", "x=2"), ("cookie", "id=1")), 200),
    ("/cookie", (("cookie", "x=2"), ("cookie", "y=1")), 403),
    ("/two", (("x-a", "ab"),), 200),
    ("/two", (("x-a", "\u00e9"),), 403),
    ("/two", (("x-a", b"\xff\xff"),), 403),
    ("/two", (("x-a", "\u00e9"), ("x-a", "abc")), 403),
    ("/empty", (("x-a", ""),), 200),
    ("/empty", (("x-a", "a"),), 403),
    ("/empty", (), 403),
    ("/both", (("x-a", "a"), ("x-a", "b")), 200),
    ("/both", (("x-a", "ab"),), 200),
    ("/both", (("x-a", "a"),), 403),
]


@pytest.mark.parametrize(("path", "headers", "status"), HEADERS)
def test_header_when_lines_are_joined_or_not_ascii(world: World, path: str, headers: Lines, status: int) -> None:
    """One line that matches is enough, joined lines never match together, characters are never counted as bytes."""
    assert http1(world.caller("web"), path, headers=headers).status == status


def test_header_when_a_line_begins_with_a_blank(world: World) -> None:
    """Over HTTP/2 a line may begin with a blank, which Envoy keeps: two lines must not pass for one with a comma."""
    lines = (("user-agent", "a"), ("user-agent", " b"))
    assert http2(world.caller("web", alpn=("h2",)), "/agent", headers=lines).status == 403
    assert http2(world.caller("web", alpn=("h2",)), "/agent", headers=(("user-agent", "a x b"),)).status == 200


@pytest.mark.parametrize(("sent", "status"), [("ab", 200), (" b", 403), ("b ", 403), ("\tb", 403)])
def test_header_when_a_blank_outside_of_it_would_match(world: World, sent: str, status: int) -> None:
    """Outer blanks are no part of a value, although Envoy keeps them over HTTP/2: a pattern must not count them."""
    assert http2(world.caller("web", alpn=("h2",)), "/two", headers=(("x-a", sent),)).status == status


def test_spoofed_headers_when_an_application_reads_them(world: World) -> None:
    """Headers that claim another path, method or caller do not arrive; the peer's identity does."""
    forged = (*REMOVED_HEADERS, "x-forwarded-client-cert")
    reply = http1(world.caller("web"), "/v1/a", headers=[(name, "forged") for name in forged])
    arrived = {name.lower(): value for name, value in reply.echoed["headers"]}
    assert "forged" not in arrived.values()
    assert arrived["x-forwarded-client-cert"].endswith(f"URI={spiffe('web')}")


def test_headers_when_envoy_joins_adds_or_passes_them(world: World) -> None:
    """What the vocabulary says about header names is what this Envoy does."""
    ordinary = ("x-tier", "x-api-key", "accept-language", "from", "range", "traceparent", "date")
    lines = [(name, value) for name in (*sorted(JOINED_HEADERS), *ordinary) for value in ("one", "two")]
    arrived = http1(world.caller("web"), "/v1/a", headers=lines).echoed["headers"]
    values: dict[str, list[str]] = {}
    for name, value in arrived:
        values.setdefault(name.lower(), []).append(value)
    assert {name: values[name] for name in JOINED_HEADERS} == {name: ["one,two"] for name in JOINED_HEADERS}
    assert {name: values[name] for name in ordinary} == {name: ["one", "two"] for name in ordinary}
    added = values.keys() - JOINED_HEADERS - set(ordinary)
    assert [name for name in sorted(added) if not is_managed_header(name)] == []


@pytest.mark.parametrize(
    ("who", "port", "heard"),
    [
        ("web", "tcp", GREETING),
        ("other", "tcp", b""),
        ("dns", "tcp", b""),
        ("common-name", "tcp", b""),
        ("foreign", "tcp", b""),
        ("none", "tcp", b""),
        ("web", "tcp-nobody", b""),
    ],
)
def test_greeting_when_a_silent_peer_connects(world: World, who: str, port: str, heard: bytes) -> None:
    """A peer without a grant hears nothing of a server that speaks first, and the application never sees it."""
    before = len(world.banner.seen)
    assert listen(world.caller(who, port)) == heard
    assert len(world.banner.seen) - before == bool(heard)
