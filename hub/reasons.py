"""Which losses explain that a mesh does with one request something else than SMI says: those of what admits it, no others.

Pure. A unit is cut down to the grants and matches that admit the request (or the condition that it meets), and translated again:
what is lost then is the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from hub.model import (
    Access,
    Facts,
    Grant,
    HttpMatch,
    Identity,
    Loss,
    Reading,
    Request,
    Route,
    Split,
    Translation,
    Unit,
    UnitKey,
)
from hub.semantics.conditions import CompiledMatch, Compiler, Http, http_of
from hub.semantics.types import Match

Translate = Callable[[UnitKey, Unit], Translation]
_MOST_REMEMBERED = 4096


class ArrivingRequest(Struct, frozen=True):
    """A request, and by service account the workload ports at which it would arrive there."""

    request: Request
    ports: Mapping[Identity, Collection[int]]

    @property
    def transport(self) -> str:
        """What carries it."""
        return "UDP" if self.request.protocol == "udp" else "TCP"


class Reasons:
    """Finds reasons in one mesh: its units, and how each was and can be translated."""

    def __init__(
        self,
        units: Mapping[UnitKey, Unit],
        translations: Mapping[UnitKey, Translation],
        translate: Translate,
        facts: Facts,
    ) -> None:
        self._units = units
        self._translations = translations
        self._translate = translate
        self._facts = facts
        self._compiler = Compiler(Reading())  # the intent has its own reading in its patterns
        self._compiled: dict[HttpMatch, tuple[CompiledMatch, ...]] = {}
        self._lost: dict[tuple[UnitKey, object, Grant | Split], frozenset[Loss]] = {}

    def of(self, keys: Iterable[UnitKey], arriving: ArrivingRequest) -> frozenset[Loss]:
        """The losses of these units that explain what becomes of a request."""
        http = http_of(arriving.request)
        found = set[Loss]()
        for key in keys:
            translation, unit = self._translations.get(key), self._units.get(key)
            if translation is None or not translation.losses:
                continue
            if isinstance(unit, Access):
                found |= self._of_access(key, unit, arriving, http)
            elif isinstance(unit, Route):
                found |= self._of_route(key, unit, arriving, http)
        return frozenset(found)

    def opened(self, keys: Iterable[UnitKey], codes: Collection[str]) -> frozenset[Loss]:
        """What settings open in these units, under these codes."""
        told = (loss for key in keys if key in self._translations for loss in self._translations[key].losses)
        return frozenset(loss for loss in told if loss.is_unenforced and loss.code in codes)

    def _of_access(self, key: UnitKey, unit: Access, arriving: ArrivingRequest, http: Http) -> frozenset[Loss]:
        admitting = [piece for grant in unit.grants for piece in self._admitting(grant, arriving, unit.identity, http)]
        pieces = frozenset[Loss]().union(*(self._losses(key, unit, piece) for piece in admitting))
        return pieces or self._beyond(key, {piece.origin for piece in admitting})

    def _of_route(self, key: UnitKey, unit: Route, arriving: ArrivingRequest, http: Http) -> frozenset[Loss]:
        """Those of the first layer that takes the request."""
        place = (arriving.request.port, arriving.transport)
        here = replace(unit, ports=tuple(port for port in unit.ports if (port.port, port.transport) == place))
        for split in (split for port in here.ports for split in port.splits):
            held = None if split.matches is None else tuple(one for one in split.matches if self._holds(one, http))
            if held is None or (held and arriving.request.protocol == "http"):
                piece = replace(split, matches=held)
                return self._losses(key, here, piece) or self._beyond(key, {split.origin})
        return frozenset()

    def _beyond(self, key: UnitKey, origins: Collection[object]) -> frozenset[Loss]:
        """Where no piece is lost by itself: what these objects lose for how many, or what else, they are."""
        return frozenset(loss for loss in self._translations[key].losses if loss.origin in origins)

    def _losses(self, key: UnitKey, unit: Access | Route, piece: Grant | Split) -> frozenset[Loss]:
        """What is lost of a unit that has nothing but this piece."""
        place = (key, unit.ports if isinstance(unit, Route) else (), piece)
        if place not in self._lost:
            if len(self._lost) >= _MOST_REMEMBERED:
                self._lost.clear()
            found = self._translate(key, _reduced(unit, piece)).losses
            # What settings open does not come from the piece, and refuses nothing of it.
            self._lost[place] = frozenset(
                loss for loss in found if loss.origin == piece.origin or not loss.is_unenforced
            )
        return self._lost[place]

    # ----------------------------------------------------------------------- what admits a request

    def _admitting(self, grant: Grant, arriving: ArrivingRequest, receiver: Identity, http: Http) -> Iterator[Grant]:
        """The grant for this caller, port and match alone, for each of its matches that holds."""
        if grant.transport != arriving.transport:
            return
        caller = self._caller(arriving.request)
        proven = caller in grant.sources
        if not proven and not grant.unauthenticated:
            return
        nobody = f"spiffe://{self._facts.trust_domain}/nobody"
        mine = replace(grant, sources=(caller,), unauthenticated=()) if proven else replace(grant, sources=(nobody,))
        for port in sorted(set(arriving.ports.get(receiver, ()))):
            if grant.names(port):
                if grant.http is None:
                    yield replace(mine, ports=(port,))
                for match in grant.http or ():
                    if self._holds(match, http):
                        yield replace(mine, ports=(port,), http=(match,))

    def _holds(self, match: HttpMatch, http: Http) -> bool:
        if match not in self._compiled:
            written = Match("m", match.path, frozenset(match.methods or ()), match.headers)
            anything = match.path is None and not match.methods and not match.headers
            self._compiled[match] = self._compiler.conditions(
                (replace(written, methods=frozenset({"*"})) if anything else written,)  # any path, also of no text
            )
        return match.methods != () and any(one.holds(http) for one in self._compiled[match])

    def _caller(self, request: Request) -> str:
        """The SPIFFE id with which a caller proves itself; "" if it has none."""
        source = request.src
        if source.spiffe is not None:
            return source.spiffe
        if source.identity is not None:
            namespace, slash, account = source.identity.partition("/")
            return Identity(self._facts.trust_domain, namespace, account).spiffe if slash else ""
        return self._standing.get(source.pod or "", "")

    @cached_property
    def _standing(self) -> Mapping[str, str]:
        """As whom each workload runs, by `namespace/name`; of a Pod and a Workload of one name, the first."""
        placed = reversed(list(self._facts.placements.items()))
        return {f"{ref.namespace}/{ref.name}": one.identity.spiffe for ref, one in placed}


def _reduced(unit: Access | Route, piece: Grant | Split) -> Unit:
    if isinstance(unit, Access) and isinstance(piece, Grant):
        return replace(unit, grants=(piece,))
    if isinstance(unit, Route) and isinstance(piece, Split):
        return replace(unit, ports=tuple(replace(port, splits=(piece,)) for port in unit.ports))
    return unit
