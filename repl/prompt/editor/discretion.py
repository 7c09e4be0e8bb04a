"""Whether a text that somebody typed tells a password or a secret, however it is spelled: such a text is not remembered.

shim.records.passwords finds what is spelled right. But a line that QEMU refuses has its secret in it, too, and it is the line
that a person mends and types again. When in doubt, a text counts as one with a secret.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from repl.lines.arguments import whole_lines
from shim.hmp.line import BLANKS
from shim.hmp.replacements import REPLACEMENTS
from shim.nearest import nearest
from shim.records.passwords import COMMANDS, WORDS, holds_secret, makes_secret

__all__ = ["tells_secret"]

# The name of the command at the beginning of a line, also of one that is commented out.
_NAME: Final = re.compile(rf"\A[{BLANKS}#]*([^{BLANKS}/]*)")
# Within QMP a command is named after `qmp`, and in a value, which may be the command line for HMP.
_NAME_IN_QMP: Final = re.compile(rf"(?:\bqmp[{BLANKS}]|[\"'=])[{BLANKS}]*([A-Za-z][\w-]*)")
# How QMP's own form begins, or a row of it that was pasted alone.
_BEGIN_JSON: Final = ("{", '"', "'")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_ESCAPED: Final = dict.fromkeys("bfnrt", " ")
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_-]{2,23}")
# How alike a misspelled word is at least: `dat` and `dta` are like `data`, and `date` is not.
_ALIKE: Final = 0.8
# How much of a line is mended: nobody types more, and it takes time.
_MENDED_CHARS: Final = 4096


def tells_secret(text: str, expand: Callable[[str], str]) -> bool:
    """Return whether a text contains a secret: as it is, with aliases expanded, or with misspelled words corrected."""
    return _is_secret(text) or any(_line_tells(expand(line)) for line in whole_lines(text))


def _is_secret(said: str) -> bool:
    return holds_secret(said) or makes_secret(said)


def _line_tells(line: str) -> bool:
    begin = _NAME.match(line)
    assert begin is not None, "it matches the empty text, too"
    if begin[1] == "qmp" or begin[1].startswith(_BEGIN_JSON):
        said = _unescaped(line)
        mended = _mended(said, (*WORDS, *COMMANDS))
        return _is_secret(said) or _is_secret(mended) or any(_is_secret(meant) for meant in _meant(mended, _NAME_IN_QMP))
    if _is_secret(line):
        return True
    # Of other commands no word tells a secret.
    return any(_is_secret(meant) or _is_secret(_mended(meant, WORDS)) for meant in _meant(line, _NAME))


def _meant(line: str, name: re.Pattern[str]) -> Iterator[str]:
    """Yield the line from each name on that looks like one of COMMANDS, with the right name."""
    for found in name.finditer(line):
        if (rest := line[found.end() :]) and (right := _right_name(found[1])):
            yield f"{right} {rest}"


def _right_name(name: str) -> str:
    return "" if name in _other_names() else "".join(nearest(name, COMMANDS, most=1))


def _mended(line: str, words: tuple[str, ...]) -> str:
    def right(found: re.Match[str]) -> str:
        word = found[0]
        return word if word in _other_names() else "".join(nearest(word, words, most=1, likeness=_ALIKE)) or word

    return _WORD.sub(right, line[:_MENDED_CHARS])


def _unescaped(line: str) -> str:
    r"""Return the line with what JSON's escapes stand for: `set_password\tvnc` is two words to HMP."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _ESCAPED.get(found[2], found[2]), line)


@cache
def _other_names() -> frozenset[str]:
    """Return commands that take no secret. They are spelled right, although `qom-get` looks like `qom-set`."""
    of_qmp = {name for one in REPLACEMENTS.values() for name in one.commands}
    return frozenset({*REPLACEMENTS, *of_qmp} - {*COMMANDS})
