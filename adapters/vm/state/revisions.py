"""The state file of VM meshes: one SQLite database that survives SIGKILL at any moment.

It holds per mesh: the applied objects with their history as revisions, what the hub remembers per unit, the
authority, hashes of the workloads' tokens, the last published endpoints, and what the sidecars said.
A revision is written in one transaction that compares the token of the revision before; tokens of Workloads that it
deletes, or gives another account, end in that transaction.
Source: SQLite, "Write-Ahead Logging" and "Atomic Commit In SQLite".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from adapters.vm import names
from adapters.vm.identity.ca import Root, Secret
from adapters.vm.identity.tokens import StoredToken
from adapters.vm.resource import version_of
from adapters.vm.state import marks
from adapters.vm.state.file import closed_on_error, open_state, sync, synced_later, translate_sqlite_errors
from hub.api import (
    Change,
    Endpoint,
    NativeObject,
    ObjectRef,
    Observation,
    Observed,
    RefusedError,
    Role,
    StaleError,
    UnitKey,
)

_KEPT_REVISIONS = 32
_PRUNED_EVERY = 16  # revisions: older ones go together
_KEPT_TOKENS = 4  # that ended, per workload: whoever still comes with one is told to let go of everything

T = TypeVar("T")
ServiceKey = tuple[str, str, int]
"""(namespace, service, port)."""


class StoredObject(Struct, frozen=True, gc=False):
    """One applied object; `mark` is that of its life, where its kind has lives (adapters.vm.state.marks)."""

    ref: ObjectRef
    body: bytes
    unit: UnitKey
    role: Role
    needs: tuple[ObjectRef, ...]
    token: str
    mark: str = ""

    @classmethod
    def of(cls, native: NativeObject, unit: UnitKey, token: str, mark: str = "") -> StoredObject:
        """The object as it stands once it is written."""
        return cls(native.ref, native.body, unit, native.role, native.needs, token, mark)


class RevisionDiff(Struct, frozen=True, gc=False):
    """What changed between two revisions (from nothing: everything): the newer one's number and token."""

    revision: int
    token: str
    upserts: Mapping[ObjectRef, StoredObject]
    deleted: tuple[ObjectRef, ...] = ()
    whole: bool = False  # the upserts are everything there is


