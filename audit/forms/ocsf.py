"""Findings as events of the Open Cybersecurity Schema Framework, for a security team's data lake: one JSON object per line.

Each is a Compliance Finding (class 2003 of OCSF 1.3): a check that a resource, here a program or a source file, has not passed.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from audit.forms.notices import RULES, Level, Notice
from audit.reporting.wording import parse_moment
from shim.qmp import JSON
from shim.version import VERSION

__all__ = ["as_ocsf"]

_OCSF_VERSION: Final = "1.3.0"
_CATEGORY: Final = 2
_CLASS: Final = 2003
_CREATE: Final = 1
_FAIL: Final = 3
_SEVERITIES: Final = {Level.ERROR: (4, "High"), Level.WARNING: (3, "Medium"), Level.NOTE: (1, "Informational")}
_MS_PER_S: Final = 1000


def as_ocsf(notices: Iterable[Notice], now: datetime) -> Iterator[str]:
    """Yield a line for each finding. now: aware; in OCSF, the time of a finding is when it was made."""
    time = _milliseconds(now)
    for notice in notices:
        yield json.dumps(_event(notice, time)) + "\n"


def _event(notice: Notice, time: int) -> dict[str, JSON]:
    severity_id, severity = _SEVERITIES[notice.level]
    rule = RULES[notice.rule]
    event: dict[str, JSON] = {
        "category_uid": _CATEGORY,
        "category_name": "Findings",
        "class_uid": _CLASS,
        "class_name": "Compliance Finding",
        "activity_id": _CREATE,
        "activity_name": "Create",
        "type_uid": _CLASS * 100 + _CREATE,
        "severity_id": severity_id,
        "severity": severity,
        "time": time,
        "count": notice.count,
        "message": notice.text,
        "metadata": {"version": _OCSF_VERSION, "product": {"name": "hmp-audit", "vendor_name": "hmpshim", "version": VERSION}},
        "finding_info": {"uid": notice.fingerprint, "title": rule.title, "desc": notice.text, "types": [notice.rule]},
        "compliance": {"standards": ["QMP instead of HMP"], "control": notice.rule, "status_id": _FAIL, "status": "Fail"},
        "resources": [_resource(notice)],
        "remediation": {"desc": notice.remedy or rule.help},
    }
    for name, text in (("start_time", notice.first), ("end_time", notice.last)):
        if (moment := parse_moment(text)) is not None:
            event[name] = _milliseconds(moment)
    return event


def _resource(notice: Notice) -> dict[str, JSON]:
    if notice.place is not None:
        line = {"line": notice.place.line, "column": notice.place.column, "source": notice.place.source}
        return {"type": "Source", "name": notice.subject, "data": line}
    labels = {"labels": [f"host:{host}" for host in notice.hosts]} if notice.hosts else {}
    data = {"data": {"paths": list(notice.paths)}} if notice.paths else {}
    return {"type": "Program", "name": notice.subject} | labels | data


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * _MS_PER_S)
