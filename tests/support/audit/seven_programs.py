"""Audit logs of seven programs on three hosts over 45 days, made from real records, with what a report on them has to say.

The numbers come from the habits below, and from nothing that the audit does.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from shim.records.audit_form import spell, spell_time

__all__ = ["DAYS", "END", "FIRST_DAY", "PROGRAMS", "Program", "lines_by_host"]

FIRST_DAY: Final = datetime(2026, 10, 10, tzinfo=UTC)
DAYS: Final = 45
END: Final = FIRST_DAY + timedelta(days=DAYS)


@dataclass(frozen=True, slots=True)
class Program:
    """One tool. hosts: those that its commands come from in turn. exe: what the kernel says that it runs.

    habits: command -> how often a day, from which day on, and before which.
    """

    name: str
    hosts: tuple[str, ...]
    habits: Mapping[str, tuple[int, int, int]]
    exe: str
    user: str
    unit: str | None = None

    def days_of(self, command: str) -> Iterator[tuple[int, int]]:
        """Return each day with its count."""
        a_day, begin, end = self.habits[command]
        return ((day, a_day) for day in range(begin, end))

    @property
    def hmp(self) -> dict[str, int]:
        """How often it used each HMP command."""
        found = {name: sum(count for _, count in self.days_of(name)) for name in self.habits}
        return {name: count for name, count in found.items() if not name.startswith("snapshot-")}

    @property
    def hmp_by_day(self) -> Counter[int]:
        found: Counter[int] = Counter()
        for command in self.hmp:
            found.update(dict(self.days_of(command)))
        return found


def _always(a_day: int) -> tuple[int, int, int]:
    return a_day, 0, DAYS


_PYTHON: Final = "/usr/bin/python3.11"
PROGRAMS: Final = (
    Program("nightly.py", ("kvm-01", "kvm-03"), {"savevm": _always(2)}, _PYTHON, "backup", "backup.service"),
    Program(
        *("ci-runner", ("kvm-01",), {"savevm": _always(4), "loadvm": _always(5), "delvm": _always(4)}),
        *("/usr/bin/ci-runner", "ci", "ci-runner@7.service"),
    ),
    Program("old-backup.py", ("kvm-02",), {"savevm": (5, 0, 20), "delvm": (5, 0, 20)}, _PYTHON, "backup", "backup.service"),
    Program("monitor.py", ("kvm-02",), {"info status": _always(30)}, _PYTHON, "monitor"),
    Program(
        *("lab", ("kvm-02",), {"info block": (3, 0, DAYS), "savevm": _always(1), "print": (1, 40, DAYS)}),
        *("/opt/lab/bin/lab", "1000"),
    ),
    Program("migrated", ("kvm-03",), {"savevm": (6, 0, 10), "snapshot-save": (6, 10, DAYS)}, "/usr/bin/migrated", "root"),
    Program("modern", ("kvm-01", "kvm-02", "kvm-03"), {"snapshot-save": _always(7)}, "/usr/bin/modern", "root"),
)


def lines_by_host(templates: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Return each host's log. templates: one record of each command."""
    by_command = {template["hmp_command"] or template["execute"]: json.dumps(template) for template in templates}
    found: dict[str, list[tuple[datetime, str]]] = {}
    for program in PROGRAMS:
        for command in program.habits:
            for day, count in program.days_of(command):
                for number in range(count):
                    moment = FIRST_DAY + timedelta(days=day, seconds=86_399 * (number + 1) // (count + 1))
                    record = json.loads(by_command[command])
                    host = program.hosts[number % len(program.hosts)]
                    record |= {"host": host, "time": spell_time(moment)}
                    record["client"] |= {"exe": program.exe, "tool": program.name, "user": program.user, "unit": program.unit}
                    found.setdefault(host, []).append((moment, f"{spell(record)}\n"))
    return {host: [line for _, line in sorted(lines)] for host, lines in found.items()}
