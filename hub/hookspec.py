"""The pluggy hooks of the entry-point group `smihub`: registration only, never work.

Writing is never a 1:N hook: an implementation that raises would stop those after it. Hooks hand over records; the
hub calls each record itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from hub.family import FamilySpec
    from hub.spec import AdapterSpec, CommandSpec, SinkSpec, SourceSpec

GROUP = "smihub"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def smihub_adapters() -> Iterable[AdapterSpec[Any]]:  # type: ignore[empty-body]  # a hook specification has no body
    """Hand over the mesh backends of this distribution.

    Example::

        @hookimpl
        def smihub_adapters():
            return [AdapterSpec(name="mymesh", ...)]
    """


@hookspec
def smihub_families() -> Iterable[FamilySpec]:  # type: ignore[empty-body]  # a hook specification has no body
    """Hand over the families of native objects of this distribution; `kubernetes` is there already.

    Example::

        @hookimpl
        def smihub_families():
            return [FamilySpec(name="myfamily", view=view, files=MY_FILES)]
    """


@hookspec
def smihub_sinks() -> Iterable[SinkSpec[Any]]:  # type: ignore[empty-body]  # a hook specification has no body
    """Hand over the sinks of this distribution.

    Example::

        @hookimpl
        def smihub_sinks():
            return [SinkSpec(name="mysink", config=MyConfig, open=open_my_sink)]
    """


@hookspec
def smihub_sources() -> Iterable[SourceSpec[Any]]:  # type: ignore[empty-body]  # a hook specification has no body
    """Hand over the kinds of sources of this distribution.

    Example::

        @hookimpl
        def smihub_sources():
            return [SourceSpec(name="mysource", config=MyConfig, open=open_my_source)]
    """


@hookspec
def smihub_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]  # a hook specification has no body
    """Hand over the verbs that this distribution adds to the command `smihub`.

    Example::

        @hookimpl
        def smihub_commands():
            return [CommandSpec(name="myverb", run=my_verb)]
    """
