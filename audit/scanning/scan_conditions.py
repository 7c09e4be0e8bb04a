"""The conditions under which a scan makes a CI job fail: `--fail-on`."""

from collections.abc import Callable, Set
from typing import Final, TypeAlias

from audit.fail_on import Violation
from audit.reporting.keys import place_key
from audit.reporting.wording import counted
from audit.scanning.rules.findings import Finding, Totals

__all__ = ["SCAN_CONDITIONS", "Breaches"]

_Wants: TypeAlias = Callable[[Finding], bool]


def _any(_: Finding) -> bool:
    return True


def _sure(finding: Finding) -> bool:
    return finding.is_sure


def _none(_: Finding) -> bool:
    return False


# Name -> its meaning, and which findings violate it.
SCAN_CONDITIONS: Final[dict[str, tuple[str, _Wants]]] = {
    "hmp": ("anything was found, except what --allow names", _any),
    "sure": ("something was found that is sure, except what --allow names", _sure),
    "incomplete": ("a file was not read because it is too big", _none),
}


class Breaches:
    """Counts the violations of conditions as findings stream by. violations: for forms that show them one by one."""

    def __init__(self, conditions: Set[str], allow: Set[str]) -> None:
        self.conditions = [name for name in SCAN_CONDITIONS if name in conditions]
        self.violations: list[Violation] = []
        self._counts = dict.fromkeys(self.conditions, 0)
        self._allow = allow

    def add(self, path: str, finding: Finding) -> None:
        if {finding.command, finding.command.partition(" ")[0]} & self._allow:
            return
        for name in self._counts:
            if SCAN_CONDITIONS[name][1](finding):
                self._counts[name] += 1
                key = place_key(path, finding.command, finding.source)
                self.violations.append(Violation(name, key, f"{path}:{finding.line}: {finding.what}"))

    def told(self, totals: Totals) -> list[str]:
        """Return what violates the conditions, as sentences. Call this once, at the end, with the final totals."""
        texts = []
        if self._counts.get("hmp"):
            texts.append(f"the sources use HMP ({counted(self._counts['hmp'], 'finding')})")
        if self._counts.get("sure"):
            texts.append(f"the sources use HMP for sure ({counted(self._counts['sure'], 'finding')})")
        if "incomplete" in self._counts and totals.too_big:
            texts.append(f"the scan is not complete: {counted(len(totals.too_big), 'file')} too big")
            self.violations += [Violation("incomplete", ("incomplete", path), f"too big: {path}") for path in totals.too_big]
        return texts
