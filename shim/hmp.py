"""HMP's command line: which of our commands it is, if any.

It knows how QEMU's human monitor takes a line apart (monitor/hmp.c; the commands' argument types are in hmp-commands.hx
and hmp-commands-info.hx) and nothing of QMP, nodes or snapshots. QEMU 5.2, 7.2, 10.0 and 11.1 do it alike.

`parse` recognises exactly one well-formed command. Everything else is None and belongs to QEMU as it came, so that QEMU
answers in its own words; so does a line that QEMU takes in a way that no QMP command can repeat.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "BLANKS",
    "DelVM",
    "HMPCommand",
    "InfoSnapshots",
    "LoadVM",
    "SaveVM",
    "command_name",
    "first_refused",
    "full_name",
    "info_topic",
    "is_about_snapshots",
    "parse",
    "why_not_parsed",
]


@dataclass(frozen=True, slots=True)
class SaveVM:
    """`savevm [tag]` (hmp-commands.hx, args_type "name:s?"). For None HMP makes a name from the local time."""

    tag: str | None


@dataclass(frozen=True, slots=True)
class LoadVM:
    """`loadvm tag` (hmp-commands.hx, args_type "name:s")."""

    tag: str


@dataclass(frozen=True, slots=True)
class DelVM:
    """`delvm tag` (hmp-commands.hx, args_type "name:s")."""

    tag: str


@dataclass(frozen=True, slots=True)
class InfoSnapshots:
    """`info snapshots` (hmp-commands-info.hx, no argument)."""


HMPCommand: TypeAlias = SaveVM | LoadVM | DelVM | InfoSnapshots

# C's isspace() in the C locale. str.isspace() would also take U+00A0, U+001C and others.
BLANKS = " \t\n\v\f\r"
_NAME_END = re.compile(r"[ \t\n\v\f\r/]")
_WORD = re.compile(r"[^ \t\n\v\f\r]+")
_QUOTED = re.compile(r'"([^"\\]*(?:\\[nr\\\'"][^"\\]*)*)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r"}

# monitor/hmp.c's buffers for a name (256 bytes) and an argument (1024 bytes), less the final NUL. The rest is dropped.
_NAME_LIMIT_BYTES = 255
_ARGUMENT_LIMIT_BYTES = 1023

# QEMU holds U+0000 as two bytes (util/unicode.c, "modified UTF-8"), which makes it an ordinary character.
_NUL = b"\xc0\x80"

# It refuses surrogates and the noncharacters U+FDD0..FDEF and U+nFFFE/F: no command of ours could carry such a tag.
_PLANES = range(0, 0x110000, 0x10000)
_REFUSED = re.compile(
    "[\ud800-\udfff\ufdd0-\ufdef" + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in _PLANES) + "]"
)


def parse(command_line: str) -> HMPCommand | None:
    """Read a line as HMP would; None unless it is exactly one well-formed savevm, loadvm, delvm or `info snapshots`.

    `command_line` is human-monitor-command's (qapi/misc.json) after JSON decoding. A tag may be empty and may hold any
    character. It has at most 1023 bytes, since QEMU drops the rest; if that would split a character, None.
    """
    if first_refused(command_line) is not None:
        return None
    name, rest = _split_name(command_line)
    match name:
        case "savevm" if not rest:
            return SaveVM(None)
        case "savevm" | "loadvm" | "delvm":
            tag = _sole_argument(rest)
            return None if tag is None else _TAGGED[name](tag)
        case "info" if _split_name(rest) == ("snapshots", ""):
            return InfoSnapshots()
    return None


def first_refused(text: str) -> int | None:
    """Give the index of the first character that QEMU takes in no JSON string; None if there is none."""
    found = _REFUSED.search(text)
    return None if found is None else found.start()


def command_name(command_line: str) -> str:
    """Give the name that HMP would look up, cut to 255 bytes as HMP's is.

    "info snapshots" gives `info`; a blank line, or one that begins with `/`, gives "".
    """
    name, _ = _split_name(command_line)
    return _cut_name(name)


def info_topic(command_line: str) -> str:
    """Return what `info` is asked about, cut as a name is; "" for another command."""
    name, rest = _split_name(command_line)
    return _cut_name(_split_name(rest)[0]) if name == "info" else ""


def full_name(command_line: str) -> str:
    """Return the name of the command, for `info` with its topic: "info block -v" gives `info block`.

    What is no blank to C belongs to the name: `info version` with U+00A0 behind it, or between, is another command.
    """
    topic = info_topic(command_line)
    return f"info {topic}" if topic else command_name(command_line)


def is_about_snapshots(command_line: str) -> bool:
    """Tell whether the line begins as one of the commands that `parse` knows, well-formed or not."""
    return command_name(command_line) in _TAGGED or info_topic(command_line) == "snapshots"


def why_not_parsed(command_line: str) -> str:
    """Say why `parse` gives None, for the audit."""
    if not is_about_snapshots(command_line):
        return "not a snapshot command"
    return "not exactly one well-formed savevm, loadvm, delvm or info snapshots"


_TAGGED: dict[str, type[SaveVM] | type[LoadVM] | type[DelVM]] = {"savevm": SaveVM, "loadvm": LoadVM, "delvm": DelVM}


def _cut_name(name: str) -> str:
    return name.encode(errors="replace")[:_NAME_LIMIT_BYTES].decode(errors="ignore")


def _split_name(line: str) -> tuple[str, str]:
    """Split behind the name, and drop the blanks round both parts. A `/` ends the name but stays in the rest."""
    line = line.strip(BLANKS)
    name = _NAME_END.split(line, maxsplit=1)[0]
    return name, line[len(name) :].lstrip(BLANKS)


def _sole_argument(rest: str) -> str | None:
    if rest.startswith('"'):
        quoted = _QUOTED.fullmatch(rest)
        return None if quoted is None else _cut(_ESCAPE.sub(_unescape, quoted[1]))
    return _cut(rest) if _WORD.fullmatch(rest) else None


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPED.get(match[1], match[1])


def _cut(argument: str) -> str | None:
    """Drop what does not fit QEMU's buffer; None if that would split a character."""
    stored = argument.encode().replace(b"\0", _NUL)
    if len(stored) <= _ARGUMENT_LIMIT_BYTES:
        return argument
    try:
        return stored[:_ARGUMENT_LIMIT_BYTES].replace(_NUL, b"\0").decode()
    except UnicodeDecodeError:
        return None
