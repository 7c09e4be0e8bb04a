"""Counts records as they stream by.

Memory grows with the number of tools, commands, VMs and days, not with that of records: what would grow with the records has a
limit, beyond which it is counted together.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Final, TypeAlias

from audit.counting.command_lines import tag_of
from audit.counting.failures import FailureTally
from audit.counting.filters import Filters
from audit.counting.grouping import OTHER_TOOLS, tool_of
from audit.counting.locating import path_of, word_of
from audit.counting.quantiles import Quantiles
from audit.counting.switch_tally import SwitchTally
from audit.counting.tool_tally import NO_TIME, ToolTally
from audit.log.quick_check import check_soundness
from audit.reporting.report import VM, TimelineEntry, Tool
from shim.plans.saving import HMP_REPLACES
from shim.qmp import JSON
from shim.records.audit import Action

__all__ = ["Tally"]

# Saves and loads on the timeline: more points than a screen could show separately.
_TIMELINE_ENTRIES: Final = 2000
# Names of scripts may be random, such as those of temporary files; tools beyond this many count as one.
_MOST_TOOLS: Final = 1000
# How many clients are cached, by what the records say about them.
_MOST_CLIENTS: Final = 20_000
# As records spell them, because comparing with members of an Enum takes a tenth of the whole time.
_RECOVERED, _BEGUN, _WENT_ON = Action.RECOVERED.value, Action.BEGUN.value, Action.WENT_ON.value
_PASSED, _OBSERVED = Action.PASSED.value, Action.OBSERVED.value
_names: Final = itemgetter("tool", "exe", "uid", "user", "unit", "container")
# A save or load: the VM, the tool, the command, its line, duration and pause in ms, and whether it failed.
_Moment: TypeAlias = tuple[VM, Tool, str, str | None, float, float, bool]


class Tally:
    """The counts so far. Call `add` for each record, then read the attributes."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self._takes_all = filters.take_all
        self.records = self.left_out = self.lost = self.recovered = self.housekeeping = self.timeline_total = 0
        self.first, self.last = NO_TIME, ""
        self.tools: dict[Tool, ToolTally] = {}
        # By host, VM and command.
        self.standstills: defaultdict[tuple[str, str, str], Quantiles] = defaultdict(Quantiles)
        self.failures = FailureTally()
        self.switch = SwitchTally()
        self.failed_days: Counter[str] = Counter()
        self._vms: dict[tuple[JSON, JSON], VM] = {}
        self._clients: dict[tuple[JSON, ...], ToolTally] = {}
        self._begun: Counter[tuple[JSON, ...]] = Counter()
        self._timeline: list[tuple[str, int, _Moment]] = []

    @property
    def unfinished(self) -> int:
        """Return how many commands were begun and have no outcome yet."""
        return self._begun.total()

    def add(self, record: dict[str, JSON]) -> None:
        """Count a record. Raises DamagedLine, without counting anything, for one that cannot be counted."""
        check_soundness(record)
        time, action, vm_name = record["time"], record["action"], record["vm"]
        host = record["host"] or ""
        self.lost += record["lost_before"]
        client = record["client"]
        if not (self._takes_all or self._takes(time, vm_name, client)):
            self.left_out += 1
            return
        tool = self._tool(host, client)
        vm = self._vms.get((host, vm_name)) or self._vms.setdefault((host, vm_name), VM(host, vm_name))
        self.records += 1
        if time < self.first:
            self.first = time
        if time > self.last:
            self.last = time
        if action == _RECOVERED:
            self.recovered += 1
            return
        if record["housekeeping"]:
            self.housekeeping += 1
            return
        if action == _BEGUN:
            self._begun[host, vm_name, time, record["command_line"]] += 1
            return
        if self._begun:
            self._finish((host, vm_name, time, record["command_line"]))
        self._count(tool, vm, record)

    def timeline(self) -> Iterator[TimelineEntry]:
        """Return the latest saves and loads, in order of time."""
        self._shorten_timeline()
        for time, _, moment in self._timeline:
            vm, tool, command, command_line, duration_ms, stopped_ms, has_failed = moment
            yield TimelineEntry(time, vm, tool, command, tag_of(command_line), duration_ms, stopped_ms, has_failed)

    def _takes(self, time: str, vm_name: str, client: dict[str, JSON]) -> bool:
        filters = self._filters
        return filters.takes_time(time) and filters.takes_vm(vm_name) and filters.takes_client(client)

    def _tool(self, host: str, client: dict[str, JSON]) -> ToolTally:
        """Return the tally of a client's tool."""
        address = client["address"]
        # Each connection has a port of its own.
        key = (host, word_of(client), address and address.rpartition(":")[0], _names(client))
        found = self._clients.get(key)
        if found is None:
            tool = tool_of(client)
            if tool not in self.tools and len(self.tools) >= _MOST_TOOLS:
                tool = OTHER_TOOLS
            found = self.tools.get(tool) or self.tools.setdefault(tool, ToolTally(tool))
            found.saw(host, client["exe"], path_of(client))
            if len(self._clients) >= _MOST_CLIENTS:
                self._clients.clear()
            self._clients[key] = found
        return found

    def _finish(self, key: tuple[JSON, ...]) -> None:
        if key in self._begun:
            self._begun[key] -= 1
            if not self._begun[key]:
                del self._begun[key]

    def _count(self, tool: ToolTally, vm: VM, record: dict[str, JSON]) -> None:
        time, action, failed, after_failure = record["time"], record["action"], record["failed"], record["after_failure"]
        # The record of a refusal, or of what followed a failure, may stand for several like it.
        times = 1 + record["repeated"]
        if action == _WENT_ON:
            tool.went_on(after_failure, record["execute"], time, times)
            return
        way = tool.way(record)
        command, outcome, name = way.command, way.outcome, way.name
        if after_failure is not None:
            tool.went_on(after_failure, name, time, 1)
        outcome.count += times
        if time < outcome.first:
            outcome.first = time
        if time > outcome.last:
            outcome.last = time
        if action == _PASSED:
            command.why_passed = record["reason"]
        elif action == _OBSERVED:
            self.switch.add(record, tool.tool, vm)
        day = time[:10]
        way.days[day] += times
        if way.is_hmp and day > command.example_day:
            command.note_example(record, vm, day)
        if failed:
            self.failed_days[day] += times
            self.failures.add(record, name, tool.tool, vm)
        elif failed is not None and record["hmp_command"] == "savevm":
            self._note_overwriting(tool, vm, record)
        if stopped_ms := record["stopped_ms"]:
            self.standstills[vm.host, vm.name, name].add(stopped_ms)
        if way.is_on_timeline:
            self._note_on_timeline(tool, vm, name, record)

    def _note_overwriting(self, tool: ToolTally, vm: VM, record: dict[str, JSON]) -> None:
        """Count a savevm that replaced a snapshot: it deletes one, or is left to QEMU because the tag exists."""
        if record["reason"].startswith(HMP_REPLACES) or _deletes(record["qmp"]):
            tool.overwritten[vm].add(record["time"], record["command_line"])

    def _note_on_timeline(self, tool: ToolTally, vm: VM, name: str, record: dict[str, JSON]) -> None:
        self.timeline_total += 1
        # The count makes entries of the same moment differ, and keeps them in order.
        durations = record["duration_ms"], record["stopped_ms"]
        moment = (vm, tool.tool, name, record["command_line"], *durations, record["failed"] is True)
        self._timeline.append((record["time"], self.timeline_total, moment))
        if len(self._timeline) == 2 * _TIMELINE_ENTRIES:
            self._shorten_timeline()

    def _shorten_timeline(self) -> None:
        """Sort the timeline, which takes almost no time if it is nearly in order, and keep the latest entries."""
        self._timeline.sort(key=itemgetter(0, 1))
        del self._timeline[:-_TIMELINE_ENTRIES]


def _deletes(qmp: Sequence[dict[str, JSON]]) -> bool:
    """Return whether a savevm deletes what had its tag. What it deletes after its last save is internal, or was too many."""
    jobs = [sent["execute"] for sent in qmp if sent["execute"].startswith("snapshot-")]
    while "snapshot-save" in jobs and jobs[-1] == "snapshot-delete":
        jobs.pop()
    return "snapshot-delete" in jobs
