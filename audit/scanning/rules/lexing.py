"""Comments and string literals of code.

This is not a parser: it knows enough to distinguish code, comments and literals in ordinary sources. A literal that it gets
wrong (at a quote in a regular expression of JavaScript, say) ends with its line.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from audit.scanning.rules.languages import Language

__all__ = ["PADDING", "Lexed", "Literal", "lex", "without_escapes"]

# Fills up an escape, which is one character longer than what it stands for.
PADDING: Final = "\0"


@dataclass(frozen=True, slots=True)
class Literal:
    """A string literal. start, end: of the whole, with its quotes. begin: of its content. text: the content, padded."""

    start: int
    begin: int
    end: int
    text: str

    @property
    def value(self) -> str:
        return self.text.replace(PADDING, "")


@dataclass(frozen=True, slots=True)
class Lexed:
    """A source in two forms, in which every character keeps its place, and its literals.

    flat: without comments and escapes. code: also without the content of literals. literals: in order.
    """

    flat: str
    code: str
    literals: tuple[Literal, ...]


# An escaped quote opens nothing. Otherwise, a text of many unclosed ones would be read to its end from each of them.
_NOT_ESCAPED: Final = r"(?<!\\)"
_DOUBLE: Final = _NOT_ESCAPED + r'"(?:\\.|[^"\\\n])*"'
_SINGLE: Final = _NOT_ESCAPED + r"'(?:\\.|[^'\\\n])*'"
# The same, over several lines.
_DOUBLE_LINES: Final = _NOT_ESCAPED + r'"(?:\\.|[^"\\])*"'
_SINGLE_LINES: Final = _NOT_ESCAPED + r"'(?:\\.|[^'\\])*'"
_TRIPLE: Final = _NOT_ESCAPED + r'"""(?:\\.|[^\\])*?"""'
_TRIPLE_SINGLE: Final = _NOT_ESCAPED + r"'''(?:\\.|[^\\])*?'''"
# A character literal, but not a lifetime in Rust.
_CHARACTER: Final = r"'(?:\\[^'\n]{1,10}|\\'|[^'\\\n])'"
_BACKTICKS: Final = _NOT_ESCAPED + r"`(?:\\.|[^`\\])*`"
_SLASHES: Final = r"//[^\n]*|/\*.*?(?:\*/|\Z)"
_HASH: Final = r"#[^\n]*"


def _pattern(comment: str, *strings: str) -> re.Pattern[str]:
    return re.compile(f"(?P<comment>{comment})|(?P<string>{'|'.join(strings)})", re.DOTALL | re.MULTILINE)


_PATTERNS: Final[Mapping[Language, re.Pattern[str]]] = {
    Language.PYTHON: _pattern(_HASH, _TRIPLE, _TRIPLE_SINGLE, _DOUBLE, _SINGLE),
    Language.C: _pattern(_SLASHES, r'R"(?P<mark>[^()\s\\]{0,16})\(.*?(?:\)(?P=mark)"|\Z)', _TRIPLE, _DOUBLE, _CHARACTER),
    Language.GO: _pattern(_SLASHES, _DOUBLE, _CHARACTER, r"`[^`]*`"),
    Language.RUST: _pattern(_SLASHES, r'r(?P<mark>#{0,4})".*?(?:"(?P=mark)|\Z)', _DOUBLE_LINES, _CHARACTER),
    Language.SCRIPT: _pattern(_SLASHES, _TRIPLE, _DOUBLE, _SINGLE, _BACKTICKS),
    Language.PERL: _pattern(
        r"^=(?:pod|head\d|over|begin|item|encoding)\b.*?(?:^=(?:cut|end)\b[^\n]*|\Z)|(?:^|(?<=[\s;]))#[^\n]*",
        *(_DOUBLE_LINES, _SINGLE_LINES, r"\bqq?\{[^{}]*\}", r"\bqq?\([^()]*\)"),
    ),
}
_OPENING: Final = re.compile(r"""R"[^("]*\(|r#*"|\"{3}|'{3}|qq?[{(]|["'`]""")
_RAW: Final = re.compile(r"[rR]#*\"|`")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_NOT_LINE_END: Final = re.compile(r"[^\n]")
_MEANING: Final = {"n": "\n", "r": "\r", "t": "\t", "\n": "\n"}


def lex(text: str, language: Language) -> Lexed:
    """Split a source into code, comments and literals. language: not SHELL or LINES."""
    flat: list[str] = []
    code: list[str] = []
    literals: list[Literal] = []
    at = 0
    for match in _PATTERNS[language].finditer(text):
        flat.append(text[at : match.start()])
        code.append(text[at : match.start()])
        at = match.end()
        if match["comment"] is not None:
            blank = _NOT_LINE_END.sub(" ", match[0])
            flat.append(blank)
            code.append(blank)
            continue
        literal = _literal(match, is_go=language is Language.GO)
        literals.append(literal)
        opening, closing = (
            match[0][: literal.begin - match.start()],
            match[0][literal.begin - match.start() + len(literal.text) :],
        )
        flat.append(opening + literal.text + closing)
        code.append(opening + _NOT_LINE_END.sub(" ", literal.text) + closing)
    return Lexed("".join((*flat, text[at:])), "".join((*code, text[at:])), tuple(literals))


def _literal(match: re.Match[str], *, is_go: bool) -> Literal:
    whole = match[0]
    opening = _OPENING.match(whole)
    assert opening is not None
    size = opening.end()
    closing_size = 3 if opening[0] in ('"""', "'''") else 1 + len(match.groupdict().get("mark") or "")
    if opening[0].startswith("R"):
        closing_size += 1
    inside = whole[size : len(whole) - closing_size]
    is_raw = _RAW.match(opening[0]) is not None and (is_go or opening[0] != "`")
    return Literal(match.start(), match.start() + size, match.end(), inside if is_raw else without_escapes(inside))


def without_escapes(text: str) -> str:
    """Replace each escape with a padding character and what it stands for."""
    return _ESCAPE.sub(lambda escape: PADDING + _MEANING.get(escape[1], escape[1]), text)
