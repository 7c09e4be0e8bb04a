"""What lines do at a modelled QEMU, as seen, and what is told that nobody asked for.

tests/integration/test_console.py and test_prompt_meanwhile.py sit before a real one.
"""

import asyncio
import contextlib
import re
from typing import Any, Final

import pytest

from host.addresses import UnixAddress
from host.audit_log import open_audit_log
from host.config import AuditSettings
from repl.prompt import console
from repl.results import intents_at
from shim.intent import Intent
from shim.jobs import REPL_JOB_PREFIX
from shim.plan import Intend
from shim.policy import Policy, PolicyKind
from shim.version import VERSION
from tests.fakes.qemu import Drop, FakeQEMU, Faults, Job, Snapshot, VMFaults, When, two_disks, uefi_vm
from tests.support.modelled_sitting import sit, sit_at
from tests.support.running_vm_proxy import RunningServer
from tests.support.screen import CTRL_C, CTRL_D, ENTER, Person, pasted

HMP: Final = Policy(kind=PolicyKind.HMP)
DONE: Final = r"done: {} \(\d+ ms{}\)"
STOOD_STILL: Final = r"; the VM stood still for \d+ ms"


def saved(tag: str = "t", **options: Any) -> FakeQEMU:
    """Return a VM with two disks and a snapshot."""
    qemu = FakeQEMU(two_disks(), **options)
    qemu.vm.save_snapshot(tag, overwrite=True)
    return qemu


# -- lines ----------------------------------------------------------------------------------------------------------------


def test_end_of_a_snapshot_command_is_told() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.runs("savevm t")
        await person.sees_match(DONE.format("savevm t", STOOD_STILL))
        await person.sees_toolbar("│ 1 snapshot")
        said = await person.runs("loadvm nosuch")
        assert "Error: Snapshot 'nosuch' does not exist in one or more devices\nfailed: loadvm nosuch (" in said
        assert re.fullmatch(DONE.format("delvm t", ""), await person.runs("delvm t"))
        assert "[y/N]" not in person.screen.text
        assert qemu.vm.graph["d0"].snapshots == []

    sit(scene, FakeQEMU(two_disks()), asks=False)


def test_what_qemu_answers_is_shown_without_more() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert await person.runs("info status") == "unknown command: 'info status'"
        assert await person.runs("") == ""

    sit(scene, FakeQEMU())


@pytest.mark.parametrize(("key", "is_done"), [("y", True), ("n", False)])
def test_what_is_lost_is_asked_for(key: str, is_done: bool) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("delvm t" + ENTER)
        assert "removes 't' of " in await person.sees("Delete it? [y/N]")
        person.type(key)
        await person.sees("done: delvm t" if is_done else "\nnot done\n")
        await person.sees_prompt()
        assert qemu.vm.graph["d0"].count("t") == (0 if is_done else 1)

    sit(scene, saved())


def test_snapshots_are_a_table_for_a_person_and_raw_is_hmps() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        heads.append((await person.runs("info snapshots")).splitlines()[0].split())

    heads: list[list[str]] = []
    sit(scene, saved())
    sit(scene, saved(), is_raw=True)
    # Without the graph there is nothing to make a table of.
    sit(scene, saved(vm_faults=VMFaults(is_graph_refused=True)))
    assert [" ".join(words)[:9] for words in heads] == ["TAG VM ST", "List of s", "List of s"]


def test_plan_help_and_qmp_are_shown() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert "snapshot-save" in await person.runs("plan savevm t")
        assert await person.runs("help reconnect") == "reconnect -- connect to QEMU again"
        assert '"status": "running"' in await person.runs("qmp query-status")
        assert await person.runs("qmp job-dismiss id=none") == "GenericError: Job not found"
        assert qemu.vm.graph["d0"].snapshots == []

    sit(scene, FakeQEMU(two_disks()))


def test_paste_ends_at_the_first_line_that_fails() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(pasted("savevm a\nloadvm nosuch\nsavevm b\nsavevm c") + ENTER)
        await person.sees("2 more of the pasted lines were not run")
        await person.sees_prompt()
        assert [snapshot.name for snapshot in qemu.vm.graph["d0"].snapshots] == ["a"]

    sit(scene, FakeQEMU(two_disks()), asks=False)


