"""`hmp-audit scan`: scan the trees, write one form of output, and return the exit status."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol

from audit.errors import SourceError
from audit.forms.junit import as_junit
from audit.forms.ocsf import as_ocsf
from audit.forms.sarif import as_sarif
from audit.reporting.keys import Key, place_key
from audit.scanning.rules.findings import FileFindings, Totals
from audit.scanning.scan_conditions import Breaches
from audit.scanning.scan_data import csv_lines, to_json
from audit.scanning.scan_notices import notices, to_markdown
from audit.scanning.scan_text import Tally, file_lines, summary_lines
from audit.scanning.tree import scan_trees

__all__ = ["scan"]

_FOUND: Final = 1


class _Wanted(Protocol):
    """What the command line asks for: a ScanInvocation, which this module cannot import."""

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


def scan(
    wanted: _Wanted,
    write: Callable[[str], object],
    complain: Callable[[str], object],
    *,
    width: int,
    now: datetime,
    is_known: Callable[[Key], bool] | None = None,
) -> int:
    """Scan, write what is found, and return the exit status: 0, 1 for what --fail-on names, SourceError's for unread files.

    Raises SourceError for a path that cannot be read at all. write: called with text, including line ends, as it is found.
    complain: called with sentences. width: of the terminal. now: aware. is_known: called once for each finding; returns whether
    a baseline has it, so that it is left out.
    """
    totals = Totals()
    breaches = Breaches(wanted.fail_on, wanted.allow)
    found = scan_trees(wanted.paths, wanted.exclude, wanted.max_file_mib, totals)
    if is_known is not None:
        found = _unknown(found, totals, is_known)
    _write(_watched(found, breaches), totals, wanted.form, write, width, now)
    told = breaches.told(totals)
    if wanted.form == "junit":
        write(as_junit("hmp-audit scan", breaches.conditions, breaches.violations))
    for text in (*told, *totals.unread):
        complain(text)
    return _FOUND if told else SourceError.exit_status if totals.unread else 0


def _watched(found: Iterator[FileFindings], breaches: Breaches) -> Iterator[FileFindings]:
    for one in found:
        for finding in one.findings:
            breaches.add(one.path, finding)
        yield one


def _unknown(found: Iterator[FileFindings], totals: Totals, is_known: Callable[[Key], bool]) -> Iterator[FileFindings]:
    for one in found:
        left = tuple(each for each in one.findings if not is_known(place_key(one.path, each.command, each.source)))
        totals.known += len(one.findings) - len(left)
        yield replace(one, findings=left)


def _write(
    found: Iterator[FileFindings], totals: Totals, form: str, write: Callable[[str], object], width: int, now: datetime
) -> None:
    match form:
        case "json":
            write(to_json(found, totals) + "\n")
        case "csv":
            for line in csv_lines(found):
                write(line)
        case "markdown":
            write(to_markdown(found, totals))
        case "sarif":
            write(as_sarif(notices(found)) + "\n")
        case "ocsf":
            for line in as_ocsf(notices(found), now):
                write(line)
        case "junit":
            # scan() writes it when everything has been counted.
            deque(found, maxlen=0)
        case "summary":
            tally = Tally()
            for one in found:
                tally.add(one)
            write("\n".join([*summary_lines(tally, totals, width=width, names_files=True), ""]))
        case _:
            _write_text(found, totals, write, width)


def _write_text(found: Iterator[FileFindings], totals: Totals, write: Callable[[str], object], width: int) -> None:
    tally = Tally()
    for one in found:
        tally.add(one)
        for line in file_lines(one, width=width):
            write(f"{line}\n")
    lines = summary_lines(tally, totals, width=width)
    write("\n".join(["", *lines, ""] if tally.findings else [*lines, ""]))
