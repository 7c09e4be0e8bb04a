"""One file: whether it is worth scanning, what the rules find in it, and which findings a mark accepts."""

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from audit.scanning.rules.findings import FileFindings, Finding, Hit
from audit.scanning.rules.languages import Language
from audit.scanning.rules.line_scripts import scan_lines
from audit.scanning.rules.literals import scan_code
from audit.scanning.rules.shell import scan_shell

__all__ = ["BEGINNING_BYTES", "MARK", "is_binary", "scan_source"]

MARK: Final = "hmp-audit: ignore"

# No rule finds anything in a file without a match; for most files the scan ends here. Searching for the words first takes a
# fifth of the time.
_WORDS: Final = (b"savevm", b"loadvm", b"delvm", b"snapshots", b"monitor", b"qmp-shell", b"hmp")
_WORTH_READING: Final = re.compile(
    rb"(?:save|load|del)vm|info\s+snapshots|human.?monitor|qemu.?monitor.?command|qmp-shell|hmp\w*\s*\("
)
# A line with only the mark, in a comment, accepts the next line.
_MARK_ALONE: Final = re.compile(rf"[\s#/*;<!\-]*{re.escape(MARK)}[\s*/\->]*")
# How much of a file shows whether it is text, and which interpreter its first line names.
BEGINNING_BYTES: Final = 8192
_MOST_SOURCE: Final = 200
_BYTE_ORDER_MARKS: Final = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8"))


def is_binary(data: bytes) -> bool:
    """Return whether a file is not text: it has a NUL near its beginning, and is not UTF-16."""
    return b"\0" in data[:BEGINNING_BYTES] and not data.startswith((b"\xff\xfe", b"\xfe\xff"))


def scan_source(path: str, data: bytes, language: Language) -> FileFindings | None:
    """Scan the content of a file; return None if nothing is found. path: as it is reported."""
    if not _is_worth_reading(data):
        return None
    text = _decoded(data)
    findings, accepted = _located(text, _hits(text, language))
    return FileFindings(path, findings, accepted) if findings or accepted else None


def _is_worth_reading(data: bytes) -> bool:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    folded = data.lower()
    return any(word in folded for word in _WORDS) and _WORTH_READING.search(folded) is not None


def _decoded(data: bytes) -> str:
    # A NUL further on is not an error, but must be replaced, because the rules use it for padding.
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors="replace").replace("\0", "\ufffd")
    return data.decode(errors="replace").replace("\0", "\ufffd")


def _hits(text: str, language: Language) -> list[Hit]:
    match language:
        case Language.SHELL:
            return scan_shell(text)
        case Language.LINES:
            return scan_lines(text)
        case _:
            return scan_code(text, language)


def _located(text: str, hits: Iterable[Hit]) -> tuple[tuple[Finding, ...], int]:
    """Return the findings, each place once, with lines instead of offsets, and the number of findings that a mark accepts."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    places: dict[tuple[int, str], Hit] = {}
    for hit in sorted(hits, key=lambda hit: (hit.offset, not hit.is_sure)):
        places.setdefault((hit.offset, hit.command), hit)
    findings: list[Finding] = []
    accepted = 0
    for hit in places.values():
        number = bisect_right(starts, hit.offset)
        line = _line(text, starts, number)
        if MARK in line or (number > 1 and _MARK_ALONE.fullmatch(_line(text, starts, number - 1))):
            accepted += 1
            continue
        column = hit.offset - starts[number - 1] + 1
        findings.append(Finding(number, column, hit.channel, hit.command, hit.is_sure, line.strip()[:_MOST_SOURCE]))
    return tuple(findings), accepted


def _line(text: str, starts: list[int], number: int) -> str:
    end = text.find("\n", starts[number - 1])
    return text[starts[number - 1] : len(text) if end < 0 else end]
