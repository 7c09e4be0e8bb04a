"""The findings of a scan as text for a terminal."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from audit.forms.text_width import cut, wrapped
from audit.reporting.wording import counted, listed
from audit.scanning.rules.findings import FileFindings, Finding, Totals, advice
from shim.printable import printable

__all__ = ["Tally", "file_lines", "summary_lines"]

_LISTED: Final = 20
_NAMED_FILES: Final = 8
_LEAST_WIDTH: Final = 40


class Tally:
    """Counts findings as they are written, because none of them is kept."""

    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()
        self.files: Counter[str] = Counter()
        self.sure = 0

    @property
    def findings(self) -> int:
        return self.commands.total()

    def add(self, found: FileFindings) -> None:
        if found.findings:
            self.files[found.path] += len(found.findings)
        self.sure += sum(finding.is_sure for finding in found.findings)
        self.commands.update(finding.command for finding in found.findings)


def file_lines(found: FileFindings, *, width: int) -> Iterator[str]:
    """Yield two lines for each finding in a file: the finding, and the text of its line."""
    for finding in found.findings:
        yield f"{printable(found.path)}:{finding.line}:{finding.column}: {_told(finding)}"
        yield cut(f"    {printable(finding.source)}", max(width, _LEAST_WIDTH))


def _told(finding: Finding) -> str:
    doubt = "" if finding.is_sure else " (look at it)"
    return printable(f"{finding.what}{doubt} - {advice(finding.command)}")


def summary_lines(tally: Tally, totals: Totals, *, width: int, names_files: bool = False) -> list[str]:
    """Return a summary of the whole scan. names_files: also name the files with the most findings."""
    lines = [_headline(tally, totals)]
    for command, count in sorted(tally.commands.items(), key=lambda item: (-item[1], item[0])):
        lines.append(f"  {count} x {printable(command or 'computed')}: {advice(command)}")
    if names_files:
        lines += _most(tally.files)
    counts = (
        (totals.accepted, "accepted by a mark"),
        (totals.known, "in the baseline"),
        (totals.other, "files in no known language"),
        (totals.binary, "binary files"),
        (totals.links, "symbolic links, not followed"),
        (totals.excluded, "left out by --exclude"),
    )
    lines += [f"  {what}: {count:,}" for count, what in counts if count]
    if totals.too_big:
        lines.append(f"  too big, not read: {printable(listed(totals.too_big, most=_LISTED))}")
    return [part for line in lines for part in wrapped(line, max(width, _LEAST_WIDTH), hanging=6)]


def _most(files: Counter[str]) -> Iterator[str]:
    """Yield the files with the most findings. A single extra one is named, because a line that counts it needs as much room."""
    named = len(files) if len(files) <= _NAMED_FILES + 1 else _NAMED_FILES
    found = sorted(files.items(), key=lambda item: (-item[1], item[0]))
    yield from (f"  {printable(path)}: {counted(count, 'finding')}" for path, count in found[:named])
    if len(files) > named:
        yield f"  and {counted(len(files) - named, 'more file')}"


def _headline(tally: Tally, totals: Totals) -> str:
    read = f"{counted(totals.files, 'source')} read"
    if not tally.findings:
        return f"no HMP found; {read}"
    doubtful = tally.findings - tally.sure
    to_look_at = f", {doubtful:,} of them to look at" if doubtful else ""
    return f"{counted(tally.findings, 'finding')} in {counted(len(tally.files), 'file')}{to_look_at}; {read}"
