"""The findings of a scan for other programs."""

from audit.forms.notices import Level
from audit.scanning.rules.findings import FileFindings, Finding, Totals
from audit.scanning.scan_notices import notices, to_markdown

SURE = Finding(3, 5, "hmp()", "savevm", True, "vm.hmp('savevm')")
DOUBTFUL = Finding(4, 1, "a monitor", "", False, "x | y")


def test_notices() -> None:
    first, second = notices([FileFindings("a.py", (SURE, DOUBTFUL))])
    assert (first.level, first.text, first.remedy[:22]) == (Level.WARNING, "savevm by hmp()", "Instead: snapshot-save")
    assert (second.level, second.text) == (Level.NOTE, "a computed command by a monitor (look at it)")
    assert second.place is not None
    assert (second.place.path, second.place.line, second.place.column, second.place.source) == ("a.py", 4, 1, "x | y")


def test_markdown() -> None:
    text = to_markdown([FileFindings("a|b.py", (SURE, DOUBTFUL))], Totals(files=7))
    assert text.startswith("## 2 places with HMP in 7 sources\n\n| place | what | instead |\n")
    assert "| `a\\|b.py:3` | savevm by hmp() | snapshot-save (" in text
    assert to_markdown([], Totals()) == "## No HMP found\n"
