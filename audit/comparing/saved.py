"""A report or a scan that `--json` wrote, read back. Anybody may have edited the file, so nothing in it is trusted."""

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from audit.counting.grouping import name_of_program
from audit.errors import SourceError
from audit.forms.report_data import REPORT_VERSION
from audit.log.sources import STANDARD_INPUT, Source
from audit.reporting.wording import listed
from audit.scanning.scan_data import SCAN_VERSION
from shim.qmp import JSON

__all__ = ["as_file", "name_of", "read_saved", "read_with"]

# A report of version 1 differs only in how it describes a tool, which `name_of` knows.
_VERSIONS: Final = {"report": (1, REPORT_VERSION), "scan": (SCAN_VERSION,)}
# How such a file begins: `--json` indents, jq -c and the like do not.
_BEGINNINGS: Final = (b"{", b'{"report"', b'{"scan"')

_Read = TypeVar("_Read")


@contextlib.contextmanager
def as_file(path: str) -> Iterator[str]:
    """Provide the path, for standard input that of a temporary copy: whether it is a report or a log takes two readings."""
    if path != STANDARD_INPUT:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="hmp-audit-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield file.name


def read_saved(path: str, name: str | None = None) -> Mapping[str, JSON] | None:
    """Return the members of a report or a scan; None for anything else, such as a log. name: for messages, None for the path.

    Raises SourceError if it cannot be read, or if an unknown version of this program wrote it.
    """
    with Source(path) as source:
        lines = iter(source)
        first = next(lines, b"")
        if first.strip() != _BEGINNINGS[0] and not first.replace(b" ", b"").startswith(_BEGINNINGS[1:]):
            return None
        content = b"".join((first, *lines))
    try:
        members = json.loads(content)
    except (ValueError, RecursionError):
        return None
    kind = next((kind for kind in _VERSIONS if isinstance(members, dict) and kind in members), None)
    if kind is None:
        return None
    if members[kind] not in _VERSIONS[kind]:
        known = listed(list(map(str, _VERSIONS[kind])), conjunction="or")
        why = f"it is a {kind} of version {members[kind]!r}, and this program reads version {known}"
        raise SourceError(name or path, why)
    return dict(members)


def read_with(name: str, members: Mapping[str, JSON], read: Callable[[Mapping[str, JSON]], _Read]) -> _Read:
    """Call `read` with members that may be anything. Raises SourceError if they are not as `--json` writes them."""
    try:
        return read(members)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as exc:
        raise SourceError(name, f"it is not as --json writes it ({type(exc).__name__}: {exc})") from exc


def name_of(tool: Mapping[str, JSON]) -> str:
    """Return a tool's name, as in Tool.name. In version 1, a tool was its executable, or the address that it came from."""
    return str(tool["name"]) if "name" in tool else name_of_program(str(tool["exe"]), str(tool["address"]))
