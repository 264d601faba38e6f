"""Which names people may have meant, and how names are told."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from hub.semantics.identities import SubjectKey
from hub.semantics.types import Account, TargetSubject

_CLOSE = 0.6
_LISTED = 4


def meant(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean "..."?` for the known name that is most like this one, nothing if none is."""
    found = get_close_matches(name, sorted({one for one in known if one != name}), 1, _CLOSE)
    return f'; did you mean "{found[0]}"?' if found else ""


def alike(one: str, other: str) -> bool:
    """Tell whether one name may be the other, misspelt."""
    return bool(get_close_matches(one, [other], 1, _CLOSE))


def of_account(account: Account) -> str:
    """Write an account as people name it."""
    return "/".join(account)


def of_subject(subject: TargetSubject) -> str:
    """Write a source as people name it: an account, or an IdentityBinding with its kind."""
    named = f"{subject.namespace}/{subject.name}"
    return named if subject.kind == "ServiceAccount" else f"{subject.kind}/{named}"


def accounts_in(keys: Collection[SubjectKey]) -> list[str]:
    """Return the accounts among the subjects that somebody satisfies, as people name them."""
    return sorted(f"{namespace}/{name}" for kind, namespace, name in keys if kind == "ServiceAccount")


def listed(words: Iterable[str]) -> str:
    """Join words, the first few of them."""
    every = list(words)
    more = len(every) - _LISTED
    return ", ".join(every[:_LISTED]) + (f" and {more} more" if more > 0 else "")
