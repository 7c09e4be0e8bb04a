"""Two reports of records, compared."""

from pathlib import Path
from typing import Any

from audit.comparing.difference import Difference, compare, read_usage
from audit.forms.report_data import to_members
from tests.support.audit.audit_records import report_of

__all__ = ["compared"]


def compared(folder: Path, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Difference:
    before, after = (read_usage(name, to_members(report_of(folder, *records))) for name, records in (("o", old), ("n", new)))
    return compare(before, after)
