"""The prompt's executor on a modelled QEMU: what becomes of each command, in which order, and what is on record."""

import asyncio
from typing import Any, Final, NoReturn

import pytest

from repl.executor import Executor
from shim.graph.policy import Mode, Overwrite, Policy, PolicyKind
from shim.hmp import render
from shim.hmp.allowance import refusal
from shim.hmp.line import HMPLine
from shim.plans.intent import read_internal_tag
from shim.plans.jobs import REPL_JOB_PREFIX
from shim.plans.plan import Answer, PassThrough
from shim.qmp import ErrorReply, QEMUVersion, ReturnReply
from tests.fakes import commands
from tests.fakes.qemu import FakeQEMU, Node, Snapshot, VMFaults, disk, two_disks, uefi_vm
from tests.support.proxy.running_vm_proxy import until
from tests.support.repl.executing import Bench, executing, played
from tests.support.repl.seen_link import obeying

MISSING: Final = "Error: Snapshot 't' does not exist in one or more devices\r\n"
SAVING: Final = ["snapshot-save", "query-jobs", "job-dismiss"]


def tagged(*tags: str) -> list[Node]:
    """Return two disks that have these tags, the first with a VM state."""
    return [
        *disk("d0", device="", snapshots=[Snapshot(str(number), tag, 9) for number, tag in enumerate(tags, 1)]),
        *disk("d1", device="", snapshots=[Snapshot(str(number), tag) for number, tag in enumerate(tags, 1)]),
    ]


def jobs_of(qemu: FakeQEMU) -> list[str]:
    return [name for name in qemu.commands if name.startswith("snapshot-")]


# --- Snapshot commands ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "tags", "text", "jobs", "left"),
    [
        ("savevm t", [], "", ["snapshot-save"], ["t"]),
        ('  savevm "a b"\n', ["t"], "", ["snapshot-save"], ["t", "a b"]),
        ("loadvm t", ["t"], "", ["snapshot-load"], ["t"]),
        ("loadvm t", ["u"], MISSING, ["snapshot-load"], ["u"]),
        ("delvm t", ["t", "u"], "", ["snapshot-delete"], ["u"]),
        ("delvm t", ["u"], "", ["snapshot-delete"], ["u"]),
    ],
    ids=["save", "quoted", "load", "load none", "delete", "delete none"],
)
def test_snapshot_command_is_done_by_jobs(line: str, tags: list[str], text: str, jobs: list[str], left: list[str]) -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        result = await bench.executor.hmp(HMPLine.read(line))
        assert (result.text, result.is_failure) == (text, text != "")
        assert result.duration_ns >= result.stopped_ns >= 0
        assert jobs_of(qemu) == jobs
        assert "human-monitor-command" not in qemu.commands
        assert [[snapshot.name for snapshot in qemu.vm.graph[name].snapshots] for name in ("d0", "d1")] == [left] * 2
        assert qemu.vm.jobs.rows == []
        (record,) = bench.records
        assert (record["command_line"], record["action"], record["reply"]) == (line, "rewritten", {"return": result.text})
        job_ids = {sent["arguments"]["job-id"] for sent in record["qmp"] if "job-id" in sent["arguments"]}
        assert all(job_id.startswith(REPL_JOB_PREFIX) for job_id in job_ids)

    played(scene, FakeQEMU(tagged(*tags)))


def test_tag_is_replaced_by_qemus_own_savevm_where_that_does_the_same() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        assert (await bench.executor.hmp(HMPLine.read("savevm t"))).text == ""
        assert jobs_of(qemu) == []
        assert [snapshot.name for snapshot in qemu.vm.graph["d0"].snapshots] == ["t"]
        (record,) = bench.records
        assert (record["action"], record["reason"]) == ("delegated", "QEMU's own savevm replaces the snapshot in one step")

    played(scene, FakeQEMU(tagged("t")))


