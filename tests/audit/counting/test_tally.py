"""What is counted of records, what is not, and that it stays small."""

import random
from typing import Any

import pytest

from audit.counting.filters import Filters
from audit.counting.grouping import OTHER_TOOLS
from audit.counting.tally import Tally
from audit.counting.tool_tally import OTHERS, ToolTally
from audit.reporting.report import VM, Tool
from tests.support.audit.audit_records import a_record, sent

TOOL = Tool("tool", "", "1000")


def tallied(*records: dict[str, Any], filters: Filters | None = None) -> Tally:
    tally = Tally(filters or Filters())
    for record in records:
        tally.add(record)
    return tally


def only_tool(tally: Tally) -> ToolTally:
    (tool,) = tally.tools.values()
    assert tool is not None
    return tool


def test_command_is_counted_for_its_tool() -> None:
    others = a_record(day=1, action="passed", reason="why"), a_record(day=2, action="refused")
    tool = only_tool(tallied(a_record(day=3), *others))
    command = tool.commands["savevm", True]
    assert tool.tool == TOOL
    assert (command.count, *map(command.by_action, ("rewritten", "passed", "refused"))) == (3, 1, 1, 1)
    assert (command.first[:10], command.last[:10], command.why_passed) == ("2026-11-01", "2026-11-03", "why")
    assert tool.days == {"2026-11-01": 1, "2026-11-02": 1, "2026-11-03": 1}


def test_tools_differ_by_name_place_user_and_address() -> None:
    clients: list[dict[str, Any]] = [{"exe": "/bin/a"}, {"exe": "/bin/b"}, {"uid": 0}, {"user": "alice"}]
    clients += [{"tool": "nightly.py"}, {"unit": "x.service"}, {"container": "docker:0123456789ab"}]
    network = {"exe": None, "uid": None, "pid": None}
    clients += [network | {"address": address} for address in ("192.0.2.1:5000", "192.0.2.2:5000", "[2001:db8::1]:5000")]
    tally = tallied(*(a_record(**client) for client in clients))
    assert len(tally.tools) == len(clients)


def test_host_does_not_make_a_tool() -> None:
    tool = only_tool(tallied(a_record(), a_record(host="h2", exe="/opt/tool"), a_record(host=None)))
    assert (list(tool.hosts), list(tool.executables)) == (["h1", "h2"], ["/bin/tool", "/opt/tool"])


def test_pid_and_port_do_not_make_tools() -> None:
    network: dict[str, Any] = {"exe": None, "uid": None, "pid": None}
    distant = [a_record(address=f"192.0.2.1:{port}", **network) for port in range(5)]
    tally = tallied(*(a_record(pid=pid) for pid in range(5)), *distant)
    assert list(tally.tools) == [TOOL, Tool("192.0.2.1")]


def test_modern_commands_are_counted_apart() -> None:
    tool = only_tool(tallied(a_record(), a_record(None, execute="snapshot-save", action="modern", reply={"return": {}})))
    assert {key: command.count for key, command in tool.commands.items()} == {("savevm", True): 1, ("snapshot-save", False): 1}
    assert (sum(tool.days.values()), sum(tool.modern_days.values())) == (1, 1)


def test_hmp_without_a_command_line_is_counted() -> None:
    reply = {"error": {"class": "GenericError", "desc": "no"}}
    tool = only_tool(tallied(a_record(None, action="passed", reply=reply, failed=True)))
    assert list(tool.commands) == [("(no command line)", True)]


def test_silent_failure_is_counted_for_the_command_that_failed() -> None:
    failed = a_record(failed=True, reply={"return": "Error: no\r\n"})
    behind = a_record(None, execute="cont", action="went_on", reply=None, failed=None, after_failure="savevm t1")
    again = a_record("info block -v", action="passed", after_failure="savevm t1")
    tool = only_tool(tallied(failed, behind, again))
    assert tool.commands["savevm", True].silent == 2
    assert tool.going_on == {"savevm": {"cont": 1, "info block": 1}}
    assert ("cont", False) not in tool.commands


