"""Where the two processes meet: who may come there, and what is told where nobody waits."""

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from proxy.errors import HandOverError, ListenError
from proxy.handover import meeting
from proxy.handover.channel import Channel
from proxy.handover.meeting import MeetingPoint, meet
from shim.client import Client
from tests.support.processes.running_daemon import run, until
from tests.support.raw_client import DEADLINE_S


def test_it_is_the_owners_only_and_gone_afterwards(folder: Path) -> None:
    async def main() -> None:
        met: list[tuple[Channel, int | None]] = []
        point = MeetingPoint(str(folder / "m"), lambda *those: met.append(those))
        point.start()
        assert stat.S_IMODE((folder / "m").stat().st_mode) == 0o600
        channel = await meet(str(folder / "m"))
        await until(lambda: met)
        ((theirs, pid),) = met
        assert pid == os.getpid()
        await channel.send({"hello": 1})
        assert await theirs.receive() == ({"hello": 1}, [])
        for one in (channel, theirs):
            one.close()
        with pytest.raises(ListenError):
            MeetingPoint(str(folder / "m"), print)
        met.clear()
        point.close()

    run(main)
    assert not (folder / "m").exists()


@pytest.mark.parametrize("side", ["old", "new"])
def test_another_users_program_is_not_met(folder: Path, side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        met: list[object] = []
        point = MeetingPoint(str(folder / "m"), lambda *those: met.append(those))
        point.start()
        if side == "new":
            monkeypatch.setattr(meeting, "peer", lambda _: Client(1, os.geteuid() + 1))
            with pytest.raises(HandOverError, match="another user's program is there; start both as the same user"):
                await meet(str(folder / "m"))
        else:
            channel = await meet(str(folder / "m"))
            monkeypatch.setattr(meeting, "peer", lambda _: Client(1, os.geteuid() + 1))
            told, _ = await channel.receive()
            todo = "start both as the same user, or this one as root"
            assert told == {"refused": f"it belongs to another user (uid {os.geteuid()}); {todo}"}
            channel.close()
        assert met == []
        point.close()
        await point.last_refusals()

    run(main)


def test_nobody_waits_there(folder: Path) -> None:
    async def main() -> None:
        with pytest.raises(HandOverError) as caught:
            await meet(str(folder / "m"))
        start = f"was it started with --replaceable {folder}/m, or --replace?"
        assert str(caught.value) == f"cannot replace the proxy at {folder}/m: No such file or directory ({start})"

    run(main)


def test_place_that_may_not_be_reached_is_another_users(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forbid(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    async def main() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", forbid)
        with pytest.raises(HandOverError, match=r"Permission denied \(it is another user's; start both as the same user"):
            await meet(str(folder / "m"))

    run(main)


def test_few_are_refused_at_the_same_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "_MOST_REFUSALS", 1)
    monkeypatch.setattr(meeting, "_REFUSAL_S", DEADLINE_S)

    async def main() -> None:
        point = MeetingPoint(str(folder / "m"), lambda channel, _: point.refuse(channel, "not now"))
        point.start()
        first, second = await meet(str(folder / "m")), await meet(str(folder / "m"))
        assert await first.receive() == ({"refused": "not now"}, [])
        with pytest.raises(EOFError):
            await second.receive()
        point.close()
        last = asyncio.create_task(point.last_refusals())
        await asyncio.sleep(0)
        assert not last.done()
        first.close()
        await last
        second.close()

    run(main)


def test_who_cannot_be_let_in_waits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "_ACCEPT_PAUSE_S", 0.01)

    async def main() -> None:
        met: list[tuple[Channel, int | None]] = []
        point = MeetingPoint(str(folder / "m"), lambda *those: met.append(those))
        errors: list[OSError] = [BlockingIOError(), OSError(24, "Too many open files")]
        accept = socket.socket.accept

        def fail(sock: socket.socket) -> tuple[socket.socket, object]:
            if errors:
                raise errors.pop(0)
            return accept(sock)

        monkeypatch.setattr(type(point._listening), "accept", fail, raising=False)
        point.start()
        channel = await meet(str(folder / "m"))
        await until(lambda: met)
        for one in (channel, met[0][0]):
            one.close()
        point.close()

    run(main)
