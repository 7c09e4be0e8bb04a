"""The command line of `hmp-audit`."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from audit.comparing.diff import DIFF_CONDITIONS
from audit.fail_on import CONDITIONS, OF_HMP, OF_TARGET
from audit.invocations import CheckInvocation, DiffInvocation, FollowInvocation, Invocation, ReportInvocation, ScanInvocation
from audit.options import (
    DIFF_FORMS,
    REPORT_FORMS,
    SCAN_FORMS,
    add_conditions,
    add_filters,
    add_forms,
    add_quiet_days,
    add_target,
    check_forms,
    filters_of,
)
from audit.reporting.quiet import within_days
from audit.scanning.scan_conditions import SCAN_CONDITIONS
from host.configuration.options import HelpFormatter, Parser, add_version

__all__ = ["parse_command_line"]

_DESCRIPTION = """\
Read the audit logs of hmp-proxy and hmp-repl, and report who still depends on HMP; or find HMP in sources."""

_COMMANDS = """\
commands (each has a --help of its own):
  report FILE...   who uses which HMP commands, what replaces them, what failed, and how that changes from day to day
  follow FILE      show records as they are written, one line each
  check FILE...    check that each line is a whole record, and say where one is not
  diff OLD NEW     what is new, gone, or used more or less, from one report or log to another
  scan DIR...      where sources and scripts use HMP, and what replaces it

examples:
  hmp-audit report /var/log/hmp.jsonl*                          a table; rotated and compressed logs too
  hmp-audit report --summary hmp.jsonl                          one screen: what to do first, what failed
  hmp-audit report --since 7d --html report.html hmp.jsonl      a page to send to others
  hmp-audit report --target 11.2 hmp.jsonl                      what breaks with QEMU 11.2, and what to use instead
  hmp-audit report --quiet-days 14 --fail-on hmp,empty hmp.jsonl  has no HMP been used for two weeks?
  hmp-audit report --fail-on differs hmp.jsonl                  is it safe to leave --mode observe for --mode rewrite?
  hmp-audit report --fail-on hmp --allow "info status" hmp.jsonl   for a CI job: was any other HMP used?
  ssh host2 cat /var/log/hmp.jsonl | hmp-audit report - hmp.jsonl  several hosts
  hmp-audit report --fail-on hmp --baseline accepted.json hmp.jsonl   the same, except for what a --json report already has
  journalctl -o cat -f -u hmp-proxy | hmp-audit follow -
  hmp-audit diff last-week.json hmp.jsonl                           is less HMP used?
  hmp-audit scan --exclude vendor --fail-on sure .                  for a CI job: does a source use HMP for sure?
  hmp-audit scan --format sarif . > hmp.sarif                       for a code host, which shows it beside the lines

exit status:
  0  done
  1  report, diff and scan: something that --fail-on names was found; check: a line is broken
  2  wrong usage
  3  a log, a report or a source cannot be read, a file is not a log, or the page cannot be written
  130  interrupted