@pytest.mark.parametrize(("failed", "counts"), [(False, (0, 0)), (True, (1, 0)), (None, (0, 1))])
def test_failed_and_unknown(failed: bool | None, counts: tuple[int, int]) -> None:
    reply = None if failed is None else {"return": "Error: no\r\n" if failed else ""}
    command = only_tool(tallied(a_record(failed=failed, reply=reply))).commands["savevm", True]
    assert (command.by_failure(True), command.by_failure(None)) == counts


def overwritten(tool: ToolTally) -> dict[VM, tuple[int, str, list[str]]]:
    return {vm: (seen.count, seen.last, list(seen.tags)) for vm, seen in tool.overwritten.items()}


def test_snapshot_that_was_saved_over() -> None:
    replaced = a_record(qmp=sent("snapshot-save", "snapshot-delete", "snapshot-save"))
    failed = replaced | {"failed": True, "reply": {"return": "Error: no\r\n"}}
    deleted = a_record("delvm t1", qmp=sent("snapshot-delete"))
    tool = only_tool(tallied(a_record(qmp=sent("snapshot-save")), replaced, replaced, failed, deleted))
    assert overwritten(tool) == {VM("h1", "vm1"): (2, replaced["time"], ["t1"])}


def test_snapshot_that_was_deleted_for_a_new_one_was_not_saved_over() -> None:
    deleted = a_record(qmp=sent("snapshot-save", "query-jobs", "snapshot-delete", "query-jobs", "snapshot-delete"))
    replaced = a_record(qmp=sent("snapshot-save", "snapshot-delete", "snapshot-save", "snapshot-delete", "snapshot-delete"))
    reason = "QEMU's own savevm replaces the snapshot in one step; the free space was not checked: it hides"
    by_qemu = a_record(action="delegated", reason=reason)
    assert only_tool(tallied(deleted)).overwritten == {}
    assert overwritten(only_tool(tallied(replaced, by_qemu))) == {VM("h1", "vm1"): (2, replaced["time"], ["t1"])}


def test_snapshot_that_was_saved_over_by_qemu_itself() -> None:
    replaced = a_record(action="delegated", reason="QEMU's own savevm replaces the snapshot in one step")
    by_proxy = a_record(action="delegated", reason="the proxy does it, by its own policy")
    tool = only_tool(tallied(replaced, by_proxy, replaced))
    assert overwritten(tool) == {VM("h1", "vm1"): (2, replaced["time"], ["t1"])}


def test_saving_over_has_its_first_and_last_time_and_some_of_its_tags() -> None:
    """The records of several proxies need not come in the order of their times."""
    saved = [a_record(f"savevm t{day}", qmp=sent("snapshot-delete", "snapshot-save"), day=day) for day in (5, 1, *range(6, 30))]
    unnamed = a_record("savevm", qmp=sent("snapshot-delete", "snapshot-save"), day=3)
    (seen,) = only_tool(tallied(*saved, unnamed)).overwritten.values()
    assert (seen.count, seen.first[:10], seen.last[:10]) == (27, "2026-11-01", "2026-11-29")
    assert list(seen.tags) == ["t5", "t1", *(f"t{day}" for day in range(6, 24))]


def test_abandoned_command_is_an_attempt_that_has_run_nothing() -> None:
    tally = tallied(a_record(action="abandoned", reply=None, failed=None))
    command = only_tool(tally).commands["savevm", True]
    assert (command.count, command.by_failure(None), command.by_failure(True), command.by_action("abandoned")) == (1, 1, 0, 1)
    assert tally.timeline_total == 0


def test_standstill_is_kept_by_vm_and_command() -> None:
    tally = tallied(a_record(stopped_ms=5.0), a_record(stopped_ms=7), a_record(vm="vm2", stopped_ms=0.0))
    ((key, seen),) = tally.standstills.items()
    assert (key, seen.count, seen.max) == (("h1", "vm1", "savevm"), 2, 7)


def test_timeline_has_saves_and_loads_in_order_of_time() -> None:
    tally = tallied(
        *(a_record("loadvm 'a'", day=3), a_record('savevm "a b"', day=1, stopped_ms=2.0)),
        *(a_record("delvm a"), a_record("info block")),
        a_record(None, execute="snapshot-save", action="modern", day=2),
    )
    entries = list(tally.timeline())
    assert [(entry.command, entry.tag) for entry in entries] == [("savevm", "a b"), ("snapshot-save", ""), ("loadvm", "'a'")]
    assert (entries[0].stopped_ms, entries[0].duration_ms, entries[0].failed) == (2.0, 1.5, False)
    assert tally.timeline_total == 3


