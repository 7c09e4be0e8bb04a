"""The findings of a scan for other programs, and as Markdown, in the same forms as a report."""

from collections.abc import Iterable, Iterator

from audit.forms.markdown import code, plain, table
from audit.forms.notices import Level, Notice, Place
from audit.reporting.keys import place_key
from audit.reporting.wording import counted
from audit.scanning.rules.findings import FileFindings, Finding, Totals, advice

__all__ = ["notices", "to_markdown"]


def notices(found: Iterable[FileFindings]) -> Iterator[Notice]:
    """Yield the findings, in order."""
    for file in found:
        yield from (_notice(file.path, finding) for finding in file.findings)


def _notice(path: str, finding: Finding) -> Notice:
    return Notice(
        *("hmp-source", place_key(path, finding.command, finding.source)),
        level=Level.WARNING if finding.is_sure else Level.NOTE,
        text=_told(finding),
        subject=path,
        remedy=f"Instead: {advice(finding.command)}",
        place=Place(path, finding.line, finding.column, finding.source),
    )


def _told(finding: Finding) -> str:
    return finding.what if finding.is_sure else f"{finding.what} (look at it)"


def to_markdown(found: Iterable[FileFindings], totals: Totals) -> str:
    """Return the findings as a table. found: consumed to its end, which completes the totals."""
    rows = [
        (code(f"{file.path}:{one.line}"), plain(_told(one)), plain(advice(one.command)))
        for file in found
        for one in file.findings
    ]
    title = f"{counted(len(rows), 'place')} with HMP in {counted(totals.files, 'source')}" if rows else "No HMP found"
    return "\n".join((f"## {title}", "", *table(("place", "what", "instead"), rows))).rstrip() + "\n"
