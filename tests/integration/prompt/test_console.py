"""What lines do at a real QEMU: commands with and without questions, plans, tables, help, QMP and events, as seen."""

import asyncio
import re
import time
from typing import TextIO, cast

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.output.vt100 import Vt100_Output

from host.net.addresses import UnixAddress
from repl.link import Link
from repl.prompt.console import Console
from repl.prompt.terminal import Terminal
from shim.client import Client
from shim.graph.policy import Mode, Policy
from tests.integration.command_lines import BIOS, disk
from tests.integration.machines import Machine, machine
from tests.integration.planning.advice_on_screen import ways_of
from tests.integration.prompt.sitting import invocation, sit, two_disks
from tests.integration.qemu_vm import RETRY_S
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.screen import CTRL_C, CTRL_D, ENTER, ESCAPE, TAB, Person, Screen

pytestmark = pytest.mark.needs_snapshot_jobs

# An OSC that sets a terminal's title, and a CSI that clears its screen.
HOSTILE = "\x1b]0;gone\x07\x1b[2J"


def save_on(vm: Machine, tag: str, *devices: str) -> None:
    """Save a snapshot with whatever tag on these disks only, as another client can."""
    named = {row["device"]: row["inserted"]["node-name"] for row in vm.observer.returned("query-block") if "inserted" in row}
    nodes = [named[device] for device in devices]
    vm.observer.returned("snapshot-save", {"job-id": "other", "tag": tag, "vmstate": nodes[0], "devices": nodes})
    deadline = time.monotonic() + DEADLINE_S
    while (job := vm.observer.returned("query-jobs")[0])["status"] != "concluded":
        assert time.monotonic() < deadline, job
        time.sleep(RETRY_S)
    assert "error" not in job
    vm.observer.returned("job-dismiss", {"id": "other"})


# -- before something is lost ---------------------------------------------------------------------------------------------


def test_new_tag_is_saved_without_a_question(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        said = await person.runs("savevm t1")
        assert "[y/N]" not in person.screen.text
        assert said.splitlines()[-1].startswith("done: savevm t1 (")
        assert "the VM stood still for " in said
        assert vm.tags("d0.qcow2") == vm.tags("d1.qcow2") == ["t1"]
        assert vm.observer.returned("query-jobs") == []

    sit(vm, scene)


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("line", "question", "told"),
    [
        ("savevm t1", "Replace it?", ["replaces 't1' of 20", "the old one is lost"]),
        ("loadvm t1", "Load it?", ["the VM goes back to 20", "what happened since then"]),
        ("delvm t1", "Delete it?", ["removes 't1' of 20", "ago) with a VM state of"]),
    ],
)
@pytest.mark.parametrize("answer", ["y", "Y", "n", "N", ENTER, ESCAPE, CTRL_C, CTRL_D])
def test_what_is_lost_is_told_and_asked_for(vm: Machine, line: str, question: str, told: list[str], answer: str) -> None:
    assert vm.observer.hmp("savevm t1") == ""
    before = vm.observer.hmp("info snapshots")

    async def scene(person: Person) -> None:
        person.type(line + ENTER)
        shown = await person.sees(f"{question} [y/N]")
        assert [text for text in ("takes d0, d1: writable disk", *told) if text not in shown] == []
        assert vm.observer.hmp("info snapshots") == before
        person.type("x" + answer)
        if answer in "yY":
            await person.sees(f"done: {line}")
        else:
            await person.sees("\nnot done\n")
            assert vm.observer.hmp("info snapshots") == before
        await person.sees_prompt()
        assert "done: " not in person.screen.text or answer in "yY"

    sit(vm, scene)