class State:
    """One mesh's part of a state file, for one owner, in one domain. Raises ConfigError where it is not usable or not private.

    A mesh is in one domain, so its units are told as of that one, whatever it was called when they were written.
    """

    def __init__(self, path: Path, mesh: str, owner: str = "", domain: str = "default") -> None:
        self.mesh = mesh
        self._owner = owner
        self._domain = domain
        self._former_rows: dict[UnitKey, list[str]] = {}  # rows of memory that have another domain's name
        self._path = path
        self._written = self._synced = 0  # revisions of this process
        self._db = open_state(path)
        with closed_on_error(self._db), self._transaction():
            self._db.execute("INSERT OR IGNORE INTO meshes VALUES (?, 0, '', '')", (mesh,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def data_version(self) -> int:
        """A number that changes whenever another process wrote to the file; costs microseconds."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    # -- revisions

    def head(self) -> tuple[int, str]:
        """Number and token of the newest revision; (0, "") = nothing was ever applied."""
        row = self._db.execute("SELECT revision, token FROM meshes WHERE name = ?", (self.mesh,)).fetchone()
        return int(row[0]), str(row[1])

    def recorded_owner(self) -> str:
        """The owner for whom the mesh was written; "" = nobody's yet."""
        return str(self._db.execute("SELECT owner FROM meshes WHERE name = ?", (self.mesh,)).fetchone()[0])

    def refuse_others(self) -> None:
        """Raise RefusedError where the mesh was written for another owner than ours."""
        held = self.recorded_owner()
        if held not in {"", self._owner}:
            raise RefusedError(
                f'mesh "{self.mesh}" of "{self._path}" was written by another smihub.yaml, with owner {held[:8]}...'
            )

    def since(self, revision: int) -> RevisionDiff:
        """What changed after this revision; everything if it is 0 or its history is gone."""
        # Number and rows of one snapshot, whatever another process writes in between.
        with self._transaction("DEFERRED"):
            newest, token = self.head()
            # A number that is ahead of ours: an older file was put back, so nothing that is served need be right.
            if revision == 0 or revision > newest or newest - revision >= _KEPT_REVISIONS:
                rows = self._rows("died IS NULL")
                return RevisionDiff(newest, token, {item.ref: item for item in rows}, whole=True)
            upserts = {item.ref: item for item in self._rows("died IS NULL AND born > ?", revision)}
            gone = self._db.execute("SELECT ref FROM objects WHERE mesh = ? AND died > ?", (self.mesh, revision))
            refs = {_decode(str(row[0]), ObjectRef) for row in gone}
            return RevisionDiff(newest, token, upserts, tuple(sorted(refs - upserts.keys())))

    def observe(self) -> Observation:
        """All applied objects and all memory, as one revision, which survives a loss of power."""
        self.sync()
        with self._transaction("DEFERRED"):
            token = self.head()[1]
            objects = {
                item.ref: Observed(item.ref, item.body, item.unit, item.token, item.role, item.needs)
                for item in self._rows("died IS NULL")
            }
            rows = self._db.execute("SELECT unit, body FROM memory WHERE mesh = ?", (self.mesh,))
            memory = self._recalled((str(unit), bytes(body)) for unit, body in rows)
            held = self.recorded_owner()
        return Observation(objects, memory, token, held)

    def _recalled(self, rows: Iterable[tuple[str, bytes]]) -> dict[UnitKey, bytes]:
        """The memory; where a unit has a row for each of two names of the domain, the one of today counts."""
        memory: dict[UnitKey, bytes] = {}
        self._former_rows.clear()
        for text, body in rows:
            unit = self._with_our_domain(_decode(text, UnitKey))
            if _encode(unit) == text:
                memory[unit] = body
            else:
                self._former_rows.setdefault(unit, []).append(text)
                memory.setdefault(unit, body)
        return memory

    def _with_our_domain(self, unit: UnitKey) -> UnitKey:
        return unit if unit.domain == self._domain else replace(unit, domain=self._domain)

    def refs(self, group: str, kind: str) -> list[ObjectRef]:
        """The refs of all applied objects of one kind."""
        return sorted(self.owners(group, kind))

    def owners(self, group: str, kind: str) -> dict[ObjectRef, UnitKey]:
        """The unit of each applied object of one kind."""
        # A ref is stored as JSON with group and kind in front, so all of one kind share a prefix.
        prefix = _encode(ObjectRef(group, kind, "", "")).partition('"namespace"')[0]
        query = "SELECT ref, unit FROM objects WHERE mesh = ? AND died IS NULL AND substr(ref, 1, ?) = ?"
        rows = self._db.execute(query, (self.mesh, len(prefix), prefix))
        return {_decode(str(ref), ObjectRef): _decode(str(unit), UnitKey) for ref, unit in rows}

    def apply(self, changes: Sequence[Change], memory: Mapping[UnitKey, bytes], token: str) -> str:
        """Write one revision and give its token. Raises StaleError, with nothing written, if `token` is not the head's."""
        written = self.write(changes, memory, token)
        self.sync()
        return written.token

    def sync(self) -> None:
        """Have what `write` wrote survive a loss of power. Raises TransientError. May run in a thread beside everything else."""
        written = self._written
        if written > self._synced:
            sync(self._path)
            self._synced = written

    def write(self, changes: Sequence[Change], memory: Mapping[UnitKey, bytes], token: str) -> RevisionDiff:
        """The same; gives all that it wrote, which survives the end of the process, but a loss of power only after `sync`."""
        upserts: dict[ObjectRef, StoredObject] = {}
        with synced_later(self._db), self._transaction("IMMEDIATE"):
            # Looked at in here: since the plan was made, another process may have written a revision, or taken the mesh.
            self.refuse_others()
            revision, head = self.head()
            if token != head:
                raise StaleError(f'mesh "{self.mesh}" changed while this plan was made; plan again')
            after = _next_token(revision + 1, head, changes, memory)
            for change in changes:
                stored = self._change(change, revision + 1, after)
                if stored is not None:
                    upserts[change.ref] = stored
            self._remember(memory)
            self._db.execute(
                "UPDATE meshes SET revision = ?, token = ?, owner = ? WHERE name = ?",
                (revision + 1, after, self._owner, self.mesh),
            )
            self._prune(revision + 1)
        self._written += 1
        deleted = tuple(sorted(each.ref for each in changes if each.after is None))
        return RevisionDiff(revision + 1, after, upserts, deleted)

    def _rows(self, where: str, *values: int) -> Iterator[StoredObject]:
        query = f"SELECT ref, body, unit, role, needs, token, mark FROM objects WHERE mesh = ? AND {where}"  # noqa: S608 - `where` is one of ours
        for ref, body, unit, role, needs, token, mark in self._db.execute(query, (self.mesh, *values)):
            yield StoredObject(
                _decode(ref, ObjectRef),
                bytes(body),
                self._with_our_domain(_decode(unit, UnitKey)),
                Role(role),
                _decode(needs, tuple[ObjectRef, ...]),
                token,
                mark,
            )

    def _change(self, change: Change, revision: int, token: str) -> StoredObject | None:
        ref, after = _encode(change.ref), change.after
        # Before the old row ends: whether the object lives on is seen from what stands.
        mark = "" if after is None or after.ref.kind not in marks.MARKED else self._mark(ref, after, change.unit)
        if change.ref.kind == names.WORKLOAD:
            # In the same transaction: no revision may leave a token that holds to a Workload that it takes away.
            self._end_tokens(change.ref.name, "" if after is None else marks.account_of(after.body))
        # Rows are ended, not changed: `since` tells a serving hub what came and went after the revision that it serves.
        self._db.execute(
            "UPDATE objects SET died = ? WHERE mesh = ? AND ref = ? AND died IS NULL", (revision, self.mesh, ref)
        )
        if after is None:
            return None
        about = (_encode(change.unit), after.role.value, _encode(after.needs))
        row = (self.mesh, ref, *about, after.body, token, revision, mark)
        self._db.execute("INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)", row)
        return StoredObject.of(after, change.unit, token, mark)

    def _mark(self, ref: str, after: NativeObject, unit: UnitKey) -> str:
        """The mark of what stands, where the same unit lets it live on; a new one otherwise."""
        query = "SELECT body, unit, mark FROM objects WHERE mesh = ? AND ref = ? AND died IS NULL"
        row = self._db.execute(query, (self.mesh, ref)).fetchone()
        lives_on = row is not None and row[1] == _encode(unit) and marks.same_life(bytes(row[0]), after)
        return str(row[2]) if lives_on else marks.new_mark()

    def _remember(self, memory: Mapping[UnitKey, bytes]) -> None:
        for unit, body in memory.items():
            for former in self._former_rows.pop(unit, ()):
                self._db.execute("DELETE FROM memory WHERE mesh = ? AND unit = ?", (self.mesh, former))
            key = (self.mesh, _encode(unit))
            if body:
                self._db.execute("INSERT OR REPLACE INTO memory VALUES (?, ?, ?)", (*key, body))
            else:
                self._db.execute("DELETE FROM memory WHERE mesh = ? AND unit = ?", key)

    def _prune(self, revision: int) -> None:
        if revision % _PRUNED_EVERY == 0:
            old = (self.mesh, revision - _KEPT_REVISIONS)
            self._db.execute("DELETE FROM objects WHERE mesh = ? AND died <= ?", old)

    # -- authority and tokens

    def authority(self, fresh: Root) -> Root:
        """The mesh's authority; `fresh` becomes it if there is none yet."""
        with self._transaction("IMMEDIATE"):
            # Of two processes that start at the same time, the first one's root stays, and both go on with it.
            row = (self.mesh, fresh.certificate, fresh.key.reveal())
            self._db.execute("INSERT OR IGNORE INTO authorities VALUES (?, ?, ?)", row)
            kept = self._db.execute("SELECT certificate, key FROM authorities WHERE mesh = ?", (self.mesh,)).fetchone()
        return Root(bytes(kept[0]), Secret(bytes(kept[1])))

    def tokens(self, workload: str) -> tuple[StoredToken, ...]:
        """The tokens that a workload (`ns/name`) has or had: at most one that holds, and the last ones that ended."""
        query = "SELECT hash, ended FROM tokens WHERE mesh = ? AND workload = ?"
        rows = self._db.execute(query, (self.mesh, workload))
        return tuple(StoredToken(bytes(digest), bool(ended)) for digest, ended in rows)

    def enrolled(self) -> frozenset[str]:
        """The workloads that have a token which holds."""
        rows = self._db.execute("SELECT workload FROM tokens WHERE mesh = ? AND NOT ended", (self.mesh,))
        return frozenset(str(row[0]) for row in rows)

    def store_token_hash(self, workload: str, digest: bytes) -> None:
        """Make this the token of a workload, for as long as it stands with the account that it has now."""
        with self._transaction("IMMEDIATE"):
            key = (self.mesh, workload)
            # A token that is replaced is deleted, not ended: whoever still comes with it is refused and keeps what it
            # has, where an ended one takes everything away from a workload that is still enrolled.
            self._db.execute("DELETE FROM tokens WHERE mesh = ? AND workload = ? AND NOT ended", key)
            newest = "SELECT hash FROM tokens WHERE mesh = ? AND workload = ? ORDER BY rowid DESC LIMIT ?"
            old = f"DELETE FROM tokens WHERE mesh = ? AND workload = ? AND hash NOT IN ({newest})"  # noqa: S608 - ours
            self._db.execute(old, (*key, *key, _KEPT_TOKENS))
            row = (*key, digest, self._account(workload))
            self._db.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?, 0)", row)

    def _account(self, workload: str) -> str:
        query = "SELECT body FROM objects WHERE mesh = ? AND ref = ? AND died IS NULL"
        ref = _encode(names.ref(names.WORKLOAD, workload))
        row = self._db.execute(query, (self.mesh, ref)).fetchone()
        return "" if row is None else marks.account_of(bytes(row[0]))

    def _end_tokens(self, workload: str, account: str) -> None:
        """The Workload is gone (no account), or has this one: tokens for another end, for ever."""
        query = "UPDATE tokens SET ended = 1 WHERE mesh = ? AND workload = ? AND account != ?"
        self._db.execute(query, (self.mesh, workload, account))

    # -- endpoints: a cache of what was published last

    def endpoints(self) -> dict[ServiceKey, tuple[Endpoint, ...]]:
        """The endpoints that were published last."""
        query = "SELECT namespace, service, port, body FROM endpoints WHERE mesh = ?"
        with translate_sqlite_errors(self._path):
            rows = self._db.execute(query, (self.mesh,))
            return {(ns, service, port): _decode(body, tuple[Endpoint, ...]) for ns, service, port, body in rows}

    def store_endpoints(self, changed: Mapping[ServiceKey, tuple[Endpoint, ...]], gone: Iterable[ServiceKey]) -> None:
        """Replace the endpoints of the changed service ports and forget those that are gone."""
        with self._transaction("IMMEDIATE"):
            for key, items in changed.items():
                row = (self.mesh, *key, msgspec.json.encode(items))
                self._db.execute("INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?, ?, ?)", row)
            for key in gone:
                self._db.execute(
                    "DELETE FROM endpoints WHERE mesh = ? AND namespace = ? AND service = ? AND port = ?",
                    (self.mesh, *key),
                )

    # -- what sidecars said

    def statuses(self) -> dict[str, bytes]:
        """The last stored status of each workload, as it was given."""
        query = "SELECT workload, body FROM status WHERE mesh = ? ORDER BY workload"
        with translate_sqlite_errors(self._path):
            return {str(workload): bytes(body) for workload, body in self._db.execute(query, (self.mesh,))}

    def store_statuses(self, bodies: Mapping[str, bytes]) -> None:
        """Store these workloads' statuses."""
        with self._transaction("IMMEDIATE"):
            rows = [(self.mesh, workload, body) for workload, body in bodies.items()]
            self._db.executemany("INSERT OR REPLACE INTO status VALUES (?, ?, ?)", rows)

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        with translate_sqlite_errors(self._path):
            self._db.execute(f"BEGIN {kind}")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk made SQLite roll back by itself: the cause is to be told
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _next_token(revision: int, before: str, changes: Sequence[Change], memory: Mapping[UnitKey, bytes]) -> str:
    # Each token is made from the one before, so two copies of a file that went different ways never agree on one again.
    digest = blake2b(before.encode(), digest_size=16)
    for change in changes:
        body = b"" if change.after is None else change.after.body
        digest.update(msgspec.json.encode((change.op.value, change.ref, version_of(body))))
    for unit in sorted(memory):
        digest.update(msgspec.json.encode((unit, version_of(memory[unit]))))
    return f"{revision}-{digest.hexdigest()}"


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _decode(raw: str | bytes, kind: type[T]) -> T:
    return msgspec.json.decode(raw, type=kind)
