"""What is told that nobody asked for, at a modelled QEMU: events, losses, what an earlier prompt left.

tests/integration/prompt/test_console.py and test_prompt_meanwhile.py sit before a real one.
"""

import asyncio
import contextlib
import json
import re
from pathlib import Path
from typing import Final

import pytest

from host.audit_log.log import open_audit_log
from host.net.addresses import UnixAddress
from host.settings.config import AuditSettings
from repl.finding.control import ServedVM
from repl.progress import others
from repl.prompt import console
from repl.results import intents_at
from shim.graph.policy import Policy, PolicyKind
from shim.plans.intent import Intent
from shim.plans.jobs import REPL_JOB_PREFIX
from shim.plans.plan import Intend
from shim.version import VERSION
from tests.fakes.qemu import Drop, FakeQEMU, Faults, Job, Snapshot, When, two_disks, uefi_vm
from tests.support.proxy.running_vm_proxy import RunningServer
from tests.support.repl.modelled_sitting import sit, sit_at
from tests.support.repl.screen import CTRL_C, CTRL_D, ENTER, Person

HMP: Final = Policy(kind=PolicyKind.HMP)


# -- what comes by itself -------------------------------------------------------------------------------------------------


def test_events_are_told_as_chosen_and_followed_by_the_toolbar() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await qemu.stop("paused")
        await person.sees_match(r"\d\d:\d\d:\d\d\.\d{3} STOP\n")
        await person.sees_toolbar("paused")
        assert await person.runs("events") == "all events are shown"
        assert await person.runs("events off") == "no events are shown"
        await qemu.start()
        await person.sees_toolbar("running")
        assert "RESUME" not in person.screen.text

    sit(scene, FakeQEMU(two_disks()))


def test_jobs_of_others_are_told_and_what_they_changed_is_looked_at() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.sees_toolbar("0 snapshots")
        for name in ("d0", "d1"):
            qemu.vm.graph[name].snapshots.append(Snapshot("1", "t", 9))
        await qemu.send_event("JOB_STATUS_CHANGE", {"status": "running", "id": f"{REPL_JOB_PREFIX}x"})
        await qemu.send_event("JOB_STATUS_CHANGE", {"status": "running", "id": "other"})
        await person.sees('JOB_STATUS_CHANGE {"status": "running", "id": "other"}')
        await qemu.send_event("JOB_STATUS_CHANGE", {"status": "concluded", "id": "other"})
        await person.sees_toolbar("│ 1 snapshot")
        assert REPL_JOB_PREFIX not in person.screen.text

    sit(scene, FakeQEMU(two_disks()))


def test_job_of_another_prompt_is_waited_for_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "_SILENT_S", 0)

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await qemu.wait_received("query-qmp-schema")
        qemu.hold("human-monitor-command")
        person.type("info status" + ENTER)
        await qemu.reached("human-monitor-command")
        await qemu.send_event("JOB_STATUS_CHANGE", {"status": "running", "id": f"{REPL_JOB_PREFIX}x"})
        await person.sees(f"waits for job '{REPL_JOB_PREFIX}x' of another client")
        assert "JOB_STATUS_CHANGE" not in person.screen.text
        qemu.release()
        await person.sees_prompt()

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
        await person.sees("info status goes on in QEMU; its end will be reported here")
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

    monkeypatch.setattr("shim.plans.survey.join", fail)

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        said = await person.runs("savevm t")
        assert "hmpshim has failed, and goes on: please report this\nTraceback (most recent call last):\n" in said
        assert "\nZeroDivisionError: a bug\n" in said
        assert qemu.vm.graph["d0"].count("t") == 1

    sit(scene, FakeQEMU(two_disks()), asks=False)


# -- how long commands took before ----------------------------------------------------------------------------------------


def record_of(vm: str, stopped_ms: float) -> str:
    return json.dumps({"vm": vm, "hmp_command": "savevm", "failed": False, "duration_ms": 1.0, "stopped_ms": stopped_ms}) + "\n"


def test_own_log_tells_how_long_commands_took(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(record_of("vm1", 5000.0))

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert person.console is not None
        assert person.console._earlier() == {"savevm": 5.0}

    sit(scene, FakeQEMU(two_disks()), name="vm1", audit=AuditSettings(str(path)))


def test_without_a_log_nothing_is_known_of_earlier_commands() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert person.console is not None
        assert person.console._earlier() == {}

    sit(scene, FakeQEMU(two_disks()))


@pytest.mark.parametrize("is_known", [True, False])
def test_log_of_the_proxy_tells_how_long_commands_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_known: bool) -> None:
    (tmp_path / "log").write_text(record_of("vm", 5000.0))
    served = ServedVM("vm", "unix:/q", (), is_served=True, audit=str(tmp_path / "log")) if is_known else None
    monkeypatch.setattr(console, "served_at", lambda address, name, controls: served)

    async def scene(person: Person) -> None:
        behind = person.console
        assert behind is not None
        await person.until(lambda: behind._executor.proxy, "the proxy known")
        monkeypatch.setattr(behind._executor.recorder, "vm_name", "vm")
        assert behind._earlier() == ({"savevm": 5.0} if is_known else {})

    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}") as proxy:
            await sit_at(proxy.path, scene)

    asyncio.run(run())
