"""`hmp-audit scan`: the trees, one form of output, and the exit status."""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from audit.errors import SourceError
from audit.scanning.findings import FileFindings, Totals
from audit.scanning.scan_conditions import Breaches
from audit.scanning.scan_data import csv_lines, to_json
from audit.scanning.scan_text import Tally, file_lines, summary_lines
from audit.scanning.tree import scan_trees

__all__ = ["scan"]

_FOUND: Final = 1


class _Wanted(Protocol):
    """What the command line asks for: its ScanInvocation."""

    @property
    def paths(self) -> Sequence[str]: ...
    @property
    def form(self) -> str: ...
    @property
    def exclude(self) -> Sequence[str]: ...
    @property
    def max_file_mib(self) -> int: ...
    @property
    def fail_on(self) -> AbstractSet[str]: ...
    @property
    def allow(self) -> AbstractSet[str]: ...


def scan(wanted: _Wanted, write: Callable[[str], object], complain: Callable[[str], object], *, width: int) -> int:
    """Scan, write what is found, and return the exit status: 0, 1 for what --fail-on names, SourceError's for unread files.

    Raises SourceError for a path that cannot be read at all. write: takes text with its line ends, as it comes. complain: takes
    sentences. width: of the terminal.
    """
    totals = Totals()
    breaches = Breaches(wanted.fail_on, wanted.allow)
    found = _watched(scan_trees(wanted.paths, wanted.exclude, wanted.max_file_mib, totals), breaches)
    if wanted.form == "json":
        write(to_json(found, totals) + "\n")
    elif wanted.form == "csv":
        for line in csv_lines(found):
            write(line)
    else:
        _write_text(found, totals, write, width)
    told = breaches.told(totals)
    for text in (*told, *totals.unread):
        complain(text)
    return _FOUND if told else SourceError.exit_status if totals.unread else 0


def _watched(found: Iterator[FileFindings], breaches: Breaches) -> Iterator[FileFindings]:
    for one in found:
        for finding in one.findings:
            breaches.add(finding)
        yield one


def _write_text(found: Iterator[FileFindings], totals: Totals, write: Callable[[str], object], width: int) -> None:
    tally = Tally()
    for one in found:
        tally.add(one)
        for line in file_lines(one, width=width):
            write(f"{line}\n")
    lines = summary_lines(tally, totals, width=width)
    write("\n".join(["", *lines, ""] if tally.findings else [*lines, ""]))
