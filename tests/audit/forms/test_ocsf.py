"""OCSF 1.3: what the schema requires of a Compliance Finding."""

import json
from datetime import UTC, datetime

from audit.forms.notices import Level, Notice, Place, of_report
from audit.forms.ocsf import as_ocsf
from audit.reporting.keys import use_key
from tests.support.audit.sample_report import sample_report

NOW = datetime(2026, 11, 24, tzinfo=UTC)
REQUIRED = {
    "activity_id",
    "category_uid",
    "class_uid",
    "compliance",
    "finding_info",
    "metadata",
    "severity_id",
    "time",
    "type_uid",
}


def test_each_line_is_a_finding() -> None:
    events = [json.loads(line) for line in as_ocsf(of_report(sample_report()), NOW)]
    assert len(events) == len(list(of_report(sample_report())))
    for event in events:
        assert event.keys() >= REQUIRED
        assert (event["class_uid"], event["type_uid"], event["time"]) == (2003, 200301, 1795478400000)
        assert event["compliance"]["standards"]
        assert event["metadata"]["product"]["vendor_name"]
        assert event["finding_info"]["uid"]
        assert event["end_time"] >= event.get("start_time", 0)


def test_source_and_program_without_a_host() -> None:
    key = use_key("a", "b")
    source = Notice("hmp-source", key, Level.NOTE, "t", "f.py", "r", place=Place("f.py", 1, 2, "s"))
    found, program = (json.loads(line) for line in as_ocsf([source, Notice("hmp-use", key, Level.ERROR, "t", "a")], NOW))
    assert found["resources"] == [{"type": "Source", "name": "f.py", "data": {"line": 1, "column": 2, "source": "s"}}]
    assert (found["severity"], found["remediation"]) == ("Informational", {"desc": "r"})
    assert program["resources"] == [{"type": "Program", "name": "a"}]
    assert program["remediation"]["desc"].startswith("HMP is made for people")
    assert "end_time" not in program