@pytest.mark.parametrize(
    ("overwrite", "jobs"),
    [
        (Overwrite.SAFE, ["snapshot-save", "snapshot-delete", "snapshot-save", "snapshot-delete"]),
        (Overwrite.REPLACE, ["snapshot-save", "snapshot-delete", "snapshot-save"]),
    ],
)
def test_tag_is_replaced_beside_a_varstore_as_the_policy_says(overwrite: Overwrite, jobs: list[str]) -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        assert (await bench.executor.hmp(HMPLine.read("savevm t"))).text == ""
        assert (await bench.executor.hmp(HMPLine.read("savevm t"))).text == ""
        assert jobs_of(qemu)[1:] == jobs
        assert [snapshot.name for snapshot in qemu.vm.graph["disk0"].snapshots] == ["t"]
        assert not bench.executor.has_unsettled

    played(scene, FakeQEMU(uefi_vm()), policy=Policy(overwrite=overwrite))


def test_state_that_is_saved_first_is_known_as_what_it_is() -> None:
    """Else a prompt that is killed between the two would leave a snapshot that nobody tells of, and that limits count."""

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        for _ in range(2):
            assert (await bench.executor.hmp(HMPLine.read("savevm t"))).text == ""
        saved = [sent["arguments"]["tag"] for sent in qemu.received if sent["execute"] == "snapshot-save"]
        assert [tag == "t" or read_internal_tag(tag) is not None for tag in saved] == [True, True, True]
        assert saved.count("t") == 2

    played(scene, FakeQEMU(uefi_vm()), policy=Policy(overwrite=Overwrite.SAFE))


def test_failure_of_ours_before_anything_was_changed_leaves_it_to_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("a bug")

    monkeypatch.setattr("shim.plans.survey.join", fail)

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        command = HMPLine.read("savevm t").command
        assert command is not None
        assert isinstance((await bench.executor.rehearse(command)).outcome, PassThrough)
        assert (await bench.executor.hmp(HMPLine.read("savevm t"))).text == ""
        assert qemu.vm.graph["d0"].count("t") == 1
        (record,) = bench.records
        assert (record["action"], record["reason"]) == ("passed", "hmpshim failed before it had changed anything")
        assert [str(exc) for exc in bench.failures] == ["a bug"] * 2

    played(scene, FakeQEMU(two_disks()))


def test_failure_of_ours_later_is_told_as_an_unknown_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is seen to its end all the same."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("a bug")

    monkeypatch.setattr("shim.plans.jobs.answer", fail)

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        result = await bench.executor.hmp(HMPLine.read("savevm t"))
        assert result.is_failure
        assert "the outcome is not known" in result.text
        assert [str(exc) for exc in bench.failures] == ["a bug"]
        assert qemu.vm.jobs.rows == []
        assert bench.records[0]["action"] == "rewritten"

    played(scene, FakeQEMU(two_disks()))


def test_table_of_snapshots_leaves_the_varstore_out() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        assert (await bench.executor.hmp(HMPLine.read("info snapshots"))).text == "There is no snapshot available.\r\n"
        await bench.executor.hmp(HMPLine.read("savevm t"))
        result = await bench.executor.hmp(HMPLine.read("info snapshots"))
        assert not result.is_failure
        head, _, row, end = result.text.split("\r\n")
        assert (head, row[:11], end) == ("List of snapshots present on all disks:", "--        t", "")
        assert {record["action"] for record in bench.records} == {"rewritten"}

    played(scene, FakeQEMU(uefi_vm()))


def test_policy_of_the_prompt_decides() -> None:
    async def saved(policy: Policy) -> tuple[str, str]:
        async with FakeQEMU(uefi_vm()) as qemu, executing(qemu.path, policy=policy) as bench:
            result = await bench.executor.hmp(HMPLine.read("savevm t"))
            return result.text, bench.records[0]["action"]

    varstore = "Error: Device 'pflash1' is writable but does not support snapshots\r\n"
    assert asyncio.run(saved(Policy())) == ("", "rewritten")
    assert asyncio.run(saved(Policy(PolicyKind.HMP))) == (varstore, "rewritten")


def test_refusal_changes_nothing() -> None:
    """Loading a tag that a disk has twice would silently bring back the older content."""

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        result = await bench.executor.hmp(HMPLine.read("loadvm t"))
        assert result.is_failure
        assert result.text.startswith("Error: ")
        assert (jobs_of(qemu), qemu.vm.run_state) == ([], "running")
        assert bench.records[0]["action"] == "refused"

    played(scene, FakeQEMU(tagged("t", "t")))


