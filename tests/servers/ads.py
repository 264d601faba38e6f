"""A small ADS server (state of the world) for tests: it serves the bytes that it is given and remembers NACKs.

Not the hub's own server: tests of translation must not depend on serving.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from adapters.vm import wire

_ORDER = ("Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration", "TypedExtensionConfig", "Secret")
_KIND_OF = {url: kind for kind, url in wire.TYPE_URLS.items()}
_WILDCARD = ("Cluster", "Listener")


class Ads:
    """Resources by kind and name. `put` replaces or adds, and pushes what changed to every stream."""

    def __init__(self) -> None:
        self._resources: dict[str, dict[str, bytes]] = {kind: {} for kind in _ORDER}
        self._inboxes: list[queue.Queue[Any]] = []
        self._change = threading.Condition()
        self._acked: dict[str, int] = {}
        self._version = 0
        self.nacks: list[str] = []

    def put(self, resources: Iterable[tuple[str, bytes]]) -> None:
        """Serve these (kind, message bytes) from now on; returns when Envoy has answered for the kinds it watches."""
        with self._change:
            self._version += 1
            for kind, body in resources:
                self._resources[kind][wire.name_of(wire.parse(kind, body))] = body
        for inbox in list(self._inboxes):
            done = threading.Event()
            inbox.put(done)
            done.wait(5)

    def wait_settled(self, seconds: float = 5) -> None:
        """Wait until everything that was sent has been ACKed or NACKed."""
        with self._change:
            if not self._change.wait_for(lambda: not any(self._acked.values()), seconds):
                raise RuntimeError(f"Envoy did not answer: {self._acked}, NACKs {self.nacks}")

    def stream(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[bytes]:
        """One stream: answers requests and pushes."""
        inbox: queue.Queue[Any] = queue.Queue()
        self._inboxes.append(inbox)
        threading.Thread(target=_forward, args=(requests, inbox), daemon=True).start()
        wanted: dict[str, tuple[str, ...]] = {}
        sent: dict[str, object] = {}
        while (item := inbox.get()) is not None:
            if not isinstance(item, threading.Event):
                self._take(item, wanted)
            for kind in _ORDER:
                if kind in wanted:
                    yield from self._answer(kind, wanted[kind], sent)
            if isinstance(item, threading.Event):
                item.set()
        self._inboxes.remove(inbox)

    def _take(self, request: Any, wanted: dict[str, tuple[str, ...]]) -> None:
        kind = _KIND_OF[request.type_url]
        wanted[kind] = tuple(sorted(request.resource_names))
        with self._change:
            if request.response_nonce:
                self._acked[kind] = self._acked.get(kind, 1) - 1
            if request.error_detail.message:
                self.nacks.append(request.error_detail.message)
            self._change.notify_all()

    def _answer(self, kind: str, names: tuple[str, ...], sent: dict[str, object]) -> Iterator[bytes]:
        known = self._resources[kind]
        chosen = {name: known[name] for name in known if kind in _WILDCARD or name in names}
        if not chosen or sent.get(kind) == chosen:
            return
        sent[kind] = chosen
        url = wire.TYPE_URLS[kind]
        packed = [wire.Any(type_url=url, value=body) for body in chosen.values()]
        with self._change:
            self._acked[kind] = self._acked.get(kind, 0) + 1
            version = str(self._version)
        yield wire.pack(wire.DiscoveryResponse(version_info=version, nonce=version, type_url=url, resources=packed))


def _forward(requests: Iterator[Any], inbox: queue.Queue[Any]) -> None:
    try:
        for request in requests:
            inbox.put(request)
    except grpc.RpcError:
        pass
    inbox.put(None)


@contextmanager
def serving(ads: Ads) -> Iterator[int]:
    """Serve on a loopback port, which is yielded."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    handler = grpc.stream_stream_rpc_method_handler(ads.stream, wire.DiscoveryRequest.FromString, bytes)
    service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {"StreamAggregatedResources": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None)
