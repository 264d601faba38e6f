"""Say a language without patterns, or refuse with two texts that show why it cannot be said.

The forms are those of meshes whose policies know no regular expression (Istio: AuthorizationPolicy, "paths" and "when",
https://istio.io/latest/docs/reference/config/security/authorization-policy/). They are guessed from the automaton and
then proven: what they match, as a language, is compared with the language itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace

from hub.regex.algebra import difference, excess, restricted
from hub.regex.automaton import URI_PATH, Language, Universe
from hub.regex.bounds import Meter
from hub.regex.contrast import contrast
from hub.regex.definite import StateStructure
from hub.regex.guess import MAX_VALUES, Piece, TooManyError, affix_pieces, all_texts, prefix_suffix_pieces
from hub.regex.meaning import Between, Forms, language_of_forms
from hub.regex.templates import guess_templates, is_safe


class Inexpressible(Struct, frozen=True):
    """No forms say this language.

    `matched` is a text of the language (or the value that cannot be written); `unmatched`, where a loop is to blame, is a
    text outside of it that differs from `matched` only in the middle.
    """

    reason: str
    matched: str | None = None
    unmatched: str | None = None


def path_forms(language: Language, declared: Universe = URI_PATH) -> Forms | Inexpressible:
    """Forms for a language of paths (universe `PATH`).

    Exact texts, prefixes, suffixes, pairs and exceptions match what the language has, neither more nor less. Templates
    are used only where those cannot say it; they match nothing outside the language, and all of it that is written with
    the letters of `declared`; `narrowed` then tells a path with other letters that they miss.
    Raises `RegexRefusedError` (`regex.too-complex`) beyond the engine's bounds. Time: a few products of automata.
    """
    structure = StateStructure(language, Meter())
    for guess in (affix_pieces, prefix_suffix_pieces):
        forms = _proven(structure, guess)
        if forms is not None:
            return _expressible(forms, "*", "{}")
    return _templates(language, declared) or _refusal(structure)


def header_forms(language: Language) -> Forms | Inexpressible:
    """Forms for a language of header values (universe `HEADER`): exact texts, prefixes, suffixes.

    No pairs and no exceptions: a mesh looks at each line of a repeated header by itself, so two conditions could be met
    by two lines. Raises `RegexRefusedError` (`regex.too-complex`) beyond the engine's bounds.
    """
    structure = StateStructure(language, Meter())
    forms = _proven(structure, affix_pieces)
    return _refusal(structure) if forms is None or forms.excepted else _expressible(forms, "*", "")


def _proven(structure: StateStructure, guess: Callable[[StateStructure], list[Piece]]) -> Forms | None:
    """The guess, made exact by the finitely many texts that it misses or has too many; None if they are not few."""
    language = structure.language
    try:
        pieces = guess(structure)
        if not pieces:
            return Forms(exact=all_texts(language))
        forms = _grouped(pieces, language.universe.start)
        expressed = language_of_forms(forms, language.universe)
        missing, excepted = all_texts(difference(language, expressed)), all_texts(difference(expressed, language))
    except TooManyError:
        return None
    return replace(forms, exact=missing, excepted=excepted)


def _grouped(pieces: Iterable[Piece], start: str) -> Forms:
    """The pieces as forms; prefixes with the same suffixes stand together."""
    by_suffixes: dict[tuple[str, ...], list[str]] = {}
    for piece in pieces:
        by_suffixes.setdefault(tuple(sorted(piece.suffixes)), []).append(piece.prefix or start)
    prefixes = tuple(sorted(set(by_suffixes.pop(("",), ()))))
    suffixes = tuple(sorted(word for words, found in by_suffixes.items() if start in found for word in words))
    pairs = (Between(tuple(sorted(found)), words) for words, found in by_suffixes.items() if start not in found)
    return Forms(prefixes=prefixes, suffixes=suffixes, between=tuple(sorted(pairs)))


def _expressible(forms: Forms, star: str, forbidden: str) -> Forms | Inexpressible:
    """Refuse values that would be read differently: a text with a star at its edge is no text but a prefix or suffix.

    Observed on Istio 1.31: one star is eaten, at the front first, the rest is literal; an empty value matches nothing.
    """
    for word in (*forms.exact, *forms.excepted):
        if not word or word.startswith(star) or word.endswith(star):
            return Inexpressible(
                "an empty string, or one that begins or ends with a star, cannot be written as an exact value", word
            )
    pairs = [word for one in forms.between for word in (*one.prefixes, *one.suffixes)]
    for word in (*forms.exact, *forms.excepted, *forms.prefixes, *forms.suffixes, *pairs):
        if any(char in word for char in forbidden):
            return Inexpressible("a brace cannot be written, because it begins a template", word)
    prefixes = (*forms.prefixes, *(word for one in forms.between for word in one.prefixes))
    starred = next((word for word in prefixes if word.startswith(star)), None)
    return forms if starred is None else Inexpressible("a prefix cannot begin with a star", starred)


def _templates(language: Language, declared: Universe) -> Forms | None:
    """Templates that are equal to the language among the declared letters, and never wider."""
    within = restricted(language, declared)
    try:
        texts = guess_templates(StateStructure(within, Meter()))
    except TooManyError:
        return None
    exact = tuple(text for text in texts if "{" not in text)
    templates = tuple(text for text in texts if is_safe(text) and "{" in text)
    forms = Forms(exact=exact, templates=templates)
    if not templates or len(exact) > MAX_VALUES or not isinstance(_expressible(forms, "*", ""), Forms):
        return None
    expressed = language_of_forms(forms, language.universe)
    if excess(expressed, language) is not None or restricted(expressed, declared) != within:
        return None
    return replace(forms, narrowed=excess(language, expressed))


def _refusal(structure: StateStructure) -> Inexpressible:
    texts = contrast(structure)
    if texts is not None:
        return Inexpressible("whether it matches depends on the text between the beginning and the end", *texts)
    reason = f"it needs more than {MAX_VALUES} values, or a prefix and a suffix of one value at once"
    return Inexpressible(reason, structure.language.shortest())
