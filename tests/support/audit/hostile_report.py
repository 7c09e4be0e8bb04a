"""A report whose every name is an attack on the page that shows it."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final

from audit.reporting.report import Report
from audit.reporting.switch import Agreement, Contrast, Example, Switch, VMSwitch
from tests.support.audit.sample_report import FIRST_TIME, LAST_TIME, SOCAT, VMS, sample_report

__all__ = ["HARMLESS", "IMAGE", "SCRIPT", "hostile_report"]

SCRIPT: Final = "<script>alert(1)</script>"
IMAGE: Final = '"><img src=x onerror=alert(2)>'
# Not names: they are what a record must have, or the report's own words.
_OURS: Final = frozenset({"first", "last", "last_hmp", "time", "state", "agreement", "note"})
_EXAMPLE: Final = Example(LAST_TIME, VMS[0], SOCAT, "savevm t", "Error: no", "")
_CONTRAST: Final = Contrast(Agreement.DIFFERS, "HMP refuses", 1, FIRST_TIME, LAST_TIME, (_EXAMPLE,))
HARMLESS: Final = replace(sample_report(), switch=Switch(tuple(VMSwitch(vm, 1, 0, 1, 0) for vm in VMS[:2]), (_CONTRAST,)))
"""The sample, with observed commands too."""


def hostile_report() -> Report:
    """Add the attack to all texts of the sample that come from the log."""
    report: Report = _attacked(HARMLESS)
    return replace(report, log=replace(report.log, names=(SCRIPT, IMAGE)))


def _attacked(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        members = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **{name: _attacked(member) for name, member in members.items() if name not in _OURS})
    if isinstance(value, str):
        return f"{value}{SCRIPT}{IMAGE}\x00\x1b\ud800" + "W" * 300
    if isinstance(value, tuple):
        return tuple(map(_attacked, value))
    if isinstance(value, Mapping):
        return {day: counts if isinstance(counts, int) else _keyed(counts) for day, counts in value.items()}
    return value


def _keyed(counts: Mapping[Any, int]) -> dict[Any, int]:
    return {_attacked(tool): count for tool, count in counts.items()}
