"""JUnit's XML, read by somebody else's parser."""

from xml.etree import ElementTree

from audit.fail_on import Violation
from audit.forms.junit import as_junit
from audit.reporting.keys import use_key


def test_condition_passes_or_fails() -> None:
    found = [
        Violation("hmp", use_key("/bin/<a>", "savevm\x1b"), "</failure> & \ud800\x00"),
        Violation("hmp", use_key("b", "c"), "no"),
        Violation("empty", ("empty",), "none"),
    ]
    (suite,) = ElementTree.fromstring(as_junit("it", ["hmp", "error", "empty"], found))
    assert suite.attrib == {"name": "it", "tests": "4", "failures": "3", "errors": "0", "skipped": "0"}
    assert [(one.get("classname"), one.get("name"), len(one)) for one in suite] == [
        ("hmp-audit.hmp", "/bin/<a>: savevm\\x1b", 1),
        ("hmp-audit.hmp", "b: c", 1),
        ("hmp-audit.error", "error", 0),
        ("hmp-audit.empty", "empty", 1),
    ]
    assert suite[0][0].get("message") == "</failure> & \\ud800\\x00"