def test_qemu_without_snapshot_jobs_gets_the_command() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        assert (await bench.executor.hmp(HMPLine.read("savevm t"))).text == ""
        assert qemu.vm.graph["d0"].count("t") == 1
        assert jobs_of(qemu) == []
        assert bench.records[0]["action"] == "passed"

    played(scene, FakeQEMU(two_disks(), version=QEMUVersion(5, 2, 0)))


# --- What QEMU gets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("info status", "unknown command: 'info status'\r\n"),
        ("nosuch x", "unknown command: 'nosuch'\r\n"),
        ("savevm a b", 'savevm: extraneous characters at the end of line\r\nTry "help savevm" for more information\r\n'),
        ("loadvm", 'loadvm: string expected\r\nTry "help loadvm" for more information\r\n'),
    ],
)
def test_other_command_is_qemus(line: str, text: str) -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        result = await bench.executor.hmp(HMPLine.read(line))
        assert (result.text, result.is_failure, result.stopped_ns) == (text, True, 0)
        assert qemu.received[-1]["arguments"] == {"command-line": line}
        (record,) = bench.records
        assert (record["action"], record["reason"], record["qmp"]) == ("passed", HMPLine.read(line).why_not_parsed, [])

    played(scene, FakeQEMU(two_disks()))


def test_empty_line_is_no_failure() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        assert not (await bench.executor.hmp(HMPLine.read(" "))).is_failure

    played(scene, FakeQEMU())


def test_cpu_that_was_chosen_is_the_one_of_the_commands_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """human-monitor-command forgets it each time (monitor/misc.c, qmp_human_monitor_command)."""
    monkeypatch.setattr(commands, "run_hmp", lambda vm, line: "invalid CPU index" if line == "cpu 7" else "")

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        for line in ("cpu 7", "cpu x", "info registers", " cpu  0 ", "info registers"):
            await bench.executor.hmp(HMPLine.read(line))
        sent = [one["arguments"].get("cpu-index") for one in qemu.received if one["execute"] == "human-monitor-command"]
        assert sent == [None, None, None, None, 0]

    played(scene, FakeQEMU())


def test_qmp_error_to_an_hmp_command_is_told_as_hmp_tells_errors() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        bench.executor._cpu_index = 7
        result = await bench.executor.hmp(HMPLine.read("info registers"))
        assert (result.text, result.is_failure) == ("Error: Parameter 'cpu-index' expects a CPU number\r\n", True)
        error = {"class": "GenericError", "desc": "Parameter 'cpu-index' expects a CPU number"}
        assert bench.records[0]["reply"] == {"error": error}

    played(scene, FakeQEMU())


def test_line_that_qmp_cannot_carry_is_refused_and_the_connection_lives_on() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        result = await bench.executor.hmp(HMPLine.read("savevm \udcff"))
        assert (result.is_failure, result.text[:16]) == (True, "Error: not sent:")
        assert (await bench.executor.hmp(HMPLine.read("savevm t"))).text == ""
        assert [record["command_line"] for record in bench.records] == ["savevm \udcff", "savevm t"]

    played(scene, FakeQEMU(two_disks()))


def test_qmp_command_is_sent_as_it_is_and_is_not_on_record() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        assert await bench.executor.qmp("stop", {}) == ReturnReply({})
        assert await bench.executor.qmp("stop", {"a": 1}) == ErrorReply("GenericError", "Parameter 'a' is unexpected")
        assert bench.records == []

    played(scene, FakeQEMU())


# --- Modes ------------------------------------------------------------------------------------------------------------


def test_enforce_refuses_what_is_not_allowed() -> None:
    policy = Policy(mode=Mode.ENFORCE, allow=frozenset({"info status"}))

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        why = refusal(HMPLine.read("info block"), policy.allow)
        assert why is not None
        result = await bench.executor.hmp(HMPLine.read("info block"))
        assert (result.text, result.is_failure) == (render.error(why), True)
        assert "human-monitor-command" not in qemu.commands
        assert (await bench.executor.hmp(HMPLine.read("savevm t"))).text == ""
        await bench.executor.hmp(HMPLine.read("info status"))
        assert [(record["action"], record["reason"]) for record in bench.records] == [
            ("refused", why),
            ("rewritten", "done by snapshot jobs"),
            ("passed", "not a snapshot command"),
        ]

    played(scene, FakeQEMU(two_disks()), policy=policy)


