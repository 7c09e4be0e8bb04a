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

from audit.command_line import CheckInvocation, FollowInvocation, ReportInvocation, ScanInvocation, parse_command_line
from audit.errors import PageError, SourceError
from host.errors import ProgramError
from shim.printable import printable

if TYPE_CHECKING:
    from audit.report import Report

__all__ = ["main"]

_INTERRUPTED = 130
_FOUND = 1


def main() -> int:
    """Do what the command line says, and give the exit status."""
    # A name in the log may hold what the terminal's encoding has not.
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
            case ScanInvocation():
                status = _scan(invocation)
            case _:
                assert_never(invocation)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough, as head does. What is still buffered must not be tried again at the end.
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), sys.stdout.fileno())
        return 0
    except ProgramError as exc:
        _complain(str(exc))
        return exc.exit_status
    return status


def _report(invocation: ReportInvocation) -> int:
    from audit.counting.report_builder import make_report
    from audit.fail_on import violations
    from audit.progress import Progress
    from audit.target import foresee

    with Progress(sys.stderr) as progress:
        report = make_report(invocation.paths, invocation.filters, progress.watch)
    if invocation.target is not None:
        report = replace(report, outlook=foresee(report.tools, invocation.target))
    match invocation.form:
        case "json":
            from audit.report_data import as_json

            sys.stdout.write(as_json(report) + "\n")
        case "csv":
            from audit.report_data import as_csv

            sys.stdout.write(as_csv(report))
        case "html":
            _write_page(invocation.html or "", report)
        case _:
            from audit.report_table import as_table

            is_ascii = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
            sys.stdout.write(as_table(report, width=shutil.get_terminal_size((120, 0)).columns, is_ascii=is_ascii))
    found = violations(report, invocation.fail_on, invocation.allow)
    for text in found:
        _complain(text)
    for text in report.log.unreadable:
        _complain(text)
    return _FOUND if found else SourceError.exit_status if report.log.unreadable else 0


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


def _scan(invocation: ScanInvocation) -> int:
    from audit.scanning.scan import scan

    width = shutil.get_terminal_size((120, 0)).columns
    return scan(invocation, sys.stdout.write, _complain, width=width)


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
