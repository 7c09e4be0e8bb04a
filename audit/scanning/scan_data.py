"""The findings of a scan for programs: JSON and CSV."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from audit.forms.report_data import harmless_cell
from audit.scanning.rules.findings import FileFindings, Finding, Totals, advice, what_replaces
from shim.qmp import JSON

__all__ = ["SCAN_VERSION", "csv_lines", "to_json"]

SCAN_VERSION: Final = 1
_COLUMNS: Final = ("file", "line", "column", "command", "channel", "confidence", "replacement", "source")


def to_json(found: Iterable[FileFindings], totals: Totals) -> str:
    """Return one indented JSON object. found: consumed to its end, which completes the totals."""
    findings = [_members(one.path, finding) for one in found for finding in one.findings]
    return json.dumps({"scan": SCAN_VERSION, "findings": findings, "totals": asdict(totals)}, indent=2)


def _members(path: str, finding: Finding) -> dict[str, JSON]:
    replaced = what_replaces(finding.command)
    return {
        "file": path,
        "line": finding.line,
        "column": finding.column,
        # Null for a command that the source computes.
        "command": finding.command or None,
        "channel": finding.channel,
        "confidence": _confidence(finding),
        "replacement": None if replaced is None else {"commands": list(replaced.commands), "note": replaced.note},
        "source": finding.source,
    }


def csv_lines(found: Iterable[FileFindings]) -> Iterable[str]:
    """Yield a line with the columns' names, and then one for each finding."""
    yield _row(_COLUMNS)
    for one in found:
        for finding in one.findings:
            place = (one.path, finding.line, finding.column, finding.command, finding.channel)
            yield _row((*place, _confidence(finding), advice(finding.command), finding.source))


def _row(cells: Iterable[str | int]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(map(harmless_cell, cells))
    return text.getvalue()


def _confidence(finding: Finding) -> str:
    return "sure" if finding.is_sure else "look"
