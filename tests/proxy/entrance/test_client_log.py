"""Who is refused is told once a minute, and counted."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.entrance import client_log as module
from proxy.entrance.client_log import ClientLog
from shim.client import Client
from tests.support.proxy.running_vm_proxy import until

LISTENER = "unix:/l"


def client(uid: int, pid: int = 1) -> Client:
    return Client(pid, uid, "/bin/sh", listener=LISTENER)


def play(scene: Callable[[ClientLog], Awaitable[None]]) -> None:
    async def run() -> None:
        log = ClientLog("refused")
        try:
            await scene(log)
        finally:
            log.close()
            log.close()

    asyncio.run(run())


def test_first_is_told_and_the_next_ones_are_counted(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PERIOD_S", 0.01)

    async def scene(log: ClientLog) -> None:
        for pid in range(1, 101):
            log.note(client(7, pid), "no")
        first = "refused a client at unix:/l: /bin/sh (pid 1, uid 7): no"
        assert caplog.messages == [first]
        await until(lambda: len(caplog.messages) == 2)
        log.note(client(7, 1), "no")
        rest = "refused more clients at unix:/l: 99 within a minute, the last of them /bin/sh (pid 100, uid 7): no"
        assert caplog.messages == [first, rest, first]

    play(scene)


def test_nothing_is_told_where_nobody_came_again(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PERIOD_S", 0.01)

    async def scene(log: ClientLog) -> None:
        log.note(client(7), "no")
        await until(lambda: not log._repeated)
        assert len(caplog.messages) == 1

    play(scene)


def test_users_and_hosts_and_listeners_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(log: ClientLog) -> None:
        others = Client(address="192.0.2.1:1", listener="tcp:h:1"), Client(address="192.0.2.2:1", listener="tcp:h:1")
        for one in (
            client(7),
            client(8),
            Client(1, 7, listener="unix:/o"),
            *others,
            Client(address="[::1]:2", listener=LISTENER),
        ):
            log.note(one, "no")
        log.note(Client(address="192.0.2.1:2", listener="tcp:h:1"), "no")
        assert len(caplog.messages) == 6

    play(scene)
    assert caplog.messages[6:] == ["refused more clients at tcp:h:1: 1 within a minute, the last of them 192.0.2.1:2: no"]


def test_kinds_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(log: ClientLog) -> None:
        for uid in range(1000):
            log.note(client(uid), "no")

    play(scene)
    assert len(caplog.messages) == module._MOST_KINDS + 2
    assert caplog.messages[-1].startswith(
        "refused more clients at unix:/l: 949 within a minute, the last of them /bin/sh (pid 1, uid 999)"
    )
