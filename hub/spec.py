"""The contracts of plugins: adapters as data and pure functions, sinks, sources, and the records that name them.

Plugins import these from `hub.api`; hooks that hand them over are in hub.hookspec.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar, Concatenate, Generic, Literal, Protocol, TypeVar, runtime_checkable

from msgspec import Struct, field
from msgspec.structs import replace

from hub.events import ObjectSource
from hub.family import FamilySpec
from hub.features import Feature, Support
from hub.model import (
    Answer,
    Change,
    Facts,
    NativeObject,
    ObjectRef,
    Observation,
    Observed,
    Request,
    Translation,
    Unit,
    UnitKey,
)
from hub.unseen import Excluded, Unseen, all_seen

ConfigT = TypeVar("ConfigT", bound=Struct)


class Evaluator(Protocol):
    """What a set of native objects means, written from the mesh's documentation alone."""

    def judge(self, request: Request) -> Answer:
        """The mesh's verdict on one request; raises UnmodelledError on anything it does not model."""


class Narrowing(Struct, frozen=True):
    """Something a mesh refuses whatever the policy says (a property of the mesh, not of one object)."""

    code: str
    message: str


def stateless(desired: Sequence[NativeObject], observed: Mapping[ObjectRef, Observed]) -> tuple[NativeObject, ...]:
    """The `carry_over` of an adapter whose objects depend on no history: desired as it is."""
    return tuple(desired)


def unannotated(settings: Any) -> Mapping[str, str]:
    """The `annotations` of an adapter that asks for none."""
    return {}


def as_declared(settings: Any) -> Mapping[Feature, Support]:
    """The `improves` of an adapter of which no setting changes how well it supports a feature."""
    return {}


def as_written(settings: ConfigT, others: Iterable[Mapping[str, Any]], ours: Iterable[Mapping[str, Any]]) -> ConfigT:
    """The `learned` of an adapter whose settings say all."""
    return settings


def no_overrides(manifest: Mapping[str, Any]) -> str:
    """The `overrides` of an adapter that knows of no such objects."""
    return ""


def no_narrowest(body: bytes, kind: str) -> bytes | None:
    """The `narrowest` of an adapter whose grants open nothing by going."""
    return None


