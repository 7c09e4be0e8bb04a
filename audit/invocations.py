"""What the command line of `hmp-audit` asks for, as values."""

from dataclasses import dataclass
from typing import TypeAlias

from audit.counting.filters import Filters
from audit.reporting.report import Quiet
from audit.reporting.target import Target

__all__ = ["CheckInvocation", "DiffInvocation", "FollowInvocation", "Invocation", "ReportInvocation", "ScanInvocation"]


@dataclass(frozen=True, slots=True)
class ReportInvocation:
    """`hmp-audit report`. form: one of options.REPORT_FORMS, or "html". html: the file to write; None for the other forms.

    target: the QEMU to look ahead to; None for none. has_all: fold nothing in the table. baseline: a report of --json with what
    is accepted; None for none. quiet: what is not to be alarmed about any more; None for nothing.
    """

    paths: tuple[str, ...]
    filters: Filters
    form: str
    html: str | None
    fail_on: frozenset[str]
    allow: frozenset[str]
    target: Target | None = None
    has_all: bool = False
    baseline: str | None = None
    quiet: Quiet | None = None


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
class DiffInvocation:
    """`hmp-audit diff`. form: one of options.DIFF_FORMS. filters: hold where a log is read."""

    old: str
    new: str
    form: str
    filters: Filters
    fail_on: frozenset[str]
    allow: frozenset[str]


@dataclass(frozen=True, slots=True)
class ScanInvocation:
    """`hmp-audit scan`. form: one of options.SCAN_FORMS. baseline: a scan of --json with what is accepted; None for none."""

    paths: tuple[str, ...]
    form: str
    exclude: tuple[str, ...]
    max_file_mib: int
    fail_on: frozenset[str]
    allow: frozenset[str]
    baseline: str | None = None


Invocation: TypeAlias = ReportInvocation | FollowInvocation | CheckInvocation | DiffInvocation | ScanInvocation