def test_observe_passes_and_notes_what_would_have_been_done() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        result = await bench.executor.hmp(HMPLine.read("savevm t"))
        assert result.text == "Error: Device 'pflash1' is writable but does not support snapshots\r\n"
        assert jobs_of(qemu) == []
        (record,) = bench.records
        assert (record["action"], record["reason"]) == ("observed", "only observed")
        rehearsed = record["rehearsed"]
        assert (rehearsed["text"], rehearsed["agreed"]) == ("", False)
        assert [sent["execute"] for sent in rehearsed["qmp"]][-3:] == SAVING

    played(scene, FakeQEMU(uefi_vm()), policy=Policy(mode=Mode.OBSERVE))


def test_rehearsal_sends_only_queries() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        command = HMPLine.read("delvm t").command
        assert command is not None
        rehearsal = await bench.executor.rehearse(command)
        assert isinstance(rehearsal.outcome, Answer)
        assert [sent.command for sent in rehearsal.would_send if sent.command.startswith("snap")] == ["snapshot-delete"]
        assert all(name.startswith(("query-", "x-debug-query-", "qmp_", "__hmpshim_query-")) for name in qemu.commands)
        assert bench.records == []

    played(scene, FakeQEMU(tagged("t")))


# --- One after the other ----------------------------------------------------------------------------------------------


def test_commands_wait_for_the_one_that_runs() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        executor: Executor = bench.executor
        command = HMPLine.read("delvm t").command
        assert command is not None
        qemu.hold("snapshot-save")
        saving = asyncio.create_task(executor.hmp(HMPLine.read("savevm t")))
        await qemu.reached("snapshot-save")
        sent = len(qemu.commands)
        others = [
            executor.hmp(HMPLine.read("info status")),
            executor.qmp("stop", {}),
            executor.rehearse(command),
            executor.recover(),
        ]
        waiting = [asyncio.ensure_future(other) for other in others]
        await bench.link.execute([])
        assert executor.running is not None
        assert executor.running.command_line == "savevm t"
        # The rest of the batch is read ahead, and nothing else has come.
        assert set(qemu.commands[sent:]) <= set(SAVING)
        qemu.release()
        await saving
        await asyncio.gather(*waiting)
        behind = [name for name in qemu.commands if name in ("snapshot-save", "human-monitor-command", "stop")]
        assert behind == ["snapshot-save", "human-monitor-command", "stop"]
        assert executor.running is None

    played(scene, FakeQEMU(two_disks()))


def test_running_qmp_command_has_its_name() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        qemu.hold("stop")
        stopping = asyncio.create_task(bench.executor.qmp("stop", {}))
        await qemu.reached("stop")
        assert bench.executor.running is not None
        assert bench.executor.running.command_line == "qmp stop"
        qemu.release()
        await stopping

    played(scene, FakeQEMU())


def test_time_for_which_the_vm_stands_still_is_told_while_it_runs() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        assert bench.executor.stopped_ns == 0
        qemu.hold("snapshot-load")
        loading = asyncio.create_task(bench.executor.hmp(HMPLine.read("loadvm t")))
        await qemu.reached("snapshot-load")
        await until(lambda: bench.executor.stopped_ns > 0)
        qemu.release()
        result = await loading
        assert result.is_failure
        assert 0 < result.stopped_ns <= result.duration_ns
        assert [event["event"] for event in bench.records[0]["events"]] == ["STOP"]
        assert bench.records[0]["stopped_ms"] > 0
        assert bench.executor.stopped_ns == 0

    # A failed load leaves the VM as it was while loading: stopped.
    played(scene, FakeQEMU(tagged("t"), vm_faults=VMFaults(failures={"snapshot-load": "broken"})))