class AdapterSpec(Struct, Generic[ConfigT], frozen=True):
    """A mesh backend, pure: no clock, no network, no environment, no order dependence in any function.

    `translate(unit, config)` gives the native objects of one unit; every native ref comes from exactly one unit.
    `evaluator(objects, facts)` indexes objects once and then judges requests. `carry_over(desired, observed)` carries over what only
    history knows (default: nothing). `family` names the FamilySpec of its objects. `governs` are the scopes that a mesh of this kind can be given; `("routes",)` is that of a mesh whose objects route calls and can refuse none: it governs no identity. Of an `Access`
    it has no objects, only Losses with `access=False`, which say that nothing of it is enforced. `drain` says until when open connections keep what they had before a narrowing ("open connections until ...");
    `capture` is a sentence on the traffic that never gets to the mesh, if there is any. `selects_by` is the label by which
    its objects select the Pods of an identity ("": they do not go by labels). `baselines` are the scopes that have a skeleton
    of their own: the whole `mesh`, each `namespace` in which anything is governed, or both. Without them `translate` is never
    given a `Baseline`. What it makes of one are guards and objects that others refer to, which need nothing; they are written
    before, and deleted after, all that needs them. `narrowest(body, kind)` is the body of a grant that stands, whoever wrote it
    last, with all that it grants taken out, while its presence refuses what it refused: it is written where the grant should
    go and what would refuse then does not stand. None: that cannot be said, and such a grant stays as it is until it may go.
    `meet(standing, wanted)` are the objects of one `Access` unit that allow what both of these do, and nothing else; somebody edited what
    stands, so that may be anything. None: a grant that stands as it is wanted stays, with all that it needs, and no other does.
    `new_first`: of its old and new grants of a unit, no part in any state between allows more than the old or the new ones do, so
    new ones are written before old ones go, and a caller of both is not refused in between.
    `overrides(manifest)` says what an object in the sources, or where the mesh is written, that is somebody else's does to those of the mesh ("": nothing).
    `unseen(settings, others)` is what a mesh with these settings leaves unseen; `others` are the objects of others that were read where it writes.
    `learned(settings, others, ours)` are the settings with what these objects say where it writes; when that changes, all is translated again.
    `workloads` are the kinds of workload that such a mesh can have; without a smihub.yaml it is asked only about folders with some of them
    (without any kind never: what its settings say of workloads cannot be guessed).
    `annotations(settings)` are what every Pod of a governed identity must carry in its template so that the mesh refuses what
    its objects do not allow; without one, or with another value of it, the unit is refused. `features` is what a mesh with the default
    settings supports, `improves(settings)` what other settings change of that; `supports` has both.
    `excluded` are labels that no workload of a governed identity may have: the unit of one that has is refused.
    `limits` are the codes with which it refuses or reports what it does not support of a feature.
    `settled(settings)` is the evaluator under these settings, for an adapter whose objects alone do not tell what they mean, such
    as which account a name stands for; `evaluator` is then that of the defaults.
    """

    name: str
    family: str
    config: type[ConfigT]
    features: Mapping[Feature, Support]
    translate: Callable[[Unit, ConfigT], Translation]
    evaluator: Callable[[Sequence[NativeObject], Facts], Evaluator]
    carry_over: Callable[[Sequence[NativeObject], Mapping[ObjectRef, Observed]], tuple[NativeObject, ...]] = stateless
    narrowings: tuple[Narrowing, ...] = ()
    governs: tuple[str, ...] = ("all", "namespaces", "targets")
    drain: str = ""
    capture: str = ""
    selects_by: str = ""
    baselines: tuple[Literal["mesh", "namespace"], ...] = ()
    narrowest: Callable[[bytes, str], bytes | None] = no_narrowest
    meet: Callable[[Sequence[NativeObject], Sequence[NativeObject]], Sequence[NativeObject]] | None = None
    annotations: Callable[[ConfigT], Mapping[str, str]] = unannotated
    new_first: bool = False
    excluded: tuple[Excluded, ...] = ()
    overrides: Callable[[Mapping[str, Any]], str] = no_overrides
    unseen: Callable[[ConfigT, Sequence[Observed]], Iterable[Unseen]] = all_seen
    learned: Callable[[ConfigT, Iterable[Mapping[str, Any]], Iterable[Mapping[str, Any]]], ConfigT] = as_written
    workloads: tuple[str, ...] = ("Pod", "Workload")
    improves: Callable[[ConfigT], Mapping[Feature, Support]] = as_declared
    limits: Mapping[Feature, tuple[str, ...]] = field(default_factory=dict)
    settled: Callable[[ConfigT], Callable[[Sequence[NativeObject], Facts], Evaluator]] | None = None

    def supports(self, settings: ConfigT) -> Mapping[Feature, Support]:
        """How well a mesh with these settings supports each feature."""
        return {**self.features, **self.improves(settings)}

    def under(self, settings: ConfigT) -> AdapterSpec[ConfigT]:
        """The same adapter, whose evaluator knows these settings."""
        return self if self.settled is None else replace(self, evaluator=self.settled(settings))

    @property
    def routes_only(self) -> bool:
        """Whether meshes of this kind route calls and enforce no access."""
        return self.governs == ("routes",)


class Written(Struct, frozen=True, gc=False):
    """What became of one change. `token` is the object's own as it stands now ("": it is gone, or was not written).

    `stale`: somebody else changed the object since it was observed. `refused`: the mesh will not take it as it is.
    `failed`: nobody can tell why it was not taken; another try may end otherwise. `detail` is for people.
    """

    ref: ObjectRef
    state: Literal["written", "stale", "refused", "failed"] = "written"
    token: str = ""
    detail: str = ""


