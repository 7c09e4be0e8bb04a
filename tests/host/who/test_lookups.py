"""Looks at clients: beside the loop, shared, and never waited for longer than a moment."""

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from host.who.lookups import LOOKUPS, Lookups
from host.who.tcp_peers import Connection
from shim.client import Client
from shim.records.identity import NOBODY, Identity, unidentified
from tests.support.raw_client import DEADLINE_S

Look = Callable[[Client, Connection | None], Identity]


class Looker:
    """Finds the number of the look. A look at what is in `stuck` does not end before `free`."""

    def __init__(self) -> None:
        self.count = 0
        self.stuck: set[int | None] = set()
        self.free = threading.Event()
        self.is_looking = threading.Semaphore(0)

    def __call__(self, client: Client, connection: Connection | None) -> Identity:
        self.count += 1
        number = self.count
        self.is_looking.release()
        if client.pid in self.stuck:
            assert self.free.wait(DEADLINE_S)
        return Identity(tool=f"look {number}")


@pytest.fixture
def looker() -> Iterator[Looker]:
    looker = Looker()
    yield looker
    looker.free.set()


def test_process_of_ours_is_looked_up() -> None:
    import os

    from host.net.addresses import process

    assert LOOKUPS.begin(process(os.getpid(), os.getuid()))().argv


def test_same_client_is_looked_up_once_for_a_while(looker: Looker) -> None:
    lookups = Lookups(looker, patience_s=DEADLINE_S)
    found = [lookups.begin(client)() for client in (Client(1), Client(1), Client(2), Client(1, started=2))]
    assert [one.tool for one in found] == ["look 1", "look 1", "look 2", "look 3"]


def test_program_that_has_become_another_is_looked_up_anew(looker: Looker) -> None:
    lookups = Lookups(looker, patience_s=DEADLINE_S)
    assert [lookups.begin(Client(1, exe=exe))().tool for exe in ("/a", "/b", "/a")] == ["look 1", "look 2", "look 1"]


def test_what_was_found_does_not_hold_for_ever(looker: Looker) -> None:
    lookups = Lookups(looker, patience_s=DEADLINE_S, fresh_s=0)
    assert [lookups.begin(Client(1))().tool for _ in range(2)] == ["look 1", "look 2"]


def test_few_are_kept(looker: Looker) -> None:
    lookups = Lookups(looker, patience_s=DEADLINE_S)
    for pid in (*range(257), 256, 0):
        lookups.begin(Client(pid))()
    assert looker.count == 258


def test_look_that_does_not_end_holds_up_nobody_else(looker: Looker) -> None:
    looker.stuck = {1}
    lookups = Lookups(looker, patience_s=DEADLINE_S)
    stuck = lookups.begin(Client(1))
    assert lookups.begin(Client(2))().tool == "look 2"
    assert lookups.begin(Client(1)) is stuck
    looker.free.set()
    assert stuck().tool == "look 1"


def test_look_that_takes_long_is_not_waited_for(looker: Looker) -> None:
    looker.stuck = {1}
    stuck = Lookups(looker, patience_s=0).begin(Client(1))
    assert stuck() is NOBODY
    looker.free.set()


def test_where_all_threads_are_stuck_nobody_is_looked_up(looker: Looker) -> None:
    looker.stuck = {1, 2, 3, 4}
    lookups = Lookups(looker, patience_s=0)
    for pid in looker.stuck:
        lookups.begin(Client(pid))
        assert looker.is_looking.acquire(timeout=DEADLINE_S)
    waiting = lookups.begin(Client(5))
    assert waiting() is NOBODY
    assert lookups.begin(Client(6)) is unidentified
    looker.free.set()


def test_look_that_fails_is_told_and_finds_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail(client: Client, connection: Connection | None) -> Identity:
        raise ValueError("ours")

    lookups = Lookups(fail, patience_s=DEADLINE_S)
    with caplog.at_level(logging.ERROR):
        assert lookups.begin(Client(1))() is NOBODY
    assert "a client could not be looked up" in caplog.text
    assert "ours" in caplog.text


def test_client_waits_where_there_are_no_more_threads(looker: Looker, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookups = Lookups(looker, patience_s=DEADLINE_S)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        first = lookups.begin(Client(1))
    assert lookups.begin(Client(2))().tool
    assert first().tool
    assert looker.count == 2


def test_nothing_is_stuck_where_no_thread_could_begin(looker: Looker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes later finds a thread, which does what was left, too."""
    lookups = Lookups(looker, patience_s=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda _: exec("raise RuntimeError"))
        lookups.begin(Client(1))
    lookups.begin(Client(2))
    assert looker.is_looking.acquire(timeout=DEADLINE_S)
    assert looker.is_looking.acquire(timeout=DEADLINE_S)


def test_descriptor_of_no_connection_is_none(looker: Looker) -> None:
    assert Lookups(looker, patience_s=DEADLINE_S).begin(Client(address="192.0.2.1:1"), -1)().tool == "look 1"
