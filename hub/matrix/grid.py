"""The matrix: for each caller and each receiver what of all requests is allowed, by SMI and by every mesh.

Nothing is sampled: each receiver is asked one request of every class (hub.matrix.asked), and callers that neither an object nor
a grant names apart are answered once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from hub.errors import SmihubError
from hub.explain import Explainer
from hub.matrix.asked import RequestClass, UndecidedError, asked, ports_of, undecided
from hub.matrix.emitted import told_by
from hub.matrix.parties import NO_IDENTITY, Party, apart, classes_of, parties_of
from hub.model import Access, Answer, Destination, InboundPort, Placement, Request, UnitKey
from hub.regex import RegexRefusedError

Progress = Callable[[int, int], None]
"""Told how many receivers are done, of how many."""
_PROTOCOLS = ("http", "tcp", "udp")


class Word(StrEnum):
    """How much of all requests is allowed."""

    NONE = "none"
    PART = "part"
    ALL = "all"


class Verdicts(Struct, frozen=True):
    """Whether SMI allows something, what each mesh says, and the losses where they differ."""

    smi: bool
    meshes: Mapping[str, bool]
    losses: Mapping[str, tuple[str, ...]]

    @property
    def differs(self) -> bool:
        """Whether a mesh says something else than SMI."""
        return any(word is not self.smi for word in self.meshes.values())


class AllowedRequest(Verdicts, frozen=True):
    """One request that is allowed somewhere."""

    request: Request


class PortCell(Struct, frozen=True):
    """One port of a receiver and one protocol: how much SMI and each mesh allow, and the requests that say so.

    `port` None is any port that nobody names. `expected`: the port speaks this protocol, as far as anything declares it.
    """

    port: int | None
    protocol: str
    expected: bool
    smi: Word
    meshes: Mapping[str, Word]
    shown: tuple[AllowedRequest, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether a mesh says something else than SMI of any request."""
        return any(each.differs for each in self.shown)


class Cell(Struct, frozen=True):
    """What one caller may send to one receiver, by port and protocol; entries of which nothing is allowed anywhere are left out.

    `undecided` says why the cell is not decided ("" if it is). `whole` counts the ports and protocols that the receiver declares.
    """

    entries: tuple[PortCell, ...] = ()
    undecided: str = ""
    whole: int = 0

    def word(self, mesh: str = "") -> Word:
        """How much of all that the receiver's ports are declared for SMI ("") or a mesh allows."""
        words = [each.meshes[mesh] if mesh else each.smi for each in self.entries]
        if all(word is Word.NONE for word in words):
            return Word.NONE
        full = sum(1 for each, word in zip(self.entries, words, strict=True) if each.expected and word is Word.ALL)
        return Word.ALL if self.whole and full == self.whole else Word.PART

    @property
    def differs(self) -> bool:
        """Whether a mesh says something else than SMI of any request.

        On ports that nobody names nobody is known to receive, so less than SMI allows is no difference there; more always is.
        """
        return any(
            each.differs and (entry.port is not None or not each.smi) for entry in self.entries for each in entry.shown
        )


class Receiver(Struct, frozen=True):
    """One column: its cells by caller, the requests that it was asked on each port, one for each class, and those ports.

    `workloads` (`ns/name`) were asked one by one, since they may differ; none where all are alike.
    """

    name: str
    cells: Mapping[str, Cell]
    requests: tuple[RequestClass, ...] = ()
    ports: tuple[int, ...] = ()
    workloads: tuple[str, ...] = ()


class Matrix(Struct, frozen=True):
    """All cells: a row for each caller and a column for each receiver, the meshes, and how many verdicts were asked."""

    callers: tuple[Party, ...]
    receivers: tuple[Receiver, ...]
    meshes: tuple[str, ...]
    verdicts: int = 0


def _unwatched(_done: int, _of: int) -> None:
    """Nobody looks."""


class UnknownPartyError(SmihubError):
    """Nobody has the name of a caller or receiver that a matrix should be about; `role` is which."""

    def __init__(self, role: Literal["caller", "receiver"]) -> None:
        super().__init__(f"no such {role} in the sources")
        self.role = role


def matrix_of(
    explainer: Explainer, progress: Progress = _unwatched, *, caller: str | None = None, receiver: str | None = None
) -> Matrix:
    """Decide every cell, or (by name) those of one caller or receiver. Pure, but for what `progress` does. Raises UnknownPartyError."""
    parties = parties_of(explainer.compiled)
    callers = tuple(each for each in (*parties.callers, NO_IDENTITY) if caller in {None, each.name})
    receivers = {name: key for name, key in parties.receivers.items() if receiver in {None, name}}
    if not callers:
        raise UnknownPartyError("caller")
    if receiver is not None and not receivers:
        raise UnknownPartyError("receiver")
    counted = _Counted(explainer)
    found: list[Receiver] = []
    for done, (name, key) in enumerate(receivers.items()):
        progress(done, len(receivers))
        found.append(_receiver(counted, name, key, callers, parties.workloads.get(name, ())))
    return Matrix(callers, tuple(found), explainer.meshes, counted.asked)


