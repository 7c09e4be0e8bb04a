"""Leaving while a command that nobody waits for any more still runs, and what is told of one that runs: on a modelled QEMU."""

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from repl.finding.control import OthersCommand
from repl.output.layout import Fragments
from repl.progress import others
from repl.prompt.foreground import Foreground
from repl.prompt.terminal import Terminal
from repl.vm_cache import VMCache
from shim.hmp.line import HMPLine
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.repl.blind_watch import blind
from tests.support.repl.desk import Desk, at_desk
from tests.support.repl.executing import Bench, executing
from tests.support.repl.screen import CTRL_C


@dataclass
class Post:
    """A watch at a desk, with the modelled QEMU behind it."""

    desk: Desk
    qemu: FakeQEMU
    bench: Bench
    knowledge: VMCache
    watch: Foreground

    async def run(self, line: str) -> bool:
        async def hmp() -> bool:
            return not (await self.bench.executor.hmp(HMPLine.read(line))).is_failure

        return await self.watch.run(hmp(), line)

    async def leaves_a_save(self) -> None:
        """Have a save begin that goes on until it is released, and do not wait for it."""
        self.qemu.hold("snapshot-save")
        running = asyncio.create_task(self.run("savevm t"))
        await self.desk.sees("savevm t  ")
        self.desk.keyboard.send_text(CTRL_C)
        assert await running is False
        await self.desk.sees("savevm t goes on in QEMU; its end will be reported here")


def played(scene: Callable[[Post], Awaitable[None]]) -> str:
    """Play a scene, and give what is on the screen at its end."""

    async def run() -> str:
        async with FakeQEMU(two_disks()) as qemu, executing(qemu.path) as bench, at_desk(Terminal()) as desk:
            knowledge = VMCache(bench.executor, on_change=lambda: None)
            async with asyncio.TaskGroup() as tasks:
                watch = Foreground(desk.terminal, bench.executor, knowledge, tasks, ready=ready, toolbar=toolbar, **blind())
                await scene(Post(desk, qemu, bench, knowledge, watch))
                await watch.finish()
            await desk.terminal.drain()
            return desk.screen.text

    return asyncio.run(run())


async def ready() -> None:
    """Nothing is waited for."""


def toolbar() -> Fragments:
    return [("", "the toolbar")]


def test_progress_tells_time_state_and_pause() -> None:
    async def scene(post: Post) -> None:
        post.knowledge.run_state = "running"
        post.qemu.hold("snapshot-save")
        running = asyncio.create_task(post.run("savevm t"))
        await post.desk.sees("the VM stands still for ")
        told = r"savevm t  [\d.]+ m?s  running  the VM stands still for [\d.]+ m?s  \(Ctrl-C: do not wait\)\nthe toolbar"
        assert re.fullmatch(told, post.desk.screen.text)
        post.qemu.release()
        assert await running

    assert played(scene) == ""


def test_progress_tells_how_far_a_save_is() -> None:
    """By the last one of this prompt, as the model has no image here."""

    async def scene(post: Post) -> None:
        post.watch._meter.learn("savevm", 1_000_000_000_000)
        post.qemu.hold("snapshot-save")
        running = asyncio.create_task(post.run("savevm t"))
        await post.desk.sees("about 0 %, about 17 min left")
        assert post.desk.screen.text.startswith("savevm t  ")
        post.qemu.release()
        assert await running

    assert played(scene) == ""


def test_progress_tells_whom_a_command_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured before that was known, was somebody else's."""
    monkeypatch.setattr(others, "_SILENT_S", 0)

    async def scene(post: Post) -> None:
        post.watch._meter.learn("savevm", 1_000_000_000_000)
        post.watch._others._told = OthersCommand("loadvm x", "somebody", 60.0), "somebody", time.monotonic_ns()
        monkeypatch.setattr(post.watch._others, "_take", lambda told: None)
        post.qemu.hold("snapshot-save")
        running = asyncio.create_task(post.run("savevm t"))
        await post.desk.sees("waits for 'loadvm x' of somebody: 1 min 0 s")
        assert "%" not in post.desk.screen.text
        post.watch._others._told = OthersCommand("savevm t", f"/x (pid {os.getpid()}, uid 0)", 0.0), "x", time.monotonic_ns()
        await post.desk.sees("about 0 %, about 17 min left")
        post.qemu.release()
        assert await running

    assert played(scene) == ""


@pytest.mark.parametrize(("line", "is_success"), [("savevm t", True), ("loadvm absent", False)])
def test_command_tells_whether_it_failed(line: str, is_success: bool) -> None:
    async def scene(post: Post) -> None:
        assert await post.run(line) is is_success

    assert played(scene) == ""


def test_command_behind_one_that_was_left_says_so() -> None:
    async def scene(post: Post) -> None:
        await post.leaves_a_save()
        second = asyncio.create_task(post.run("delvm t"))
        await post.desk.sees("  behind savevm t")
        post.qemu.release()
        assert await second
        assert post.qemu.vm.graph["d0"].count("t") == 0

    played(scene)


def test_finish_waits_for_what_was_left() -> None:
    async def scene(post: Post) -> None:
        await post.leaves_a_save()
        finishing = asyncio.create_task(post.watch.finish())
        await post.desk.sees("leaving when savevm t is done")
        await post.desk.sees("(Ctrl-C: do not wait)")
        assert not finishing.done()
        post.qemu.release()
        await finishing
        assert post.qemu.vm.jobs.rows == []
        assert post.qemu.vm.graph["d0"].count("t") == 1

    played(scene)


def test_finish_does_not_wait_for_what_is_left_again() -> None:
    async def scene(post: Post) -> None:
        await post.leaves_a_save()
        finishing = asyncio.create_task(post.watch.finish())
        await post.desk.sees("leaving when savevm t is done")
        await post.desk.sees("(Ctrl-C: do not wait)")
        post.desk.keyboard.send_text(CTRL_C)
        await finishing
        await post.desk.sees("left; savevm t goes on in QEMU")
        post.qemu.release()

    played(scene)


def test_command_that_ends_while_leaving_is_told_is_no_fault() -> None:
    class SlowTerminal(Terminal):
        """What it shows is there only when the command has ended."""

        def __init__(self) -> None:
            super().__init__()
            self.end = asyncio.Event()

        async def drain(self) -> None:
            self.end.set()
            for _ in range(5):
                await asyncio.sleep(0)
            await super().drain()

        async def work(self) -> bool:
            return await self.end.wait()

    async def scene(post: Post) -> None:
        terminal = SlowTerminal()
        async with asyncio.TaskGroup() as tasks:
            watch = Foreground(terminal, post.bench.executor, post.knowledge, tasks, ready=ready, toolbar=toolbar, **blind())
            running = asyncio.create_task(watch.run(terminal.work(), "savevm t"))
            await post.desk.sees("savevm t  ")
            post.desk.keyboard.send_text(CTRL_C)
            assert await running is False
            await watch.finish()

    played(scene)


def test_finish_does_not_wait_without_a_connection() -> None:
    async def scene(post: Post) -> None:
        await post.leaves_a_save()
        post.qemu.disconnect()
        await post.desk.sees("what became of 'savevm t' is not known")
        await post.watch.finish()
        assert "leaving when" not in post.desk.screen.text
        post.qemu.release()

    played(scene)
