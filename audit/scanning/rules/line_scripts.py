"""YAML, Makefiles and Dockerfiles: files whose lines, or some of them, are shell commands.

Each piece is read separately, so that an apostrophe in a title does not open a string that extends to the next line.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from typing import Final

from audit.scanning.rules.findings import Hit
from audit.scanning.rules.shell import scan_shell

__all__ = ["scan_lines"]

# `key: |` or `key: >-`: what is indented more deeply is one text. With `>`, line ends become blanks.
_BLOCK: Final = re.compile(r"(?P<indent>[ ]*)(?P<lead>(?:- +)*)(?:[\w.\"'-][^:\n]*:[ ]*)?(?P<kind>[|>])[-+\d]*[ ]*(?:#.*)?")
_KEY: Final = re.compile(r"[ \t]*(?:- +)*(?:[\w.\"'/ -]{1,60}?:[ ]+(?=\S))?")
_ITEM: Final = re.compile(r"[ ]*- +(?:\"[^\"]*\"|'[^']*'|[^\s:#]+(?: [^:#]*)?)[ ]*")
_FLOW: Final = re.compile(r"\[[^\n]*\]")
# Keys of texts for people (names, messages, descriptions), which are skipped whatever their words are.
_PROSE_KEY: Final = re.compile(
    r"[ \t]*(?:- +)*[\"']?(?:\w*name|\w*msg|message|description|title|summary|comment|help|label|tags?)[\"']?:\s", re.I
)
_RECIPE: Final = re.compile(r"(?<=\t)[@+-]+")
_DASH: Final = re.compile(r"^( *)-")
_ARGV: Final = re.compile(r"(?:argv|args|command|cmd|entrypoint):\s*$")
_COMMA: Final = re.compile(r"(?<=[\"'\w]),")
_DOCKER: Final = re.compile(r"(?:RUN|CMD|ENTRYPOINT|HEALTHCHECK|ExecStart\w*=-?|ExecStop\w*=-?)[ ]*")


def scan_lines(text: str) -> list[Hit]:
    """Return what is found in a file of Language.LINES."""
    return [replace(hit, offset=begin + hit.offset) for begin, piece in _pieces(text) for hit in scan_shell(piece)]


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield the pieces of a file that may be commands, with their offsets."""
    lines = text.splitlines(keepends=True)
    starts = list(accumulate(map(len, lines), initial=0))
    at = 0
    while at < len(lines):
        end, first, piece = _piece(lines, at)
        if _PROSE_KEY.match(lines[at]) is None:
            yield starts[first], piece
        at = end


def _piece(lines: list[str], at: int) -> tuple[int, int, str]:
    """Return the line after the piece that begins at a line, the line where its text begins, and the text."""
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
    """Return the line after a list of words, if it is the `argv` of one command; otherwise the next line."""
    end = at + 1
    if at and _ARGV.search(lines[at - 1]) and _ITEM.fullmatch(lines[at].rstrip("\r\n")):
        while end < len(lines) and _ITEM.fullmatch(lines[end].rstrip("\r\n")):
            end += 1
    return end


def _without_key(line: str) -> str:
    """Replace what precedes a command with blanks, and turn a list in brackets into words."""
    size = 0
    for pattern in (_KEY, _RECIPE, _DOCKER):
        if (match := pattern.match(line, size)) is not None:
            size = match.end()
    rest = line[size:]
    if _FLOW.fullmatch(rest.rstrip()):
        rest = f" {_COMMA.sub(' ', rest.rstrip()[1:-1])} "
    return " " * size + rest
