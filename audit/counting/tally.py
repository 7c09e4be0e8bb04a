"""Counts records as they stream by.

The memory grows with the tools, their commands, the VMs and the days that there are, not with the records: what would grow
with them has a limit, and is counted together beyond it.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final, TypeAlias

from audit.counting.failures import FailureTally
from audit.counting.filters import Filters
from audit.counting.quantiles import Quantiles
from audit.counting.readiness import hmp_replacement
from audit.counting.switch_tally import SwitchTally
from audit.log.quick_check import check_soundness
from audit.report import VM, TimelineEntry, Tool
from shim.audit import Action
from shim.hmp import HMPLine
from shim.qmp import JSON
from shim.saving import HMP_REPLACES

__all__ = ["OTHERS", "CommandTally", "Tally", "ToolTally"]

# Tools send what they like, and a name need not be one of HMP's. A tool's further unknown names are counted as one.
_UNKNOWN_COMMANDS: Final = 100
OTHERS: Final = "(others)"
_NO_COMMAND: Final = "(no command line)"
# Saves and loads that the timeline has: more points than a screen could show apart.
_TIMELINE_ENTRIES: Final = 2000
_SAVES_AND_LOADS: Final = frozenset({"savevm", "loadvm", "snapshot-save", "snapshot-load"})
_NO_TIME: Final = "~"  # after all times
# Of a save or load: the VM, the tool, the command, its line, duration and pause in ms, and whether it failed.
_Moment: TypeAlias = tuple[VM, Tool, str, str | None, float, float, bool]


class CommandTally:
    """One command of one tool."""

    __slots__ = ("actions", "count", "failed", "first", "last", "silent", "unknown", "why_passed")

    def __init__(self) -> None:
        self.count = self.failed = self.unknown = self.silent = 0
        self.actions: Counter[str] = Counter()
        self.first, self.last = _NO_TIME, ""
        self.why_passed = ""


class ToolTally:
    """One tool. commands: by name, and whether it is HMP's. going_on: what it sent after a failed command."""

    __slots__ = ("commands", "days", "going_on", "last_silent", "modern_days", "overwritten", "tool")

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.commands: dict[tuple[str, bool], CommandTally] = {}
        self.days: Counter[str] = Counter()
        self.modern_days: Counter[str] = Counter()
        self.going_on: dict[str, Counter[str]] = {}
        self.last_silent: dict[str, str] = {}
        self.overwritten: dict[VM, tuple[int, str]] = {}

    def command(self, name: str, *, is_hmp: bool) -> CommandTally:
        found = self.commands.get((name, is_hmp))
        if found is None:
            if len(self.commands) >= _UNKNOWN_COMMANDS and is_hmp and hmp_replacement(name) is None:
                name = OTHERS
            found = self.commands.setdefault((name, is_hmp), CommandTally())
        return found

    def went_on(self, failed_line: str, following: str, time: str, times: int = 1) -> None:
        """Note what followed a failure that only a text told, and how often."""
        failed = HMPLine.read(failed_line).full_name
        self.command(failed, is_hmp=True).silent += times
        if failed not in self.going_on and len(self.going_on) >= _UNKNOWN_COMMANDS:
            failed = OTHERS
        later = self.going_on.setdefault(failed, Counter())
        later[following if following in later or len(later) < _UNKNOWN_COMMANDS else OTHERS] += times
        self.last_silent[failed] = max(time, self.last_silent.get(failed, ""))


