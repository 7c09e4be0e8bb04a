"""A command is watched to its end, or left to itself with its end still to be told."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TextIO, cast

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from host.net.addresses import UnixAddress
from repl.errors import LinkError, LostError
from repl.executor import Executor
from repl.link import Link
from repl.prompt.foreground import Foreground, GivenUpError
from repl.prompt.terminal import Terminal
from repl.vm_cache import VMCache
from shim.client import Client
from shim.graph.policy import Policy
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.blind_watch import blind
from tests.support.repl.screen import CTRL_C, Screen

LOST = LostError("unix:/q", "QEMU closed it")


@dataclass
class Seat:
    """Somebody before a terminal, who watches what `command` does until it is told to end."""

    screen: Screen
    keys: PipeInput
    watch: Foreground
    terminal: Terminal
    end: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: bool | LinkError = True

    async def command(self) -> bool:
        await self.end.wait()
        if isinstance(self.outcome, LinkError):
            raise self.outcome
        return self.outcome

    async def sees(self, text: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.screen.text.replace("\n", ""):
            assert time.monotonic() < deadline, self.screen.text
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def seat(ready: Callable[[], Awaitable[None]] | None = None) -> AsyncIterator[Seat]:
    async def at_once() -> None:
        return

    screen = Screen()
    output = Vt100_Output(cast(TextIO, screen), lambda: screen.size, term="xterm-256color")
    with create_pipe_input() as keys, create_app_session(input=keys, output=output):
        screen.answer_with(keys.send_text)
        terminal = Terminal()
        link = Link(UnixAddress("/nowhere"), on_event=lambda _: None, on_lost=lambda _: None)
        executor = Executor(link, Policy(), Client(), name="vm", audit_log=None, complain=lambda _: None)
        knowledge = VMCache(executor, on_change=lambda: None)
        async with asyncio.TaskGroup() as tasks:
            at_bottom: list[tuple[str, str]] = [("", "bar")]
            options = {"ready": ready or at_once, "toolbar": lambda: at_bottom, **blind()}
            watch = Foreground(terminal, executor, knowledge, tasks, **options)
            yield Seat(screen, keys, watch, terminal)
            await watch.finish()
        await terminal.drain()


def played(scene: Callable[[Seat], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with seat(**options) as one:
            await scene(one)

    asyncio.run(run())


@pytest.mark.parametrize("outcome", [True, False])
def test_command_that_is_done_soon_shows_no_progress(outcome: bool) -> None:
    async def scene(one: Seat) -> None:
        one.outcome = outcome
        one.end.set()
        assert await one.watch.run(one.command(), "savevm t") is outcome
        assert "savevm" not in one.screen.written

    played(scene)


def test_command_that_is_soon_done_shows_no_progress_however_late_the_first_look_comes() -> None:
    """As where the machine is busy with something else until the patience has run out."""

    async def scene(one: Seat) -> None:
        async def soon() -> bool:
            for _ in range(20):
                await asyncio.sleep(0)
            return True

        def late() -> list[tuple[str, str]]:
            until_s = begun_s + 0.3
            while time.monotonic() < until_s:
                pass
            return progress()

        progress, begun_s = one.watch._progress_of("savevm t"), time.monotonic()
        assert await one.terminal.watch(asyncio.create_task(soon()), late, list)
        assert "savevm" not in one.screen.written

    played(scene)


def test_progress_is_shown_above_the_toolbar_and_goes_with_the_command() -> None:
    async def scene(one: Seat) -> None:
        running = asyncio.create_task(one.watch.run(one.command(), "savevm t"))
        await one.sees("(Ctrl-C: do not wait)")
        assert "savevm t  " in one.screen.text
        assert "bar" in one.screen.text
        one.end.set()
        assert await running
        assert one.screen.text == ""

    played(scene)


def test_ctrl_c_leaves_the_command_to_itself() -> None:
    async def scene(one: Seat) -> None:
        running = asyncio.create_task(one.watch.run(one.command(), "savevm t"))
        await one.sees("savevm t")
        one.keys.send_text(CTRL_C)
        assert not await running
        await one.sees("savevm t goes on in QEMU; its end will be reported here")
        assert not one.watch.is_left(asyncio.current_task())
        one.end.set()

    played(scene)


def test_command_knows_that_it_was_left() -> None:
    seen = []

    async def scene(one: Seat) -> None:
        async def command() -> bool:
            await one.command()
            seen.append(one.watch.is_left(asyncio.current_task()))
            return True

        running = asyncio.create_task(one.watch.run(command(), "info status"))
        await one.sees("info status")
        one.keys.send_text(CTRL_C)
        await running
        one.end.set()
        await asyncio.wait(one.watch._left)

    played(scene)
    assert seen == [True]


def test_look_that_ends_as_it_is_given_up_is_given_up() -> None:
    async def scene(one: Seat) -> None:
        looking = asyncio.create_task(one.watch.look(one.command(), "loadvm t"))
        await one.sees("loadvm t")
        one.keys.send_text(CTRL_C)
        one.end.set()
        with pytest.raises(GivenUpError):
            await looking

    played(scene)


def test_command_that_ends_as_it_is_left_is_done() -> None:
    async def scene(one: Seat) -> None:
        running = asyncio.create_task(one.watch.run(one.command(), "savevm t"))
        await one.sees("savevm t")
        one.keys.send_text(CTRL_C)
        one.end.set()
        assert await running
        assert "goes on in QEMU" not in one.screen.text

    played(scene)


def test_lost_connection_in_mid_command_leaves_its_outcome_unknown() -> None:
    async def scene(one: Seat) -> None:
        one.outcome = LOST
        one.end.set()
        assert not await one.watch.run(one.command(), "savevm t")
        await one.sees("what became of 'savevm t' is not known")

    played(scene)


def test_proxy_that_is_not_understood_is_told() -> None:
    async def scene(one: Seat) -> None:
        one.outcome = LinkError("unix:/q", "the proxy there cannot make a plan")
        one.end.set()
        assert not await one.watch.run(one.command(), "loadvm t")
        await one.sees("cannot connect to QEMU at unix:/q: the proxy there cannot make a plan")

    played(scene)


def test_quit_that_ends_the_connection_is_done() -> None:
    async def scene(one: Seat) -> None:
        one.outcome = LOST
        one.end.set()
        assert await one.watch.run(one.command(), "quit", ends_vm=True)

    played(scene)


def test_look_gives_what_was_found() -> None:
    async def scene(one: Seat) -> None:
        one.end.set()
        assert await one.watch.look(one.command(), "plan savevm t") is True

    played(scene)


def test_look_that_is_lost_says_so() -> None:
    async def scene(one: Seat) -> None:
        one.outcome = LOST
        one.end.set()
        with pytest.raises(LostError):
            await one.watch.look(one.command(), "plan savevm t")

    played(scene)


def test_look_ends_with_ctrl_c() -> None:
    async def scene(one: Seat) -> None:
        looking = asyncio.create_task(one.watch.look(one.command(), "plan savevm t"))
        await one.sees("plan savevm t")
        one.keys.send_text(CTRL_C)
        with pytest.raises(GivenUpError):
            await looking

    played(scene)


def test_nothing_begins_before_it_is_known_which_qemu_this_is() -> None:
    known = asyncio.Event()

    async def scene(one: Seat) -> None:
        begun = []

        async def command() -> bool:
            begun.append(True)
            return True

        running = asyncio.create_task(one.watch.run(command(), "info status"))
        await one.sees("info status")
        assert begun == []
        known.set()
        assert await running

    async def ready() -> None:
        await known.wait()

    played(scene, ready=ready)