# --- The VM's name, its graph, and the audit log ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "answer", "vm_name"),
    [
        (None, {"return": {"name": "vm1"}}, "vm1"),
        (None, {"return": {}}, "unix:{}"),
        (None, {"error": {"class": "CommandNotFound", "desc": ""}}, "unix:{}"),
        ("mine", {"return": {"name": "vm1"}}, "mine"),
    ],
)
def test_vm_is_called(tmp_path_factory: pytest.TempPathFactory, name: str | None, answer: dict[str, Any], vm_name: str) -> None:
    path = str(tmp_path_factory.mktemp("v") / "s")

    async def run() -> None:
        answers = {"query-name": answer, "query-commands": {"return": []}, "human-monitor-command": {"return": ""}}
        server = asyncio.start_unix_server(obeying(answers.__getitem__), path)
        async with await server, executing(path, name=name) as bench:
            await bench.executor.hmp(HMPLine.read("x"))
            assert bench.executor.vm_name == bench.records[0]["vm"] == vm_name.format(path)

    asyncio.run(run())


def test_qemu_that_does_not_tell_its_commands_gets_the_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = str(tmp_path_factory.mktemp("v") / "s")
    sent: list[str] = []

    def answer(name: str) -> dict[str, Any]:
        sent.append(name)
        return {"return": ""} if name == "human-monitor-command" else {"error": {"class": "GenericError", "desc": "no"}}

    async def run() -> None:
        async with await asyncio.start_unix_server(obeying(answer), path), executing(path) as bench:
            assert not (await bench.executor.hmp(HMPLine.read("savevm t"))).is_failure

    asyncio.run(run())
    assert sent[:2] == ["query-commands", "query-name"]
    assert sent[-1] == "human-monitor-command"
    assert [name for name in sent if name.startswith("snapshot-")] == []


def test_block_graph_is_qemus() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        graph = await bench.executor.block_graph()
        assert graph is not None
        assert {"d0", "d1"} <= graph.nodes.keys()

    played(scene, FakeQEMU(two_disks()))


def test_without_a_block_graph_qemu_gets_the_command() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        assert await bench.executor.block_graph() is None
        assert (await bench.executor.hmp(HMPLine.read("savevm t"))).text == ""
        assert (bench.records[0]["action"], jobs_of(qemu)) == ("passed", [])

    played(scene, FakeQEMU(two_disks(), vm_faults=VMFaults(is_graph_refused=True)))


@pytest.mark.parametrize("graph", [5, {}, {"nodes": [], "edges": 1}])
def test_unreadable_block_graph_is_none(tmp_path_factory: pytest.TempPathFactory, graph: Any) -> None:
    path = str(tmp_path_factory.mktemp("g") / "s")
    queries = {"x-debug-query-block-graph": {"return": graph}, "query-name": {"return": {}}}

    async def run() -> None:
        server = obeying(lambda name: queries.get(name, {"return": []}))
        async with await asyncio.start_unix_server(server, path), executing(path) as bench:
            assert await bench.executor.block_graph() is None

    asyncio.run(run())


def test_record_says_who_asked_and_what_was_decided() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        await bench.executor.hmp(HMPLine.read("savevm t"))
        (record,) = bench.records
        client = record["client"]
        assert (client["pid"], client["uid"], client["exe"]) == (11, 22, "/usr/bin/hmp-repl")
        assert (client["tool"], client["prompt"], record["housekeeping"]) == ("hmp-repl", True, False)
        assert [(node["device"], node["included"]) for node in record["nodes"]] == [
            ("pflash0", False),
            ("pflash1", False),
            ("d0", True),
        ]
        assert record["vmstate"]["node"] == "disk0"
        assert [sent["execute"] for sent in record["qmp"]][-3:] == SAVING
        assert [event["event"] for event in record["events"]] == ["STOP", "RESUME"]
        assert record["client_gone"] is False

    played(scene, FakeQEMU(uefi_vm()))


def test_full_disk_is_complained_of_and_the_command_goes_on() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        assert (await bench.executor.hmp(HMPLine.read("savevm t"))).text == ""
        assert qemu.vm.graph["d0"].count("t") == 1
        assert list(map(str, bench.complaints)) == ["cannot write the audit log /dev/full: No space left on device"]

    played(scene, FakeQEMU(two_disks()), audit="/dev/full")


def test_without_an_audit_log_nothing_is_written() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        assert (await bench.executor.hmp(HMPLine.read("savevm t"))).text == ""
        assert bench.complaints == []

    played(scene, FakeQEMU(two_disks()), audit="")