def test_loadvm_brings_the_disks_back(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        vm.write(0x11, "d0", "d1")
        await person.runs("savevm t1")
        vm.write(0x22, "d0", "d1")
        person.type("loadvm t1" + ENTER)
        await person.sees("[y/N]")
        person.type("y")
        await person.sees("done: loadvm t1")
        await person.sees_prompt()
        assert vm.patterns("d0", "d1") == [0x11, 0x11]
        assert vm.run_state == "running"

    sit(vm, scene)


def test_what_was_typed_before_the_question_is_no_answer(vm: Machine) -> None:
    """It is the line behind it."""
    assert vm.observer.hmp("savevm t1") == ""

    async def scene(person: Person) -> None:
        person.type("delvm t1\ry\r")
        await person.sees("Delete it? [y/N]")
        assert vm.tags("d0.qcow2") == ["t1"]
        person.type("n")
        await person.sees("not done")
        await person.sees("unknown command 'y'")
        assert vm.tags("d0.qcow2") == ["t1"]

    sit(vm, scene)


def test_nothing_is_asked_with_yes(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        for line in ("savevm t1", "savevm t1", "loadvm t1", "delvm t1"):
            assert f"done: {line}" in await person.runs(line)
        assert "[y/N]" not in person.screen.text
        assert vm.tags("d0.qcow2") == []

    sit(vm, scene, asks=False)


def test_what_cannot_be_done_says_why(vm: Machine) -> None:
    save_on(vm, "twice", "d0")
    save_on(vm, "twice", "d0", "d1")

    async def scene(person: Person) -> None:
        said = await person.runs("loadvm twice")
        assert said.startswith("Error: ")
        assert "[y/N]" not in said
        assert "failed: loadvm twice" in said
        for command in ("loadvm", "delvm"):
            said = await person.runs(f"{command} twcie")
            assert said.startswith("Error: ")
            assert "nothing was done: no disk has 'twcie'; did you mean 'twice'?" in said
            person.type(TAB)
            await person.sees_line(f"{command} twice")
            await person.gives_up()
        assert vm.run_state == "running"

    sit(vm, scene)


def test_quit_asks_and_ends_the_vm() -> None:
    async def scene(person: Person) -> None:
        person.type("quit" + ENTER)
        await person.sees("This ends QEMU, and the VM with it.")
        await person.sees("End the VM? [y/N]")
        person.type("n")
        await person.sees("not done")
        await person.sees_prompt()
        person.type("q" + ENTER)
        await person.sees("End the VM? [y/N]", times=2)
        person.type("y")
        await person.sees(" is lost: ")
        await person.sees_prompt()
        await person.sees_toolbar("not connected")
        assert "is not known" not in person.screen.text

    with two_disks() as running:
        sit(running, scene)
        assert running.vm.wait_gone() == 0


def test_exit_leaves_the_vm_alone(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        person.type("exit" + ENTER)
        await person.until_gone()

    sit(vm, scene)
    assert vm.run_state == "running"


# -- what only looks ------------------------------------------------------------------------------------------------------


def test_plan_tells_and_does_nothing(vm: Machine) -> None:
    assert vm.observer.hmp("savevm t1") == ""
    before = vm.observer.hmp("info snapshots")

    async def scene(person: Person) -> None:
        said = await person.runs("plan savevm t1")
        assert "replaces 't1' of " in said
        assert "\n  QEMU would get the command as it is: QEMU's own savevm replaces the snapshot" in said
        assert "takes d0, d1" in await person.runs("plan savevm t2")
        assert "removes 't1'" in await person.runs("plan delvm t1")
        assert vm.observer.hmp("info snapshots") == before

    sit(vm, scene)


def test_plan_is_told_in_full_where_there_is_room(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        said = await person.runs("plan savevm t2")
        assert '"execute": "snapshot-save"' in said or "snapshot-save" in said

    sit(vm, scene, columns=300)


def test_info_snapshots_is_a_table_for_a_person(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        assert "There is no snapshot. To make one: savevm NAME" in await person.runs("info snapshots")
        await person.runs("savevm t1")
        header, row = (await person.runs("info snapshots")).splitlines()
        assert header.split()[:3] == ["TAG", "VM", "STATE"]
        assert row.split()[0] == "t1"
        assert "d0, d1" in row

    sit(vm, scene)


def test_info_snapshots_tells_faults_and_repairs_that_help(vm: Machine) -> None:
    save_on(vm, "half", "d0")
    save_on(vm, "twice", "d0")
    save_on(vm, "twice", "d0", "d1")

    async def scene(person: Person) -> None:
        said = await person.runs("info snapshots")
        assert "! partial: missing on d1" in said
        assert 'or: qmp snapshot-load job-id=repair tag="half"' in said
        assert "! duplicated: d0 has it 2 times" in said
        lines = [line for way in ways_of(said) if "removes the oldest" in way.effect for line in way.lines]
        assert len(lines) == 2, said
        for line in [*lines, "savevm half"]:
            await person.runs(line)
        assert "!" not in await person.runs("info snapshots")

    sit(vm, scene, asks=False, columns=140)


def test_raw_gives_hmps_own_table(vm: Machine) -> None:
    assert vm.observer.hmp("savevm t1") == ""

    async def scene(person: Person) -> None:
        said = await person.runs("info snapshots")
        expected = vm.observer.hmp("info snapshots").replace("\r\n", "\n")
        assert said.split() == expected.split()

    sit(vm, scene, is_raw=True)


def test_help_tells_our_commands_and_qemus(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        said = await person.runs("help")
        assert "At this prompt" in said
        assert "plan command -- show what a snapshot command would do, without doing it" in said
        assert "QEMU's monitor" in said
        assert "savevm tag -- save a VM snapshot" in said
        assert await person.runs("help reconnect") == "reconnect -- connect to QEMU again"
        assert "delvm tag -- delete a VM snapshot" in await person.runs("help delvm")
        assert await person.runs("help nothing") == "unknown command: 'nothing'"

    sit(vm, scene, columns=120)


def test_qmp_shows_what_comes_back(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        assert '"status": "running"' in await person.runs("qmp query-status")
        assert '"name": "vm1"' in await person.runs("qmp query-name {}")
        said = await person.runs("qmp job-dismiss id=none")
        assert said == "GenericError: Job not found"

    sit(vm, scene)


def test_enforcing_policy_refuses_with_what_to_use_instead(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        said = await person.runs("info status")
        assert said.startswith("Error: ")
        assert "query-status" in said
        assert "done: savevm t1" in await person.runs("savevm t1")

    sit(vm, scene, policy=Policy(mode=Mode.ENFORCE))


# -- events ---------------------------------------------------------------------------------------------------------------


def test_events_are_told_above_the_line_that_is_being_typed(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        person.type("info sta")
        await person.sees_line("info sta")
        vm.observer.returned("stop")
        await person.sees_match(r"\d\d:\d\d:\d\d\.\d{3} STOP\n")
        await person.sees_line("info sta")
        vm.observer.returned("cont")
        await person.sees(" RESUME\n")
        await person.sees_line("info sta")
        person.type("tus" + ENTER)
        await person.sees("VM status: running")
        shown = person.screen.text
        assert shown.index(" STOP") < shown.index(" RESUME") < shown.index("hmp> info status")

    sit(vm, scene)


def test_events_can_be_chosen(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        assert await person.runs("events") == "all events are shown"
        assert await person.runs("events STOP") == "these events are shown: STOP"
        vm.observer.returned("stop")
        vm.observer.returned("cont")
        await person.sees_match(r"\d STOP\n")
        await person.sees_toolbar("running")
        assert await person.runs("events off") == "no events are shown"
        vm.observer.returned("stop")
        await person.sees_toolbar("paused")
        assert await person.runs("events R*") == "these events are shown: R*"
        vm.observer.returned("cont")
        await person.sees_match(r"\d RESUME\n")
        await person.sees_toolbar("running")
        assert len(re.findall(r"\d (STOP|RESUME)\n", person.screen.text)) == 2
        assert await person.runs("events on") == "all events are shown"

    sit(vm, scene)


def test_own_jobs_are_not_told_as_events_and_those_of_others_are(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        await person.runs("savevm t1")
        assert "JOB_STATUS_CHANGE" not in person.screen.text
        save_on(vm, "other", "d0", "d1")
        await person.sees('JOB_STATUS_CHANGE {"status": "concluded", "id": "other"}')
        await person.sees_toolbar("2 snapshots")

    sit(vm, scene, columns=120)


def test_storm_of_events_leaves_the_prompt_usable(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        person.type("info na")
        await person.sees_line("info na")
        for _ in range(50):
            await asyncio.to_thread(storm, vm, 50)
        await person.sees_line("info na")
        person.type("me" + ENTER)
        # The last of the storm may come between.
        await person.sees_match(r"hmp> info name\n(.* (STOP|RESUME)\n)*vm1\n")
        await person.runs("info status")
        await person.sees("VM status: running")
        assert person.screen.written.count("STOP") > 100

    def storm(vm: Machine, times: int) -> None:
        for _ in range(times):
            vm.observer.returned("stop")
            vm.observer.returned("cont")

    sit(vm, scene)


# -- what a terminal must not obey ----------------------------------------------------------------------------------------


def test_hostile_tag_is_shown_and_not_obeyed(vm: Machine) -> None:
    save_on(vm, f"evil{HOSTILE}", "d0", "d1")

    async def scene(person: Person) -> None:
        said = await person.runs("info snapshots")
        assert "evil\\x1b]0;gone" in said
        person.type("delvm ev")
        await person.sees("evil", times=2)
        person.type(TAB)
        await person.until(lambda: re.match('delvm "?evil', person.typed or "") is not None, "the tag")
        await person.gives_up()
        await person.runs("qmp query-named-block-nodes flat=true")
        assert HOSTILE not in person.screen.written
        assert "\x1b]0;gone" not in person.screen.written

    sit(vm, scene)
    vm.observer.returned("human-monitor-command", {"command-line": f'delvm "evil{HOSTILE}"'})


def test_hostile_name_is_shown_and_not_obeyed() -> None:
    name = f"a{HOSTILE}b"

    async def scene(person: Person) -> None:
        await person.sees_toolbar("a\\x1b]0;gone\\x07\\x1b[2Jb")
        assert HOSTILE not in person.screen.written

    args = f"{BIOS} {disk('d0')} -name {name}"
    with machine(args, {"d0.qcow2": ""}, memory="16") as running:
        sit(running, scene)


# -- without a prompt -----------------------------------------------------------------------------------------------------


def test_line_that_is_surely_wrong_is_not_sent(vm: Machine) -> None:

    async def run() -> str:
        screen = Screen()
        output = Vt100_Output(cast(TextIO, screen), lambda: screen.size, term="xterm-256color")
        with create_app_session(output=output):
            terminal = Terminal()
            link = Link(UnixAddress(vm.vm.qmp_path), on_event=lambda event: None, on_lost=lambda error: None)
            await link.connect()
            async with asyncio.TaskGroup() as tasks:
                console = Console(invocation(vm), Client(), None, link, terminal, tasks)
                assert await console.obey("loadvm\nsavevm t1")
                await console.finish()
            await terminal.drain()
            await link.close()
        return screen.text

    assert asyncio.run(run()) == "loadvm\n      ^ loadvm needs a tag\nNothing of what was pasted was run; Up brings it back."
    assert vm.tags("d0.qcow2") == []
