"""SARIF 2.1.0: what the standard requires, and code hosts read."""

import json

from audit.forms.notices import RULES, Level, Notice, Place, of_report
from audit.forms.sarif import as_sarif
from audit.reporting.keys import place_key
from tests.support.audit.sample_report import sample_report

FOUND = Notice(
    *("hmp-source", place_key("a b/ü.py", "savevm", "x"), Level.NOTE, "savevm", "a b/ü.py", "Instead: y"),
    place=Place("a b/ü.py", 3, 7, "x"),
)


def test_place_in_a_source() -> None:
    told = json.loads(as_sarif([FOUND]))
    assert told["version"] == "2.1.0"
    (run,) = told["runs"]
    (result,) = run["results"]
    assert result["message"] == {"text": "savevm. Instead: y"}
    assert result["level"] == "note"
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "hmp-source"
    assert result["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "a%20b/%C3%BC.py"},
                "region": {"startLine": 3, "startColumn": 7, "snippet": {"text": "x"}},
            }
        }
    ]
    assert "baselineState" not in result
    assert "properties" not in result


def test_baseline_tells_what_is_new() -> None:
    known = [notice.key for notice in of_report(sample_report())][:3]
    results = json.loads(as_sarif(of_report(sample_report()), known.__contains__))["runs"][0]["results"]
    assert [one["baselineState"] for one in results[:4]] == ["unchanged"] * 3 + ["new"]


def test_program_is_a_logical_location() -> None:
    results = json.loads(as_sarif(of_report(sample_report())))["runs"][0]["results"]
    names = [one["locations"][0]["logicalLocations"][0] for one in results]
    assert {"name": "libvirtd", "fullyQualifiedName": "libvirtd (libvirtd.service, user root)", "kind": "module"} in names
    assert all(one["ruleId"] in RULES and one["occurrenceCount"] > 0 for one in results)
    assert results[0]["properties"].keys() == {"first", "last", "hosts"}
