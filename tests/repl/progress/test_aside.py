"""A look beside the loop: it is waited for by nobody, and there is one at a time."""

import asyncio
import errno
import threading
from pathlib import Path

import pytest

from repl.progress.aside import Aside, beside_loop
from tests.support.proxy.running_vm_proxy import until
from tests.support.raw_client import DEADLINE_S


def test_what_is_found_is_told_on_the_loop() -> None:
    async def main() -> None:
        told: list[tuple[int, int]] = []
        looks = Aside(threading.get_ident, lambda found: told.append((found, threading.get_ident())))
        looks.start()
        await until(lambda: len(told) == 1)
        looks.start()
        await until(lambda: len(told) == 2)
        assert {on for _, on in told} == {threading.get_ident()}
        assert threading.get_ident() not in {found for found, _ in told}

    asyncio.run(main())


def test_look_that_hangs_is_not_followed_by_another() -> None:
    async def main() -> None:
        goes_on = threading.Event()
        looked: list[int] = []
        told: list[None] = []

        def look() -> None:
            looked.append(1)
            goes_on.wait()

        looks = Aside(look, told.append)
        looks.start()
        await until(lambda: looked)
        looks.start()
        assert len(looked) == 1
        goes_on.set()
        await until(lambda: told)
        looks.start()
        await until(lambda: len(told) == 2)

    asyncio.run(main())


def test_look_that_comes_back_too_late_is_nobodys() -> None:
    goes_on, threads = threading.Event(), []

    def look() -> None:
        threads.append(threading.current_thread())
        goes_on.wait()

    async def main() -> None:
        Aside(look, lambda _: pytest.fail("nobody is there")).start()
        await until(lambda: threads)

    asyncio.run(main())
    goes_on.set()
    threads[0].join()


def test_where_there_are_as_many_threads_as_there_may_be_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        told: list[int] = []
        looks = Aside(lambda: 5, told.append)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            looks.start()
        looks.start()
        await until(lambda: told)
        assert told == [5]

    asyncio.run(main())


# -- beside the loop ------------------------------------------------------------------------------------------------------


def test_job_is_done_on_another_thread_and_brings_what_it_returns_or_raises() -> None:
    async def scene() -> None:
        assert await beside_loop(threading.get_ident) != threading.get_ident()
        with pytest.raises(IsADirectoryError):
            await beside_loop(lambda: Path("/").write_text(""))

    asyncio.run(scene())


@pytest.mark.parametrize("fails", [False, True])
def test_job_that_nobody_waits_for_any_more_holds_nothing_up(fails: bool) -> None:
    """Neither the loop, nor the end of the program: its thread is a daemon."""
    ends, has_begun = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def job() -> None:
        threads.append(threading.current_thread())
        has_begun.set()
        ends.wait(DEADLINE_S)
        if fails:
            raise OSError(errno.EIO, "late")

    async def scene(*, ends_within: bool) -> None:
        waiting = asyncio.create_task(beside_loop(job))
        while not has_begun.is_set():  # noqa: ASYNC110 - a thread does not tell
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        if ends_within:
            ends.set()
            while threads[-1].is_alive():  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)
            await asyncio.sleep(0)

    for ends_within in (False, True):
        asyncio.run(scene(ends_within=ends_within))
        ends.set()
        threads[-1].join(DEADLINE_S)
        assert threads[-1].daemon
        ends.clear()
        has_begun.clear()
