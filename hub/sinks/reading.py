"""What stands in the folder of a directory sink, made sense of. Pure.

An object is ours if its file carries our mark and is listed in our list (kustomization.yaml, say). What has only one of the two is
ours as well, but not as it should be (a write ended half-way, or somebody took a file out), so it shows as different from
anything desired, and the next plan puts it right in its wave.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.api import FileForm
from hub.errors import ConfigError
from hub.model import ObjectRef, Observation, Observed, Role, UnitKey
from hub.sinks.index import Listed, ListedFiles
from hub.sinks.ledger import Ledger
from hub.sinks.manifest import Broken, Foreign, ObjectFiles, Unowned
from hub.sinks.marking import why_not_adoptable
from hub.sinks.names import OBJECTS, file_name, former_name, printable_file, ref_of_file

Found = Observed | Unowned | Foreign | Broken
Known = Observed | Foreign | Broken
Digests = Mapping[str, str]
"""The digest of each of our files that is there, by path in the folder."""


class FolderContents(Struct, frozen=True):
    """`ours` are our objects by file, `theirs` what is in the files of others, `foreign` the objects in these.

    `files` is for which mesh and owner the folder is read, `held` the owner whose it is ("": nobody's yet). `renamed` are files that have a
    former name still, with the name under which all of this tells of them.
    """

    ours: Mapping[str, Observed]
    theirs: Mapping[str, Foreign]
    foreign: Mapping[ObjectRef, Observed]
    index: ListedFiles
    memory: Mapping[UnitKey, bytes]
    digests: Digests
    files: ObjectFiles
    held: str = ""
    renamed: Mapping[str, str] = {}

    @property
    def token(self) -> str:
        """What tells this reading apart from any other of our files."""
        return token(self.digests)

    def observation(self) -> Observation:
        """The same, as plans want it."""
        listed = self.index.listed if self.index.whole else {}
        # On disk but not listed: kustomize does not apply it, so it differs from anything desired.
        standing = (self._unlisted(one) if one.token and file not in listed else one for file, one in self.ours.items())
        objects = {**self.foreign, **{one.ref: one for one in standing}}
        mends = bool(self.ours) and not self.index.whole
        theirs = {f"{OBJECTS}/{printable_file(file)}": one for file, one in self.theirs.items()}
        others = {file: [Observed(ref, one.content, None, "") for ref in one.refs] for file, one in theirs.items()}
        unread = {file: one.unread for file, one in theirs.items() if one.unread}
        return Observation(objects, self.memory, self.token, self.held, mends, others, unread)

    def _unlisted(self, one: Observed) -> Observed:
        return replace(one, owned=self.files.note(one.ref, one.owned, self.files.form.list.unlisted, "true"))


def token(digests: Digests) -> str:
    """The digest of digests."""
    return sha256(msgspec.json.encode(digests, order="deterministic")).hexdigest()


class FolderReader(Struct, frozen=True):
    """For whom a folder is read: a mesh with its owner, and a domain. A mesh is in one, so all units are told as of that one."""

    files: ObjectFiles
    domain: str = "default"

    @property
    def owner(self) -> str:
        """For whom."""
        return self.files.owner

    def unit(self, unit: UnitKey) -> UnitKey:
        """A unit that was written when the domain may have had another name."""
        return unit if unit.domain == self.domain else replace(unit, domain=self.domain)

    def listed(self, listed: Listed) -> dict[str, tuple[Role, UnitKey]]:
        """The same for what is listed."""
        return {file: (role, self.unit(unit)) for file, (role, unit) in listed.items()}

    def memory(self, memory: Mapping[UnitKey, bytes]) -> dict[UnitKey, bytes]:
        """The same for what is remembered; what was under the name of today counts."""
        return {
            self.unit(unit): raw for unit, raw in sorted(memory.items(), key=lambda each: each[0].domain == self.domain)
        }

    def known(self, found: Found, memory: Mapping[UnitKey, bytes]) -> Known:
        """What a file is; one whose mark names no owner is ours if we remember its unit, or if it cannot be told."""
        if isinstance(found, Unowned):
            broken = isinstance(found.ours, Broken)
            known = self.known(found.ours, memory)
            return known if broken or (isinstance(known, Observed) and known.owner in memory) else found.theirs
        if isinstance(found, Observed) and found.owner is not None:
            return replace(found, owner=self.unit(found.owner))
        return found


def interpret(
    found: Mapping[str, Found], index: ListedFiles, ledger: Ledger, digests: Digests, reader: FolderReader
) -> FolderContents:
    """The reading of these files of `objects`; `digests` may speak of foreign files, which do not count.

    Raises ConfigError where it cannot be told what is ours.
    """
    held = ledger.owner or _owner(found.values(), reader.owner)
    # What another smihub.yaml remembers proves nothing about our units.
    memory = reader.memory(ledger.memory) if held in {"", reader.owner} else {}
    files = {file: reader.known(one, memory) for file, one in found.items()}
    _refuse_broken(files)
    form = reader.files.form
    renamed = _renamed(form, files)
    files = {renamed.get(file, file): found for file, found in files.items()}
    index = replace(index, listed={renamed.get(file, file): what for file, what in reader.listed(index.listed).items()})
    digests = {_renamed_path(path, renamed): value for path, value in digests.items()}
    ours = {file: found for file, found in files.items() if isinstance(found, Observed)}
    theirs = {file: found for file, found in sorted(files.items()) if isinstance(found, Foreign)}
    _refuse_moved(form, ours)
    _refuse_double(ours, theirs)
    counted = {f"{OBJECTS}/{file}" for file in ours} | {path for path in digests if "/" not in path}
    return FolderContents(
        ours={**_missing(reader.files, index, files), **ours},
        theirs=theirs,
        foreign=_foreign(reader.files, theirs),
        index=index,
        memory=memory,
        digests={path: value for path, value in digests.items() if path in counted},
        files=reader.files,
        held=held,
        renamed=renamed,
    )


def _owner(found: Iterable[Found], owner: str) -> str:
    """Whose the folder is by the marks in it alone: ours, if anything is."""
    all_found = list(found)
    if owner and any(isinstance(each, Observed) for each in all_found):
        return owner
    return min((each.owner for each in all_found if isinstance(each, Foreign) and each.owner), default="")


def _renamed(form: FileForm, files: Mapping[str, Known]) -> dict[str, str]:
    """Files of ours under a former name, whose new name is free, or taken by the same already."""
    ours = ((file, found, file_name(form, found.ref)) for file, found in files.items() if isinstance(found, Observed))
    return {
        file: place
        for file, found, place in ours
        if file != place and file == former_name(form, found.ref) and files.get(place, found) == found
    }


def _renamed_path(path: str, renamed: Mapping[str, str]) -> str:
    folder, slash, file = path.rpartition("/")
    return f"{folder}{slash}{renamed.get(file, file)}" if folder == OBJECTS else path


def _foreign(how: ObjectFiles, theirs: Mapping[str, Foreign]) -> dict[ObjectRef, Observed]:
    """The objects of foreign files. One that cannot be adopted has no token, and the reason in place of its content."""
    files: dict[ObjectRef, list[str]] = {}
    for file, found in theirs.items():
        for ref in _claimed(how.form, file, found):
            files.setdefault(ref, []).append(file)
    return {ref: _standing(how, ref, files[ref], theirs) for ref in sorted(files)}


def _standing(how: ObjectFiles, ref: ObjectRef, files: Sequence[str], theirs: Mapping[str, Foreign]) -> Observed:
    why = why_not_adoptable(how.form, ref, files, theirs)
    if why:
        return Observed(ref, how.note(ref, b"", "file", why), None, "")
    return Observed(ref, theirs[files[0]].content, None, theirs[files[0]].token)


def _claimed(form: FileForm, file: str, found: Foreign) -> frozenset[ObjectRef]:
    """The objects of a foreign file, and the one whose place it has taken."""
    place = ref_of_file(form, file)
    return frozenset(found.refs if place is None else (*found.refs, place))


def _missing(how: ObjectFiles, index: ListedFiles, files: Mapping[str, Known]) -> dict[str, Observed]:
    """Objects that are listed, and whose files are gone: nothing stands there, and kustomize fails until that is mended."""
    gone = {file: ref_of_file(how.form, file) for file in index.listed if file not in files}
    return {
        file: Observed(ref, how.note(ref, b"", "", ""), index.listed[file][1], "", index.listed[file][0])
        for file, ref in sorted(gone.items())
        if ref is not None
    }


def _refuse_broken(files: Mapping[str, Known]) -> None:
    broken = {file: found for file, found in sorted(files.items()) if isinstance(found, Broken)}
    for file, found in broken.items():
        more = f" (and {len(broken) - 1} more such files)" if len(broken) > 1 else ""
        raise ConfigError(
            f"{_path(file)} is managed by smihub and cannot be read: {found.reason}{more}; restore it, or delete it and the next "
            "apply writes it again"
        )


def _refuse_moved(form: FileForm, ours: Mapping[str, Observed]) -> None:
    for file, one in sorted(ours.items()):
        place = file_name(form, one.ref)
        if place in ours and place != file:
            raise ConfigError(f"{_path(place)} and {_path(file)} both contain {one.ref}; remove the second")
        if place != file:
            raise ConfigError(
                f"{_path(file)} has smihub's ownership label, but {one.ref} belongs in {_path(place)}; rename it, or remove "
                "the label from it"
            )


def _refuse_double(ours: Mapping[str, Observed], foreign: Mapping[str, Foreign]) -> None:
    places = {one.ref: file for file, one in ours.items()}
    for file, found in sorted(foreign.items()):
        for ref in found.refs:
            if ref in places:
                raise ConfigError(
                    f"{_path(places[ref])}, which smihub manages, and {_path(file)} both contain {ref}; remove one of them"
                )


def _path(file: str) -> str:
    return f'"{OBJECTS}/{printable_file(file)}"'