def test_timeline_keeps_the_latest() -> None:
    records = [a_record(time=f"2026-11-24T10:{minute:02}:{second:02}.000000Z") for minute in range(60) for second in range(60)]
    random.Random(1).shuffle(records)
    tally = tallied(*records)
    times = [entry.time for entry in tally.timeline()]
    assert times == sorted(record["time"] for record in records)[-2000:]
    assert tally.timeline_total == 3600


def test_begun_command_waits_for_its_outcome() -> None:
    begun = a_record(action="begun", reply=None, failed=None)
    tally = tallied(begun, begun | {"command_line": "savevm t2"}, begun, a_record())
    assert tally.unfinished == 2
    assert only_tool(tally).commands["savevm", True].count == 1


def test_recovered_jobs_are_nobodys_command() -> None:
    tally = tallied(a_record(None, execute=None, exe=None, uid=None, action="recovered", reply=None, failed=None))
    assert (tally.recovered, tally.records, only_tool(tally).commands) == (1, 1, {})


def test_losses_are_counted_whatever_the_filters_take() -> None:
    tally = tallied(a_record(lost_before=3), a_record(lost_before=2), filters=Filters(vms=("none",)))
    assert (tally.lost, tally.left_out, tally.records) == (5, 2, 0)


@pytest.mark.parametrize(
    "filters", [Filters(since="2026-11-25"), Filters(until="2026-11-24"), Filters(vms=("x",)), Filters(tools=("x",))], ids=repr
)
def test_filters_leave_out(filters: Filters) -> None:
    tally = tallied(a_record(), filters=filters)
    assert (tally.records, tally.left_out) == (0, 1)


def test_unknown_commands_beyond_a_limit_are_counted_together() -> None:
    nonsense = [a_record(f"nonsense{number}", after_failure=f"bad{number}") for number in range(300)]
    tally = tallied(*nonsense, a_record("info block"))
    tool = only_tool(tally)
    assert tool.commands[OTHERS, True].count > 50
    assert tool.commands["info block", True].count == 1
    assert len(tool.commands) <= 202
    assert len(tool.going_on) <= 102
    assert sum(command.count for command in tool.commands.values()) == 301


def test_refusal_that_stands_for_others_counts_as_all_of_them() -> None:
    refused = {"action": "refused", "reply": {"return": "Error: no\r\n"}, "failed": True}
    tally = tallied(a_record("stop", **refused), a_record("stop", repeated=41, **refused))
    tool = only_tool(tally)
    command = tool.commands["stop", True]
    assert (command.count, command.by_action("refused"), command.by_failure(True)) == (43, 43, 43)
    assert (sum(tool.days.values()), tally.failed_days.total()) == (43, 43)
    (failure,) = tally.failures.results()
    assert failure.count == 43


def test_going_on_that_stands_for_others_counts_as_all_of_them() -> None:
    went_on = {"execute": "cont", "action": "went_on", "reply": None, "failed": None, "after_failure": "stop"}
    tool = only_tool(tallied(a_record("stop"), a_record(None, repeated=9, **went_on)))
    assert tool.commands["stop", True].silent == 10
    assert tool.going_on == {"stop": {"cont": 10}}


def test_tools_beyond_a_limit_are_counted_together() -> None:
    tally = tallied(*(a_record(tool=f"tmp{number}.py") for number in range(1010)), a_record(tool="tmp7.py"))
    others = tally.tools[OTHER_TOOLS]
    assert (len(tally.tools), others.commands["savevm", True].count) == (1001, 10)
    assert tally.tools[Tool("tmp7.py", "", "1000")].commands["savevm", True].count == 2


def test_clients_that_are_forgotten_are_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.counting.tally._MOST_CLIENTS", 2)
    tool = only_tool(tallied(*(a_record(unit=f"x@{number % 5}.service") for number in range(10))))
    assert (tool.tool.place, tool.commands["savevm", True].count) == ("x@.service", 10)


def test_some_executables_of_a_tool_are_named() -> None:
    tool = only_tool(tallied(*(a_record(tool="a.py", exe=f"/opt/{number}/python3") for number in range(20))))
    assert list(tool.executables) == [f"/opt/{number}/python3" for number in range(8)]