class Tally:
    """Call `add` for each record, then take what was counted."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self.records = self.left_out = self.lost = self.recovered = self.timeline_total = 0
        self.first, self.last = _NO_TIME, ""
        self.tools: dict[tuple[JSON, ...], ToolTally | None] = {}
        self.standstills: defaultdict[tuple[VM, str], Quantiles] = defaultdict(Quantiles)
        self.failures = FailureTally()
        self.switch = SwitchTally()
        self.failed_days: Counter[str] = Counter()
        self._vms: dict[tuple[JSON, JSON], VM] = {}
        self._begun: Counter[tuple[JSON, ...]] = Counter()
        self._timeline: list[tuple[str, int, _Moment]] = []

    @property
    def unfinished(self) -> int:
        """Count the commands that were begun and have no outcome yet."""
        return self._begun.total()

    def add(self, record: dict[str, JSON]) -> None:
        """Count a record. Raises DamagedLine for one that cannot be counted; nothing of it is then."""
        check_soundness(record)
        time, action, vm_name = record["time"], record["action"], record["vm"]
        host = record["host"] or ""
        self.lost += record["lost_before"]
        tool = self._tool(host, record["client"])
        if tool is None or not self._filters.takes_time(time) or not self._filters.takes_vm(vm_name):
            self.left_out += 1
            return
        vm = self._vms.get((host, vm_name)) or self._vms.setdefault((host, vm_name), VM(host, vm_name))
        self.records += 1
        if time < self.first:
            self.first = time
        if time > self.last:
            self.last = time
        if action == Action.RECOVERED:
            self.recovered += 1
            return
        if action == Action.BEGUN:
            self._begun[host, vm_name, time, record["command_line"]] += 1
            return
        if self._begun:
            self._finish((host, vm_name, time, record["command_line"]))
        self._count(tool, vm, record)

    def timeline(self) -> Iterator[TimelineEntry]:
        """Return the latest saves and loads, in order of time."""
        for time, _, moment in sorted(self._timeline, key=lambda entry: entry[:2]):
            vm, tool, command, command_line, duration_ms, stopped_ms, has_failed = moment
            tag = getattr(None if command_line is None else HMPLine.read(command_line).command, "tag", None)
            yield TimelineEntry(time, vm, tool, command, tag or "", duration_ms, stopped_ms, has_failed)

    def _tool(self, host: str, client: dict[str, JSON]) -> ToolTally | None:
        """Return the tally of a client's tool; None if the filters leave it out."""
        exe, uid, address = client["exe"], client["uid"], client["address"]
        if address is not None:
            address = address.rpartition(":")[0]
        key = (host, exe, uid, address)
        if key in self.tools:
            return self.tools[key]
        tool = Tool(host, exe or "", -1 if uid is None else uid, address or "")
        found = ToolTally(tool) if self._filters.takes_tool(tool) else None
        self.tools[key] = found
        return found

    def _finish(self, key: tuple[JSON, ...]) -> None:
        if key in self._begun:
            self._begun[key] -= 1
            if not self._begun[key]:
                del self._begun[key]

    def _count(self, tool: ToolTally, vm: VM, record: dict[str, JSON]) -> None:
        time, action, failed, after_failure = record["time"], record["action"], record["failed"], record["after_failure"]
        is_hmp = record["execute"] == "human-monitor-command"
        name = (record["hmp_command"] or _NO_COMMAND) if is_hmp else record["execute"]
        # One refusal, and one going on, may stand for others like it.
        times = 1 + record["repeated"]
        if after_failure is not None:
            tool.went_on(after_failure, name, time, times if action == Action.WENT_ON else 1)
        if action == Action.WENT_ON:
            return
        command = tool.command(name, is_hmp=is_hmp)
        command.count += times
        command.actions[action] += times
        if action == Action.PASSED:
            command.why_passed = record["reason"]
        elif action == Action.OBSERVED:
            self.switch.add(record, tool.tool, vm)
        if time < command.first:
            command.first = time
        if time > command.last:
            command.last = time
        day = time[:10]
        (tool.days if is_hmp else tool.modern_days)[day] += times
        if failed:
            command.failed += times
            self.failed_days[day] += times
            self.failures.add(record, name, tool.tool, vm)
        elif failed is None:
            command.unknown += times
        elif name == "savevm":
            self._note_overwriting(tool, vm, record)
        if stopped_ms := record["stopped_ms"]:
            self.standstills[vm, name].add(stopped_ms)
        if name in _SAVES_AND_LOADS and action != Action.ABANDONED:
            self._note_on_timeline(tool, vm, name, record)

    def _note_overwriting(self, tool: ToolTally, vm: VM, record: dict[str, JSON]) -> None:
        """A savevm that deletes, or that is left to QEMU because the tag exists, replaces what had the tag.

        What it deletes after it has saved is its own internal snapshot, or was too many.
        """
        jobs = [sent["execute"] for sent in record["qmp"] if sent["execute"].startswith("snapshot-")]
        while "snapshot-save" in jobs and jobs[-1] == "snapshot-delete":
            jobs.pop()
        if record["reason"].startswith(HMP_REPLACES) or "snapshot-delete" in jobs:
            count, last = tool.overwritten.get(vm, (0, ""))
            tool.overwritten[vm] = count + 1, max(last, record["time"])

    def _note_on_timeline(self, tool: ToolTally, vm: VM, name: str, record: dict[str, JSON]) -> None:
        self.timeline_total += 1
        # The count makes entries of one moment differ, and keeps them in their order.
        durations = record["duration_ms"], record["stopped_ms"]
        moment = (vm, tool.tool, name, record["command_line"], *durations, record["failed"] is True)
        entry = (record["time"], self.timeline_total, moment)
        if len(self._timeline) < _TIMELINE_ENTRIES:
            heapq.heappush(self._timeline, entry)
        else:
            heapq.heappushpop(self._timeline, entry)