class Writing(Protocol):
    """A write of many objects that has begun."""

    @property
    def token(self) -> str:
        """What `Observation.token` will be after what was written so far."""

    async def write(self, changes: Sequence[Change]) -> Sequence[Written]:
        """Write these objects of one wave, of which none waits for another; what becomes of each, in their order. What fails for one stops no other.

        Raises a SmihubError only for what concerns them all: a folder that is gone, a server that does not answer.
        """

    async def remember(self, memory: Mapping[UnitKey, bytes]) -> None:
        """Remember this of units, all or none of it (b"" forgets one). Raises as `write` does.

        Where units are written `apart` also StaleError, if another process changed what is remembered of one since `observe`.
        """


class Sink(Protocol):
    """The I/O half of a mesh that takes objects one by one; units may be written at the same time if it says `apart`."""

    apart: ClassVar[bool]

    async def observe(self) -> Observation:
        """Everything that stands in the mesh under our mark (and what a plan may collide with)."""

    def writing(self, token: str) -> AbstractAsyncContextManager[Writing]:
        """Begin a write of what was planned on the Observation of this token.

        Raises StaleError where one token stands for all of the mesh and no longer holds; nothing was written then.
        """

    async def close(self) -> None:
        """Let go of files and connections, and of whoever is served; deletes nothing."""


@runtime_checkable
class Transactional(Protocol):
    """The same for a mesh that takes all changes of a plan at once, or none."""

    async def observe(self) -> Observation:
        """Everything that stands in the mesh, as one revision."""

    def refused(self, changes: Sequence[Change]) -> Sequence[Written]:
        """Those of these changes that would never be taken, as `refused`; the hub leaves their units out."""

    async def write_all(self, changes: Sequence[Change], memory: Mapping[UnitKey, bytes], token: str) -> str:
        """Carry out these changes, remember `memory` with them (b"" forgets a unit), give the new token.

        Raises StaleError, with nothing written, when `token` (of the Observation) no longer holds.
        """

    async def close(self) -> None:
        """Let go of files and connections, and of whoever is served; deletes nothing."""


@runtime_checkable
class Accepting(Protocol):
    """A sink that can tell whether the mesh itself has taken an object, and not only its API."""

    async def unaccepted(self, refs: Sequence[ObjectRef], deadline_s: float) -> Sequence[Written]:
        """Wait until the mesh has taken these, at most so long (0: not at all); those that it has not, as `failed` or `refused`.

        They are what was just written, and what stands already that a gain builds on.
        """


@runtime_checkable
class Watching(Protocol):
    """A sink that can tell cheaply whether its mesh was changed, by whomever."""

    def changes(self) -> AsyncIterator[str]:
        """Yield after each change of the mesh, for ever: its new token, or "" where only reading it all would tell."""


class Marking(Struct, frozen=True):
    """Whose an object is to be from now on; its content stays as it is.

    `adopt` puts our mark on it as that of `native` (whose content it has already) of `unit`, `release` takes our mark off,
    `pause` has plans leave an object of ours as it is, until `resume`. `token` is the Observed's.
    """

    ref: ObjectRef
    mark: Literal["adopt", "release", "pause", "resume"]
    token: str
    native: NativeObject | None = None
    unit: UnitKey | None = None


@runtime_checkable
class MarkingSink(Protocol):
    """A sink whose mesh also holds objects of others, and can show whose each one is."""

    async def mark(self, marks: Sequence[Marking], memory: Mapping[UnitKey, bytes], token: str) -> str:
        """Carry these out, remember `memory` with them (b"" forgets a unit), give the new token. Raises StaleError."""


@runtime_checkable
class LiveSink(Protocol):
    """A sink that also serves data planes itself, with endpoints that travel beside the plan."""

    async def start(self) -> None:
        """Serve the last revision at once, before any source has been read."""

    async def publish(self, facts: Facts) -> None:
        """Take new endpoints; never changes what a workload may accept."""

    def report(self) -> Mapping[str, Any]:
        """What each data plane has accepted, as JSON-like data by workload.

        Each has at least `programmed`, and `unit`: the unit whose identity it is, as text.
        """


