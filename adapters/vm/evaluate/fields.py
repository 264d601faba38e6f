"""Reading Envoy's messages strictly: a set field that nobody asks for is an error, never passed over."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from adapters.vm import wire
from hub.api import UnmodelledError


class Fields:
    """The set fields of one message; as a context manager it raises UnmodelledError for each that was not taken.

    `where` names the message for operators, such as `Listener "in/d/api/8080/http@0.0.0.0"`.
    """

    def __init__(self, message: wire.Message, where: str) -> None:
        self.where = where
        self._left = dict(wire.fields(message))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None and self._left:
            raise UnmodelledError(f'{self.where}: the meaning of "{min(self._left)}" is not modelled')

    def take(self, name: str, default: Any = None) -> Any:
        """The value of a field, or `default` where it is not set."""
        return self._left.pop(name, default)

    def flag(self, name: str) -> bool:
        """A bool field or BoolValue; unset is false."""
        value = self._left.pop(name, False)
        return bool(getattr(value, "value", value))

    def neutral(self, *names: str) -> None:
        """Pass over fields that change neither who is let in nor where a request goes (limits, timeouts, statistics)."""
        for name in names:
            self._left.pop(name, None)

    def only(self) -> tuple[str, Any]:
        """The one field of a message that is a oneof. Raises UnmodelledError if there is none (Envoy rejects that)."""
        if len(self._left) != 1:
            raise self.rejected("exactly one of its fields must be set")
        return self._left.popitem()

    def rejected(self, why: str) -> UnmodelledError:
        """The error for a shape that Envoy does not accept: it would keep what it had, which nobody here knows."""
        return UnmodelledError(f"{self.where}: Envoy rejects this ({why}) and keeps what it had before")


def resource(kind: str, name: str, body: bytes) -> wire.Message:
    """A resource of these bytes. Raises UnmodelledError for foreign bytes, another name, and fields that the schema does not name."""
    message = _known(wire.parse(kind, body), f'{kind} "{name}"')
    if wire.name_of(message) != name:
        raise UnmodelledError(f'{kind} "{name}": Envoy knows it as "{wire.name_of(message)}"')
    return message


def extension(packed: wire.Any, where: str) -> tuple[str, wire.Message]:
    """The short name and content of an `Any`; the same errors as `resource`."""
    return str(packed.type_url).removeprefix("type.googleapis.com/"), _known(wire.unpack(packed), where)


def _known(message: wire.Message, where: str) -> wire.Message:
    named = type(message)()
    named.CopyFrom(message)
    named.DiscardUnknownFields()  # type: ignore[no-untyped-call,unused-ignore]  # typed in some releases only
    if named.ByteSize() != message.ByteSize():
        raise UnmodelledError(f"{where}: it has fields that no known version of its schema names")
    return message
