"""YAML, Makefiles and Dockerfiles: files whose lines, or some of them, are shell commands.

Each piece is read for itself, so that an apostrophe in a title opens nothing that goes on in the next line.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from typing import Final

from audit.scanning.rules.findings import Hit
from audit.scanning.rules.shell import scan_shell

__all__ = ["scan_lines"]

# `key: |` or `key: >-`: what is indented deeper is one text. In `>` a line's end is a blank.
_BLOCK: Final = re.compile(r"(?P<indent>[ ]*)(?P<lead>(?:- +)*)(?:[\w.\"'-][^:\n]*:[ ]*)?(?P<kind>[|>])[-+\d]*[ ]*(?:#.*)?")
_KEY: Final = re.compile(r"[ \t]*(?:- +)*(?:[\w.\"'/ -]{1,60}?:[ ]+(?=\S))?")
_ITEM: Final = re.compile(r"[ ]*- +(?:\"[^\"]*\"|'[^']*'|[^\s:#]+(?: [^:#]*)?)[ ]*")
_FLOW: Final = re.compile(r"\[[^\n]*\]")
# What says nothing (names, messages, descriptions), whatever its words are.
_PROSE_KEY: Final = re.compile(
    r"[ \t]*(?:- +)*[\"']?(?:\w*name|\w*msg|message|description|title|summary|comment|help|label|tags?)[\"']?:\s", re.I
)
_RECIPE: Final = re.compile(r"(?<=\t)[@+-]+")
_DASH: Final = re.compile(r"^( *)-")
_ARGV: Final = re.compile(r"(?:argv|args|command|cmd|entrypoint):\s*$")
_COMMA: Final = re.compile(r"(?<=[\"'\w]),")
_DOCKER: Final = re.compile(r"(?:RUN|CMD|ENTRYPOINT|HEALTHCHECK|ExecStart\w*=-?|ExecStop\w*=-?)[ ]*")


def scan_lines(text: str) -> list[Hit]:
    """Return what is found in such a file."""
    return [replace(hit, offset=begin + hit.offset) for begin, piece in _pieces(text) for hit in scan_shell(piece)]


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield the commands of a file with their places."""
    lines = text.splitlines(keepends=True)
    starts = list(accumulate(map(len, lines), initial=0))
    at = 0
    while at < len(lines):
        end, first, piece = _piece(lines, at)
        if _PROSE_KEY.match(lines[at]) is None:
            yield starts[first], piece
        at = end


def _piece(lines: list[str], at: int) -> tuple[int, int, str]:
    """Return where the piece that begins with a line ends, where its text begins, and the text."""
    block = _BLOCK.fullmatch(lines[at].rstrip("\r\n"))
    if block is not None:
        end = _end_of_block(lines, at, len(block["indent"]))
        script = "".join(lines[at + 1 : end])
        return end, at + 1, script.replace("\n", " ") if block["kind"] == ">" else script
    end = _end_of_items(lines, at)
    if end > at + 1:
        return end, at, "".join(_DASH.sub(r"\1 ", line) for line in lines[at:end]).replace("\n", " ")
    while end < len(lines) and lines[end - 1].rstrip("\r\n").endswith("\\"):
        end += 1
    return end, at, _without_key("".join(lines[at:end]))


def _end_of_block(lines: list[str], at: int, indent: int) -> int:
    end = at + 1
    while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip(" ")) > indent):
        end += 1
    return end


def _end_of_items(lines: list[str], at: int) -> int:
    """Return where a list of words ends, if it is the `argv` of one command; the next line otherwise."""
    end = at + 1
    if at and _ARGV.search(lines[at - 1]) and _ITEM.fullmatch(lines[at].rstrip("\r\n")):
        while end < len(lines) and _ITEM.fullmatch(lines[end].rstrip("\r\n")):
            end += 1
    return end


def _without_key(line: str) -> str:
    """Replace what stands before a command with blanks, and make words of a list."""
    size = 0
    for pattern in (_KEY, _RECIPE, _DOCKER):
        if (match := pattern.match(line, size)) is not None:
            size = match.end()
    rest = line[size:]
    if _FLOW.fullmatch(rest.rstrip()):
        rest = f" {_COMMA.sub(' ', rest.rstrip()[1:-1])} "
    return " " * size + rest
