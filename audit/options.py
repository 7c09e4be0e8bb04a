"""Options that several commands of `hmp-audit` share."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from audit.counting.filters import Filters, parse_time
from audit.reporting.target import WITHOUT, Target, parse_target

__all__ = [
    "DIFF_FORMS",
    "REPORT_FORMS",
    "SCAN_FORMS",
    "add_conditions",
    "add_filters",
    "add_forms",
    "add_quiet_days",
    "add_target",
    "check_forms",
    "filters_of",
]

# About a hundred years.
_MOST_DAYS: Final = 36_500
# Name -> what the form is.
_FORMS: Final = {
    "summary": "one screen: what matters most",
    "json": "one JSON object",
    "csv": "one line for each command of each tool, or for each finding",
    "markdown": "for a comment, or a page of a wiki",
    "junit": "what --fail-on finds, as tests for a CI server",
    "sarif": "findings for a code host (SARIF 2.1.0)",
    "ocsf": "findings for a security team (OCSF 1.3), one JSON object a line",
}
REPORT_FORMS: Final = ("table", *_FORMS)
SCAN_FORMS: Final = ("text", *_FORMS)
DIFF_FORMS: Final = ("text", "json", "markdown")


def add_forms(parser: argparse.ArgumentParser, forms: Sequence[str]) -> argparse._MutuallyExclusiveGroup:
    group = parser.add_argument_group(f"in which form (default: {forms[0]})").add_mutually_exclusive_group()
    meanings = "; ".join(f"{name}: {meaning}" for name, meaning in _FORMS.items() if name in forms)
    group.add_argument("--format", dest="form", choices=forms, default=forms[0], metavar="FORM", help=meanings)
    for name in ("summary", "json", "csv"):
        if name in forms:
            group.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=f"as --format {name}")
    return group


def check_forms(parser: argparse.ArgumentParser, given: argparse.Namespace, fail_on: frozenset[str], *forms: str) -> None:
    """Refuse options that would have no effect. forms: those that use a baseline even without --fail-on."""
    if given.form == "junit" and not fail_on:
        parser.error("--format junit needs --fail-on, whose conditions are its tests")
    if given.baseline is not None and not fail_on and given.form not in forms:
        parser.error(f"--baseline needs --fail-on or --format {', '.join(forms)}")


def filters_of(given: argparse.Namespace) -> Filters:
    return Filters(given.since or "", given.until or "", tuple(given.vm), tuple(given.tool))


def add_filters(parser: argparse.ArgumentParser, now: datetime) -> None:
    group = parser.add_argument_group("which records")
    ends = (
        ("--since", _time(now), "from this time on: 2026-11-24, 2026-11-24T15:30 (UTC), or 7d for seven days ago"),
        ("--until", _time(now, is_end=True), "up to this time; a day counts to its end"),
    )
    for option, read, meaning in ends:
        group.add_argument(option, type=read, metavar="TIME", help=meaning)
    for option, meaning in (
        ("--vm", "of these VMs (repeatable; shell wildcards)"),
        ("--tool", "of these tools, by the name or the path of the script or program (repeatable; shell wildcards)"),
    ):
        group.add_argument(option, action="append", default=[], metavar="PATTERN", help=meaning)


def add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument_group("what breaks on another QEMU").add_argument(
        "--target",
        type=_target,
        metavar="VERSION",
        help=f"say which commands are gone, deprecated or go on working there: 11.2, or {WITHOUT} for a QEMU without HMP",
    )


def add_quiet_days(parser: argparse.ArgumentParser) -> None:
    parser.add_argument_group("what is done already").add_argument(
        "--quiet-days",
        type=_days,
        metavar="N",
        help="leave HMP that was not used in the last N days, up to now or to --until, out of the headline, the next changes "
        "and --fail-on",
    )


def add_conditions(
    parser: argparse.ArgumentParser, conditions: Mapping[str, tuple[str, object]], allowed: str, baseline: str = ""
) -> None:
    """Add the options for CI jobs. baseline: what --baseline takes; "" for a command without that option."""
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
    if baseline:
        meaning = f"{baseline} of --json; only what it does not have counts"
        group.add_argument("--baseline", metavar="FILE", help=meaning)


def _time(now: datetime, *, is_end: bool = False) -> Callable[[str], str]:
    def read(text: str) -> str:
        try:
            return parse_time(text, now, is_end=is_end)
        except (ValueError, OverflowError) as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return read


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"invalid number of days '{text}'; write 1 to {_MOST_DAYS}")
    return int(text)


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
