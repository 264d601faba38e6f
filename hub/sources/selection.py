"""Which files of a folder count: `include` and `exclude` of a source, and the `.smihubignore` in it, in gitignore's syntax.

Source: gitignore(5), "PATTERN FORMAT"; pathspec matches them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from pathspec import GitIgnoreSpec

from hub.errors import SourceError

IGNORE = ".smihubignore"


class Selection(Struct, frozen=True):
    """What counts: what some `include` names (None: everything), less what an `exclude`, or a line of the ignore file, names.

    The file `skip` never counts.
    """

    include: GitIgnoreSpec | None = None
    exclude: GitIgnoreSpec | None = None
    ignored: GitIgnoreSpec | None = None
    skip: Path | None = None

    def counts(self, part: str) -> bool:
        """Whether a file counts, by its path relative to the folder."""
        return self._is_left_in(part) and (self.include is None or self.include.match_file(part))

    def walks(self, folder: str) -> bool:
        """Whether there may be files that count in a folder, by its relative path without the last `/`."""
        return self._is_left_in(f"{folder}/")

    def _is_left_in(self, path: str) -> bool:
        return not any(spec is not None and spec.match_file(path) for spec in (self.exclude, self.ignored))


EVERYTHING = Selection()


def patterns(lines: Sequence[str], place: str) -> GitIgnoreSpec | None:
    """Patterns to match with; None if there are none. Raises SourceError that names `place` and the line."""
    try:
        return GitIgnoreSpec.from_lines(lines) if lines else None
    except ValueError:
        wrong = next(index for index, text in enumerate(lines, 1) if not _is_pattern(text))
        message = (
            f'{place}: line {wrong} "{lines[wrong - 1][:80]}" is not a valid pattern; use the syntax of .gitignore'
        )
        raise SourceError(message) from None


def _is_pattern(text: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([text])
    except ValueError:
        return False
    return True


def ignore_lines(data: bytes, place: str) -> list[str]:
    """The lines of an ignore file. Raises SourceError."""
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise SourceError(f"{place}: is not UTF-8; save it as UTF-8") from None