def test_line_that_nobody_refused_is_not_sent() -> None:
    """A line may be entered before what it is judged by is known; what is surely wrong then stops a paste."""

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert person.console is not None
        assert await person.console.obey("loadvm\nsavevm t")
        await person.sees("loadvm\n      ^ loadvm needs a tag")
        assert qemu.vm.graph["d0"].snapshots == []

    sit(scene, FakeQEMU(two_disks()))


def test_exit_leaves_and_what_is_pasted_below_it_is_not_run() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(pasted("exit\nsavevm t") + ENTER)
        await person.until_gone()
        assert qemu.vm.graph["d0"].snapshots == []

    sit(scene, FakeQEMU(two_disks()))


# -- what comes by itself -------------------------------------------------------------------------------------------------


def test_events_are_told_as_chosen_and_followed_by_the_toolbar() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        qemu.vm.stop("paused")
        await qemu.send_event("NIC_RX_FILTER_CHANGED")
        await person.sees_match(r"\d\d:\d\d:\d\d\.\d{3} STOP\n")
        await person.sees_toolbar("paused")
        assert await person.runs("events") == "all events are shown"
        assert await person.runs("events off") == "no events are shown"
        qemu.vm.start()
        await qemu.send_event("NIC_RX_FILTER_CHANGED")
        await person.sees_toolbar("running")
        assert "RESUME" not in person.screen.text

    sit(scene, FakeQEMU(two_disks()))


def test_jobs_of_others_are_told_and_what_they_changed_is_looked_at() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.sees_toolbar("0 snapshots")
        for name in ("d0", "d1"):
            qemu.vm.graph[name].snapshots.append(Snapshot("1", "t", 9))
        await qemu.send_event("JOB_STATUS_CHANGE", {"status": "concluded", "id": f"{REPL_JOB_PREFIX}x"})
        await qemu.send_event("JOB_STATUS_CHANGE", {"status": "running", "id": "other"})
        await person.sees('JOB_STATUS_CHANGE {"status": "running", "id": "other"}')
        await qemu.send_event("JOB_STATUS_CHANGE", {"status": "concluded", "id": "other"})
        await person.sees_toolbar("│ 1 snapshot")
        assert REPL_JOB_PREFIX not in person.screen.text

    sit(scene, FakeQEMU(two_disks()))


def test_command_that_was_left_tells_its_end_and_leaving_waits_for_it() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        # The last that is asked in the background; some of it is asked by HMP commands.
        await qemu.wait_received("query-qmp-schema")
        qemu.hold("human-monitor-command")
        person.type("info status" + ENTER)
        await qemu.reached("human-monitor-command")
        await person.sees("(Ctrl-C: do not wait)")
        person.type(CTRL_C)
        await person.sees("info status goes on in QEMU; its end will be told here")
        await person.sees_prompt()
        person.type(CTRL_D)
        await person.sees("leaving when info status is done")
        assert person.is_there
        qemu.release()
        await person.until_gone()
        assert re.search(r"unknown command: 'info status'\nfailed: info status \(", person.screen.text)

    sit(scene, FakeQEMU())


# -- when the connection ends ---------------------------------------------------------------------------------------------


def test_loss_is_told_and_reconnect_connects_again() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert await person.runs("reconnect") == "the connection is there"
        qemu.disconnect()
        await person.sees(" is lost: QEMU closed it; 'reconnect' connects again")
        await person.sees_toolbar("not connected")
        assert (await person.runs("info status")).endswith(": it has ended; 'reconnect' connects again")
        assert (await person.runs("plan savevm t")).endswith(": it has ended; 'reconnect' tries again")
        said = await person.runs("reconnect")
        assert said == f"connected to QEMU 7.2.22, VM unix:{qemu.path}"
        assert "done: savevm t" in await person.runs("savevm t")

    sit(scene, FakeQEMU(two_disks()))


def test_reconnect_to_nobody_says_why() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await qemu.close()
        await person.sees("'reconnect' connects again")
        said = await person.runs("reconnect")
        assert said.startswith("cannot connect to QEMU at unix:")
        assert "No such file or directory" in said

    sit(scene, FakeQEMU())


def test_connection_comes_back_by_itself_where_that_is_wanted() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        qemu.disconnect()
        await person.sees(" is lost: QEMU closed it; connecting again as soon as it is back")
        await person.sees("connected to QEMU 7.2.22")
        assert await person.runs("reconnect") == "the connection is there"

    sit(scene, FakeQEMU(), reconnects=True)


