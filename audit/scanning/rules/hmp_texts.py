"""Whether a text is an HMP command line, and which."""

import re
from dataclasses import dataclass
from typing import Final

from shim.hmp.line import HMPLine
from shim.hmp.replacements import REPLACEMENTS

__all__ = ["COMPUTED", "SNAPSHOT_COMMANDS", "SnapshotLine", "known_command", "snapshot_lines", "without_placeholders"]

SNAPSHOT_COMMANDS: Final = frozenset({"savevm", "loadvm", "delvm", "info snapshots"})
# Stands for a command that only the running program knows.
COMPUTED: Final = ""

# Placeholders into which a program puts a value: {tag}, {{ tag }}, ${tag}, $(tag), #{tag}, %(tag)s, %1.
_PLACEHOLDER: Final = re.compile(
    r"\$?\{\{[^{}\n]*\}\}|[$#]?\{[^{}\n]*\}|\$\([^()\n]*\)|\\\([^()\n]*\)|%\(\w+\)\w|`[^`\n]*`|%[-\d.]*[sdviqx]|%\d"
)
_PUT_IN: Final = "\x01"
_NAME: Final = re.compile(r"[\w?-]+")
_SNAPSHOT: Final = re.compile(
    r"""(?P<name>savevm|loadvm|delvm)(?:(?P<blank>[ \t]+)(?P<tag>"[^"\n]*"|'[^'\n]*'|[^\s"'\[\]<>|]+|["'])?)?[ \t]*"""
    r"""|(?P<info>info[ \t]+snapshots)[ \t]*"""
)
# Words that follow a command's name in messages, where HMP would have a tag.
_PROSE: Final = re.compile(
    r"fail\w*:?|error\w*:?|done|ok|complete\w*|succe\w+|is|was|of|to|not|and|or|return\w*|timeout|timed|took:?|for|from|after|before|with"
    r"|commands?|snapshot:|state|start\w*|finish\w*|tests?|can|could|will|did|does|handler|support\w*|unsupported|in|on|the"
)


@dataclass(frozen=True, slots=True)
class SnapshotLine:
    """One of HMP's snapshot commands. offset: of the command in the text. is_whole: it has a tag, or a blank for one."""

    command: str
    offset: int
    is_whole: bool


def without_placeholders(text: str) -> str:
    """Replace placeholders with as many characters that are not blanks."""
    return _PLACEHOLDER.sub(lambda match: _PUT_IN * len(match[0]), text)


def snapshot_lines(text: str) -> list[SnapshotLine]:
    """Return the snapshot commands in a text that consists of HMP command lines; [] for any other text."""
    found: list[SnapshotLine] = []
    at = 0
    for line in without_placeholders(text.replace("\0", " ")).splitlines(keepends=True):
        begin = at + len(line) - len(line.lstrip())
        at += len(line)
        content = line.strip("\r\n").lstrip()
        match = _SNAPSHOT.fullmatch(content)
        if match is None:
            if content.strip() and known_command(content) not in REPLACEMENTS:
                return []
            continue
        if _PROSE.fullmatch((match["tag"] or "").lower().rstrip("!.")):
            return []
        command = "info snapshots" if match["info"] else match["name"]
        found.append(SnapshotLine(command, begin, bool(match["info"] or match["blank"])))
    return found


def known_command(text: str) -> str:
    """Return the full name of the command that a text begins with; COMPUTED if that is a placeholder or not a name."""
    line = HMPLine.read(without_placeholders(text))
    if _PUT_IN in line.name or line.name.startswith("$"):
        return COMPUTED
    name = _NAME.match(line.name)
    topic = _NAME.match(line.topic)
    if name is None or (line.name == "info" and topic is None):
        return COMPUTED
    return f"info {topic[0]}" if topic is not None else name[0]
