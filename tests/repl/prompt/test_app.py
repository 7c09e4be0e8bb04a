"""The prompt from its start to its end, on a modelled QEMU. tests/integration/prompt/test_app.py types at a real one."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from host.net.addresses import UnixAddress
from repl import link
from repl.command_line import Invocation
from repl.errors import ExitStatus, LinkError, OwnPolicyError
from repl.progress import others
from repl.prompt import console, opening
from repl.prompt.app import Prompt
from repl.prompt.terminal import Terminal
from shim.client import Client
from shim.graph.policy import Policy
from tests.fakes.qemu import Drop, FakeQEMU, Faults, When, two_disks
from tests.support.proxy.running_vm_proxy import RunningServer, until
from tests.support.repl.desk import Desk, at_desk
from tests.support.repl.modelled_sitting import sit, sit_at
from tests.support.repl.screen import CTRL_C, CTRL_D, ENTER, UP, Person


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


def test_ctrl_c_means_another_program_while_that_has_the_terminal(tmp_path: Path) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(f"plan savevm t | touch {tmp_path}/begun; until [ -e {tmp_path}/end ]; do sleep 0.02; done" + ENTER)
        await person.until((tmp_path / "begun").exists, "the program")
        os.kill(os.getpid(), signal.SIGINT)
        (tmp_path / "end").touch()
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


async def opens(qemu: FakeQEMU, scene: Callable[[Desk, asyncio.Task[ExitStatus]], Awaitable[None]]) -> None:
    """Open a prompt before a QEMU that is busy."""
    async with at_desk(Terminal()) as desk:
        invocation = Invocation(UnixAddress(qemu.path), Policy())
        running = asyncio.create_task(Prompt(invocation, Client(), None).run())
        await scene(desk, running)


def test_prompt_that_is_opened_meanwhile_says_what_it_waits_for_and_ctrl_c_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_SOON_S", 0)
    monkeypatch.setattr(link, "_BUSY_S", 0)

    async def scene(desk: Desk, running: asyncio.Task[ExitStatus]) -> None:
        await desk.sees("QEMU is busy with a save or load; waiting for its answer\n")
        await desk.sees("s; it may be saving or loading  (Ctrl-C: leave)")
        desk.keyboard.send_text(CTRL_C)
        assert await running is ExitStatus.INTERRUPTED
        assert desk.screen.text == "QEMU is busy with a save or load; waiting for its answer"

    async def run() -> None:
        async with FakeQEMU() as qemu:
            qemu.hold("qmp_capabilities", When.RECEIVED)
            await opens(qemu, scene)
            qemu.release()

    asyncio.run(run())


def test_prompt_without_a_greeting_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_SOON_S", 0)

    async def run() -> None:
        async with FakeQEMU(faults=Faults(greeting=b"")) as qemu:

            async def scene(desk: Desk, running: asyncio.Task[ExitStatus]) -> None:
                await desk.sees(f"no greeting from unix:{qemu.path} for ")
                desk.keyboard.send_text(CTRL_C)
                assert await running is ExitStatus.INTERRUPTED

            await opens(qemu, scene)

    asyncio.run(run())


def test_command_of_somebody_else_is_told_in_the_toolbar_for_as_long_as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "_SILENT_S", 0)
    monkeypatch.setattr(console, "_TICK_S", 0.01)

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await qemu.wait_received("query-qmp-schema")
        await person.until(lambda: person.prompt._link.owed.silence is None, "the last answer")
        qemu.hold("query-block", When.RECEIVED)
        await qemu.send_event("JOB_STATUS_CHANGE", {"status": "running", "id": "theirs"})
        await qemu.stop("paused")
        first = await person.sees_match(r"waits for job 'theirs' of another client: [\d.]+ m?s")
        await person.until(lambda: first[0] not in person.screen.last_line, "time that goes on")
        person.type("info na")
        await person.sees_line("info na")
        qemu.release()
        await person.sees_toolbar("│ paused")

    sit(scene, FakeQEMU(two_disks()))


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
    opens = Prompt._open

    async def takes_long(prompt: Prompt) -> None:
        await opens(prompt)
        await until(lambda: prompt._early)

    monkeypatch.setattr(Prompt, "_open", takes_long)

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.sees(" is lost: QEMU closed it; 'reconnect' connects again")
        person.type("reconnect" + ENTER)
        await person.sees("connected to QEMU 7.2.22")

    sit(scene, FakeQEMU(faults=Faults(drops=[Drop("qmp_capabilities", When.REPLIED)])))
