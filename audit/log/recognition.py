"""What kind of file something is that is not an audit log, so that a person who named the wrong file sees it at once."""

import re
from typing import Final

__all__ = ["BEGINNING_BYTES", "is_surely_no_log", "what_it_is"]

# How much of a file is examined.
BEGINNING_BYTES: Final = 4096
# How files of these kinds begin, according to file(1). No damaged log begins like this.
_KINDS: Final = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF-", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"QFI\xfb", "a disk image"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"LPKSHHRH", "a journal of systemd's: pipe journalctl -o cat into hmp-audit"),
)
_PACKED: Final = (
    (b"\x28\xb5\x2f\xfd", "zstd", "zstdcat"),
    (b"\xfd7zXZ\0", "xz", "xzcat"),
    (b"BZh", "bzip2", "bzcat"),
)
_HTML: Final = re.compile(rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_JSON_REPORT: Final = re.compile(rb'\s*\{\s*"report"\s*:\s*\d')
_CSV_REPORT: Final = re.compile(rb"(?:host,executable|tool,place),")
_JSON: Final = re.compile(rb'\s*(?:\{\s*(?:"|\}|$)|\[\s*(?:[\[{"\d\]-]|$))')


def is_surely_no_log(beginning: bytes) -> bool:
    """Return whether a file's first bytes show that reading on is pointless."""
    return beginning.startswith(tuple(magic for magic, *_ in (*_KINDS, *_PACKED)))


def what_it_is(beginning: bytes) -> str:
    """Return what a file without records is, as a clause. beginning: its first bytes, not all of them blank."""
    for magic, kind in _KINDS:
        if beginning.startswith(magic):
            return f"it is {kind}"
    for magic, packer, unpacker in _PACKED:
        if beginning.startswith(magic):
            return f"it is compressed with {packer}: pipe {unpacker} into hmp-audit"
    if _HTML.match(beginning):
        return "it is an HTML page"
    if _JSON_REPORT.match(beginning):
        return "it is a report, which hmp-audit report --json made"
    if _CSV_REPORT.match(beginning):
        return "it is a report, which hmp-audit report --csv made"
    if b"\0" in beginning:
        return "it is not text"
    return "it is JSON of another kind" if _JSON.match(beginning) else "it is text without a record"