def scripted(path: str, *options: str, **members: Any) -> dict[str, Any]:
    name = path.rpartition("/")[2]
    return a_record(exe="/usr/bin/python3", tool=name, argv=["python3", *options, path, "vm1"], **members)


def test_scripts_of_one_name_are_one_tool_with_all_their_paths() -> None:
    records = [scripted("/srv/a/hmp.py"), scripted("/srv/b/hmp.py", "-u"), scripted("/srv/a/hmp.py", host="h2")]
    parent = {"pid": 1, "exe": "/bin/bash", "argv": ["bash", "-e", "/srv/c/hmp.py"]}
    records.append(a_record(exe="/usr/bin/socat", tool="hmp.py", argv=["socat", "-"], parent=parent))
    tool = only_tool(tallied(*records, *records))
    assert list(tool.paths) == ["/srv/a/hmp.py", "/srv/b/hmp.py", "/srv/c/hmp.py"]
    assert tool.commands["savevm", True].count == 8


def test_folders_of_one_run_make_no_paths_of_their_own() -> None:
    tool = only_tool(tallied(*(scripted(f"/tmp/tmp.{number}aBcDeF/run.sh") for number in range(20))))
    assert list(tool.paths) == ["/tmp/tmp.*/run.sh"]


def test_some_paths_of_a_tool_are_named() -> None:
    tool = only_tool(tallied(*(scripted(f"/opt/v{number}/a.py") for number in range(20))))
    assert list(tool.paths) == [f"/opt/v{number}/a.py" for number in range(8)]


@pytest.mark.parametrize("argv", [[5, "/opt/a.py"], [None], [["/opt/a.py"]], [{}]])
@pytest.mark.parametrize("is_of_parent", [False, True])
def test_command_line_of_anything_is_counted(argv: list[Any], is_of_parent: bool) -> None:
    strange: dict[str, Any] = {"parent": {"argv": argv}} if is_of_parent else {"argv": argv}
    parents: list[Any] = [{}, {"argv": None}, {"argv": 5}]
    tool = only_tool(tallied(a_record(tool="a.py", **strange), *(a_record(tool="a.py", parent=one) for one in parents)))
    assert tool.commands["savevm", True].count == 4


def test_housekeeping_of_the_prompt_is_no_use_of_hmp() -> None:
    tally = tallied(a_record("help", action="passed", prompt=True, housekeeping=True))
    assert (tally.records, tally.housekeeping, only_tool(tally).commands) == (1, 1, {})


@pytest.mark.parametrize(
    ("line", "name"),
    [
        *(("savevm t", "snapshot-save"), ("loadvm t", "snapshot-load"), ("delvm t", "snapshot-delete")),
        ("info snapshots", "query-named-block-nodes"),
    ],
)
def test_snapshot_command_at_the_prompt_counts_as_what_did_it(line: str, name: str) -> None:
    """The prompt does it by QMP, on a QEMU without HMP too; through a proxy, it could have done so itself."""
    tool = only_tool(tallied(a_record(line, prompt=True, tool="hmp-repl")))
    assert list(tool.commands) == [(name, False)]
    assert (dict(tool.days), dict(tool.modern_days)) == ({}, {"2026-11-24": 1})


@pytest.mark.parametrize("action", ["passed", "delegated", "observed", "refused"])
def test_what_hmp_did_at_the_prompt_counts_as_hmp(action: str) -> None:
    assert list(only_tool(tallied(a_record(action=action, prompt=True))).commands) == [("savevm", True)]


def test_hmp_at_the_prompt_that_a_job_cannot_do_counts_as_hmp() -> None:
    tool = only_tool(tallied(a_record("info block", prompt=True), a_record(None, execute="snapshot-save", prompt=True)))
    assert list(tool.commands) == [("info block", True), ("snapshot-save", False)]


def test_snapshot_that_was_saved_over_at_the_prompt() -> None:
    replaced = a_record(prompt=True, qmp=sent("snapshot-save", "snapshot-delete", "snapshot-save"))
    ((vm, seen),) = only_tool(tallied(replaced)).overwritten.items()
    assert (vm, seen.count, seen.last, list(seen.tags)) == (VM("h1", "vm1"), 1, replaced["time"], ["t1"])