class SinkContext(Struct, frozen=True):
    """What the hub tells a sink: whose it is, the folder for state, and the one where relative paths start.

    `owner` is that of smihub.yaml. A sink keeps it with what it writes, tells it in observations, and writes nothing (it raises
    RefusedError) where another one is kept. `family` is that of the mesh's objects.
    """

    mesh: str
    domain: str
    trust_domain: str
    state: Path
    base: Path
    owner: str = ""
    family: FamilySpec | None = None

    @property
    def state_file(self) -> Path:
        """The file in which sinks that need state keep it, several meshes in one."""
        return self.state / "hub.sqlite"


def shared(context: SinkContext, config: object) -> str:
    """The `exclusive` of a sink that shares with others all that it writes to."""
    return ""


class Diagnosis(Struct, frozen=True):
    """One thing that a mesh needs on this machine, for `smihub doctor`: what it is, whether it is there, and the remedy if not.

    `missing` ends with exit code 1; `advice` is about what works and had better be otherwise, and what is optional.
    """

    subject: str
    state: Literal["ok", "advice", "missing"]
    detail: str
    remedy: str = ""


def undiagnosed(context: SinkContext, config: object) -> Iterable[Diagnosis]:
    """The `diagnose` of a sink that needs nothing on this machine."""
    return ()


class SinkSpec(Struct, Generic[ConfigT], frozen=True):
    """A sink by name; `config` are its settings in smihub.yaml. `open` touches nothing but the state file.

    `family` is what it writes (the `family` of adapters; "" = its own name, FILES = every one with `FamilySpec.files`). `order` is what it promises of a plan:
    `revision` that all of it binds at once, `objects` that each object is whole and they are written in wave order, which
    is not the order in which somebody else brings them into force. `needs_state`: it keeps what was applied in the state
    file, so the folder is made, for this user alone, before it is opened. `exclusive` names what no two meshes may share, such
    as a folder ("": nothing). `diagnose` looks for what the mesh needs on this machine, and changes nothing.
    """

    name: str
    config: type[ConfigT]
    open: Callable[[SinkContext, ConfigT], Sink | Transactional]
    family: str = ""
    order: Literal["revision", "objects"] = "revision"
    needs_state: bool = False
    exclusive: Callable[[SinkContext, ConfigT], str] = shared
    diagnose: Callable[[SinkContext, ConfigT], Iterable[Diagnosis]] = undiagnosed


class SourceContext(Struct, frozen=True):
    """What the hub tells a source: the `name` that its origins carry, and where smihub.yaml is.

    Relative paths start at the folder of `file`; the file itself is no object.
    """

    name: str
    file: Path


class SourceSpec(Struct, Generic[ConfigT], frozen=True):
    """A kind of source by name; `config` are its settings in smihub.yaml. `open` touches nothing: reading does."""

    name: str
    config: type[ConfigT]
    open: Callable[[SourceContext, ConfigT], ObjectSource]


class CommandMesh(Protocol):
    """A mesh of smihub.yaml as a verb sees it."""

    @property
    def title(self) -> str:
        """How the command line names it: by its name, or by `DOMAIN/NAME` where the file has several domains."""

    @property
    def sink(self) -> Sink | Transactional:
        """What writes to it; opened when it is asked for, never served. Raises ConfigError."""


class CommandContext(Protocol):
    """What the hub gives a verb."""

    def meshes(self, config: Path) -> AbstractAsyncContextManager[Sequence[CommandMesh]]:
        """The meshes of this smihub.yaml, in its order; closed after the block. Raises ConfigError."""

    def note(self, text: str) -> None:
        """Say something beside the data: one line on stderr."""


Named = Literal["mesh", "workload", "identity", "port", "unit", "object"]
"""What smihub.yaml, its sources and its meshes have names of."""


class CommandSpec(Struct, frozen=True):
    """A verb of the command: `smihub NAME`, of lower-case letters, digits and dashes; the hub's own verbs keep their names.

    `run` is an async function whose further parameters are declared as typer takes them, and whose docstring is the help. What
    it prints on stdout is data; a SmihubError that it raises ends the verb with one line, `typer.Exit` with that code.
    `completes` says for which parameters a shell offers names at the Tab key, and the names of what.
    """

    name: str
    run: Callable[Concatenate[CommandContext, ...], Coroutine[Any, Any, None]]
    epilog: str = ""
    completes: Mapping[str, Named] = field(default_factory=dict)
