"""What the config entries of a Consul mesh mean: which requests get in, and where they go.

Written from Consul's and Envoy's documentation and from observation alone, apart from what made the entries. A kind, field or value
whose meaning is not modelled raises UnmodelledError, as does an entry that Consul refuses to store, or that Envoy rejects (it would
keep what it had). `default_intention_policy` of the agents stands in no entry: what one of its values lets pass gets in.
Source: https://developer.hashicorp.com/consul/docs/reference/config-entry; observed on Consul 1.22 with Envoy 1.40.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from adapters.consul.config import ENTRY_NAMES, ConsulConfig
from adapters.consul.evaluate.chain import Chain, Chains, Way
from adapters.consul.evaluate.entries import entries_of
from adapters.consul.evaluate.intentions import Default, Gates
from adapters.consul.evaluate.matching import STRICT, Leniency
from adapters.consul.evaluate.request import GUARDED, HEADER, Reading, readings, rewritten
from adapters.consul.evaluate.theirs import with_theirs
from adapters.consul.evaluate.workloads import MIXED, Caller, Workloads
from adapters.consul.names import Names
from hub.api import (
    Answer,
    BackendWord,
    Endpoint,
    Evaluator,
    Facts,
    NativeObject,
    Request,
    RouteWord,
    Verdict,
    answer_of,
    backend_word,
    merged,
    names_one,
    raw_text,
    service_verdict,
)

ServicePlace = tuple[str, str, int]
"""Namespace, name and port of a Service."""
UDP, ACCOUNT = "proto.udp-not-captured", "consul.account"
BOTH: tuple[Default, ...] = ("deny", "allow")
_RANK: Mapping[str, int] = {"deny": 0, "mixed": 1, "allow": 2}


def evaluator(objects: Sequence[NativeObject], facts: Facts) -> Evaluator:
    """What config entries mean under the default names."""
    return mesh_of(objects, facts, Names(ENTRY_NAMES))


def settled(config: ConsulConfig) -> Callable[[Sequence[NativeObject], Facts], Evaluator]:
    """What objects mean under these settings: their names, and whether others declare protocols."""
    return partial(mesh_of, names=config.naming, theirs=config.service_defaults == "theirs")


def mesh_of(
    objects: Sequence[NativeObject],
    facts: Facts,
    names: Names,
    defaults: tuple[Default, ...] = BOTH,
    *,
    theirs: bool = False,
) -> Evaluator:
    """Compile the entries once; the result judges requests. Raises UnmodelledError for what is not modelled.

    `names` says which service an account or a Service is, `defaults` what the agents may do where no intention speaks, `theirs`
    that service-defaults of others stand beside these entries.
    """
    entries = entries_of(objects)
    entries = with_theirs(entries) if theirs else entries
    gates = Gates(entries)
    return _ConsulMesh(Workloads(gates, facts, names, defaults), Chains(entries, gates), facts, names)


class _Call(Struct, frozen=True):
    """A request, its caller, and what the proxies read over one version of HTTP (None: it is not HTTP)."""

    request: Request
    caller: Caller
    reading: Reading | None


class _Leading(Struct, frozen=True):
    """Where a call goes: parts by Consul service; `open` says that the proxy of the client takes such bytes.

    `reading` is the request as the proxy of the client hands it on; None: as it was sent, or no HTTP.
    """

    parts: Mapping[str, Fraction] = {}
    by: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    open: bool = True
    reading: Reading | None = None


class _ConsulMesh:
    def __init__(self, workloads: Workloads, chains: Chains, facts: Facts, names: Names) -> None:
        self._workloads = workloads
        self._chains = chains
        self._names = names
        self._endpoints = facts.endpoints
        self._exposed = facts.exposed
        self._ports: dict[tuple[str, str], list[int]] = {}
        for (namespace, service, port), one in facts.exposed.items():
            self._ports.setdefault((namespace, service), []).extend([port] if one.transport == "TCP" else [])

    def judge(self, request: Request) -> Answer:
        """The mesh's verdict on one request, over the version of HTTP that lets more pass, with the losses of both.

        Raises UnmodelledError on anything it does not model.
        """
        if not names_one(request.dst):
            return Answer("deny")
        caller = self._workloads.caller(request.src)
        read: Sequence[Reading | None] = readings(request) if request.protocol == "http" else (None,)
        answers = [self._judge(_Call(request, caller, one)) for one in read]
        chosen = max(answers, key=lambda one: _RANK[one.verdict])
        turned = len({(one.route, tuple((one.weights or {}).items())) for one in answers}) > 1
        return replace(chosen, losses=merged([*(one.losses for one in answers), (HEADER,) if turned else ()]))

    def _judge(self, call: _Call) -> Answer:
        if call.request.dst.service is not None:
            return self._service(call)
        return Answer("deny", losses=(UDP,)) if call.request.protocol == "udp" else self._workload(call)

    def _workload(self, call: _Call) -> Answer:
        """An identity lets in what all of its workloads let in."""
        receivers = self._workloads.receivers.addressed(call.request.dst)
        verdicts = [one.receive(call.caller, call.request.port, call.reading) for one in receivers]
        return answer_of(verdicts, _received(call.request, call.reading, verdicts))

    # ----------------------------------------------------------------------- a Service

    def _service(self, call: _Call) -> Answer:
        namespace, _, name = (call.request.dst.service or "").partition("/")
        place = namespace, name, call.request.port
        exposed = self._exposed.get(place)
        if exposed is None or exposed.transport == "UDP" or call.request.protocol == "udp":
            losses = (UDP,) if call.request.protocol == "udp" else ()
            word: RouteWord = "no-port" if place[:2] in self._ports else "no-service"
            return Answer("deny", route=word, weights={}, backends={}, losses=losses)
        own = self._names.service(namespace, name)
        # Who has no sidecar dials the instances themselves, and is not let in there.
        leading = _own(own) if own is not None and call.request.src.outside else self._lead(own, call)
        # What no Service stands behind is answered by the proxy of the client, with 503.
        owners = [self._names.owner(service) for service in leading.parts]
        if not any(owner in self._ports for owner in owners):
            leading = replace(leading, parts={})
        return self._answer(call, place, leading)

    def _lead(self, service: str | None, call: _Call) -> _Leading:
        """Where the proxy of the client sends a call to a Consul service."""
        if service is None:
            return _Leading()
        chain = self._chains.of(service)
        if not chain.http:
            return _along(chain.ways[-1])
        if call.reading is None:
            return _Leading(_along(chain.ways[-1]).parts, losses=(MIXED,), open=False)
        way = chain.choose(call.reading.sent)
        if way is None:
            return _Leading()
        losses = call.reading.faults or _steered(chain, way, call.reading)
        return replace(
            _along(way), losses=losses, open=not call.reading.faults, reading=rewritten(call.reading, way.prefix)
        )

    def _answer(self, call: _Call, place: ServicePlace, leading: _Leading) -> Answer:
        judged = {service: self._behind(service, place, call, leading) for service in sorted(leading.parts)}
        words = {self._called_by(service, place): word for service, (word, _) in judged.items()}
        verdicts = [one for _, found in judged.values() for one in found]
        verdict = service_verdict(words.values())
        own = list(words) == [place[1]]
        refused = [] if verdict == "allow" else [one.losses for one in verdicts if not one.allowed]
        return Answer(
            verdict=verdict,
            by=merged([leading.by, *(one.by for one in verdicts)]),
            route="root" if own else "split" if words else "unavailable",
            weights={self._called_by(service, place): str(leading.parts[service]) for service in judged},
            backends=words,
            losses=merged([leading.losses, *refused]),
            received=_received(call.request, leading.reading or call.reading, verdicts),
        )

    def _called_by(self, service: str, root: ServicePlace) -> str:
        """How an answer calls a backend: by its name, and with its namespace where that is another one."""
        owner = self._names.owner(service)
        if owner is None:
            return service
        return owner[1] if owner[0] == root[0] else f"{owner[0]}/{owner[1]}"

    def _behind(
        self, service: str, root: ServicePlace, call: _Call, leading: _Leading
    ) -> tuple[BackendWord, list[Verdict]]:
        """The word of one service, and the verdicts of its instances."""
        endpoints = self._endpoints.get(self._place(service, root), ())
        verdicts = [self._called(one, service, call, leading) for one in endpoints]
        return backend_word(one.allowed for one in verdicts), verdicts

    def _place(self, service: str, root: ServicePlace) -> ServicePlace:
        """The port of a backend: that which was called, or the only one that it has, since a service has one port."""
        owner = self._names.owner(service) or ("", "")
        ports = self._ports.get(owner, [])
        return (*owner, ports[0] if len(ports) == 1 else root[2])

    def _called(self, endpoint: Endpoint, service: str, call: _Call, leading: _Leading) -> Verdict:
        """One instance; a client hands on to nobody whose certificate names another service, and bytes it cannot read to none."""
        receiver = self._workloads.receivers.at(endpoint.workload)
        if receiver is None or not leading.open:
            return Verdict(False)
        if receiver.service != service:
            return Verdict(False, (), (ACCOUNT,))
        return receiver.receive(call.caller, endpoint.port, leading.reading or call.reading)


def _steered(chain: Chain, way: Way, reading: Reading) -> tuple[str, ...]:
    """The codes of what could lead elsewhere: the path as the destination sees it, and values as they were sent."""
    turned = chain.choose(reading.seen) is not way
    loose = () if reading.is_single else (reading.sent, *reading.line_by_line())
    moved = any(chain.choose(one, slack) is not way for one in loose for slack in (STRICT, Leniency(values=True)))
    return ((HEADER,) if moved else ()) + ((GUARDED,) if turned else ())


def _own(service: str) -> _Leading:
    return _Leading({service: Fraction(1)})


def _along(way: Way) -> _Leading:
    return _Leading(way.parts, way.by)


def _received(request: Request, reading: Reading | None, verdicts: Sequence[Verdict]) -> str | None:
    """The path that an application sees, if it is another than was sent and a proxy read it."""
    if reading is None or reading.faults or not any(one.http for one in verdicts):
        return None
    path = raw_text(reading.seen.path)
    return None if path == request.path else path
