"""HMP's command line: which of our commands it is, if any.

This module knows how QEMU's human monitor parses a line (monitor/hmp.c; the commands' argument types are in hmp-commands.hx
and hmp-commands-info.hx) and nothing about QMP, nodes or snapshots. QEMU 5.2, 7.2, 10.0 and 11.1 parse alike.

An HMPLine has a `command` only for exactly one well-formed command. Everything else goes to QEMU unchanged, so that QEMU
answers in its own words; so does a line that QEMU understands in a way that no QMP command can express.
"""

import re
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

__all__ = ["BLANKS", "DelVM", "HMPCommand", "HMPLine", "InfoSnapshots", "LoadVM", "SaveVM", "first_refused", "sole_argument"]


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
# A `/` ends a name and belongs to the rest.
_NAME_END = re.compile(r"[ \t\n\v\f\r/]")
_WORD = re.compile(r"[^ \t\n\v\f\r]+")
_QUOTED = re.compile(r'"([^"\\]*(?:\\[nr\\\'"][^"\\]*)*)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r"}

# monitor/hmp.c's buffers for a name (256 bytes) and an argument (1024 bytes), without the final NUL. QEMU drops the rest.
_NAME_LIMIT_BYTES = 255
_ARGUMENT_LIMIT_BYTES = 1023

# QEMU stores U+0000 as two bytes (util/unicode.c, "modified UTF-8"), which makes it an ordinary character.
_NUL = b"\xc0\x80"

# QEMU refuses surrogates and the noncharacters U+FDD0..FDEF and U+nFFFE/F: no command of ours could carry such a tag.
_PLANES = range(0, 0x110000, 0x10000)
_REFUSED = re.compile(
    "[\ud800-\udfff\ufdd0-\ufdef" + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in _PLANES) + "]"
)


_TAGGED: dict[str, type[SaveVM] | type[LoadVM] | type[DelVM]] = {"savevm": SaveVM, "loadvm": LoadVM, "delvm": DelVM}


@dataclass(frozen=True, slots=True)
class HMPLine:
    """A command line as QEMU's human monitor parses it: human-monitor-command's `command-line` (qapi/misc.json), decoded.

    It is parsed once, when a command arrives, and passed on; whatever decides, records or masks uses this value.

    name: what HMP would look up, cut to 255 bytes as HMP does; "" for a blank line or one that begins with `/`. topic: what
    `info` is asked about, cut likewise; "" for other commands. full_name: the name, with the topic for `info`: "info block -v"
    is `info block`. What is not a blank to C belongs to a name: `info version` followed by U+00A0 is another command.

    command: the parsed command if the line is exactly one well-formed savevm, loadvm, delvm or `info snapshots`, else None.
    why_not_parsed: why command is None; "" otherwise.

    arguments: what follows the name, and the topic of `info`, without surrounding blanks.
    """

    text: str
    name: str
    topic: str
    full_name: str
    command: HMPCommand | None
    why_not_parsed: str
    arguments: str = ""

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse a line as HMP would.

        A tag may be empty and may contain any character that QEMU accepts. It is cut to 1023 bytes, since QEMU drops the rest;
        if that would split a character, the line has no `command`.
        """
        line = text.strip(BLANKS)
        name, topic = _NAME_END.split(line, maxsplit=1)[0], ""
        rest = line[len(name) :].lstrip(BLANKS)
        if name == "info":
            topic = _NAME_END.split(rest, maxsplit=1)[0]
            rest = rest[len(topic) :].lstrip(BLANKS)
        command, why = None, "not a snapshot command"
        if name in _TAGGED or topic == "snapshots":
            command = None if first_refused(text) is not None else _command(name, rest)
            why = _MALFORMED if command is None else ""
        if len(text) > _NAME_LIMIT_BYTES or not text.isascii() or "\0" in text:
            name, topic = _cut_name(name), _cut_name(topic)
        return cls(text, name, topic, f"info {topic}" if topic else name, command, why, rest)

    @property
    def is_about_snapshots(self) -> bool:
        """Return whether the line begins like one of the commands that are parsed, well-formed or not."""
        return self.name in _TAGGED or self.topic == "snapshots"

    def not_parsed(self) -> Self:
        """Return the same line without its `command`, for QEMU to carry out: it has arguments that only QEMU can judge."""
        return self if self.command is None else replace(self, command=None, why_not_parsed=_MALFORMED)


_MALFORMED = "not exactly one well-formed savevm, loadvm, delvm or info snapshots"


def first_refused(text: str) -> int | None:
    """Return the index of the first character that QEMU refuses in a JSON string; None if there is none."""
    found = _REFUSED.search(text)
    return None if found is None else found.start()


def _command(name: str, arguments: str) -> HMPCommand | None:
    if name == "info":
        return None if arguments else InfoSnapshots()
    if name == "savevm" and not arguments:
        return SaveVM(None)
    tag = sole_argument(arguments)
    return None if tag is None else _TAGGED[name](tag)


def _cut_name(name: str) -> str:
    stored = name.encode(errors="replace").replace(b"\0", _NUL)[:_NAME_LIMIT_BYTES]
    return stored.replace(_NUL, b"\0").decode(errors="ignore")


def sole_argument(rest: str) -> str | None:
    """Read a line's arguments as one text; None if they are none, or more than one, or wrongly quoted."""
    if rest.startswith('"'):
        quoted = _QUOTED.fullmatch(rest)
        return None if quoted is None else _cut(_ESCAPE.sub(_unescape, quoted[1]))
    return _cut(rest) if _WORD.fullmatch(rest) else None


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPED.get(match[1], match[1])


def _cut(argument: str) -> str | None:
    """Cut the argument to QEMU's buffer; return None if that would split a character."""
    stored = argument.encode().replace(b"\0", _NUL)
    if len(stored) <= _ARGUMENT_LIMIT_BYTES:
        return argument
    try:
        return stored[:_ARGUMENT_LIMIT_BYTES].replace(_NUL, b"\0").decode()
    except UnicodeDecodeError:
        return None
