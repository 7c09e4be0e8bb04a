"""A look beside the loop: it is waited for by nobody, and there is one at a time."""

import asyncio
import threading

import pytest

from repl.progress.aside import Aside
from tests.support.proxy.running_vm_proxy import until


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
