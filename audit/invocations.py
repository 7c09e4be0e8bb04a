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

    target: the QEMU to check against; None for none. has_all: fold nothing in the table. baseline: a report of --json with what
    is accepted; None for none. quiet: since when unused HMP raises no alarm; None to include everything.
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
    """`hmp-audit follow`. lines: how many existing records to begin with."""

    path: str
    lines: int
    has_details: bool


@dataclass(frozen=True, slots=True)
class CheckInvocation:
    """`hmp-audit check`."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DiffInvocation:
    """`hmp-audit diff`. form: one of options.DIFF_FORMS. filters: apply only to logs, not to saved reports."""

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
