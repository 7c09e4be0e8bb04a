"""`connect` at a prompt before modelled QEMUs that a folder like /proc tells of."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from host.errors import ProgramError
from host.net.addresses import UnixAddress
from host.settings.config import AuditSettings
from repl.command_line import Invocation
from repl.finding import looking
from repl.finding.looking import Look, Places, look
from repl.prompt import change_over
from repl.prompt.change_over import invocation_at
from shim.graph.policy import FailedLoad, Policy, PolicyKind
from tests.fakes.qemu import FakeQEMU, When, two_disks
from tests.support.process_folder import add_process, write_sockets
from tests.support.proxy.running_vm_proxy import RunningServer
from tests.support.repl.modelled_sitting import sit_at
from tests.support.repl.screen import CTRL_C, ENTER, TAB, UP, Person, pasted

Scene = Callable[[Person, FakeQEMU, FakeQEMU], Awaitable[None]]


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(looking, "Places", lambda: Places([tmp_path / "f"], [], tmp_path / "proc"))
    return tmp_path


def played(places: Path, scene: Scene, **options: Any) -> None:
    """Play a scene at the first of two VMs, `one` and `two`."""

    async def run() -> None:
        async with FakeQEMU(two_disks()) as one, FakeQEMU(two_disks()) as two:
            for pid, (name, qemu) in enumerate((("one", one), ("two", two)), 1):
                add_process(places / "proc", pid, "kvm", "-name", name, "-qmp", f"unix:{qemu.path},server=on")
            write_sockets(places / "proc", {one.path: True, two.path: False})
            await sit_at(one.path, lambda person: scene(person, one, two), **options)

    asyncio.run(run())


def test_name_changes_over_and_history_and_settings_stay(places: Path) -> None:
    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        await person.runs("events BLOCK_*")
        assert f"connected to QEMU 7.2.22 at unix:{two.path}" in await person.runs("connect two")
        await person.runs("savevm t")
        assert (one.vm.graph["d0"].count("t"), two.vm.graph["d0"].count("t")) == (0, 1)
        assert "BLOCK_*" in await person.runs("events")
        person.type(UP + UP + UP)
        await person.sees_line("connect two")
        person.type(CTRL_C)
        await person.sees_toolbar("1 snapshot")

    played(places, scene)


def test_tab_completes_names(places: Path) -> None:
    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        person.type("connect t" + TAB)
        await person.sees_line("connect two")
        person.type(CTRL_C + "connect o" + TAB)
        await person.sees_line("connect one")

    played(places, scene)


def test_without_a_name_vms_are_listed(places: Path) -> None:
    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        shown = await person.runs("connect")
        assert shown.splitlines() == [f"1  one  here  QEMU's  unix:{one.path}", f"2  two  free  QEMU's  unix:{two.path}"]

    played(places, scene)


def test_number_in_the_list_that_was_shown_changes_over(places: Path) -> None:
    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        assert "no VM is called '2'; there are one, two" in await person.runs("connect 2")
        await person.runs("connect")
        assert "no VM is called '3'" in await person.runs("connect 3")
        assert f"connected to QEMU 7.2.22 at unix:{two.path}" in await person.runs("connect 2")
        assert f"2  two  here  QEMU's  unix:{two.path}" in await person.runs("connect")

    played(places, scene)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("0000000019", "no VM is called '0000000019'; there are one, two"),
        ("./gone", "invalid address './gone': it is relative to the working directory: No such file"),
    ],
)
def test_odd_target_leaves_the_prompt_as_it_is(places: Path, monkeypatch: pytest.MonkeyPatch, target: str, said: str) -> None:
    (places / "gone").mkdir()

    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        await person.runs("connect")
        monkeypatch.chdir(places / "gone")
        (places / "gone").rmdir()
        assert said in await person.runs(f"connect {target}")
        await person.runs("savevm t")
        assert one.vm.graph["d0"].count("t") == 1

    played(places, scene)


def test_look_that_fails_leaves_the_prompt_as_it_is(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        def failed() -> Look:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(change_over, "look", failed)
        person.type("connect t" + TAB + CTRL_C)
        await person.sees_prompt()
        await person.runs("savevm t")
        assert one.vm.graph["d0"].count("t") == 1

    played(places, scene)


@pytest.mark.parametrize("line", ["connect", "connect two"])
def test_mistake_in_a_configuration_is_told(places: Path, line: str) -> None:
    (places / "f").write_text('[[vm]]\noverwrit = "x"\n')

    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        assert f"{places}/f:2: overwrit: " in await person.runs(line)

    played(places, scene)


def test_socket_is_known_by_a_relative_path(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        monkeypatch.chdir(Path(two.path).parent)
        assert f"connected to QEMU 7.2.22 at unix:{two.path}" in await person.runs(f"connect {Path(two.path).name}")

    played(places, scene)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("tow", "no VM is called 'tow'; did you mean 'two'?"),
        ("/none/qmp", "cannot connect to QEMU at unix:/none/qmp: No such file or directory"),
        ("tcp:?", "invalid address 'tcp:?': "),
    ],
)
def test_what_fails_leaves_the_connection_as_it_is(places: Path, target: str, said: str) -> None:
    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        person.type(pasted(f"connect {target}\nsavevm t\nsavevm u") + ENTER)
        await person.sees(said)
        await person.sees("2 more of the pasted lines were not run")
        await person.runs("savevm v")
        assert [snapshot.name for snapshot in one.vm.graph["d0"].snapshots] == ["v"]

    played(places, scene)


def test_lines_after_it_are_for_the_other_vm(places: Path) -> None:
    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        person.type(pasted("savevm a\nconnect two\nsavevm b\nexit") + ENTER)
        await person.until_gone()
        assert [one.vm.graph["d0"].count(tag) for tag in "ab"] == [1, 0]
        assert [two.vm.graph["d0"].count(tag) for tag in "ab"] == [0, 1]

    played(places, scene)


def test_own_vm_is_there_already(places: Path) -> None:
    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        assert await person.runs("connect one") == "the connection is there"

    played(places, scene)


def test_ctrl_c_ends_the_attempt_and_events_go_to_nobody(places: Path) -> None:
    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        two.hold("qmp_capabilities", When.RECEIVED)
        person.type("connect two" + ENTER)
        await two.reached("qmp_capabilities")
        await person.sees("(Ctrl-C: do not wait)")
        person.type(CTRL_C)
        await person.sees("not done")
        two.release()
        await person.runs("savevm t")
        assert one.vm.graph["d0"].count("t") == 1

    played(places, scene)


def test_event_that_comes_before_the_change_is_done_is_shown(places: Path) -> None:
    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        two.hold("qmp_capabilities")
        person.type("connect two" + ENTER)
        await two.reached("qmp_capabilities")
        two.vm.stop("paused")
        two.release()
        await person.sees_match(r"\d STOP\n")
        await person.sees_toolbar("paused")

    played(places, scene)


def test_options_for_a_policy_do_not_go_to_a_proxy(places: Path) -> None:
    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        async with RunningServer(f"unix:{two.path}") as proxy:
            assert "its policy holds" in await person.runs(f"connect {proxy.path}")
        await person.runs("savevm t")
        assert one.vm.graph["d0"].count("t") == 1

    played(places, scene, policy_options=("--policy",))


def test_proxys_policy_holds_and_is_told(places: Path) -> None:
    async def scene(person: Person, one: FakeQEMU, two: FakeQEMU) -> None:
        async with RunningServer(f"unix:{two.path}", "--policy", "hmp") as proxy:
            await person.runs(f"connect {proxy.path}")
            await person.sees("does the snapshot commands here, by its own policy: hmp")
            await person.sees_toolbar("policy hmp of the proxy")

    played(places, scene)


# -- what it is as if the program had been started with ---------------------------------------------------------------------

QEMU = UnixAddress("/q")


def at(target: str, before: Invocation) -> Invocation:
    return invocation_at(target, before)


def test_file_says_all_about_the_other_vm_but_options_for_a_policy_stay(places: Path) -> None:
    lines = 'name = "a"\nupstream = "unix:/a"\nlisten = "unix:/l"\npolicy = "hmp"\n'
    (places / "f").write_text(f"[[vm]]\n{lines}")
    hmp = Policy(PolicyKind.HMP)
    found = at("a", Invocation(QEMU, Policy(), is_vi=True, name="before"))
    assert (found.address, found.name, found.file_policy, found.is_vi) == (UnixAddress("/l"), "a", hmp, True)
    assert found.policy == Policy(PolicyKind.HMP, failed_load=FailedLoad.REFUSE)
    given = at("a", Invocation(QEMU, Policy(guard=False), policy_options=("--no-guard",)))
    assert (given.policy, given.file_policy) == (Policy(guard=False), None)


def test_vm_whose_commands_must_be_on_record_is_not_changed_over_to_without_a_log(places: Path) -> None:
    (places / "q").touch()
    lines = f'name = "a"\nupstream = "unix:{places}/q"\nlisten = "unix:/l"\naudit = "/log"\n'
    (places / "f").write_text(f"[[vm]]\n{lines}")
    with pytest.raises(ProgramError, match="on record in /log; leave, and start hmp-repl a"):
        at("a", Invocation(QEMU, Policy()))
    assert at("a", Invocation(QEMU, Policy(), audit=AuditSettings("/own"))).audit == AuditSettings("/own")


def test_error_about_a_vm_chosen_by_its_number_gives_its_name(places: Path) -> None:
    """The numbers are those of the list at this prompt."""
    tables = []
    for name, members in (("one", ""), ("two guest", 'audit = "/log"\n')):
        (places / name).touch()
        tables.append(f'[[vm]]\nname = "{name}"\nupstream = "unix:{places}/{name}"\nlisten = "unix:/l/{name}"\n{members}')
    (places / "f").write_text("".join(tables))
    with pytest.raises(ProgramError, match=r"leave, and start hmp-repl 'two guest'$"):
        invocation_at("2", Invocation(QEMU, Policy()), look().vms)
