"""The sink `xds`: applied state in the state file, served to Envoys by our own ADS server.

`observe` and `write` work without serving, so that `apply` may run beside a serving hub; that one notices.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog
from msgspec import to_builtins
from msgspec.structs import replace

from adapters.vm import names
from adapters.vm.identity import tokens
from adapters.vm.identity.ca import Authority, Secret, make_root
from adapters.vm.resource import Resource, Snapshot
from adapters.vm.serve import status
from adapters.vm.serve.client import ClientAnswer
from adapters.vm.serve.fleet import Fleet
from adapters.vm.serve.seal import Check, Sealer
from adapters.vm.serve.server import AdsServer, Session
from adapters.vm.serve.sockets import XdsConfig, server_sockets
from adapters.vm.state.revisions import RevisionDiff, State, StoredObject
from hub.api import (
    Change,
    ConfigError,
    Facts,
    ObjectRef,
    Observation,
    SinkContext,
    UnitKey,
    UnsafeResourceError,
    Written,
)
from hub.private import claim
from hub.threads import run_in_thread

_TICK_S = 0.1
_LOOK_S = 1.0
_NOTHING: Mapping[ObjectRef, Resource] = {}
_log = structlog.get_logger(__name__)

Clock = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """The time in UTC."""
    return dt.datetime.now(dt.UTC)


class XdsSink:
    """A `hub.api.LiveSink` for one mesh in one state file; `check` is the structural check on final bytes."""

    def __init__(
        self, state: State, context: SinkContext, config: XdsConfig, check: Check, clock: Clock = utc_now
    ) -> None:
        if config.certificate_life_s < 1:
            raise ConfigError("certificate_life_s must be at least 1")
        self._state = state
        self._context = context
        self._config = config
        self._lock: int | None = None
        self._check = check
        self._clock = clock
        self._fleet: Fleet | None = None
        self._server: AdsServer | None = None
        self._maintenance: asyncio.Task[None] | None = None
        self._statuses = status.StatusTracker()
        self._sealed: tuple[Sequence[Change], Mapping[ObjectRef, Resource]] = ((), {})  # what `refused` looked at
        self._revision = 0
        self._seen_version = 0
        self._withheld = ""
        self._closed = False
        self._reported_ended: set[str] = set()  # workloads of which was logged that their token has ended

    # -- what any sink does

    async def observe(self) -> Observation:
        """All applied objects, as one revision."""
        return self._state.observe()

    def refused(self, changes: Sequence[Change]) -> list[Written]:
        """Objects that no revision may hold: a row for each that is not safe to serve."""
        try:
            self._sealed = (changes, self._seal(changes))
        except UnsafeResourceError:
            return [row for change in changes if (row := self._refusal(change)) is not None]
        return []

    def _refusal(self, change: Change) -> Written | None:
        try:
            self._seal((change,))
        except UnsafeResourceError as error:
            return Written(change.ref, "refused", detail=str(error))
        return None

    async def write_all(self, changes: Sequence[Change], memory: Mapping[UnitKey, bytes], token: str) -> str:
        """Write one revision and serve it; it survives a loss of power once this has returned.

        Raises UnsafeResourceError or StaleError, with nothing written.
        """
        # Sealing and checking is most of a write, and `refused` has just done it for these very changes.
        known, ready = self._sealed
        self._sealed = ((), {})
        sealed = ready if known == changes else self._seal(changes)
        diff = self._state.write(changes, memory, token)
        if self._server is not None:
            # What we wrote ourselves need not be read again, unless we do not serve the revision before it.
            next_one = diff.revision == self._revision + 1
            # First of all: whose token ended with this revision gets nothing of it.
            self._recheck_tokens(
                {each.ref.name for each in changes if each.ref.kind == names.WORKLOAD} if next_one else None
            )
            self._wake(self._apply(diff, sealed) if next_one else self._advance())
            for _ in range(2):  # the streams make their responses and send them, before anybody writes its status
                await asyncio.sleep(0)
        # Sidecars need not wait for the disk: should the revision be lost, so is what the hub served with it, and the one
        # before is served again. Nor does anybody else: a slow disk would hold up every stream and every other mesh.
        await run_in_thread(self._state.sync)
        return diff.token

    async def changes(self) -> AsyncIterator[str]:
        """See `hub.api.Watching`: the token of each new revision."""
        seen = self._state.head()[1]
        while True:
            await asyncio.sleep(_LOOK_S)
            if (now := self._state.head()[1]) != seen:
                yield now
                seen = now

    # -- what a live sink does

    async def start(self) -> None:
        """Serve the last revision with the last endpoints. Raises ConfigError if another process does, or no socket can be had.

        RefusedError where it is of another owner.
        """
        self._state.refuse_others()
        self._lock = self._lock_mesh()
        fleet = self._load_fleet()
        # Before anybody is served: a snapshot without endpoints would tell sidecars that nobody stands behind a Service.
        fleet.publish(self._state.endpoints())
        sockets = server_sockets(self._config, self._context)
        server = AdsServer(sockets, self, self._clock)
        # The version before the revision: what another process writes in between is then looked at once more, not missed.
        self._seen_version = self._state.data_version()
        self._advance()
        await server.start()
        self._server = server
        self._maintenance = asyncio.create_task(self._maintain())
        _log.info("serving_started", mesh=self._state.mesh, address=sockets[0].address, revision=self._revision)

    async def publish(self, facts: Facts) -> None:
        """Serve these endpoints and keep them for a restart; only those change that differ."""
        touched, changed = self._load_fleet().publish(facts.endpoints)
        gone = [key for key in changed if key not in facts.endpoints]
        if changed:
            self._state.store_endpoints({key: facts.endpoints[key] for key in changed if key in facts.endpoints}, gone)
        self._wake(touched)

    async def close(self) -> None:
        """Stop accepting, end every stream, note in the state file that nobody is connected; deletes nothing."""
        if self._closed:
            return
        self._closed = True
        # First of all: it writes to the state that is closed below.
        if self._maintenance is not None:
            self._maintenance.cancel()
            with suppress(asyncio.CancelledError):
                await self._maintenance
        if self._server is not None:
            await self._server.stop()
        self._flush()
        self._state.close()
        if self._lock is not None:
            os.close(self._lock)

    # -- what the ADS server asks

    def bearer(self, token: Secret) -> tokens.Bearer | None:
        """Whose token this is, or None."""
        return tokens.bearer(token, self._state.tokens)

    def snapshot(self, workload: str) -> Snapshot | None:
        """What the workload must get now; None while nothing was ever applied."""
        return None if self._revision == 0 else self._load_fleet().snapshot(workload, self._clock())

    def opened(self, session: Session) -> None:
        """Note a new stream; one whose token has ended is no word of its Workload's, and is told what to do."""
        if session.ended:
            self._report_ended({session.workload})
        else:
            self._reported_ended.discard(session.workload)
            self._statuses.opened(session)

    def heard(self, session: Session, answers: tuple[ClientAnswer, ...]) -> None:
        """Note a client's answers; a refusal is logged once per resource and version."""
        for answer in self._statuses.heard(session, answers, self._clock()):
            _log.warning(
                "resource_refused",
                workload=session.workload,
                resource=f"{status.kind(answer)} {answer.name}",
                detail=answer.detail,
            )

    def closed(self, session: Session) -> None:
        """Note the end of a stream, and drop the key of a workload that is gone."""
        self._statuses.closed(session)
        if self._server is not None and not self._server.connected(session.workload):
            self._load_fleet().forget(session.workload)

    # -- status

    @property
    def address(self) -> str:
        """Where new Envoys are told to find the hub: `unix:/path`. Raises ConfigError."""
        return server_sockets(self._config, self._context)[0].address

    def status(self) -> dict[str, status.WorkloadStatus]:
        """What each workload's sidecar has accepted; read from the state file if another process serves."""
        if self._server is None:
            return status.decode(self._state.statuses())
        return self._statuses.all(self._revision, self._clock())

    def report(self) -> Mapping[str, Any]:
        """`status` of every applied workload as JSON-like data, of those too that never connected.

        `unit` is the unit that it belongs to. None is programmed whose sidecar was not yet offered the newest revision, be it late or withheld, or that has no
        token which holds (`enrolled`): never issued, or ended when the Workload was deleted or changed its account.
        """
        heard, newest = self.status(), self._state.head()[0]
        owners = self._state.owners(names.GROUP, "Workload")
        applied, enrolled = {ref.name: str(unit) for ref, unit in sorted(owners.items())}, self._state.enrolled()
        rows = {name: heard.get(name, status.WorkloadStatus(name, 0)) for name in applied}
        return {
            name: {
                **to_builtins(replace(row, programmed=row.programmed and row.revision == newest and name in enrolled)),
                "enrolled": name in enrolled,
                "unit": applied[name],
            }
            for name, row in rows.items()
        }

    def issue(self, write: Callable[[State, str], tuple[str, ...]]) -> tuple[str, ...]:
        """Let `write` (the state, our address) issue a workload's token; streams whose token ended by that end at once."""
        self._state.refuse_others()
        issued = write(self._state, self.address)
        self._recheck_tokens()
        return issued

    # -- inside

    def _lock_mesh(self) -> int:
        """One process serves a mesh of a state, whatever sockets it listens on."""
        mesh = self._context.mesh
        return claim(self._context.state / f"{mesh}.lock", f'mesh "{mesh}" is served')

    def _seal(self, changes: Sequence[Change]) -> Mapping[ObjectRef, Resource]:
        written = ((change.after, change.unit) for change in changes if change.after is not None)
        return self._load_fleet().seal(StoredObject.of(after, unit, "") for after, unit in written)

    def _load_fleet(self) -> Fleet:
        if self._fleet is None:
            root = self._state.authority(make_root(self._context.trust_domain, self._clock()))
            authority = Authority(root, dt.timedelta(seconds=self._config.certificate_life_s))
            self._fleet = Fleet(Sealer(root.certificate, self._check), authority)
        return self._fleet

    def _advance(self) -> set[str]:
        diff = self._state.since(self._revision)
        return self._apply(diff) if diff.revision != self._revision else set()

    def _apply(self, diff: RevisionDiff, ready: Mapping[ObjectRef, Resource] = _NOTHING) -> set[str]:
        try:
            # All of a revision or nothing: a grant may be safe only beside the guard that came with it. What was served
            # before stays served, and the next revision is tried again.
            touched = self._load_fleet().advance(diff, ready)
        except UnsafeResourceError as error:
            if self._withheld != str(error):
                _log.error("revision_withheld", mesh=self._state.mesh, revision=diff.revision, reason=str(error))
            self._withheld = str(error)
            return set()
        first = self._revision == 0
        self._revision, self._withheld = diff.revision, ""
        self._statuses.dirty_all()
        return touched | {session.workload for session in self._sessions() if first}

    def _sessions(self) -> tuple[Session, ...]:
        return () if self._server is None else self._server.sessions

    def _recheck_tokens(self, workloads: set[str] | None = None) -> None:
        """Look again at the tokens of open streams: of these workloads, or of all."""
        if self._server is not None:
            self._report_ended(self._server.recheck_tokens(workloads))

    def _report_ended(self, workloads: set[str]) -> None:
        """Sidecars came, or are here, with tokens that have ended: once each, until one with a token that holds comes."""
        for workload in sorted(workloads - self._reported_ended):
            _log.warning(
                "token_ended", workload=workload, remedy=f"smihub bootstrap {workload} --out FOLDER of its Envoy"
            )
        self._reported_ended |= workloads

    def _wake(self, workloads: set[str]) -> None:
        if self._server is not None and workloads:
            self._server.wake(workloads)

    async def _maintain(self) -> None:
        """Notice what other processes wrote, renew certificates in time, and store what sidecars said."""
        while True:
            await asyncio.sleep(_TICK_S)
            try:
                version = self._state.data_version()
                if version != self._seen_version:
                    self._recheck_tokens()
                    self._wake(self._advance())
                    self._seen_version = version  # last: what a locked file hindered is looked at again
                self._wake(self._load_fleet().renew(self._clock()))
                self._flush()
            except Exception:  # noqa: BLE001 - a full disk or a locked file must not end serving; it is logged and tried again
                _log.exception("serving_hiccup", mesh=self._state.mesh)

    def _flush(self) -> None:
        bodies = self._statuses.flush(self._revision, self._clock())
        if bodies:
            self._state.store_statuses(bodies)
