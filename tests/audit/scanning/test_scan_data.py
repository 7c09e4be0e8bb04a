"""The findings as JSON and CSV."""

import csv
import json

from audit.scanning.rules.findings import FileFindings, Finding, Totals
from audit.scanning.scan_data import csv_lines, to_json

FOUND = FileFindings("a.py", (Finding(3, 5, "x", "delvm", True, "=x"), Finding(4, 1, "y", "", False, "z")))


def test_json() -> None:
    told = json.loads(to_json(iter([FOUND]), Totals(files=1)))
    assert told["scan"] == 1
    assert told["findings"][0] == {
        "file": "a.py",
        "line": 3,
        "column": 5,
        "command": "delvm",
        "channel": "x",
        "confidence": "sure",
        "replacement": {"commands": ["snapshot-delete"], "note": "a job"},
        "source": "=x",
    }
    assert [told["findings"][1][name] for name in ("command", "confidence", "replacement")] == [None, "look", None]
    assert told["totals"]["files"] == 1


def test_csv() -> None:
    rows = list(csv.DictReader(csv_lines([FOUND])))
    assert [(row["file"], row["line"], row["command"], row["replacement"]) for row in rows] == [
        ("a.py", "3", "delvm", "snapshot-delete (a job)"),
        ("a.py", "4", "", "see what the command line is made of"),
    ]
    assert rows[0]["source"] == "'=x"