"""

_REPORT_DESCRIPTION = """\
Report which tools use which HMP commands, how far they are on the way to QMP, what failed, and how long VMs stood still.
Times are UTC. FILE may be compressed with gzip; - is standard input."""

_FOLLOW_DESCRIPTION = """\
Show the records of a log as they are written, one line each, until interrupted. Goes on when the log is rotated."""

_CHECK_DESCRIPTION = """\
Check that each line of a log is a whole record of a known schema, and say where one is not and why."""

_DIFF_DESCRIPTION = """\
Compare two reports of `hmp-audit report --json`, or two logs, or one with the other: which HMP commands tools use that they did
not use before, which they do not use any more, and which they use more or less often in a week."""

_SCAN_DESCRIPTION = """\
Find where sources and scripts use HMP: savevm, loadvm, delvm and `info snapshots` sent to a monitor, human-monitor-command and
what wraps it, -loadvm, qmp-shell -H. Each finding has its place and what replaces the command; "look at it" marks one that is
not sure. A line with the comment "hmp-audit: ignore" is accepted, and so is the line below one that has nothing else. Version
control's folders, binary files and symbolic links are left out."""


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
    add_filters(parser, now)
    add_target(parser)
    add_quiet_days(parser)
    form = add_forms(parser, REPORT_FORMS)
    form.add_argument("--all", action="store_true", help="the table in full, also where it would shorten long lists")
    form.add_argument("--html", metavar="FILE", help="write a self-contained page for a browser")
    add_conditions(parser, CONDITIONS, '"hmp", "blocked", "gone" or "deprecated"', baseline="a report")
    given = parser.parse_args(arguments)
    fail_on = frozenset(name for names in given.fail_on for name in names)
    check_forms(parser, given, fail_on, "sarif")
    if given.allow and not fail_on & OF_HMP:
        parser.error("--allow needs --fail-on hmp, blocked, gone or deprecated")
    if given.target is None and fail_on & OF_TARGET:
        parser.error("--fail-on gone and deprecated need --target")
    return ReportInvocation(
        paths=tuple(given.files),
        filters=filters_of(given),
        form=given.form if given.html is None else "html",
        html=given.html,
        fail_on=fail_on,
        allow=frozenset(given.allow),
        target=given.target,
        has_all=given.all,
        quiet=None if given.quiet_days is None else within_days(given.quiet_days, _end(given.until, now)),
        baseline=given.baseline,
    )


def _end(until: str | None, now: datetime) -> datetime:
    """Return the end of the reported period: --until, or now if that is earlier."""
    return now if until is None else min(now, datetime.fromisoformat(until))


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


def _diff(arguments: Sequence[str], now: datetime) -> DiffInvocation:
    parser = Parser(prog="hmp-audit diff", description=_DIFF_DESCRIPTION)
    for name in ("old", "new"):
        parser.add_argument(name, metavar=name.upper(), help="a report of --json, or an audit log; - for standard input")
    add_filters(parser, now)
    add_forms(parser, DIFF_FORMS)
    conditions = {name: (meaning, None) for name, (meaning, _) in DIFF_CONDITIONS.items()}
    add_conditions(parser, conditions, '"new" or "more"')
    given = parser.parse_args(arguments)
    fail_on = frozenset(name for names in given.fail_on for name in names)
    if given.allow and not fail_on & {"new", "more"}:
        parser.error("--allow needs --fail-on new or more")
    if given.old == given.new == "-":
        parser.error("only one of OLD and NEW can be standard input")
    return DiffInvocation(given.old, given.new, given.form, filters_of(given), fail_on, frozenset(given.allow))


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
        "--max-file-mib", type=int, default=4, metavar="MIB", help="leave out bigger files, and say so (default %(default)s)"
    )
    add_forms(parser, SCAN_FORMS)
    add_conditions(parser, SCAN_CONDITIONS, '"hmp" or "sure"', baseline="a scan")
    given = parser.parse_args(arguments)
    if given.max_file_mib < 1:
        parser.error("--max-file-mib takes a whole number, 1 or more")
    fail_on = frozenset(name for names in given.fail_on for name in names)
    if given.allow and not fail_on & {"hmp", "sure"}:
        parser.error("--allow needs --fail-on hmp or sure")
    # In every form, a scan leaves out what is in its baseline.
    check_forms(parser, given, fail_on, *SCAN_FORMS)
    return ScanInvocation(
        *(tuple(given.paths), given.form, tuple(given.exclude), given.max_file_mib, fail_on, frozenset(given.allow)),
        baseline=given.baseline,
    )


_READERS: Final[dict[str, Callable[[Sequence[str], datetime], Invocation]]] = {
    "report": _report,
    "follow": _follow,
    "check": _check,
    "diff": _diff,
    "scan": _scan,
}