class _Counted:
    """An explainer that counts what it is asked."""

    def __init__(self, explainer: Explainer) -> None:
        self.explainer, self.asked = explainer, 0

    def explain(self, request: Request) -> tuple[Answer, Mapping[str, Answer]]:
        self.asked += 1 + len(self.explainer.meshes)
        return self.explainer.explain(request)


def _receiver(
    counted: _Counted, name: str, key: UnitKey, callers: Sequence[Party], placed: Sequence[Placement]
) -> Receiver:
    """One column, decided."""
    access = counted.explainer.compiled.units[key]
    if not isinstance(access, Access):
        raise TypeError(f"{key} is not a receiver")
    views = [view for mesh in counted.explainer.meshes for view in counted.explainer.views(mesh, key)]
    headers = {name for grant in access.grants for match in grant.http or () for name, _ in match.headers}
    try:
        told = told_by(views, headers)
        requests = asked(access, told)
    except (RegexRefusedError, UndecidedError) as error:
        return Receiver(name, dict.fromkeys((party.name for party in callers), Cell(undecided=undecided(error))))
    ports, workloads = tuple(ports_of(access, told)), apart(placed, access, views)
    asking = _Asking(counted, access, requests, ports, _destinations(key, workloads))
    cells: dict[str, Cell] = {}
    for alike in classes_of(callers, access, views):
        cell = asking.cell(alike[0])
        cells |= {party.name: cell if party is alike[0] else _of(cell, party) for party in alike}
    return Receiver(name, {party.name: cells[party.name] for party in callers}, requests, ports, workloads)


def _destinations(key: UnitKey, workloads: Sequence[str]) -> tuple[Destination, ...]:
    """Each workload by itself where there are several, since a grant may be to some of them."""
    if workloads:
        return tuple(Destination(pod=each) for each in workloads)
    return (Destination(identity=f"{key.namespace}/{key.name}"),)


def _of(cell: Cell, party: Party) -> Cell:
    """The cell of a caller who is answered like another one, with its own name in the requests."""
    return replace(cell, entries=tuple(replace(each, shown=_sent_by(each.shown, party)) for each in cell.entries))


def _sent_by(shown: tuple[AllowedRequest, ...], party: Party) -> tuple[AllowedRequest, ...]:
    return tuple(replace(each, request=replace(each.request, src=party.source)) for each in shown)


class _Asking:
    """One receiver, ready to be asked for each caller."""

    def __init__(
        self,
        counted: _Counted,
        access: Access,
        requests: Sequence[RequestClass],
        ports: Sequence[int],
        destinations: Sequence[Destination],
    ) -> None:
        self._counted, self._access, self._requests = counted, access, requests
        self._destinations = destinations
        self._unnamed = next(port for port in range(1, 65536) if port not in ports)
        self._ports: list[int | None] = [*ports, None]

    def cell(self, party: Party) -> Cell:
        found = [self._entry(party, port, protocol) for port in self._ports for protocol in _PROTOCOLS]
        entries = tuple(each for each in found if each.shown)
        return Cell(entries, whole=sum(each.expected for each in found))

    def _entry(self, party: Party, port: int | None, protocol: str) -> PortCell:
        shown: list[AllowedRequest] = []
        counts: dict[str, int] = {}
        total = 0
        for request in self._sent(party, port, protocol):
            total += 1
            smi, meshes = self._counted.explain(request)
            said = {"": smi.verdict, **{name: answer.verdict for name, answer in meshes.items()}}
            allowed = {name: word in {"allow", "ungoverned"} for name, word in said.items()}
            for name, yes in allowed.items():
                counts[name] = counts.get(name, 0) + yes
            if any(allowed.values()):
                by_mesh = {name: allowed[name] for name in meshes}
                losses = {name: meshes[name].losses for name in meshes if allowed[name] != allowed[""]}
                shown.append(AllowedRequest(allowed[""], by_mesh, losses, request))
        words = {name: _word(count, total) for name, count in counts.items()}
        smi_word = words.pop("", Word.NONE)
        return PortCell(port, protocol, self._expects(port, protocol), smi_word, words, tuple(shown))

    def _sent(self, party: Party, port: int | None, protocol: str) -> Iterator[Request]:
        number = self._unnamed if port is None else port
        for destination in self._destinations:
            if protocol != "http":
                yield Request(party.source, destination, number, protocol)  # type: ignore[arg-type]
                continue
            for each in self._requests:
                yield Request(party.source, destination, number, "http", each.method, each.path, each.headers)

    def _expects(self, port: int | None, protocol: str) -> bool:
        return any(_speaks(each, protocol) for each in self._access.ports if each.port == port)


def _speaks(port: InboundPort, protocol: str) -> bool:
    """Whether a port is declared for a protocol, or for none in particular."""
    if port.transport == "UDP" or protocol == "udp":
        return port.transport == "UDP" and protocol == "udp"
    return port.declared in {protocol, "none", "unknown"}


def _word(count: int, total: int) -> Word:
    if count == 0:
        return Word.NONE
    return Word.ALL if count == total else Word.PART
