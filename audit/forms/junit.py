"""What --fail-on found, as JUnit's XML, which CI servers show as tests: each condition is a test that passes or fails.

The dialect is the one that Jenkins, GitLab and GitHub's actions read. The name of a test contains no count, so that a server
recognizes it the next day.
"""

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from audit.fail_on import Violation
from shim.printable import printable

__all__ = ["as_junit"]


def as_junit(suite: str, conditions: Iterable[str], violations: Sequence[Violation]) -> str:
    """Return an XML document. suite: the command that was run. conditions: those of --fail-on, with what they imply."""
    root = ElementTree.Element("testsuites")
    tests = ElementTree.SubElement(root, "testsuite", name=suite, failures=str(len(violations)), errors="0", skipped="0")
    for condition in conditions:
        found = [violation for violation in violations if violation.condition == condition]
        for violation in found:
            text = printable(violation.text)
            test = _test(tests, condition, printable(": ".join(violation.key[1:])))
            ElementTree.SubElement(test, "failure", type=condition, message=text).text = text
        if not found:
            _test(tests, condition, condition)
    tests.set("tests", str(len(tests)))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _test(tests: ElementTree.Element, condition: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(tests, "testcase", classname=f"hmp-audit.{condition}", name=name or condition)
