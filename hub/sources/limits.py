"""What reading one file may cost, and what is wrong with a file that cannot be read."""

from __future__ import annotations

from msgspec import Struct

from hub.errors import SmihubError
from hub.model import ObjectRef, Origin, Problem


class ParseLimits(Struct, frozen=True):
    """What one file may cost: bytes, nesting, and nodes counted after every alias has been followed."""

    file_bytes: int = 4 * 1024 * 1024
    depth: int = 64
    nodes: int = 500_000


DEFAULT_LIMITS = ParseLimits()


class Fault(Struct, frozen=True):
    """What is wrong at one place of a file: `line` is 1-based, `field` is the path inside the object `ref`."""

    code: str
    message: str
    remedy: str
    line: int = 0
    field: str = ""
    ref: ObjectRef | None = None


class YamlError(SmihubError):
    """A file that cannot be read as YAML; the whole file is unread."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        where = f"line {fault.line}: " if fault.line else ""
        at = f'field "{fault.field}": ' if fault.field else ""
        super().__init__(f"{where}{at}{fault.message}; {fault.remedy}")

    def problem(self, source: str, file: str) -> Problem:
        """The same as a `Problem`, on the object that it was found in, or on the file."""
        fault = self.fault
        ref = fault.ref or ObjectRef("", "File", "", file)
        return Problem(fault.code, ref, fault.field, fault.message, fault.remedy, Origin(source, file, fault.line))