@pytest.mark.parametrize("nth", [1, 2])
def test_loss_while_the_vm_is_asked_is_told_once(nth: int) -> None:
    """At the start, and after `reconnect`."""

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        if nth == 2:
            await person.sees_toolbar("running")
            qemu.disconnect()
            await person.sees("'reconnect' connects again")
            person.type("reconnect" + ENTER)
        await person.sees("'reconnect' connects again", times=nth)
        await person.sees_prompt()
        assert person.screen.text.count("is lost") == nth
        assert "connected to QEMU" not in person.screen.text

    sit(scene, FakeQEMU(faults=Faults(drops=[Drop("query-commands", When.RECEIVED, nth)])))


# -- what an earlier prompt left ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "how"), [(None, "success"), ("broken", "broken")])
def test_job_of_a_prompt_that_was_killed_is_dismissed(error: str | None, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_ALIVE_S", 0)

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.sees(f"job '{REPL_JOB_PREFIX}x-1' of an earlier connection ended: {how}")
        assert [job.id for job in qemu.vm.jobs.rows] == ["other"]

    sit(scene, FakeQEMU(jobs=[Job(f"{REPL_JOB_PREFIX}x-1", error=error), Job("other")]))


def test_savevm_of_a_prompt_that_was_killed_is_told_at_the_start() -> None:
    qemu = FakeQEMU(uefi_vm())
    qemu.vm.graph["disk0"].snapshots.append(Snapshot("1", "t", 9))
    left = intents_at(UnixAddress(qemu.path))
    left.note(Intend(Intent("t", None, "disk0", ("disk0",), f"{REPL_JOB_PREFIX}marker")))
    left.close()

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.sees("savevm 't', which was to replace a snapshot, was cut off; 't' is there")

    sit(scene, qemu)


# -- at a proxy -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("file_policy", "is_other"), [(None, False), (HMP, False), (Policy(), True)])
def test_person_at_a_proxy_is_told_whose_policy_it_is(file_policy: Policy | None, is_other: bool) -> None:
    async def scene(person: Person) -> None:
        proxy = rf"hmp-proxy {re.escape(VERSION)} of VM vm1"
        await person.sees_match(rf"{proxy} does the snapshot commands here, by its own policy: hmp\n")
        await person.sees_toolbar("policy hmp of the proxy")
        assert ("has another policy than the file" in person.screen.text) is is_other

    async def run() -> None:
        async with (
            FakeQEMU(two_disks()) as qemu,
            RunningServer(f"unix:{qemu.path}", "--policy", "hmp", "--name", "vm1") as proxy,
        ):
            await sit_at(proxy.path, scene, file_policy=file_policy)

    asyncio.run(run())


def test_own_policy_is_refused_where_a_proxy_has_come_since() -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            proxy = RunningServer(f"unix:{qemu.path}", "--name", "vm1")

            async def scene(person: Person) -> None:
                await before.close()
                await person.sees("'reconnect' connects again")
                async with proxy:
                    said = await person.runs("reconnect")
                    assert said.endswith(" of VM vm1 is there, and its policy holds (auto); drop --policy")
                    await person.sees_toolbar("not connected")

            async with FakeQEMU(path=proxy.path) as before:
                await sit_at(proxy.path, scene, policy_options=("--policy",))

    asyncio.run(run())


# -- what goes wrong here -------------------------------------------------------------------------------------------------


def test_record_that_cannot_be_written_is_told_and_the_command_goes_on() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        said = await person.runs("info status")
        assert "cannot write the audit log /dev/full: No space left on device; the command went on" in said
        assert "unknown command: 'info status'" in said

    with contextlib.closing(open_audit_log(AuditSettings("/dev/full"))) as log:
        sit(scene, FakeQEMU(), audit_log=log)


def test_failure_of_ours_is_told_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("shim.survey.join", fail)

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        said = await person.runs("savevm t")
        assert "hmpshim has failed, and goes on\nTraceback (most recent call last):\n" in said
        assert "\nZeroDivisionError: a bug\n" in said
        assert qemu.vm.graph["d0"].count("t") == 1

    sit(scene, FakeQEMU(two_disks()), asks=False)
