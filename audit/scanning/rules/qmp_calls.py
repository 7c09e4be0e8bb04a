"""QMP's human-monitor-command: as JSON, or as what a language makes JSON from.

qapi/misc.json, human-monitor-command: the command line is its argument `command-line`. The two are close to each other however
the call is written: as one text, as a map, or as the name followed by the arguments.
"""

import re
from dataclasses import dataclass
from typing import Final

from audit.scanning.rules.findings import Hit
from audit.scanning.rules.hmp_texts import COMPUTED, known_command
from audit.scanning.rules.lexing import PADDING

__all__ = ["CHANNEL", "COMPARED_BEFORE", "QMPCall", "is_command_line", "qmp_calls"]

CHANNEL: Final = "human-monitor-command"

# What precedes something that is only compared.
COMPARED_BEFORE: Final = re.compile(r"""(?:==|!=|=~|\bin|\bcase|\bis|\beq|\bne|\bwhen)\s*[\[({]*\s*[bfru&]?["'`]?$""")

_NAME: Final = re.compile(r"human-monitor-command(?![\w-])")
_REACH: Final = 500
_BEFORE: Final = 60
_EXECUTE: Final = re.compile(
    r"""(?:execute|exec-oob)["'`\s]*\]?\s*(?:=>|[:=,(]|\.into\(\),)\s*[\w.:!]*\(?\s*[bfru&$@]?["'`]*$""", re.I
)
_ANOTHER: Final = re.compile(r"human-monitor-command|execute|exec-oob", re.I)
_KEY: Final = re.compile(rf"""command[-_]?line["'`{PADDING}\s]*\]?\s*(?:\.into\(\),|=>|:=|[:=,])(?!=)""", re.I)
_KEY_BEFORE: Final = re.compile(_KEY.pattern + r"""[\s\w.:!&]*\(?\s*$""", re.I)
# Functions that make a text right where it is used.
_MADE: Final = (
    r"(?:[\w.:]*(?:Sprintf|sprintf|format!|format|from|new|String|QStringLiteral|QLatin1String|str|bytes)\s*\(\s*&?)*"
)
_VALUE: Final = re.compile(rf"[\s{PADDING}]*{_MADE}[bfruBFRU$@&]{{0,2}}{PADDING}?[\"'`]")
_CALLED: Final = re.compile(r"""(?P<name>\w+)[!?]?\s*\(\s*(?:[\w.&>$@\-]+\s*,\s*)*[bfru&]?["'`]$""")


@dataclass(frozen=True, slots=True)
class QMPCall:
    """A call. value_at: where the text of its command line begins; None if that is not a literal."""

    hit: Hit
    value_at: int | None


def qmp_calls(flat: str, talks: re.Pattern[str]) -> list[QMPCall]:
    """Return the calls of human-monitor-command.

    flat: a text without comments and escapes. talks: names of functions that only print or log something.
    """
    return [call for match in _NAME.finditer(flat) if (call := _call(flat, match, talks)) is not None]


def is_command_line(code: str, at: int) -> bool:
    """Return whether the literal that begins at `at` is the value of `command-line`. code: with readable keys, as in flat."""
    return _KEY_BEFORE.search(code, max(0, at - _BEFORE), at) is not None


def _call(flat: str, match: re.Match[str], talks: re.Pattern[str]) -> QMPCall | None:
    before = flat[max(0, match.start() - _BEFORE) : match.start()].replace(PADDING, "")
    if COMPARED_BEFORE.search(before):
        return None
    key = _key_after(flat, match.end()) or _key_before(flat, match.start())
    is_executed = _EXECUTE.search(before) is not None
    called = _CALLED.search(before)
    if called is not None and talks.fullmatch(called["name"]):
        return None
    if key is not None:
        value = _VALUE.match(flat, key)
        command = COMPUTED if value is None else _command(flat, value.end())
        return QMPCall(
            Hit(match.start(), CHANNEL, command, is_sure=command != COMPUTED or is_executed or called is not None),
            None if value is None else value.end(),
        )
    is_whole = flat[match.end() : match.end() + 1] in ("'", '"', "`")
    if is_executed or (called is not None and is_whole):
        return QMPCall(Hit(match.start(), CHANNEL, COMPUTED, is_sure=is_executed), None)
    return None


def _command(flat: str, at: int) -> str:
    return known_command(re.split(r"[\"'`\n]", flat[at : at + 200].replace(PADDING, ""), maxsplit=1)[0])


def _key_after(flat: str, at: int) -> int | None:
    another = _ANOTHER.search(flat, at, at + _REACH)
    key = _KEY.search(flat, at, at + _REACH if another is None else another.start())
    return None if key is None else key.end()


def _key_before(flat: str, at: int) -> int | None:
    """Return the end of a `command-line` key that precedes the command's name, as in JSON with sorted keys, else None."""
    begin = max(0, at - _REACH)
    region = flat[begin:at]
    # The last `execute` is this command's own.
    if (own := _EXECUTE.search(region.replace(PADDING, " "))) is None:
        return None
    region = region[: own.start()]
    cut = max(region.rfind(";"), region.rfind("}}"), region.rfind("\n\n"), *(m.end() for m in _ANOTHER.finditer(region)), 0)
    # "arguments": {…} ends with one brace, but an earlier call with two.
    keys = list(_KEY.finditer(region, cut))
    return begin + keys[-1].end() if keys else None
