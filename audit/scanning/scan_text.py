"""The findings of a scan as text for a terminal."""

import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Final

from audit.scanning.findings import FileFindings, Finding, Totals, advice
from audit.wording import counted, listed
from shim.printable import printable

__all__ = ["Tally", "file_lines", "summary_lines"]

_LISTED: Final = 20


class Tally:
    """Counts findings as they are told, since not one of them is kept."""

    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()
        self.sure = 0
        self.files = 0

    @property
    def findings(self) -> int:
        return self.commands.total()

    def add(self, found: FileFindings) -> None:
        self.files += bool(found.findings)
        self.sure += sum(finding.is_sure for finding in found.findings)
        self.commands.update(finding.command for finding in found.findings)


def file_lines(found: FileFindings, *, width: int) -> Iterator[str]:
    """Yield the lines about a file, a finding each, and what stands there."""
    for finding in found.findings:
        yield f"{printable(found.path)}:{finding.line}:{finding.column}: {_told(finding)}"
        yield _cut(f"    {printable(finding.source)}", max(width, 40))


def _told(finding: Finding) -> str:
    doubt = "" if finding.is_sure else " (look at it)"
    return printable(f"{finding.what}{doubt} - {advice(finding.command)}")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def summary_lines(tally: Tally, totals: Totals, *, width: int) -> list[str]:
    """Return what the whole scan comes to."""
    lines = [_headline(tally, totals)]
    for command, count in sorted(tally.commands.items(), key=lambda item: (-item[1], item[0])):
        lines.append(f"  {count} x {printable(command or 'computed')}: {advice(command)}")
    counts = (
        (totals.accepted, "accepted by a mark"),
        (totals.other, "files in no language that is known here"),
        (totals.binary, "binary files"),
        (totals.links, "symbolic links, not followed"),
        (totals.excluded, "left out by --exclude"),
    )
    lines += [f"  {what}: {count:,}" for count, what in counts if count]
    if totals.too_big:
        lines.append(f"  too big, not read: {printable(listed(totals.too_big, most=_LISTED))}")
    return [part for line in lines for part in textwrap.wrap(line, max(width, 40), subsequent_indent=" " * 6)]


def _headline(tally: Tally, totals: Totals) -> str:
    read = f"{counted(totals.files, 'source')} read"
    if not tally.findings:
        return f"no HMP found; {read}"
    doubtful = tally.findings - tally.sure
    to_look_at = f", {doubtful:,} of them to look at" if doubtful else ""
    return f"{counted(tally.findings, 'finding')} in {counted(tally.files, 'file')}{to_look_at}; {read}"
