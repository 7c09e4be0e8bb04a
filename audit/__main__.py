"""`hmp-audit`."""

from __future__ import annotations

import io
import os
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from audit.command_line import parse_command_line
from audit.errors import PageError, SourceError
from audit.invocations import CheckInvocation, DiffInvocation, FollowInvocation, ReportInvocation, ScanInvocation
from host.errors import ProgramError
from shim.printable import printable

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from audit.fail_on import Violation
    from audit.reporting.keys import Key
    from audit.reporting.report import Report

__all__ = ["main"]

_INTERRUPTED = 130
_FOUND = 1


def main() -> int:
    """Do what the command line says, and return the exit status."""
    # A name in the log may contain characters that the terminal's encoding lacks.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        invocation = parse_command_line(sys.argv[1:], datetime.now(UTC))
        match invocation:
            case ReportInvocation():
                status = _report(invocation)
            case FollowInvocation():
                status = _follow(invocation)
            case CheckInvocation():
                status = _check(invocation)
            case DiffInvocation():
                status = _diff(invocation)
            case ScanInvocation():
                status = _scan(invocation)
            case _:
                assert_never(invocation)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has had enough, as head does. The interpreter must not flush the rest again at exit.
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), sys.stdout.fileno())
        return 0
    except ProgramError as exc:
        _complain(str(exc))
        return exc.exit_status
    return status


def _report(invocation: ReportInvocation) -> int:
    from audit.comparing.baseline import Baseline, read_baseline
    from audit.counting.report_builder import make_report
    from audit.fail_on import violations
    from audit.progress import Progress
    from audit.reporting.quiet import quieten
    from audit.reporting.target import foresee

    baseline = Baseline() if invocation.baseline is None else read_baseline(invocation.baseline, "report")
    with Progress(sys.stderr) as progress:
        report = make_report(invocation.paths, invocation.filters, progress.watch)
    if report.log.unreadable and not report.log.records + report.log.left_out:
        # Nothing could be read, and an empty report would look like an answer.
        for text in report.log.unreadable:
            _complain(text)
        return SourceError.exit_status
    if invocation.quiet is not None:
        report = quieten(report, invocation.quiet)
    if invocation.target is not None:
        report = replace(report, outlook=foresee(report.tools, invocation.target))
    found = violations(report, invocation.fail_on, invocation.allow, baseline)
    _write_report(invocation, report, found, baseline)
    for violation in found:
        _complain(violation.text)
    for text in (*report.log.unreadable, *report.log.given_twice):
        _complain(text)
    return _FOUND if found else SourceError.exit_status if report.log.unreadable else 0


def _write_report(invocation: ReportInvocation, report: Report, found: Sequence[Violation], baseline: Container[Key]) -> None:
    match invocation.form:
        case "json":
            from audit.forms.report_data import as_json

            sys.stdout.write(as_json(report) + "\n")
        case "csv":
            from audit.forms.report_data import as_csv

            sys.stdout.write(as_csv(report))
        case "summary":
            from audit.forms.report_summary import SCREEN_COLUMNS, as_summary

            sys.stdout.write(as_summary(report, width=_columns() or SCREEN_COLUMNS, is_ascii=_is_ascii()))
        case "html":
            _write_page(invocation.html or "", report)
        case "markdown":
            from audit.forms.markdown import report_as_markdown

            sys.stdout.write(report_as_markdown(report))
        case "junit":
            from audit.fail_on import implied
            from audit.forms.junit import as_junit

            sys.stdout.write(as_junit("hmp-audit report", implied(invocation.fail_on), found))
        case "sarif":
            from audit.forms.notices import of_report
            from audit.forms.sarif import as_sarif

            is_known = None if invocation.baseline is None else lambda key: key in baseline
            sys.stdout.write(as_sarif(of_report(report), is_known) + "\n")
        case "ocsf":
            from audit.forms.notices import of_report
            from audit.forms.ocsf import as_ocsf

            sys.stdout.writelines(as_ocsf(of_report(report), datetime.now(UTC)))
        case _:
            from audit.forms.report_table import as_table

            text = as_table(report, width=_columns() or None, is_ascii=_is_ascii(), has_all=invocation.has_all)
            sys.stdout.write(text)


def _follow(invocation: FollowInvocation) -> int:
    from audit.follow import follow
    from audit.lines import is_colourful

    return follow(
        invocation.path,
        sys.stdout,
        _complain,
        last=invocation.lines,
        has_details=invocation.has_details,
        is_coloured=is_colourful(sys.stdout, os.environ),
    )


def _check(invocation: CheckInvocation) -> int:
    from audit.check import check

    return check(invocation.paths, sys.stdout.write)


def _diff(invocation: DiffInvocation) -> int:
    from audit.comparing.diff import diff

    return diff(invocation, sys.stdout.write, _complain, width=_width())


def _scan(invocation: ScanInvocation) -> int:
    from audit.comparing.baseline import read_baseline
    from audit.scanning.scan import scan

    is_known = None if invocation.baseline is None else read_baseline(invocation.baseline, "scan").take
    return scan(invocation, sys.stdout.write, _complain, width=_width(), now=datetime.now(UTC), is_known=is_known)


def _width() -> int:
    return shutil.get_terminal_size((120, 0)).columns


def _columns() -> int:
    """Return the width of the terminal, or that in COLUMNS; 0 if neither is known."""
    return shutil.get_terminal_size((0, 0)).columns


def _is_ascii() -> bool:
    return (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")


def _write_page(path: str, report: Report) -> None:
    from audit.page.document import render_html

    page = render_html(report, generated=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    if path == "-":
        sys.stdout.write(page)
        return
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as exc:
        raise PageError(path, exc.strerror or str(exc)) from exc


def _complain(text: str) -> None:
    sys.stderr.write(f"hmp-audit: {printable(text)}\n")


if __name__ == "__main__":  # pragma: no cover - a program of its own: tests/audit/test_audit_program.py
    sys.exit(main())
