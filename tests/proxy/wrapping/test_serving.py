"""The proxy's process of one QEMU, in a thread of this one: its standard streams, failures, and its end."""

import asyncio
import logging
import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
import termios
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from host.audit_log.log import open_audit_log
from host.net.addresses import DescriptorAddress, UnixAddress
from host.settings.config import NEGOTIATION_TIMEOUT_S, AuditSettings, VMConfig
from host.settings.listener import Terms
from proxy.wrapping.children import FAILED, Parent, close_all
from proxy.wrapping.doors import open_door
from proxy.wrapping.invocation import WrapInvocation
from proxy.wrapping.loading import Load
from proxy.wrapping.serving import Serving
from proxy.wrapping.start import Start
from shim.client import Client
from shim.rules.permissions import Role
from tests.fakes.qemu import FakeQEMU, Snapshot, disk
from tests.support.processes.wrapped_monitors import line_of
from tests.support.proxy.running_vm_proxy import exists, in_thread, until
from tests.support.raw_client import DEADLINE_S, RawClient

QMP = "-qmp unix:q,server=on,wait=off"
STARTER = Client(os.getpid(), os.getuid(), "/usr/bin/tool")
NULL = "/dev/null"


@pytest.fixture(autouse=True)
def _process_is_as_before(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """And its working directory has a short path (unix(7): 107 bytes)."""
    level, limit, handlers = logging.getLogger().level, sys.getrecursionlimit(), logging.getLogger().handlers[:]
    handled = [(number, signal.getsignal(number)) for number in (signal.SIGCONT, signal.SIGTTOU)]
    kept = [os.dup(number) for number in range(3)]
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as name:
        monkeypatch.chdir(name)
        yield
    for number, copy in enumerate(kept):
        os.dup2(copy, number)
        os.close(copy)
    logging.getLogger().setLevel(level)
    logging.getLogger().handlers[:] = handlers
    sys.setrecursionlimit(limit)
    for signal_number, handler in handled:
        signal.signal(signal_number, handler)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """What stands for QEMU's process."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def serving_of(control: socket.socket, words: str = QMP, **members: Any) -> Serving:
    usual: dict[str, Any] = {
        "invocation": WrapInvocation("qemu", ()),
        "start": Start([], control),
        "doors": [open_door(monitor) for monitor in line_of(words).served],
        "starter": STARTER,
        "program": "qemu-x",
        "qemu": -1,
        "parent": None,
        "load": None,
        "audit_log": None,
        "detaches": False,
        "has_terminal": False,
    }
    return Serving(**usual | members)


def play(scene: Callable[[FakeQEMU, Serving, Awaitable[None]], Awaitable[None]], words: str = QMP, **members: Any) -> None:
    """Play a scene beside a proxy that serves a modelled QEMU. It is given what ends when the proxy does."""

    async def run() -> None:
        async with FakeQEMU(disk("d0", snapshots=[Snapshot("1", "t", vm_state_size=1)])) as qemu:
            control = socket.socket(socket.AF_UNIX)
            control.connect(qemu.path)
            serving = serving_of(control, words, **members)
            await scene(qemu, serving, asyncio.ensure_future(in_thread(serving.run)))

    asyncio.run(run())


def connected() -> RawClient:
    client = RawClient.connect("q")
    client.negotiate()
    return client


def targets(*numbers: int) -> list[str]:
    return [os.readlink(f"/proc/self/fd/{number}") for number in numbers]


def test_qemu_is_served_to_its_end() -> None:
    settings = AuditSettings(str(Path("log").absolute()))
    config = VMConfig(DescriptorAddress(0), audit=settings)

    async def scene(qemu: FakeQEMU, serving: Serving, run: Awaitable[None]) -> None:
        with await in_thread(connected) as client:
            # What its reader waits for is QEMU's end.
            assert targets(0, 1) == [NULL, NULL]
            assert await in_thread(client.hmp, "savevm u") == ""
            qemu.disconnect()
            await in_thread(client.expect_eof)
        await run

    play(scene, audit_log=open_audit_log(settings), invocation=WrapInvocation("qemu", (), config))
    assert not os.path.exists("q")
    assert "savevm u" in Path("log").read_text()


def test_records_that_are_lost_are_told_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    settings = AuditSettings("/dev/full")
    config = VMConfig(DescriptorAddress(0), audit=settings)

    async def scene(qemu: FakeQEMU, serving: Serving, run: Awaitable[None]) -> None:
        with await in_thread(connected) as client:
            assert await in_thread(client.hmp, "savevm u") == ""
        qemu.disconnect()
        await run

    play(scene, audit_log=open_audit_log(settings), invocation=WrapInvocation("qemu", (), config))
    assert "audit log /dev/full: records lost at its end that no later record reports: 1" in caplog.messages


@pytest.mark.parametrize(("is_verbose", "level"), [(False, logging.INFO), (True, logging.DEBUG)])
def test_verbosity_is_that_of_the_invocation(is_verbose: bool, level: int) -> None:
    async def scene(qemu: FakeQEMU, serving: Serving, run: Awaitable[None]) -> None:
        (await in_thread(connected)).close()
        assert logging.getLogger().level == level
        qemu.disconnect()
        await run

    play(scene, invocation=WrapInvocation("qemu", (), is_verbose=is_verbose))


def test_qemu_that_ends_at_its_start_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    control, theirs = socket.socketpair()
    theirs.close()
    serving_of(control).run()
    assert caplog.messages == []
    assert not os.path.exists("q")


def test_standard_input_that_is_closed_leads_to_nothing() -> None:
    control, theirs = socket.socketpair()
    theirs.close()
    serving = serving_of(control)
    os.close(0)
    serving.run()
    assert targets(0, 1) == [NULL, NULL]


def test_what_is_no_qemu_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    control, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b'{"hello": 1}\r\n')
        serving_of(control).run()
    assert "does not answer as a QMP server" in caplog.text


# -- settings -------------------------------------------------------------------------------------------------------------


def test_settings_are_those_of_the_wrapper_with_qemus_addresses() -> None:
    control, theirs = socket.socketpair()
    config = VMConfig(DescriptorAddress(0), name="guest", terms=Terms(role=Role.READ_ONLY), negotiation_timeout_s=7.0)
    words = f"{QMP} -qmp-pretty unix:p,server=on,wait=off -monitor telnet:127.0.0.1:0,server=on,wait=off"
    serving = serving_of(control, words, invocation=WrapInvocation("qemu", (), config))
    with control, theirs:
        found = serving._config()
        assert found.upstream == DescriptorAddress(control.fileno())
        assert found.listen == (UnixAddress("q"), UnixAddress("p"))
        assert found.hmp_listen == (serving.doors[2].address,)
        assert (found.name, found.negotiation_timeout_s) == ("guest", 7.0)
        terms = [found.terms_at(str(address)) for address in (*found.listen, *found.hmp_listen)]
        assert [(each.pretty, each.telnet, each.role) for each in terms] == [
            (False, False, Role.READ_ONLY),
            (True, False, Role.READ_ONLY),
            (False, True, Role.READ_ONLY),
        ]
    for door in serving.doors:
        door.close()


def test_client_may_negotiate_as_late_as_it_likes_where_nothing_is_said() -> None:
    control, theirs = socket.socketpair()
    with control, theirs:
        assert NEGOTIATION_TIMEOUT_S > 0
        assert serving_of(control, "-nodefaults")._config().negotiation_timeout_s == 0


# -- failures of the start ------------------------------------------------------------------------------------------------

MISSING = "qemu-x: Snapshot 'nonesuch' does not exist in one or more devices\n"


def test_failure_of_a_load_kills_a_qemu_that_is_the_started_process(
    sleeper: "subprocess.Popen[bytes]", capfd: pytest.CaptureFixture[str]
) -> None:
    qemu = os.pidfd_open(sleeper.pid)

    async def scene(fake: FakeQEMU, serving: Serving, run: Awaitable[None]) -> None:
        await run

    play(scene, qemu=qemu, load=Load("nonesuch", stays_paused=False))
    os.close(qemu)
    assert sleeper.wait(DEADLINE_S) == -signal.SIGKILL
    assert capfd.readouterr().err.endswith(MISSING)


def test_failure_of_a_load_is_told_to_the_parent(capfd: pytest.CaptureFixture[str]) -> None:
    parent = Parent()

    async def scene(fake: FakeQEMU, serving: Serving, run: Awaitable[None]) -> None:
        await run
        assert fake.vm.has_quit

    play(scene, parent=parent, load=Load("nonesuch", stays_paused=False))
    numbers = (parent.own, parent.to_parent, parent._from_proxy, parent._wait, parent._go_ahead)
    assert os.read(parent._from_proxy, 1) == FAILED
    close_all(numbers)
    assert capfd.readouterr().err.endswith(MISSING)


def test_parent_that_was_killed_takes_qemu_with_it(sleeper: "subprocess.Popen[bytes]") -> None:
    parent = Parent()
    os.close(parent.own)
    with subprocess.Popen(["sleep", "1000"]) as started:
        parent.own = os.pidfd_open(started.pid)
        qemu = os.pidfd_open(sleeper.pid)

        async def scene(fake: FakeQEMU, serving: Serving, run: Awaitable[None]) -> None:
            (await in_thread(connected)).close()
            started.kill()
            await until(lambda: sleeper.poll() is not None)
            fake.disconnect()
            await run

        play(scene, parent=parent, qemu=qemu)
    close_all((parent.own, parent.to_parent, parent._from_proxy, parent._wait, parent._go_ahead, qemu))


@pytest.mark.parametrize("has_parent", [False, True])
def test_daemon_lets_go_of_its_streams_and_its_parent(has_parent: bool) -> None:
    parent = Parent() if has_parent else None
    told = targets(2)

    async def scene(fake: FakeQEMU, serving: Serving, run: Awaitable[None]) -> None:
        (await in_thread(connected)).close()
        assert targets(0, 1, 2) == [NULL] * 3 != told * 3
        if parent is not None:
            assert os.read(parent._from_proxy, 1) == b""
        fake.disconnect()
        await run

    play(scene, parent=parent, detaches=True)
    if parent is not None:
        close_all((parent.own, parent._from_proxy, parent._wait, parent._go_ahead))


# -- standard input and output --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "is_raw"), [("-monitor stdio", True), ("-qmp stdio", False)])
def test_terminal_is_in_order_at_the_end(words: str, is_raw: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # which only a main thread may call
    ours, its = pty.openpty()
    before = termios.tcgetattr(its)
    for number in (0, 1):
        os.dup2(its, number)

    async def scene(fake: FakeQEMU, serving: Serving, run: Awaitable[None]) -> None:
        assert await in_thread(os.read, ours, 4096)
        assert (termios.tcgetattr(its) != before) == is_raw
        fake.disconnect()
        await run

    play(scene, words, has_terminal=True)
    assert termios.tcgetattr(its) == before
    assert os.get_blocking(its)
    os.close(ours)
    os.close(its)


# -- what QEMU has said before its end ------------------------------------------------------------------------------------

EVENTS = 64


async def say_much(qemu: FakeQEMU) -> None:
    """Say 2 MB, more than a pipe or a socket keeps."""
    for _ in range(EVENTS):
        await qemu.send_event("BIG", {"text": "x" * 32 * 1024})


def test_client_that_reads_late_reads_all_that_qemu_has_said() -> None:
    """The path is free by then, and whoever waits for the process that was started waits for QEMU alone."""
    parent = Parent()

    async def scene(qemu: FakeQEMU, serving: Serving, run: Awaitable[None]) -> None:
        with await in_thread(connected) as client:
            await say_much(qemu)
            qemu.disconnect()
            assert await in_thread(os.read, parent._from_proxy, 1) == b""
            assert not exists("q")
            assert (await in_thread(client.expect_eof)).count(b'"BIG"') == EVENTS
        await run

    play(scene, parent=parent)
    close_all((parent.own, parent._from_proxy, parent._wait, parent._go_ahead))


@pytest.mark.parametrize("words", ["-qmp stdio", "-monitor stdio"])
def test_standard_output_that_is_read_late_has_all_that_was_said(words: str) -> None:
    parent = Parent()
    reader, writer = os.pipe()
    keyboard, keys = os.pipe()
    os.dup2(keyboard, 0)
    os.dup2(writer, 1)
    for number in (keyboard, writer):
        os.close(number)

    def rest() -> bytes:
        os.dup2(2, 1)  # ours, which would keep the pipe open
        with open(reader, "rb") as file:
            return file.read()

    async def scene(qemu: FakeQEMU, serving: Serving, run: Awaitable[None]) -> None:
        said = await in_thread(os.read, reader, 4096)
        if words == "-qmp stdio":
            os.write(keys, b'{"execute": "qmp_capabilities"}{"execute": "query-uuid"}')
            await qemu.wait_received("query-uuid")
            await say_much(qemu)
        else:
            # A line's echo grows with the square of its length: 180 KB, more than a pipe keeps.
            os.write(keys, b"x" * 300 + b"\n")
            await qemu.wait_received("human-monitor-command")
        qemu.disconnect()
        assert await in_thread(os.read, parent._from_proxy, 1) == b""
        reading = asyncio.ensure_future(in_thread(rest))
        await run
        said += await reading
        if words == "-qmp stdio":
            assert said.count(b'"BIG"') == EVENTS
        else:
            assert said.count(b"x") >= 300 * 301 // 2

    play(scene, words, parent=parent)
    os.close(keys)
    close_all((parent.own, parent._from_proxy, parent._wait, parent._go_ahead))
