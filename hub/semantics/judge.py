"""The verdict of SMI on one request: who calls, who receives, and what the TrafficTargets between them admit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property

from msgspec import Struct

from hub.model import Answer, BackendWord, Document, NearMiss, Reading, Request, Source, VerdictWord
from hub.semantics.access import AccessRules
from hub.semantics.conditions import Http, http_of
from hub.semantics.decoded import decode
from hub.semantics.identities import Bindings, SubjectKey
from hub.semantics.names import split_pair
from hub.semantics.near import Denied, NearMisses
from hub.semantics.routes import Call, RouteRules
from hub.semantics.world import ReceiverIndex, Situation

_DENY = Answer("deny")
_UNGOVERNED = Answer("ungoverned")
_NOBODY: frozenset[SubjectKey] = frozenset()
_TRANSPORTS = {"http": "TCP", "tcp": "TCP", "udp": "UDP"}


class GovernedNamespaces(Struct, frozen=True):
    """Whom SMI rules: receivers of these namespaces, None = every receiver. The others are ungoverned."""

    namespaces: frozenset[str] | None = None

    def includes(self, namespace: str) -> bool:
        """Tell whether receivers of a namespace are governed."""
        return self.namespaces is None or namespace in self.namespaces


EVERYTHING = GovernedNamespaces()


class Semantics:
    """The reference reading of a set of documents: decoded once, then asked many times.

    No document raises: an invalid one counts as absent. `docs/smi.md` states every rule that is followed here.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        *,
        trust_domain: str = "cluster.local",
        governed: GovernedNamespaces = EVERYTHING,
        reading: Reading = Reading(),
    ) -> None:
        decoded = decode(documents)
        self._documents, self._decoded = tuple(documents), decoded
        self._trust_domain = trust_domain
        self._governed = governed
        self._bindings = Bindings(decoded.bindings, trust_domain)
        self._world = ReceiverIndex(decoded, self._bindings)
        self._access = AccessRules(decoded, reading)
        self._routes = RouteRules(decoded.splits, reading, self._world, self._access)

    def judge(self, request: Request) -> Answer:
        """Judge one request. Pure; the answer depends on the documents and the request alone."""
        named = (request.dst.identity, request.dst.pod, request.dst.service)
        # A request that names two receivers (or none) has no reading; denying is the answer that opens nothing.
        if sum(name is not None for name in named) != 1:
            return _DENY
        asked = _Asked(request, self._callers(request.src), http_of(request))
        if request.dst.service is not None:
            return self._at_service(asked)
        receivers = self._receivers(request)
        return self._verdict(asked, receivers) if receivers else _DENY

    def near(self, request: Request) -> tuple[NearMiss, ...]:
        """Return what nearly grants a request that is denied somewhere, nearest first; nothing of one that is allowed.

        It costs more than a verdict: every TrafficTarget of the receiver's namespace is looked at.
        """
        named = (request.dst.identity, request.dst.pod, request.dst.service)
        if sum(name is not None for name in named) != 1:
            return ()
        asked = _Asked(request, self._callers(request.src), http_of(request))
        receivers, empty = self._reached(asked)
        denied = frozenset(at for at in receivers if self._governs(at) and not self._deciding(asked, at))
        return self._near_misses.of(Denied(request, asked.callers, asked.http, denied, empty))

    @cached_property
    def _near_misses(self) -> NearMisses:
        return NearMisses(self._documents, self._decoded, self._access, self._world)

    def _reached(self, asked: _Asked) -> tuple[Collection[Situation], tuple[str, ...]]:
        """Return everybody who may serve a request, and the Services that have a share of it with nobody behind them."""
        address = split_pair(asked.request.dst.service)
        if address is None:
            return self._receivers(asked.request), ()
        call = self._call(asked, address)
        behind = {
            name: self._world.behind(call.namespace, name, call.port, call.transport)
            for name in sorted(self._routes.route(call).shares)
        }
        return frozenset().union(*behind.values()), tuple(name for name, at in behind.items() if not at)

    # ----------------------------------------------------------------------- who calls

    def _callers(self, source: Source) -> frozenset[SubjectKey]:
        """Return the subjects that the caller satisfies; a caller who is not named in exactly one way satisfies none."""
        named = (source.identity, source.pod, source.spiffe)
        if source.outside or sum(name is not None for name in named) != 1:
            return _NOBODY
        if source.spiffe is not None:
            return self._bindings.of_spiffe(source.spiffe)
        if source.identity is not None:
            account = split_pair(source.identity)
            return self._bindings.of_account(account) if account else _NOBODY
        pod = split_pair(source.pod)
        workload = self._world.workload(*pod) if pod else None
        return self._world.keys_of(workload) if workload else _NOBODY

    # ----------------------------------------------------------------------- an identity or a pod receives

    def _receivers(self, request: Request) -> Collection[Situation]:
        """Return every receiver that an identity or a pod stands for; empty if nobody is known by that name."""
        transport = _TRANSPORTS[request.protocol]
        if request.dst.identity is not None:
            account = split_pair(request.dst.identity)
            return self._world.under_account(account, request.port, transport) if account else ()
        pod = split_pair(request.dst.pod)
        workload = self._world.workload(*pod) if pod else None
        return (self._world.at_workload(workload, request.port, transport),) if workload else ()

    def _verdict(self, asked: _Asked, receivers: Collection[Situation]) -> Answer:
        """Allow only what every receiver allows: workloads of one identity may differ in labels and protocols."""
        if not any(self._governs(at) for at in receivers):
            return _UNGOVERNED
        deciding = [self._deciding(asked, at) for at in receivers]
        if not all(deciding):
            return _DENY
        return Answer("allow", by=tuple(sorted(frozenset().union(*deciding))))

    def _governs(self, at: Situation) -> bool:
        return at.account is None or self._governed.includes(at.account[0])

    def _deciding(self, asked: _Asked, at: Situation) -> frozenset[str]:
        """Return the TrafficTargets that allow the request at one receiver."""
        return self._access.allowing(asked.callers, at, asked.request.protocol, asked.http)

    # ----------------------------------------------------------------------- a Service receives

    def _at_service(self, asked: _Asked) -> Answer:
        request = asked.request
        address = split_pair(request.dst.service)
        if address is None:
            return Answer("deny", route="no-service", weights={}, backends={})
        call = self._call(asked, address)
        routed = self._routes.route(call)
        behind = {
            name: self._world.behind(call.namespace, name, call.port, call.transport) for name in sorted(routed.shares)
        }
        judged = {name: self._backend(asked, receivers) for name, receivers in behind.items()}
        words = {name: word for name, (word, _) in judged.items()}
        verdict = self._of_all(words.values(), [at for receivers in behind.values() for at in receivers])
        deciding = frozenset[str]().union(*(by for _, by in judged.values()), {routed.split} if routed.split else ())
        return Answer(
            verdict,
            by=tuple(sorted(deciding)) if verdict in {"allow", "mixed"} else (),
            route=routed.word,
            weights={name: str(routed.shares[name]) for name in behind},
            backends=words,
        )

    def _call(self, asked: _Asked, address: tuple[str, str]) -> Call:
        request = asked.request
        http = asked.http if request.protocol == "http" else None
        transport = _TRANSPORTS[request.protocol]
        return Call(*address, request.port, transport, http, meshed=not request.src.outside)

    def _backend(self, asked: _Asked, receivers: Collection[Situation]) -> tuple[BackendWord, frozenset[str]]:
        """Judge the workloads behind one Service port; ungoverned ones let everything in."""
        if not receivers:
            return "no-endpoint", frozenset()
        governed = [at for at in receivers if self._governs(at)]
        deciding = [self._deciding(asked, at) for at in governed]
        by = frozenset[str]().union(*deciding)
        if all(deciding):
            return "allow", by
        # An ungoverned receiver lets everything in, so beside one that denies the Service as a whole does both.
        return ("mixed" if by or len(governed) < len(receivers) else "deny"), by

    def _of_all(self, words: Iterable[BackendWord], receivers: Sequence[Situation]) -> VerdictWord:
        """Fold the words of all backends into the verdict of a Service."""
        verdicts = set(words)
        if receivers and not any(self._governs(at) for at in receivers):
            return "ungoverned"
        if verdicts == {"allow"}:
            return "allow"
        return "mixed" if verdicts & {"allow", "mixed"} else "deny"


class _Asked(Struct, frozen=True):
    """A request with what is computed of it once."""

    request: Request
    callers: frozenset[SubjectKey]
    http: Http


def semantics(documents: Sequence[Document], governed: GovernedNamespaces, request: Request) -> Answer:
    """Judge one request against documents under the default reading; for many requests build a `Semantics` once."""
    return Semantics(documents, governed=governed).judge(request)
