"""The prompt from its start to its end, on a modelled QEMU. tests/integration/test_app.py types at a real one."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from host.addresses import UnixAddress
from repl import link
from repl.command_line import Invocation
from repl.errors import LinkError, OwnPolicyError
from repl.prompt.app import Prompt
from shim.client import Client
from shim.policy import Policy
from tests.fakes.qemu import Drop, FakeQEMU, Faults, When, two_disks
from tests.support.modelled_sitting import sit, sit_at
from tests.support.running_vm_proxy import RunningServer, until
from tests.support.screen import CTRL_C, CTRL_D, ENTER, UP, Person


def test_without_a_connection_there_is_no_prompt(tmp_path: Path) -> None:
    nowhere = Invocation(UnixAddress(str(tmp_path / "none.sock")), Policy())
    with pytest.raises(LinkError, match="No such file or directory"):
        asyncio.run(Prompt(nowhere, Client(), None).run())


@pytest.mark.parametrize("options", [("--policy",), ("--exclude", "--mode")])
def test_own_policy_at_a_proxy_is_refused_before_there_is_a_prompt(options: tuple[str, ...]) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}") as proxy:
            invocation = Invocation(UnixAddress(proxy.path), Policy(), policy_options=options)
            await Prompt(invocation, Client(), None).run()

    with pytest.raises(OwnPolicyError, match=f"drop {', '.join(options)}$"):
        asyncio.run(run())


def test_own_policy_is_taken_where_no_proxy_is() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.sees_toolbar("policy auto")

    sit(scene, FakeQEMU(), policy_options=("--policy",))


def test_ctrl_c_gives_up_the_line_and_ctrl_d_leaves() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("quit")
        await person.sees_line("quit")
        person.type(CTRL_C)
        await person.sees_prompt()
        assert not qemu.vm.has_quit
        person.type(CTRL_D)
        await person.until_gone()

    sit(scene, FakeQEMU())


def test_ctrl_c_as_a_signal_is_the_key() -> None:
    """While something is printed, the terminal makes a signal of it."""

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("quit")
        await person.sees_line("quit")
        os.kill(os.getpid(), signal.SIGINT)
        await person.sees_prompt()
        assert person.is_there

    sit(scene, FakeQEMU())


@pytest.mark.parametrize("is_kept", [True, False])
def test_history_is_kept_or_it_is_said_why_not(tmp_path: Path, is_kept: bool) -> None:
    (tmp_path / "file").write_text("")
    history = tmp_path / ("state" if is_kept else "file") / "history"

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert ("the history is not kept" in person.screen.text) is not is_kept
        await person.runs("info name")
        person.type(UP)
        await person.sees_line("info name")

    sit(scene, FakeQEMU(), history=history)
    assert history.exists() is is_kept


def test_menu_has_no_more_room_than_a_low_terminal_can_spare() -> None:
    """The rows that are kept free for it would hide what was answered."""

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.resize(60, 6)
        assert "unknown command" in await person.runs("info status")
        assert "unknown command" in "\n".join(person.screen.lines)

    sit(scene, FakeQEMU())


def test_busy_qemu_is_waited_for_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_BUSY_S", 0)

    async def scene(person: Person) -> None:
        await person.sees("QEMU is busy with a save or load; waiting for its answer")

    async def run() -> None:
        async with FakeQEMU() as qemu, asyncio.TaskGroup() as tasks:
            qemu.hold("qmp_capabilities", When.RECEIVED)
            tasks.create_task(sit_at(qemu.path, scene))
            await qemu.reached("qmp_capabilities")
            qemu.release()

    asyncio.run(run())


def test_event_that_comes_before_the_prompt_is_told_at_it() -> None:
    async def scene(person: Person) -> None:
        await person.sees_match(r"\d STOP\n")
        await person.sees_toolbar("paused")

    async def run() -> None:
        async with FakeQEMU() as qemu, asyncio.TaskGroup() as tasks:
            qemu.hold("qmp_capabilities")
            tasks.create_task(sit_at(qemu.path, scene))
            await qemu.reached("qmp_capabilities")
            qemu.vm.stop("paused")
            qemu.release()

    asyncio.run(run())


def test_connection_that_ends_before_the_prompt_is_told_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def takes_long(prompt: Prompt) -> None:
        await until(lambda: prompt._early)

    monkeypatch.setattr(Prompt, "_refuse_own_policy", takes_long)

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.sees(" is lost: QEMU closed it; 'reconnect' connects again")
        person.type("reconnect" + ENTER)
        await person.sees("connected to QEMU 7.2.22")

    sit(scene, FakeQEMU(faults=Faults(drops=[Drop("qmp_capabilities", When.REPLIED)])))
