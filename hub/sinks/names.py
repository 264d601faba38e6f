"""What the folder of a directory sink calls things: files, lines of the list, units. Pure.

How the file of an object is called, its family says. Names that do not tell their object, that are long, or of characters
that file systems treat differently, are replaced by shorter ones, with a digest.
"""

from __future__ import annotations

import re
from hashlib import sha256

import msgspec

from hub.api import FileForm
from hub.model import ObjectRef, Role, UnitKey, printable

OBJECTS = "objects"
MEMORY = ".smihub.json"
TEMPORARY = ".smihub.tmp"
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_DIGESTED = re.compile(r"(?:[A-Za-z0-9.-]*_){3}[0-9a-f]{20,32}\.[a-z0-9]+")
_LONGEST = 200
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]")
_WORD = r"[^/@\s]+"
_NAMED = rf"(?P<kind>access|route)/(?P<namespace>{_WORD})/(?P<name>{_WORD})"
_UNIT = re.compile(rf"(?:{_NAMED}|baseline(?:/(?P<scope>{_WORD}))?)(?:@(?P<domain>{_WORD}))?")
_ROLES = "|".join(Role)
# kustomize takes what it is listed as a path, so a line that we keep may only ever name a file of `objects`: no slash, no "..".
_LISTED = re.compile(rf"- {OBJECTS}/(?P<file>[A-Za-z0-9._-]+\.[a-z0-9]+) # (?P<role>{_ROLES}) (?P<unit>\S+)")
_PLAINLY = re.compile(rf"- {OBJECTS}/(?P<file>(?!\.+$)[A-Za-z0-9._][A-Za-z0-9._-]*)")


def file_name(form: FileForm, ref: ObjectRef) -> str:
    """The one file, below `objects`, that an object stands in."""
    return _file_name(form, ref, 32)


def former_name(form: FileForm, ref: ObjectRef) -> str:
    """The file that it stood in when digests in names had 80 bits; the same where there is no digest."""
    return _file_name(form, ref, 20)


def ref_of_file(form: FileForm, file: str) -> ObjectRef | None:
    """The object whose file this is; None where the name does not tell."""
    ref = _ref(form, file)
    return ref if ref is not None and _plain_name(form, ref) == file else None


def _file_name(form: FileForm, ref: ObjectRef, digits: int) -> str:
    plain = _plain_name(form, ref)
    if plain is not None:
        return plain
    kind = f"{ref.kind}.{ref.group}" if ref.group else ref.kind
    parts = (_UNSAFE.sub("-", part)[:60] for part in (ref.namespace.lower(), kind, ref.name.lower()))
    return f"{'_'.join(parts)}_{sha256(msgspec.json.encode(ref)).hexdigest()[:digits]}{form.suffixes[0]}"


def _plain_name(form: FileForm, ref: ObjectRef) -> str | None:
    """The name that the family gives; None for one that could be that of another object, or lead elsewhere."""
    try:
        whole = form.name(ref)
    except Exception:  # noqa: BLE001 - the function of a plugin; a name with a digest is always there
        return None
    if len(whole) > _LONGEST or not _PLAIN.fullmatch(whole) or not whole.endswith(form.suffixes[0]):
        return None
    # On some file systems letters differ in nothing from their capitals.
    if ref.namespace != ref.namespace.lower() or ref.name != ref.name.lower():
        return None
    return whole if not _DIGESTED.fullmatch(whole) and _ref(form, whole) == ref else None


def _ref(form: FileForm, file: str) -> ObjectRef | None:
    try:
        return form.ref(file)
    except Exception:  # noqa: BLE001 - the function of a plugin, on a name that anybody may have given
        return None


def printable_file(file: str) -> str:
    """A file name as text that can be printed anywhere."""
    return printable(file.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


def unit_text(unit: UnitKey) -> str:
    """A unit in one word, `access/shop/api`, `baseline`, `baseline/shop`, with `@domain` where that is not the default."""
    return str(unit) if unit.domain == "default" else f"{unit}@{unit.domain}"


def unit_of(text: str) -> UnitKey | None:
    """The unit that `unit_text` told."""
    found = _UNIT.fullmatch(text)
    if found is None:
        return None
    domain = found["domain"] or "default"
    if found["kind"] is None:
        return UnitKey("baseline", found["scope"] or "", "", domain)
    return UnitKey("access" if found["kind"] == "access" else "route", found["namespace"], found["name"], domain)


def listed_line(file: str, role: Role, unit: UnitKey) -> str:
    """A line of our list."""
    return f"- {OBJECTS}/{file} # {role} {unit_text(unit)}"


def listed_in(line: str) -> tuple[str, Role, UnitKey] | None:
    """What `listed_line` wrote; None for any other line."""
    found = _LISTED.fullmatch(line) if line.isprintable() else None
    unit = unit_of(found["unit"]) if found else None
    return (found["file"], Role(found["role"]), unit) if found and unit else None


def foreign_line(file: str) -> str:
    """A line of our list for a file that is not ours, so that it stays applied."""
    return f"- {OBJECTS}/{file}"


def foreign_in(line: str) -> str | None:
    """What `foreign_line` wrote; None for any other line."""
    found = _PLAINLY.fullmatch(line)
    return found["file"] if found else None
