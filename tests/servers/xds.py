"""A serving sink and a fake xDS client over real gRPC, for tests."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc.aio
import msgspec

from adapters.vm import names, wire
from adapters.vm.identity.ca import Secret
from adapters.vm.identity.tokens import digest_of, new_token
from adapters.vm.serve.seal import Check
from adapters.vm.serve.server import SERVICE
from adapters.vm.serve.sink import XdsSink
from adapters.vm.serve.sockets import XdsConfig
from adapters.vm.state.revisions import State
from hub.api import Change, NativeObject, ObjectRef, Op, Role, SinkContext, UnitKey

UNIT = UnitKey("access", "d", "api")
TD = "example.org"
Metadata = tuple[tuple[str, str], ...]


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        """The time in UTC."""
        return self.now


def anything_goes(kind: str, body: bytes) -> None:
    """A structural check that lets every resource pass: these tests send stumps that no Envoy would serve."""


def native(kind: str, name: str, body: bytes, *needs: ObjectRef) -> NativeObject:
    """An object of the mesh."""
    return NativeObject(names.ref(kind, name), Role.GRANT, body, needs=needs)


def workload(name: str, account: str, *needs: ObjectRef) -> NativeObject:
    """A Workload object: the root of what a stream gets."""
    card = {"workload": name, "spiffe": f"spiffe://{TD}/ns/d/sa/{account}"}
    return native("Workload", name, msgspec.json.encode(card), *needs)


def stump(kind: str, name: str, *needs: ObjectRef, note: str = "") -> NativeObject:
    """A resource with hardly more than a name; `note` makes it differ."""
    fields: dict[str, dict[str, Any]] = {
        "Cluster": {"name": name, "alt_stat_name": note},
        "Listener": {"name": name, "stat_prefix": note},
        "RouteConfiguration": {"name": name, "internal_only_headers": [note] if note else []},
    }
    return native(kind, name, wire.pack(wire.KINDS[kind](**fields[kind])), *needs)


def put(*items: NativeObject) -> list[Change]:
    """Changes that write these objects."""
    return [Change(Op.REPLACE, item.ref, 1, None, item, UNIT) for item in items]


def drop(*refs: ObjectRef) -> list[Change]:
    """Changes that delete these objects."""
    return [Change(Op.DELETE, ref, 7, b"", None, UNIT) for ref in refs]


def token_for(state: State, name: str) -> Secret:
    """A token of a workload, known to the state file."""
    token = new_token(name)
    state.store_token_hash(name, digest_of(token))
    return token


class Rig:
    """A serving sink on a Unix socket in a folder, and a second handle on its state file."""

    def __init__(self, folder: Path, check: Check = anything_goes, **settings: Any) -> None:
        self.path = folder / "state.db"
        self.address = f"unix:{folder}/xds.sock"
        self.clock = Clock()
        self.context = SinkContext("vm", "default", TD, folder, folder)
        self.config = XdsConfig(address=self.address, **settings)
        self.sink = XdsSink(State(self.path, "vm"), self.context, self.config, check, self.clock)
        self.state = State(self.path, "vm")

    def token(self, name: str) -> str:
        """A token's text."""
        return token_for(self.state, name).reveal().decode()

    def own(self, name: str) -> str:
        """The name of a workload's own certificate on the wire."""
        snapshot = self.sink.snapshot(name)
        assert snapshot is not None
        (found,) = (secret for secret in snapshot[wire.TYPE_URLS["Secret"]] if secret.startswith(f"{names.SELF}/"))
        return found

    async def write(self, changes: Iterable[Change]) -> None:
        """Apply changes through the sink."""
        await self.sink.write_all(list(changes), {}, self.state.head()[1])


class Client:
    """One stream of either method. Requests and responses are the protobuf messages themselves."""

    def __init__(
        self,
        address: str,
        token: str | None,
        method: str = "DeltaAggregatedResources",
        metadata: Metadata = (),
        options: Sequence[tuple[str, int]] = (),
    ) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=options)
        delta = method.startswith("Delta")
        self.request: Any = wire.DeltaDiscoveryRequest if delta else wire.DiscoveryRequest
        response: Any = wire.DeltaDiscoveryResponse if delta else wire.DiscoveryResponse
        call: Any = self._channel.stream_stream(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        self.call = call(metadata=metadata if token is None else (("authorization", f"Bearer {token}"), *metadata))

    async def ask(self, kind: str, node: str = "", **fields: Any) -> None:
        """Send a request; if the stream has ended already, reading tells how."""
        message = self.request(type_url=wire.TYPE_URLS[kind], **fields)
        if node:
            message.node.id = node
        with suppress(grpc.aio.AioRpcError):
            await self.call.write(message)

    async def answer(self, response: Any, error: str = "", **fields: Any) -> None:
        """Accept or refuse a response."""
        message = self.request(type_url=response.type_url, response_nonce=response.nonce, **fields)
        if error:
            message.error_detail.message = error
        await self.call.write(message)

    async def next(self) -> Any:
        """The next response."""
        response = await asyncio.wait_for(self.call.read(), 5)
        assert response is not grpc.aio.EOF, await self.call.code()
        return response

    async def silence(self, seconds: float = 0.3) -> bool:
        """Whether nothing arrives for a while."""
        pending = asyncio.ensure_future(self.call.read())
        done, _ = await asyncio.wait([pending], timeout=seconds)
        return not done

    async def code(self) -> grpc.StatusCode:
        """How the stream ended."""
        code: grpc.StatusCode = await asyncio.wait_for(self.call.code(), 5)
        return code

    async def ending(self) -> tuple[int, grpc.StatusCode]:
        """How many responses still came, and how the stream ended."""
        count = 0
        with suppress(grpc.aio.AioRpcError):
            while await asyncio.wait_for(self.call.read(), 5) is not grpc.aio.EOF:
                count += 1
        return count, await self.code()

    async def close(self) -> None:
        """Cancel the stream."""
        self.call.cancel()
        await self._channel.close()


def found(response: Any) -> dict[str, Any]:
    """Name -> message of a response of either variant."""
    out: dict[str, Any] = {}
    kinds = {url: kind for kind, url in wire.TYPE_URLS.items()}
    for item in response.resources:
        packed = getattr(item, "resource", item)
        message: Any = wire.parse(kinds[packed.type_url], packed.value)
        out[getattr(message, "cluster_name", "") or message.name] = message
    return out


@asynccontextmanager
async def serving(folder: Path, *objects: NativeObject) -> AsyncIterator[Rig]:
    """A serving sink with these objects."""
    made = Rig(folder)
    await made.write(put(*objects))
    await made.sink.start()
    yield made
    await made.sink.close()
