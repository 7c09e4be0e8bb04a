"""The line editor at a real QEMU: typing, completing, suggestions, history, vi, pastes, faults and the toolbar, as seen."""

import asyncio
import re
from pathlib import Path

import pytest

from host.net.addresses import UnixAddress
from repl.command_line import Invocation
from repl.errors import LinkError
from repl.prompt.app import Prompt
from shim.client import Client
from shim.graph.policy import Mode, Policy, PolicyKind
from tests.integration.machines import Machine
from tests.integration.prompt.sitting import sit
from tests.support.repl.screen import CTRL_C, CTRL_R, ENTER, ESCAPE, F4, RIGHT, TAB, UP, Person, pasted

pytestmark = pytest.mark.needs_snapshot_jobs


def test_without_a_connection_there_is_no_prompt(tmp_path: Path) -> None:
    nowhere = Invocation(UnixAddress(str(tmp_path / "none.sock")), Policy())
    with pytest.raises(LinkError, match="No such file or directory"):
        asyncio.run(Prompt(nowhere, Client(), None).run())


# -- typing ---------------------------------------------------------------------------------------------------------------


def test_what_is_typed_goes_to_qemu_and_its_text_is_shown(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        assert await person.runs("info status") == "VM status: running"
        assert await person.runs("  info   name ") == "vm1"
        assert await person.runs("") == ""
        assert await person.runs("screendump") == 'screendump: filename expected\nTry "help screendump" for more information'
        assert "aa" not in await person.runs("info version")

    sit(vm, scene)


def test_ctrl_c_gives_up_the_line(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        person.type("quit")
        await person.sees_line("quit")
        await person.gives_up()
        assert await person.runs("info status") == "VM status: running"

    sit(vm, scene)


def test_lines_typed_ahead_are_done_one_after_the_other(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        person.type("savevm t1\rinfo name\rinfo stat")
        await person.sees_line("info stat")
        shown = person.screen.text
        assert shown.index("done: savevm t1") < shown.index("hmp> info name\nvm1")
        person.type("us\r")
        await person.sees("VM status: running")

    sit(vm, scene)


# -- completing -----------------------------------------------------------------------------------------------------------


def test_tab_completes_commands_with_their_help(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        person.type("savev")
        await person.sees("savevm")
        person.type(TAB)
        await person.sees_line("savevm")
        assert "save a VM snapshot" in person.screen.text
        assert "hmp> savevm\n" in person.screen.text

    sit(vm, scene)


@pytest.mark.parametrize(
    ("typed", "completed", "meta"),
    [
        ("recon", "reconnect", "connect to QEMU again"),
        ("info blockst", "info blockstats", "show block device statistics"),
        ("device_del v", "device_del vd0", "virtio-blk-pci"),
        ("block_resize d", "block_resize d0", "qcow2 d0.qcow2"),
        ("qmp query-statu", "qmp query-status", ""),
        ("qmp job-dismiss i", "qmp job-dismiss id=", "string"),
        ("qmp set_password protocol=v", "qmp set_password protocol=vnc", "enum"),
        ("plan load", "plan loadvm", "go back to a snapshot"),
        ("events STO", "events STOP", ""),
        ("help save", "help savevm", "save a VM snapshot"),
    ],
)
def test_tab_completes_what_qemu_knows(vm: Machine, typed: str, completed: str, meta: str) -> None:
    async def scene(person: Person) -> None:
        person.type(typed)
        await person.sees_match(rf"\n +{re.escape(re.split('[ =](?=.)', completed)[-1])} *{re.escape(meta)}")
        person.type(TAB)
        await person.sees_line(completed)
        await person.gives_up()
        # And as fast as a paste: the Tab is not lost while the completions are looked for.
        person.type(typed + TAB)
        await person.sees_line(completed)

    sit(vm, scene, columns=100)


def test_tab_completes_tags_with_date_and_size(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        await person.runs("savevm before-upgrade")
        person.type("loadvm be")
        await person.sees_match(r" before-upgrade +\d{4}-\d\d-\d\d \d\d:\d\d  [\d.]+ [KM]iB")
        person.type(TAB)
        await person.sees_line("loadvm before-upgrade")

    sit(vm, scene)


def test_tab_finds_a_tag_that_another_monitor_made_a_moment_ago(vm: Machine) -> None:
    """Each time: what was known a moment ago is not what is completed from."""

    async def scene(person: Person) -> None:
        for number in range(3):
            assert vm.observer.hmp(f"savevm made-{number}-elsewhere") == ""
            person.type(f"delvm made-{number}")
            await person.sees_line(f"delvm made-{number}")
            person.type(TAB)
            await person.sees_line(f"delvm made-{number}-elsewhere")
            await person.gives_up()

    sit(vm, scene)


def test_tags_with_blanks_are_completed_in_quotes_and_found(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        await person.runs('savevm "two words"')
        person.type("delvm tw")
        await person.sees_line("delvm tw")
        person.type(TAB)
        await person.sees_line('delvm "two words"')
        person.type(ENTER)
        await person.sees("Delete it? [y/N]")
        person.type("y")
        await person.sees('done: delvm "two words"')
        assert vm.tags("d0.qcow2") == []

    sit(vm, scene)


# -- suggestions and history ----------------------------------------------------------------------------------------------


def test_suggestion_from_the_history_is_accepted_with_right(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        await person.runs("info status")
        person.type("in")
        await person.until(lambda: person.typed == "in" and "hmp> info status" in person.screen.last_of("hmp>"), "a suggestion")
        person.type(RIGHT)
        await person.sees_line("info status")
        person.type(ENTER)
        await person.sees("VM status: running", times=2)

    sit(vm, scene)


def test_ctrl_r_searches_the_history(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        await person.runs("info status")
        await person.runs("info name")
        person.type(CTRL_R + "stat")
        await person.sees("(reverse-i-search)`stat': info status")
        person.type(ENTER + ENTER)
        await person.sees("hmp> info status", times=2)
        await person.sees("VM status: running", times=2)

    sit(vm, scene)


def test_history_outlasts_the_prompt(vm: Machine, tmp_path: Path) -> None:
    history = tmp_path / "state" / "history"

    async def first(person: Person) -> None:
        await person.runs("info name")
        await person.runs(" info status")

    async def second(person: Person) -> None:
        person.type(UP)
        await person.sees_line("info name")

    sit(vm, first, history=history)
    sit(vm, second, history=history)
    assert "status" not in history.read_text()
    assert history.stat().st_mode & 0o777 == 0o600
    assert history.parent.stat().st_mode & 0o777 == 0o700


def test_history_that_cannot_be_kept_is_said(vm: Machine, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")

    async def scene(person: Person) -> None:
        await person.sees("the history is not kept")
        await person.runs("info name")
        person.type(UP)
        await person.sees_line("info name")

    sit(vm, scene, history=in_the_way / "history", columns=200)


# -- vi and pastes --------------------------------------------------------------------------------------------------------


def test_vi_keys(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        await person.sees_toolbar("vi insert")
        person.type("info status")
        await person.sees_line("info status")
        person.type(ESCAPE)
        await person.sees_toolbar("vi navigation")
        person.type("bcwname")
        await person.sees_line("info name")
        person.type(ENTER)
        await person.sees("hmp> info name\nvm1")

    sit(vm, scene, is_vi=True)


def test_f4_changes_between_emacs_and_vi(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        assert "vi" not in person.screen.last_line.split()
        person.type("info na" + F4)
        await person.sees_toolbar("vi insert")
        assert person.typed == "info na"
        person.type(F4 + "me\r")
        await person.sees("hmp> info name\nvm1")
        await person.until(lambda: "vi insert" not in person.screen.last_line and person.is_at_prompt, "emacs again")

    sit(vm, scene)


def test_paste_runs_each_of_its_lines(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        person.type(pasted("info status\ninfo name\n\nsavevm t1"))
        await person.sees("savevm t1")
        assert "VM status" not in person.screen.text
        person.type(ENTER)
        await person.sees("done: savevm t1")
        shown = person.screen.text
        assert shown.index("VM status: running") < shown.index("\nvm1\n") < shown.index("done: savevm t1")
        await person.sees_prompt()

    sit(vm, scene)


def test_paste_stops_at_the_first_line_that_fails(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        person.type(pasted("info name\rloadvm absent\rsavevm t1\rinfo status") + ENTER)
        await person.sees("2 more of the pasted lines were not run")
        await person.sees_prompt()
        assert "\nvm1\n" in person.screen.text
        assert vm.tags("d0.qcow2") == []
        assert "VM status" not in person.screen.text

    sit(vm, scene, asks=False)


def test_paste_stops_at_a_no(vm: Machine) -> None:
    assert vm.observer.hmp("savevm t1") == ""

    async def scene(person: Person) -> None:
        person.type(pasted("delvm t1\nsavevm t2") + ENTER)
        await person.sees("Delete it? [y/N]")
        person.type("n")
        await person.sees("1 more of the pasted lines were not run")
        assert vm.tags("d0.qcow2") == ["t1"]

    sit(vm, scene)


def test_fault_in_a_paste_is_told_before_anything_is_run(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        person.type(pasted("savevm t1\nloadvm\ninfo name") + ENTER)
        await person.sees("loadvm\n      ^ loadvm needs a tag\nNothing of what was pasted was run; Up brings it back.")
        await person.sees_prompt()
        assert vm.tags("d0.qcow2") == []

    sit(vm, scene)


# -- faults ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "position", "message"),
    [
        ("savevm a b", 9, "extraneous characters at the end of the line; a tag with blanks needs quotes"),
        ('savevm "a', 7, "unterminated quote"),
        ("loadvm", 6, "loadvm needs a tag"),
        ("infi status", 0, "unknown command 'infi'; did you mean 'info'?"),
        ("info snapshot", 5, "unknown topic of info 'snapshot'; did you mean 'snapshots'?"),
        ("qmp query-statsu", 4, "unknown QMP command 'query-statsu'; did you mean 'query-stat"),
        ("qmp job-dismiss di=1", 16, "unknown argument 'di'"),
        ("events STOPP", 7, "unknown event 'STOPP'; did you mean 'STOP'?"),
        ("plan info status", 5, "plan only knows savevm, loadvm, delvm and info snapshots"),
    ],
)
def test_fault_is_marked_at_its_place_and_the_next_line_is_a_new_one(
    vm: Machine, line: str, position: int, message: str
) -> None:
    async def scene(person: Person) -> None:
        await person.knows_all()
        said = await person.runs(line)
        assert said.startswith(" " * (len("hmp> ") + position) + f"^ {message}")
        assert await person.runs("info name") == "vm1"

    sit(vm, scene, columns=120)


def test_tab_fills_in_what_was_meant(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        await person.knows_all()
        await person.runs("infx name")
        person.type(TAB)
        await person.sees_line("info name")
        assert "vm1" not in person.screen.lines
        person.type(ENTER)
        await person.sees("hmp> info name\nvm1")

    sit(vm, scene)


@pytest.mark.parametrize("columns", [40, 80])
def test_each_qmp_command_is_explained_within_the_terminal(vm: Machine, columns: int) -> None:
    async def scene(person: Person) -> None:
        for name in ("query-block", "snapshot-save", "migrate", "blockdev-add"):
            said = await person.runs(f"help qmp {name}")
            assert "returns " in said
            assert name == "blockdev-add" or said.startswith(f"{name}\n")

    sit(vm, scene, columns=columns)


# -- the toolbar ----------------------------------------------------------------------------------------------------------


def test_toolbar_tells_the_vm_and_follows_it(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        found = await person.sees_match(r" vm1 │ QEMU \d+\.\d+\.\d+ │ running │ policy auto │ 0 snapshots")
        assert found[0] == person.screen.last_line
        vm.observer.returned("stop")
        await person.sees_toolbar("paused")
        vm.observer.returned("cont")
        await person.sees_toolbar("running")
        await person.runs("savevm t1")
        await person.sees_toolbar("1 snapshot")
        assert vm.observer.hmp("savevm t2") == ""
        await person.sees_toolbar("2 snapshots")

    sit(vm, scene)


def test_toolbar_tells_the_name_and_policy_that_were_asked_for(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        await person.sees_toolbar(" web │")
        await person.sees_toolbar("policy hmp enforce")

    sit(vm, scene, name="web", policy=Policy(kind=PolicyKind.HMP, mode=Mode.ENFORCE))


# -- terminals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("no_color", [True, False])
def test_no_color_gives_no_colour(vm: Machine, no_color: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.delenv("NO_COLOR", raising=False)

    async def scene(person: Person) -> None:
        await person.runs("savevm t1")
        await person.runs("info snapshots")
        await person.runs("qmp query-status")
        person.type("loadvm x y" + ENTER)
        await person.sees("extraneous")
        person.type(CTRL_C + "info s" + TAB)
        await person.sees_match(r"hmp> info s\w+")
        assert person.screen.has_been_coloured is not no_color

    sit(vm, scene)


@pytest.mark.parametrize(("columns", "rows"), [(40, 10), (20, 5), (10, 3)])
def test_narrow_terminal_breaks_nothing(vm: Machine, columns: int, rows: int) -> None:
    async def scene(person: Person) -> None:
        person.type("savevm t1" + ENTER)
        await person.sees_prompt()
        await person.until(lambda: vm.tags("d0.qcow2") == ["t1"] and person.is_at_prompt, "the snapshot")
        person.type("info snapshots" + ENTER)
        await person.sees("t1", times=3)
        await person.sees_prompt()
        person.type("loadvm t1" + ENTER)
        await person.sees("y/N]")
        person.type("y")
        await person.sees("done:", times=2)
        await person.sees_prompt()
        person.type("info s" + TAB)
        # On the lowest, the line's first row is out of sight.
        await person.sees_match("info s|sev")
        await person.gives_up()
        assert len(person.screen.last_line) <= columns

    sit(vm, scene, columns=columns, rows=rows)


def test_terminal_that_changes_its_size_keeps_the_line(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        person.type("info nam")
        await person.sees_line("info nam")
        for columns, rows in [(40, 10), (120, 30), (60, 12)]:
            person.resize(columns, rows)
            await person.sees_line("info nam")
            await person.sees_toolbar("vm1")
        person.type("e" + ENTER)
        await person.sees("\nvm1\n")

    sit(vm, scene)
