"""Counts what observed commands say about the switch to mode rewrite."""

import heapq
from collections import Counter, defaultdict
from itertools import count
from operator import itemgetter
from typing import Final, TypeAlias

from audit.counting.agreement import answer_text, judge, rewritten_text
from audit.reporting.parties import VM, Tool
from audit.reporting.switch import Agreement, Contrast, Example, Switch, VMSwitch
from audit.reporting.wording import in_one_line
from shim.qmp import JSON

__all__ = ["EXAMPLES", "SwitchTally"]

# How many commands, the latest ones, are shown for each reason.
EXAMPLES: Final = 5
# A file name or a text of QEMU's makes a reason of its own; beyond this many, reasons are not distinguished.
_REASONS: Final = 200
_OTHER_REASONS: Final = "(other reasons)"
_LINE_CHARS: Final = 100
_ORDER: Final = tuple(Agreement)
# The VM, the tool, the command line, the reply, and the rehearsal.
_Seen: TypeAlias = tuple[VM, Tool, str | None, JSON, JSON]


class SwitchTally:
    """The observed commands so far. Call `add` for each."""

    def __init__(self) -> None:
        self._vms: defaultdict[VM, Counter[Agreement]] = defaultdict(Counter)
        self._groups: dict[tuple[Agreement, str], _Group] = {}
        # Makes entries of the same moment differ, and keeps them in order.
        self._numbers = count()

    def add(self, record: dict[str, JSON], tool: Tool, vm: VM) -> None:
        agreement, why = judge(record)
        self._vms[vm][agreement] += 1
        if agreement is Agreement.SAME:
            return
        if (agreement, why) not in self._groups and len(self._groups) >= _REASONS:
            why = _OTHER_REASONS
        group = self._groups.setdefault((agreement, why), _Group())
        time = record["time"]
        group.count += 1
        group.first, group.last = min(group.first or time, time), max(group.last, time)
        entry = (time, next(self._numbers), (vm, tool, record["command_line"], record["reply"], record.get("rehearsed")))
        if len(group.latest) < EXAMPLES:
            heapq.heappush(group.latest, entry)
        else:
            heapq.heappushpop(group.latest, entry)

    def result(self) -> Switch | None:
        """Return the result; None if nothing was observed."""
        if not self._vms:
            return None
        contrasts = [group.contrast(*key) for key, group in self._groups.items()]
        contrasts.sort(key=lambda one: one.last, reverse=True)
        contrasts.sort(key=lambda one: _ORDER.index(one.agreement))
        return Switch(tuple(_of_vm(*entry) for entry in sorted(self._vms.items(), key=itemgetter(0))), tuple(contrasts))


class _Group:
    """The commands with one reason. latest: a heap, oldest first, of what the examples are made from."""

    __slots__ = ("count", "first", "last", "latest")

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = ""
        self.latest: list[tuple[str, int, _Seen]] = []

    def contrast(self, agreement: Agreement, why: str) -> Contrast:
        latest = sorted(self.latest, key=itemgetter(0, 1), reverse=True)
        return Contrast(
            agreement, why, self.count, self.first, self.last, tuple(_example(time, seen) for time, _, seen in latest)
        )


def _example(time: str, seen: _Seen) -> Example:
    vm, tool, command_line, reply, rehearsed = seen
    line = in_one_line(command_line or "")[:_LINE_CHARS]
    return Example(time, vm, tool, line, answer_text(reply), rewritten_text(reply, rehearsed))


def _of_vm(vm: VM, counts: Counter[Agreement]) -> VMSwitch:
    same = counts[Agreement.SAME] + counts[Agreement.ELSEWHERE]
    return VMSwitch(vm, counts.total(), same, counts[Agreement.DIFFERS], counts[Agreement.UNKNOWN])
