"""Whom a command waits for, as a proxy, QEMU's events, or nothing but silence tell."""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from host.net.addresses import TCPAddress, UnixAddress, process
from repl.finding.holding import known_as
from repl.link import Event
from repl.progress import others as others_module
from repl.progress.others import Others, served_at
from repl.progress.silence import Silence
from repl.results import Running
from shim.client import Client
from shim.qmp import Execute
from shim.records.audit import Trace
from tests.support.processes.vm_statuses import BUSY, OFF, as_told
from tests.support.proxy.answering_proxy import answering
from tests.support.proxy.asked_sockets import short_folder
from tests.support.proxy.running_vm_proxy import until

NS_PER_S: Final = 1_000_000_000
AT: Final = UnixAddress("/l")
ELSEWHERE: Final = UnixAddress("/elsewhere")
WAITS: Final = "waits for 'savevm nightly\\x1b' of /usr/bin/tool (pid 5, uid 0): 1 min "
SILENT: Final = "QEMU has not answered for 5.0 s; it may be saving or loading"
INFO, SAVE = Execute("human-monitor-command", {"command-line": "info name"}), Execute("snapshot-save", {"tag": "t"})


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is, in seconds."""
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic_ns", lambda: round(now_s[0] * NS_PER_S))
    return now_s


def since(second: float, *, heard_s: float = 0.0) -> Silence:
    return Silence(round(second * NS_PER_S), round(heard_s * NS_PER_S))


def running(typed: str, *under_way: Execute) -> Running:
    return Running(typed, Trace(datetime.now(UTC), 0, Client(), None), lambda: under_way)


def status(**members: Any) -> bytes:
    told = as_told(BUSY, OFF)
    told["vms"][0] |= members
    return json.dumps({"return": told}).encode()


def job(job_id: str, state: str) -> Event:
    return Event("JOB_STATUS_CHANGE", {"id": job_id, "status": state})


def alone() -> Others:
    return Others(AT, controls=tuple)


def test_qemu_that_answers_lets_nobody_wait() -> None:
    async def main() -> None:
        others = alone()
        assert others.text(None) == ""
        assert others.text(since(99.1)) == ""

    asyncio.run(main())


@pytest.mark.parametrize("under_way", [None, (), (INFO,), (Execute("query-jobs"),)])
def test_silence_is_told_where_nothing_of_ours_is_at_work(under_way: tuple[Execute, ...] | None) -> None:
    async def main() -> None:
        at_work = None if under_way is None else running("savevm t", *under_way)
        assert alone().text(since(95), at_work) == SILENT

    asyncio.run(main())


def test_own_work_is_no_waiting() -> None:
    async def main() -> None:
        assert alone().text(since(95), running("savevm t", SAVE)) == ""

    asyncio.run(main())


def test_job_of_another_client_is_named(clock: list[float]) -> None:
    async def main() -> None:
        others = alone()
        others.take_event(Event("STOP"), is_own=False)
        others.take_event(job("mine", "running"), is_own=True)
        assert others.text(since(95)) == SILENT
        others.take_event(job("s\x1b1", "created"), is_own=False)
        others.take_event(job("s\x1b1", "running"), is_own=False)
        clock[0] += 5
        assert others.text(since(104.1, heard_s=99)) == ""
        assert others.text(since(100, heard_s=99)) == "waits for job 's\\x1b1' of another client: 5.0 s"
        # It answered meanwhile, so the job is none that keeps it from answering.
        assert others.text(since(101, heard_s=101)) == "QEMU has not answered for 4.0 s; it may be saving or loading"
        others.take_event(job("other", "concluded"), is_own=False)
        assert "job 's\\x1b1'" in others.text(since(100, heard_s=99))
        others.take_event(job("s\x1b1", "concluded"), is_own=False)
        assert "job" not in others.text(since(100, heard_s=99))

    asyncio.run(main())


def test_proxy_tells_whose_command_runs_and_for_how_long(folder: Path, clock: list[float]) -> None:
    async def main() -> None:
        others = Others(ELSEWHERE, lambda: "a", controls=lambda: [folder / "none", folder / "c"])
        with answering(folder / "c", status(), status(running=None)):
            assert others.text(since(95)) == SILENT
            await until(lambda: others.text(since(95)).startswith(WAITS))
            clock[0] += 0.5
            assert others.text(since(95), running("savevm nightly\x1b", INFO)) == f"{WAITS}15 s"
            # It is asked again, and the command has ended.
            clock[0] += 0.6
            await until(lambda: not others.text(since(95)).startswith(WAITS))
        assert others.text(None) == ""

    asyncio.run(main())


def test_client_is_told_by_its_tool_as_hmp_proxy_clients_does(folder: Path) -> None:
    async def main() -> None:
        others = Others(AT, controls=lambda: [folder / "c"])
        me = process(os.getpid(), os.getuid())
        client = {"who": str(me), "pid": me.pid, "uid": me.uid, "program": me.exe, "started": me.started}
        command = {"command": "savevm t", "who": str(me), "for_s": 2}
        with answering(folder / "c", status(running=command, clients=[client])):
            await until(lambda: others.text(since(95)).startswith("waits for 'savevm t' of "))
        assert others.text(since(95)) == f"waits for 'savevm t' of {known_as(me)}: 2.0 s"
        # It is still known as this prompt's.
        assert others.text(since(95), running("savevm t", Execute("query-jobs"))) == ""

    asyncio.run(main())


@pytest.mark.parametrize(("vm", "whose"), [(None, "QEMU"), ("a", "hmp-proxy")])
def test_process_that_is_stopped_is_told(monkeypatch: pytest.MonkeyPatch, vm: str | None, whose: str) -> None:
    async def main() -> None:
        others = Others(AT, lambda: vm, server=lambda: 7, controls=tuple)
        monkeypatch.setattr(others_module, "is_stopped", lambda pid: pid == 7)
        others.text(since(95))
        await until(lambda: others.stopped)
        assert others.stopped == (f"{whose} (pid 7) is stopped", "'kill -CONT 7' resumes it")
        # How far an own command is stays to be told.
        assert others.text(since(95), running("savevm t", SAVE)) == ""
        told = f"QEMU has not answered for 5.0 s; {whose} (pid 7) is stopped; 'kill -CONT 7' resumes it"
        assert others.sentence(since(95)) == told
        assert others.sentence(None) == ""

    asyncio.run(main())


def test_stopped_process_does_not_hide_who_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        others = Others(AT, server=lambda: 7, controls=lambda: [folder / "c"])
        monkeypatch.setattr(others_module, "is_stopped", lambda pid: pid == 7)
        with answering(folder / "c", status(listen=["unix:/l"])):
            await until(lambda: others.text(since(95)).startswith(WAITS))
        assert others.stopped

    asyncio.run(main())


def test_what_was_told_is_forgotten_with_the_silence(folder: Path) -> None:
    async def main() -> None:
        others = Others(AT, controls=lambda: [folder / "c"])
        with answering(folder / "c", status(listen=["unix:/l"]), status(listen=["unix:/l"])):
            assert others.text(since(95)) == SILENT
            await until(lambda: others.text(since(95)).startswith(WAITS))
            assert others.text(None) == ""
            assert others.text(since(95)) == SILENT
            await until(lambda: others.text(since(95)).startswith(WAITS))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("address", "who", "typed", "is_own"),
    [
        (AT, f"/x (pid {os.getpid()}, uid 0)", " savevm t", True),
        (AT, f"/x (pid {os.getpid()}, uid 0)", "info name", False),
        (AT, "/x (pid 1, uid 0)", "savevm t", False),
        (TCPAddress("h", 1), "tcp:h:5", "savevm t", True),
        (TCPAddress("h", 1), "tcp:h:5", "savevm t2", False),
    ],
    # Not by the process, which is another one in each worker.
    ids=["own", "another command", "another process", "own by TCP", "another by TCP"],
)
def test_own_command_at_a_proxy_is_known(folder: Path, address: Any, who: str, typed: str, is_own: bool) -> None:
    async def main() -> None:
        others = Others(address, controls=lambda: [folder / "c"])
        command = {"command": "savevm t ", "who": who, "for_s": 2}
        with answering(folder / "c", status(listen=[str(address)], running=command)):
            others.text(since(95))
            await until(lambda: others._told)
        own = running(typed, Execute("human-monitor-command", {"command-line": typed}))
        assert others.text(since(95), own) == ("" if is_own else f"waits for 'savevm t' of {who}: 2.0 s")

    asyncio.run(main())


def test_own_command_of_qmp_is_known(folder: Path) -> None:
    async def main() -> None:
        others = Others(AT, controls=lambda: [folder / "c"])
        command = {"command": "snapshot-save", "who": f"/x (pid {os.getpid()}, uid 0)", "for_s": 2}
        with answering(folder / "c", status(running=command)):
            others.text(since(95))
            await until(lambda: others._told)
        assert others.text(since(95), running("qmp snapshot-save", SAVE)) == ""

    asyncio.run(main())


@pytest.mark.parametrize(
    ("address", "name", "found"),
    [
        (UnixAddress("/l"), None, "a"),
        (UnixAddress("/q2"), None, "long-name"),
        (UnixAddress("/none"), "long-name", "long-name"),
        (UnixAddress("/none"), "vm", None),
        (UnixAddress("/none"), None, None),
    ],
)
def test_vm_is_known_by_a_socket_or_a_name(folder: Path, address: UnixAddress, name: str | None, found: str | None) -> None:
    with answering(folder / "c", status()):
        vm = served_at(address, name, [folder / "c"])
    assert (None if vm is None else vm.name) == found
