"""What a test leaves open or running is noticed; tests/conftest.py looks after each test."""

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Final

import pytest

from tests.support import leaks
from tests.support.leaks import nothing_left

# It puts right what was left.
Undo = Callable[[], None]
CLOSE: Final = asyncio.Runner.close


def a_socket() -> Undo:
    return socket.socket().close


def a_descriptor() -> Undo:
    reading, writing = os.pipe()

    def undo() -> None:
        os.close(reading)
        os.close(writing)

    return undo


def a_thread() -> Undo:
    event = threading.Event()
    thread = threading.Thread(target=event.wait, name="left-thread")
    thread.start()

    def undo() -> None:
        event.set()
        thread.join()

    return undo


def a_child() -> Undo:
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)

    def undo() -> None:
        process.communicate(b"")

    return undo


def an_ended_child() -> Undo:
    """It is a zombie until it is waited for."""
    process = subprocess.Popen(["true"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        output.read()

    def undo() -> None:
        process.wait()

    return undo


def a_task() -> Undo:
    async def leave() -> None:
        task = asyncio.create_task(asyncio.Event().wait(), name="left-task")
        await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(leave())
    return lambda: None


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_DEADLINE_S", 0.0)
    # The look after this test itself does not see the tasks that it leaves.
    monkeypatch.setattr(asyncio.Runner, "close", CLOSE)


@pytest.mark.parametrize(
    ("leave", "kind"),
    [
        (a_socket, "descriptors.*socket:"),
        (a_descriptor, "descriptors.*pipe:"),
        (a_thread, "threads.*left-thread"),
        (a_child, "children"),
        (an_ended_child, "children"),
        (a_task, "tasks.*left-task"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_left_fails_the_test(leave: Callable[[], Undo], kind: str) -> None:
    kept: list[Undo] = []
    try:
        with pytest.raises(AssertionError, match=f"left open or running: .*{kind}"), nothing_left():
            kept.append(leave())
    finally:
        for undo in kept:
            undo()


def test_what_is_given_back_or_replaced_is_no_leak() -> None:
    old = socket.socket()
    with nothing_left():
        new = socket.socket()
        old.close()
        a_child()()
        a_thread()()
    new.close()


def test_thread_that_is_about_to_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_DEADLINE_S", 5.0)
    looks = iter(range(1000))
    event = threading.Event()
    thread = threading.Thread(target=event.wait)

    def collect() -> None:
        if next(looks) == 3:
            event.set()

    monkeypatch.setattr("gc.collect", collect)
    with nothing_left():
        thread.start()
    assert not thread.is_alive()
