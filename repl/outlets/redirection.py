"""What `| command`, `> file` and `>> file` at the end of a line mean; the package's docstring has the rule."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from repl.lines.lines import SYNONYMS
from repl.lines.scanning import BLANKS, LineError, skip_blanks
from shim.hmp.line import HMPLine

__all__ = ["EXPRESSIONS", "Outlet", "ToFile", "ToShell", "split_outlet", "unfinished_file"]


@dataclass(frozen=True, slots=True)
class ToShell:
    """`| command`. command: what the shell runs, as it was typed."""

    command: str


@dataclass(frozen=True, slots=True)
class ToFile:
    """`> path`, or `>> path`. A path that begins with `~` is in a home directory."""

    path: str
    appends: bool


Outlet: TypeAlias = ToShell | ToFile

# Commands that calculate (hmp-commands.hx and hmp-commands-info.hx of QEMU 5.2 to 11.1: an argument of type i, l or M).
_CALCULATING: Final = frozenset({"print", "p", "x", "xp", "i", "sum", "gva2gpa", "gpa2hva", "gpa2hpa"})
_ROCKER: Final = frozenset({"info rocker-of-dpa-flows", "info rocker-of-dpa-groups"})
_VIRTIO: Final = frozenset(f"info virtio-{what}" for what in ("queue-element", "queue-status", "vhost-queue-status"))
_COUNTING: Final = frozenset({"info lapic", "info opcount", "info registers", "info sync-profile", "info trace-events"})
EXPRESSIONS: Final = frozenset({*_CALCULATING, *_ROCKER, *_VIRTIO, *_COUNTING, "ringbuf_read"})
# Commands whose arguments are QEMU's own names, or numbers: neither contains any of these characters.
_TIGHT: Final = frozenset({"info", "help", "?", *_CALCULATING})
# Commands whose arguments can be a person's own words.
_SPACED: Final = frozenset({"qom-list", "qom-get", "ringbuf_read", "qemu-io", "xen-event-list", "plan", "qmp"})
# Commands that only print if asked for help, and otherwise do something.
_LISTING: Final = frozenset({"device_add", "netdev_add", "object_add", "chardev-add", "log"})

_NAME: Final = re.compile(rf"[{BLANKS}]*([^{BLANKS}/|>]+)")
_ASKS_FOR_HELP: Final = re.compile(r"(\S+,)?(help|\?)")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_JSON_BEFORE_STRING: Final = "={[,:"
_CONSTANT: Final = re.compile(r"'.'")
_RUN: Final = re.compile(r"[|>]+")
_OPERATORS: Final = frozenset({"|", ">", ">>"})
_OPERAND: Final = re.compile(r"[-+~($'0-9]")
_FILE: Final = re.compile(rf"""(?P<bare>[^{BLANKS}"'&|>][^{BLANKS}]*)|"(?P<double>(?:[^"\\]|\\.)+)"|'(?P<single>[^']+)'""")
_ESCAPE: Final = re.compile(r"\\(.)")


def split_outlet(line: str) -> tuple[str, Outlet | None]:
    """Split a line into its command and the outlet for its output; None for the screen.

    Raises LineError if nothing follows an operator that QEMU would reject too, and for an invalid file name.
    """
    begin = _NAME.match(line)
    name = "" if begin is None else SYNONYMS.get(begin[1], begin[1])
    if begin is None or name not in _TIGHT | _SPACED | _LISTING:
        return line, None
    for found in _operators(
        line, begin.end(), before_string=_JSON_BEFORE_STRING if name == "qmp" else "", is_tight=name in _TIGHT
    ):
        command, rest = line[: found.start()].rstrip(BLANKS), line[found.end() :].strip(BLANKS)
        read = HMPLine.read(command)
        if name in _LISTING and not _ASKS_FOR_HELP.fullmatch(read.arguments):
            break
        if not rest and name in _TIGHT:
            raise LineError(len(line), f"'{found[0]}' needs a {'shell command' if found[0] == '|' else 'file'} after it")
        if not rest:
            break
        if found[0] != "|":
            return command, _to_file(line, found)
        if read.full_name not in EXPRESSIONS or not _OPERAND.match(rest):
            return command, ToShell(rest)
    return line, None


def unfinished_file(line: str) -> tuple[str, str] | None:
    """Return the name of the file that is being typed after `>` or `>>`, "" if it has not begun; None if none is.

    The second text is the quote that it begins with, "" for none.
    """
    for quote in ("", '"'):
        with contextlib.suppress(LineError):
            # The name ends where the line does, so what is put after the line comes after the name.
            _, outlet = split_outlet(f"{line}x{quote}")
            if isinstance(outlet, ToFile) and line.endswith(f"{quote}{outlet.path[:-1]}"):
                return outlet.path[:-1], quote
    return None


def _operators(line: str, at: int, *, before_string: str, is_tight: bool) -> Iterator[re.Match[str]]:
    """Yield the operators from `at` on: outside quotes, and surrounded by blanks unless is_tight.

    before_string: characters, besides a blank, after which a quote begins a string.
    """
    while at < len(line):
        is_after_blank = line[at - 1] in BLANKS
        if line[at] == '"' and (is_after_blank or line[at - 1] in before_string):
            string = _STRING.match(line, at)
            if string is None:
                return
            at = string.end()
        elif (constant := _CONSTANT.match(line, at)) is not None:
            at = constant.end()
        elif (run := _RUN.match(line, at)) is not None:
            at = run.end()
            is_word = is_after_blank and line[at : at + 1] in ("", *BLANKS)
            if run[0] in _OPERATORS and (is_tight or is_word):
                yield run
        else:
            at += 1


def _to_file(line: str, operator: re.Match[str]) -> ToFile:
    at = skip_blanks(line, operator.end())
    found = _FILE.fullmatch(line, at, len(line.rstrip(BLANKS)))
    if found is None:
        raise LineError(at, f"'{operator[0]}' needs one file name after it; one with blanks needs quotes")
    path = found["bare"] or found["single"] or _ESCAPE.sub(r"\1", found["double"])
    # As in a shell, only an unquoted `~` means a home directory.
    is_plain = path.startswith("~") and found["bare"] is None
    return ToFile(f"./{path}" if is_plain else path, appends=operator[0] == ">>")
