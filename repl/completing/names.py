"""Names at the cursor: which of them begin with what is typed, and how HMP spells them."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from repl.completing.questions import Question
from repl.completion_data import Named
from repl.lines.scanning import BLANKS
from shim.hmp.quoting import in_quotes, quote_tag

__all__ = ["ON_OFF", "Look", "Suggestion", "matching", "matching_word", "named", "split_words", "with_prefix"]

# Returns the names that are known now, perhaps none, and asks for missing ones in the background.
Look: TypeAlias = Callable[[Question], tuple[Named, ...]]

ON_OFF = ("on", "off")
# An HMP word; a quote may still be open.
_WORD = re.compile(rf'"(?:[^"\\]|\\.?)*"?|[^"{BLANKS}][^{BLANKS}]*', re.DOTALL)
# Spellings within quotes that a person may type, but that `in_quotes` spells differently.
_TYPED_IN_QUOTES = re.compile(r"\\.|[\n\r]", re.DOTALL)
_SPELT = {r"\'": "'", "\n": r"\n", "\r": r"\r"}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text to put in place of the last `-start` characters before the cursor."""

    text: str
    start: int
    meta: str = ""


def named(values: Iterable[str], meta: str = "") -> list[Named]:
    return [Named(value, meta) for value in values]


def matching(typed: str, candidates: Iterable[Named]) -> list[Suggestion]:
    """Return suggestions for the candidates that begin with what is typed, to replace it."""
    return [Suggestion(one.name, -len(typed), one.meta) for one in with_prefix(typed, candidates)]


def with_prefix(typed: str, candidates: Iterable[Named]) -> list[Named]:
    """Return each name that begins with what is typed once: those with the typed letters, then those in another case."""
    alike: dict[str, Named] = {}
    for one in candidates:
        if one.name.lower().startswith(typed.lower()):
            alike.setdefault(one.name, one)
    return sorted(alike.values(), key=lambda one: not one.name.startswith(typed))


def split_words(rest: str) -> list[str] | None:
    """Split at blanks as HMP does; the last word is the one at the cursor, perhaps "". None if quotes are misplaced."""
    found = list(_WORD.finditer(rest))
    ends = [0, *(word.end() for word in found)]
    if any(word.start() == end > 0 for word, end in zip(found, ends, strict=False)):
        return None
    words = [word[0] for word in found]
    return words if words and ends[-1] == len(rest) else [*words, ""]


def matching_word(word: str, candidates: Iterable[Named]) -> list[Suggestion]:
    """Complete one HMP word, in quotes if the word already begins with one or a name needs them."""
    words = split_words(word)
    if words is None or len(words) > 1:
        return []
    if word.startswith('"'):
        writable = (one for one in candidates if quote_tag(one.name) is not None)
        quoted = [Named(in_quotes(one.name), one.meta) for one in writable]
        typed = _TYPED_IN_QUOTES.sub(lambda found: _SPELT.get(found[0], found[0]), word)
        return [Suggestion(one.name, -len(word), one.meta) for one in with_prefix(typed, quoted)]
    spelt = ((quote_tag(one.name), one.meta) for one in with_prefix(word, candidates))
    return [Suggestion(text, -len(word), meta) for text, meta in spelt if text is not None]
