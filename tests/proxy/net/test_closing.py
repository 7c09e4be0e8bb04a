"""What clients have passed is closed where nobody waits for it, whatever the close waits for."""

import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

import proxy.net.closing as module
from proxy.net.closing import Closer, close_connection, close_descriptors, close_listening, closer
from proxy.net.ends import SocketEnd
from tests.fakes.qemu import FakeQEMU
from tests.support.checkout import ROOT
from tests.support.proxy.lingering import lingering_sockets
from tests.support.proxy.running_vm_proxy import RunningServer, connected, in_thread, played, until
from tests.support.raw_client import DEADLINE_S

MOST_THREADS: Final = module._MOST_THREADS


@pytest.fixture
def own() -> Iterator[Closer]:
    own = Closer()
    yield own
    assert own.finish(DEADLINE_S)


def is_at_end(reading: int) -> bool:
    """Wait for the end of a pipe or a socket of which nobody else is to have the other end."""
    poller = select.poll()
    poller.register(reading, select.POLLIN)
    return bool(poller.poll(DEADLINE_S * 1000)) and os.read(reading, 1) == b""


def wait_for(event: threading.Event) -> None:
    event.wait()


def closing_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in ("close", "hurry")]


def test_close_that_hangs_holds_up_no_other(own: Closer) -> None:
    released, done = threading.Event(), threading.Event()
    for _ in range(MOST_THREADS - 1):
        own.put(partial(wait_for, released))
    own.put(done.set)
    assert done.wait(DEADLINE_S)
    released.set()


def test_where_all_threads_are_held_up_the_others_are_done_once_one_is_free(own: Closer) -> None:
    released, done = threading.Event(), threading.Event()
    for _ in range(MOST_THREADS):
        own.put(partial(wait_for, released))
    own.put(done.set)
    own.put(done.set)
    assert closing_threads() == ["close"] * MOST_THREADS + ["hurry"]
    assert not own.finish(0)
    assert not done.is_set()
    released.set()
    assert done.wait(DEADLINE_S)


def test_no_thread_is_there_before_something_is_closed_nor_after_all_is(own: Closer) -> None:
    assert closing_threads() == []
    own.put(lambda: None)
    assert closing_threads() == ["close"]
    for _ in range(2):
        assert own.finish(DEADLINE_S)
        assert closing_threads() == []


def test_where_no_thread_can_be_had_the_next_one_does_it(own: Closer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    first, second = threading.Event(), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        own.put(first.set)
    assert not own.finish(0)
    own.put(second.set)
    assert first.wait(DEADLINE_S)
    assert second.wait(DEADLINE_S)


def test_sockets_that_linger_hold_up_nobody_for_ever() -> None:
    """Nor do they where they are more than the threads, and all come first."""
    reading, writing = os.pipe()
    with lingering_sockets(2 * MOST_THREADS) as numbers:
        for number in numbers:
            close_descriptors((number,))
        close_descriptors((writing,))
        assert is_at_end(reading)
    os.close(reading)


def test_interruption_is_for_the_main_thread_to_allow(own: Closer) -> None:
    """Elsewhere what is late is waited for."""
    released = threading.Event()

    def put() -> None:
        for _ in range(MOST_THREADS + 1):
            own.put(partial(wait_for, released))
        released.set()

    thread = threading.Thread(target=put)
    thread.start()
    thread.join()


def test_descriptor_that_cannot_be_closed_harms_no_other() -> None:
    reading, writing = os.pipe()
    close_descriptors((-1, writing))
    assert is_at_end(reading)
    os.close(reading)


def test_unread_descriptor_does_not_hold_up_the_close_of_its_socket() -> None:
    ours, theirs = socket.socketpair()
    with theirs, lingering_sockets() as numbers:
        socket.send_fds(theirs, [b"x"], numbers)
        os.close(numbers[0])
        end = SocketEnd(ours)
        end.close()
        assert end.is_peer_gone()
        assert is_at_end(theirs.fileno())
        assert not closer.finish(0)


def test_socket_with_nothing_unread_is_closed_at_once() -> None:
    """Nothing can come in between."""
    ours, theirs = socket.socketpair()
    with theirs:
        close_connection(ours)
        assert closing_threads() == []
        with pytest.raises(BrokenPipeError):
            theirs.send(b"x")
    close_connection(ours)


def test_unread_descriptor_of_who_waits_does_not_hold_up_the_close_of_the_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a short path (unix(7): 107 bytes)
    with socket.socket(socket.AF_UNIX) as theirs, socket.socket(socket.AF_UNIX) as late, lingering_sockets() as numbers:
        ours = socket.socket(socket.AF_UNIX)
        ours.bind("l")
        ours.listen()
        theirs.connect("l")
        socket.send_fds(theirs, [b"x"], numbers)
        os.close(numbers[0])
        close_listening(ours, is_shared=False)
        assert is_at_end(theirs.fileno())
        with pytest.raises(ConnectionRefusedError):
            late.connect("l")
        assert not closer.finish(0)


@pytest.mark.parametrize("waits", [False, True])
def test_listener_of_somebody_else_goes_on(waits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        socket.socket(socket.AF_UNIX) as whole,
        socket.socket(socket.AF_UNIX) as first,
        socket.socket(socket.AF_UNIX) as second,
    ):
        whole.bind("l")
        whole.listen()
        if waits:
            first.connect("l")
        ours = whole.dup()
        close_listening(ours, is_shared=True)
        assert ours.fileno() == -1
        assert closing_threads() == ["close"] * waits
        second.connect("l")


def test_process_that_ends_waits_for_no_close() -> None:
    script = """
import threading
from proxy.net.closing import close_descriptors, closer
from tests.support.proxy.lingering import lingering_sockets
peers = lingering_sockets(5)
for number in peers.__enter__():
    close_descriptors((number,))
for _ in range(5):
    closer.put(threading.Event().wait)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_client_that_passes_what_lingers_keeps_no_other_waiting() -> None:
    """It leaves, and no command has taken the descriptor."""

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client, await connected(server.path) as other, lingering_sockets() as numbers:
            socket.send_fds(client.socket, [b'{"execute":"query-name"}\n'], numbers)
            os.close(numbers[0])
            await in_thread(client.receive)
            client.close()
            await until(lambda: not closer.finish(0))
            assert await in_thread(other.hmp, "savevm t") == ""
            assert not closer.finish(0)

    played(scene)
