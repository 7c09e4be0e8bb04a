"""The command line of `hmp-audit`."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from audit.counting.filters import Filters, parse_time
from audit.fail_on import CONDITIONS, OF_HMP, OF_TARGET
from audit.scanning.scan_conditions import SCAN_CONDITIONS
from audit.target import WITHOUT, Target, parse_target
from host.options import HelpFormatter, Parser, add_version

__all__ = ["CheckInvocation", "FollowInvocation", "Invocation", "ReportInvocation", "ScanInvocation", "parse_command_line"]

_DESCRIPTION = """\
Read the audit logs of hmp-proxy and hmp-repl, and report who still depends on HMP; or find HMP in sources."""

_COMMANDS = """\
commands (each has a --help of its own):
  report FILE...   who uses which HMP commands, what replaces them, what failed, and how that changes from day to day
  follow FILE      show records as they are written, one line each
  check FILE...    check that each line is a whole record, and say where one is not
  scan DIR...      where sources and scripts use HMP, and what replaces it

examples:
  hmp-audit report /var/log/hmp.jsonl*                          a table; rotated and compressed logs too
  hmp-audit report --since 7d --html report.html hmp.jsonl      a page to send to others
  hmp-audit report --target 11.2 hmp.jsonl                      what breaks with QEMU 11.2, and what to use instead
  hmp-audit report --fail-on differs hmp.jsonl                  is it safe to leave --mode observe for --mode rewrite?
  hmp-audit report --fail-on hmp --allow "info status" hmp.jsonl   for a CI job: was any other HMP used?
  ssh host2 cat /var/log/hmp.jsonl | hmp-audit report - hmp.jsonl  several hosts
  journalctl -o cat -f -u hmp-proxy | hmp-audit follow -
  hmp-audit scan --exclude vendor --fail-on sure .                  for a CI job: does a source use HMP for sure?

exit status:
  0  done
  1  report and scan: something that --fail-on names was found; check: a line is broken
  2  wrong usage
  3  a log or a source cannot be read, or the page cannot be written
  130  interrupted
"""

_REPORT_DESCRIPTION = """\
Report which tools use which HMP commands, how far they are on the way to QMP, what failed, and how long VMs stood still.
Times are UTC. FILE may be compressed with gzip; - is standard input."""

_FOLLOW_DESCRIPTION = """\
Show the records of a log as they are written, one line each, until interrupted. Goes on when the log is rotated."""

_CHECK_DESCRIPTION = """\
Check that each line of a log is a whole record of a known schema, and say where one is not and why."""

_SCAN_DESCRIPTION = """\
Find where sources and scripts use HMP: savevm, loadvm, delvm and `info snapshots` sent to a monitor, human-monitor-command and
what wraps it, -loadvm, qmp-shell -H. Each finding has its place and what replaces the command; "look at it" marks one that is
not sure. A line with the comment "hmp-audit: ignore" is accepted, and so is the line after one with nothing else. Version
control's folders, binary files and symbolic links are left out."""


@dataclass(frozen=True, slots=True)
class ReportInvocation:
    """`hmp-audit report`. form: "table", "json", "csv" or "html". html: the file to write; None for the other forms.

    target: the QEMU to look ahead to; None for none.
    """

    paths: tuple[str, ...]
    filters: Filters
    form: str
    html: str | None
    fail_on: frozenset[str]
    allow: frozenset[str]
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class FollowInvocation:
    """`hmp-audit follow`. lines: of what is there already, show so many."""

    path: str
    lines: int
    has_details: bool


