"""A configured mesh: its adapter, what it governs, its sink, and a mirror of what stands there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from hub.api import AdapterSpec, Diagnosis, FamilySpec, LiveSink, Sink, SinkContext, SinkSpec, Transactional
from hub.baselines import has
from hub.config.file import Config, Governed, MeshConfig
from hub.config.own import adapter_config, mistake, placed, sink_config, sink_kind
from hub.contained import Calls, contained
from hub.errors import ConfigError
from hub.mirror import Mirror
from hub.model import Access, Baseline, Change, NativeObject, ObjectRef, Observed, Translation, Unit, UnitKey
from hub.plan.meet import as_natives, by_object
from hub.plugins import Plugins
from hub.spec import as_written
from hub.threads import run_in_thread
from hub.translated import translated


class Mesh:
    """One configured mesh; `title` is its name where several domains may have one of that name.

    `mirror` is what stands there (None: not read yet).
    """

    def __init__(
        self, written: MeshConfig, spec: AdapterSpec[Any], family: FamilySpec, sink: SinkSpec[Any], config: Config
    ) -> None:
        """Raises FieldError where the adapter's or the sink's settings are not what these take."""
        self.name = written.name
        self.title = config.title_of(written.name)
        self.cluster = written.cluster
        self.view = family.view
        self.governed = written.governed
        self._configured = self.settings = adapter_config(written, spec.config)
        self.spec = spec.under(self.settings)
        self.calls = Calls(written.name)
        self.order = sink.order
        self.mirror: Mirror | None = None
        self.drifted: set[UnitKey] = set()  # units that were not as they were left, when the mirror was read anew
        self._past: Mirror | None = None  # the mirror before that
        self._unsure: frozenset[UnitKey] = frozenset()  # units that we may have changed ourselves since
        self.busy: frozenset[UnitKey] = frozenset()  # units that are being written now
        self._writes = 0
        self._spec = sink
        self._sink_settings = sink_config(written, sink.config)
        domain = config.domain
        self._context = SinkContext(
            written.name, domain.name, domain.trust_domain, config.state, config.folder, config.owner, family
        )
        self._sink: Sink | Transactional | None = None

    @property
    def sink(self) -> Sink | Transactional:
        """What writes to the mesh; opened where it is needed, for opening one may make its state file. Raises ConfigError."""
        if self._sink is None:
            if self._spec.needs_state:
                make_private(self._context.state)
            self._sink = self._spec.open(self._context, self._sink_settings)
        return self._sink

    @property
    def exclusive(self) -> str:
        """What no other mesh may share with this one; "" if there is nothing of that kind. Raises ConfigError."""
        found = self._spec.exclusive(self._context, self._sink_settings)
        return f"{self._spec.name} {found}" if found else ""

    def diagnose(self) -> Iterable[Diagnosis]:
        """What the mesh needs on this machine; opens nothing."""
        return self._spec.diagnose(self._context, self._sink_settings)

    @property
    def stateful(self) -> bool:
        """Whether opening it may make the state folder, so that looking at it is not for every verb."""
        return self._spec.needs_state

    @property
    def untouched(self) -> bool:
        """Whether nothing can have been applied yet, so that the mesh need not be opened to tell what stands there."""
        return self._spec.needs_state and not self._context.state_file.exists()

    @property
    def live(self) -> LiveSink | None:
        """The sink, if it serves data planes itself."""
        sink = self.sink
        return sink if isinstance(sink, LiveSink) else None

    async def close(self) -> None:
        """End what was opened; once."""
        opened, self._sink = self._sink, None
        if opened is not None:
            await opened.close()

    async def observed(self) -> Mirror:
        """The mirror, read from the mesh where there is none yet."""
        while (known := self.mirror) is None:
            with contained(SystemExit):
                before, found = self._writes, Mirror(await self.sink.observe())
                settings = await self._learned(found)
            if before == self._writes and self.mirror is None:  # else it may be as of before a write of ours
                self.mirror, past, self._past = found, self._past, None
                self.drifted |= found.unlike(past) - self._unsure if past is not None else set()
                self._unsure = frozenset()
                # If what stands there changes the settings, no unit is as it should be any more.
                self.drifted |= found.units if settings != self.settings else set()
                self.settings = settings
        return known

    async def _learned(self, mirror: Mirror) -> Any:
        """The settings with what stands there; found in a thread, for an adapter may take long, or never answer."""
        if self.spec.learned is as_written:
            return self.settings
        ours = (one for one in mirror.whole().objects.values() if one.owner is not None)
        theirs, mine = filter(None, map(self.manifest, mirror.foreign)), filter(None, map(self.manifest, ours))
        return await run_in_thread(lambda: self.spec.learned(self._configured, theirs, mine))

    def manifest(self, one: Observed) -> Mapping[str, Any]:
        """What an object says, to be looked at; nothing of one without content, or with one that cannot be read."""
        with suppress(Exception):  # whatever somebody else wrote, it must not keep us from ours
            return self.view(one.owned, one.ref.kind) if one.owned else {}
        return {}

    @contextmanager
    def writes(self, keys: Collection[UnitKey]) -> Iterator[None]:
        """Around the writing of these units."""
        mine = frozenset(keys)
        self.busy |= mine
        try:
            yield
        finally:
            self.busy -= mine

    def wrote(self, written: Iterable[tuple[Change, str]], memory: Mapping[UnitKey, bytes], token: str) -> None:
        """Take over what was written (`Mirror.follow`)."""
        self._writes += 1
        # Of a mesh that is to be read anew, too: else an edit that undoes this write is as before, and nobody's change.
        known = self.mirror or self._past
        if known is not None:
            known.follow(written, memory, token)

    def invalidate_mirror(self, unsure: Collection[UnitKey] = ()) -> None:
        """Nobody can tell what stands: it is read anew, and held against what was known; of these units by a write of ours."""
        self._writes += 1
        self._unsure |= {*unsure}
        self._past = self.mirror or self._past
        self.mirror = None

    def translate(self, key: UnitKey, unit: Unit) -> Translation:
        """What this mesh is to hold of a unit."""
        return self.calls.ask(key, unit, partial(translated, self.spec, key, unit, self.settings))

    def carry_over(
        self, key: UnitKey, objects: Sequence[NativeObject], standing: Mapping[ObjectRef, Observed]
    ) -> tuple[NativeObject, ...]:
        """The objects of a unit with what only history knows (`AdapterSpec.carry_over`)."""
        return self.calls.ask(key, objects, partial(self.spec.carry_over, objects, standing))

    def narrowest(self, key: UnitKey, observed: Observed) -> bytes | None:
        """A grant of a unit without all that it grants (`AdapterSpec.narrowest`)."""
        return self.calls.ask(key, observed, partial(self.spec.narrowest, observed.owned, observed.ref.kind))

    def meet(
        self, key: UnitKey, standing: Mapping[ObjectRef, Observed], wanted: Sequence[NativeObject]
    ) -> tuple[NativeObject, ...]:
        """What of a unit both stands and is wanted (`AdapterSpec.meet`)."""
        natives, met = as_natives(standing), self.spec.meet or by_object(self.spec.narrowest)
        return self.calls.ask(key, (natives, wanted), lambda: tuple(met(natives, wanted)))

    def governs(self, key: UnitKey, unit: Unit | None) -> bool:
        """Whether this unit is in the mesh's scope by what the sources say now; what it governed once, it governs on."""
        return in_scope(self.governed, key, unit)

    def baseline(self, key: UnitKey) -> Baseline | None:
        """The skeleton of a scope; None if meshes of this kind have none for it."""
        return Baseline(key.namespace, is_whole(self.governed, key.namespace)) if has(self.spec, key) else None


