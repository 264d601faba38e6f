"""Whether a pattern still gives the right answer after what Envoy does to header values before it matches them.

Envoy joins repeated lines of some headers, keeps outer blanks over HTTP/2 (which are no part of a value: RFC 9110, 5.5),
and runs RE2 over bytes. Observed on Envoy 1.40. Sidecars without the fix of CVE-2026-26308 join the lines of every header.
"""

from __future__ import annotations

from collections.abc import Iterable

from hub.api import (
    PATH,
    Forms,
    Inexpressible,
    Language,
    charge,
    language,
    path_forms,
)

_BEYOND_ASCII = 0x110000 - 0x80 - 0x800
"""How many characters there are beyond ASCII."""
_MAX_PAIRS = 20_000


def forms_of_path(pattern: str) -> Forms | Inexpressible:
    """The paths of a pattern without patterns. Raises RegexRefusedError."""
    return path_forms(language(pattern, PATH))


def line_separator(name: str) -> str:
    """What Envoy puts between repeated lines of this header, if not always then in old sidecars."""
    return "; " if name == "cookie" else ","


def survives_joining(values: Language, separator: str) -> bool:
    """Whether joined lines match only if one of the lines does.

    Wherever a line may end, it matches by itself, or what matches after the separator would have matched alone.
    """
    ends = (at for at, accepted in enumerate(values.accepting) if not accepted)
    return _contained_in_start(values, {_state_after(values, at, separator) for at in ends})


def survives_trimming(values: Language) -> bool:
    """Whether a value that matches still does without its outer blanks."""
    for at in range(len(values.rows)):
        found = {_state_after(values, at, blank) for blank in " \t"} - {-1}
        if not values.accepting[at] and any(values.accepting[after] for after in found):
            return False
    return _contained_in_start(values, {_state_after(values, 0, blank) for blank in " \t"})


def _contained_in_start(values: Language, states: Iterable[int]) -> bool:
    """Whether whatever matches from one of these states on matches from the start, too. Doubt counts as no."""
    work = [(state, 0) for state in states if state > 0]
    seen = set(work)
    for state, other in work:
        charge(len(values.rows[state]))
        if values.accepting[state] and (other < 0 or not values.accepting[other]):
            return False
        for kind, to in enumerate(values.rows[state]):
            pair = (to, values.rows[other][kind] if other >= 0 else -1)
            if to >= 0 and to != pair[1] and pair not in seen:
                seen.add(pair)
                work.append(pair)
        # Too much to decide, and doubt counts as no.
        if len(work) > _MAX_PAIRS:
            return False
    return True


def is_byte_exact(values: Language) -> bool:
    """Whether it makes no difference that letters beyond ASCII are seen as two to four bytes.

    They must all be alike, and a second of them must change nothing.
    """
    beyond = [sum(max(0, high - max(low, 0x80) + 1) for low, high in chars) for chars in values.classes.ranges()]
    kinds = [kind for kind, count in enumerate(beyond) if count]
    if not kinds:
        return True
    if len(kinds) > 1 or beyond[kinds[0]] != _BEYOND_ASCII:
        return False
    once = [row[kinds[0]] for row in values.rows]
    return all(at < 0 or once[at] == at for at in once)


def takes_beyond_ascii(values: Language) -> bool:
    """Whether any value that matches has a character beyond ASCII."""
    beyond = [kind for kind, chars in enumerate(values.classes.ranges()) if any(high >= 0x80 for _, high in chars)]
    return any(row[kind] >= 0 for row in values.rows for kind in beyond)


def _state_after(values: Language, at: int, text: str) -> int:
    for char in text:
        kind = values.classes.kind(ord(char))
        if at < 0 or kind < 0:
            return -1
        at = values.rows[at][kind]
    return at