@dataclass(frozen=True, slots=True)
class CheckInvocation:
    """`hmp-audit check`."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScanInvocation:
    """`hmp-audit scan`. form: "text", "json" or "csv"."""

    paths: tuple[str, ...]
    form: str
    exclude: tuple[str, ...]
    max_file_mib: int
    fail_on: frozenset[str]
    allow: frozenset[str]


Invocation: TypeAlias = ReportInvocation | FollowInvocation | CheckInvocation | ScanInvocation


def parse_command_line(arguments: Sequence[str], now: datetime) -> Invocation:
    """Read the command line. Exits with status 2 and one line on standard error if it is wrong. now: aware."""
    parser = Parser(prog="hmp-audit", description=_DESCRIPTION, epilog=_COMMANDS, formatter_class=HelpFormatter)
    add_version(parser)
    parser.add_argument("command", choices=list(_READERS), help="see below")
    given = parser.parse_args(arguments[:1])
    return _READERS[given.command](arguments[1:], now)


def _report(arguments: Sequence[str], now: datetime) -> ReportInvocation:
    parser = Parser(prog="hmp-audit report", description=_REPORT_DESCRIPTION)
    parser.add_argument("files", nargs="+", metavar="FILE", help="an audit log, or - for standard input")
    _add_filters(parser, now)
    _add_target(parser)
    form = parser.add_argument_group("in which form (default: a table)").add_mutually_exclusive_group()
    form.add_argument("--json", dest="form", action="store_const", const="json", default="table", help="one JSON object")
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="one line for each command of each tool")
    form.add_argument("--html", metavar="FILE", help="write a self-contained page for a browser")
    _add_conditions(parser, CONDITIONS, '"hmp", "blocked", "gone" or "deprecated"')
    given = parser.parse_args(arguments)
    fail_on = frozenset(name for names in given.fail_on for name in names)
    if given.allow and not fail_on & OF_HMP:
        parser.error("--allow needs --fail-on hmp, blocked, gone or deprecated")
    if given.target is None and fail_on & OF_TARGET:
        parser.error("--fail-on gone and deprecated need --target")
    return ReportInvocation(
        paths=tuple(given.files),
        filters=Filters(given.since or "", given.until or "", tuple(given.vm), tuple(given.tool)),
        form=given.form if given.html is None else "html",
        html=given.html,
        fail_on=fail_on,
        allow=frozenset(given.allow),
        target=given.target,
    )


def _add_filters(parser: argparse.ArgumentParser, now: datetime) -> None:
    group = parser.add_argument_group("which records")
    ends = (
        ("--since", _time(now), "from this time on: 2026-11-24, 2026-11-24T15:30 (UTC), or 7d for seven days ago"),
        ("--until", _time(now, is_end=True), "up to this time; a day is taken whole"),
    )
    for option, read, meaning in ends:
        group.add_argument(option, type=read, metavar="TIME", help=meaning)
    for option, meaning in (
        ("--vm", "of these VMs (repeatable; shell wildcards)"),
        ("--tool", "of these tools, by the path or the name of the executable (repeatable; shell wildcards)"),
    ):
        group.add_argument(option, action="append", default=[], metavar="PATTERN", help=meaning)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument_group("what breaks on another QEMU").add_argument(
        "--target",
        type=_target,
        metavar="VERSION",
        help=f"say which commands are gone, deprecated or go on working there: 11.2, or {WITHOUT} for a QEMU without HMP",
    )


def _add_conditions(parser: argparse.ArgumentParser, conditions: Mapping[str, tuple[str, object]], allowed: str) -> None:
    group = parser.add_argument_group("for CI jobs")
    meanings = "; ".join(f"{name}: {meaning}" for name, (meaning, _) in conditions.items())
    group.add_argument(
        "--fail-on",
        action="append",
        default=[],
        type=_conditions(conditions),
        metavar="WHAT",
        help=f"exit with status 1 on WHAT, a list separated by commas. {meanings}",
    )
    group.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="COMMAND",
        help=f'an HMP command that is not {allowed} here, such as "info block" (repeatable)',
    )


def _follow(arguments: Sequence[str], _: datetime) -> FollowInvocation:
    parser = Parser(prog="hmp-audit follow", description=_FOLLOW_DESCRIPTION)
    parser.add_argument("file", metavar="FILE", help="an audit log, or - for standard input")
    parser.add_argument(
        "--lines", type=int, default=10, metavar="N", help="begin with the last N records (default %(default)s)"
    )
    parser.add_argument("--details", action="store_true", help="several lines per record, with its disks and QMP commands")
    given = parser.parse_args(arguments)
    if given.lines < 0:
        parser.error("--lines takes a whole number, 0 or more")
    return FollowInvocation(given.file, given.lines, given.details)


def _check(arguments: Sequence[str], _: datetime) -> CheckInvocation:
    parser = Parser(prog="hmp-audit check", description=_CHECK_DESCRIPTION)
    parser.add_argument("files", nargs="+", metavar="FILE", help="an audit log, or - for standard input")
    return CheckInvocation(tuple(parser.parse_args(arguments).files))


def _scan(arguments: Sequence[str], _: datetime) -> ScanInvocation:
    parser = Parser(prog="hmp-audit scan", description=_SCAN_DESCRIPTION)
    parser.add_argument("paths", nargs="+", metavar="DIR", help="a folder, or a file")
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out files and folders of this name or path (repeatable)",
    )
    parser.add_argument(
        "--max-file-mib", type=int, default=4, metavar="MIB", help="leave out what is bigger, and say so (default %(default)s)"
    )
    form = parser.add_argument_group("in which form (default: text)").add_mutually_exclusive_group()
    form.add_argument("--json", dest="form", action="store_const", const="json", default="text", help="one JSON object")
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="one line for each finding")
    _add_conditions(parser, SCAN_CONDITIONS, '"hmp" or "sure"')
    given = parser.parse_args(arguments)
    if given.max_file_mib < 1:
        parser.error("--max-file-mib takes a whole number, 1 or more")
    fail_on = frozenset(name for names in given.fail_on for name in names)
    if given.allow and not fail_on & {"hmp", "sure"}:
        parser.error("--allow needs --fail-on hmp or sure")
    return ScanInvocation(
        *(tuple(given.paths), given.form, tuple(given.exclude), given.max_file_mib, fail_on, frozenset(given.allow))
    )


def _time(now: datetime, *, is_end: bool = False) -> Callable[[str], str]:
    def read(text: str) -> str:
        try:
            return parse_time(text, now, is_end=is_end)
        except (ValueError, OverflowError) as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return read


def _target(text: str) -> Target:
    try:
        return parse_target(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _conditions(conditions: Mapping[str, object]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in conditions:
                raise argparse.ArgumentTypeError(f"'{name}' is not one of {', '.join(conditions)}")
        return names

    return read


_READERS: Final[dict[str, Callable[[Sequence[str], datetime], Invocation]]] = {
    "report": _report,
    "follow": _follow,
    "check": _check,
    "scan": _scan,
}