def in_scope(governed: Governed, key: UnitKey, unit: Unit | None) -> bool:
    """Whether a scope takes a unit in: everything, those of listed namespaces, identities that a TrafficTarget names, or routes alone."""
    if governed.mode == "routes":
        return key.kind == "route"
    if governed.mode == "namespaces":
        return key.namespace in governed.namespaces
    if governed.mode == "targets" and key.kind == "access":
        return isinstance(unit, Access) and any(origin.kind == "TrafficTarget" for origin in unit.origins)
    return True


def is_whole(governed: Governed, namespace: str) -> bool:
    """Whether everything in a namespace ("": in the mesh) is in scope."""
    return governed.mode == "all" or (governed.mode == "namespaces" and namespace in governed.namespaces)


def meshes_of(config: Config, plugins: Plugins) -> tuple[Mesh, ...]:
    """Every mesh of a domain; opens nothing. Raises ConfigError with file and line."""
    found = tuple(_mesh(config, f"meshes[{index}]", written, plugins) for index, written in enumerate(config.meshes))
    refuse_shared([(config, found)])
    return found


def refuse_shared(domains: Iterable[tuple[Config, Sequence[Mesh]]]) -> None:
    """Raise ConfigError where two meshes, of one domain or of two, would write to the same place."""
    owners: dict[str, str] = {}
    for config, meshes in domains:
        for index, mesh in enumerate(meshes):
            with placed(config, f"meshes[{index}].sink"):
                exclusive = mesh.exclusive
            other = owners.setdefault(exclusive or f"mesh {mesh.title}", mesh.title)
            if other != mesh.title:
                what = exclusive.partition(" ")[2]
                message = f'"{what}" is also used by mesh "{other}"; give each mesh its own'
                raise mistake(config, f"meshes[{index}].sink", message)


def _mesh(config: Config, place: str, written: MeshConfig, plugins: Plugins) -> Mesh:
    with placed(config, f"{place}.adapter"):
        spec = plugins.adapter(written.adapter)
    if written.governed.mode not in spec.governs:
        known = " or ".join(f"governed: {mode}" for mode in spec.governs)
        raise mistake(config, f"{place}.governed", f'"{written.adapter}" does not support this mode; use {known}')
    with placed(config, place):
        kind = sink_kind(written)
    with placed(config, f"{place}.sink.kind"):
        sink = plugins.sink(spec.family, kind)
    with placed(config, place):
        return Mesh(written, spec, plugins.family(spec), sink, config)


def make_private(state: Path) -> None:
    """Make the state folder, which holds private keys; a new one keeps itself out of Git. Raises ConfigError."""
    try:
        if not state.is_dir():
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            (state / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "unusable").lower()
        raise ConfigError(f'state folder "{state}" cannot be created: {reason}; check "state" in smihub.yaml') from None
