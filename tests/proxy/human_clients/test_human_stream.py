"""Clients that type at the proxy's own monitor: to QEMU, the rules and the log they are clients as any other."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from proxy.human_clients import human_stream as module
from proxy.human_clients import typed_commands
from proxy.human_clients.succession import Succession
from proxy.net.closing import close_descriptors
from proxy.net.ends import SocketEnd
from proxy.qmp_json.messages import LINES
from shim.qmp import Execute
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.fakes.vm import DEBIAN_12
from tests.support.proxy.running_vm_proxy import RunningServer, in_thread, until
from tests.support.raw_client import DEADLINE_S
from tests.support.routing.keyboard import echo, received, typed

BANNER: Final = b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) "
PROMPT: Final = b"(qemu) "
GOES_ON: Final = "terminal does not allow synchronous migration, continuing detached\r\n"


def played(conversation: Callable[[str], None], *options: str) -> list[tuple[str | None, str]]:
    """Have a conversation with the monitor at a path; return what is on record."""

    async def run() -> list[tuple[str | None, str]]:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}", *options, has_prompt=True) as server:
            await in_thread(conversation, server.hmp_path)
            return server.actions()

    return asyncio.run(run())


def test_command_is_run_and_its_output_shown() -> None:
    def conversation(path: str) -> None:
        assert typed(path, b"savevm t\ndelvm t\n") == BANNER + echo(b"savevm t") + PROMPT + echo(b"delvm t") + PROMPT

    assert played(conversation) == [("savevm t", "rewritten"), ("delvm t", "rewritten")]


def test_failure_is_hmps_text_whatever_the_style_of_errors() -> None:
    def conversation(path: str) -> None:
        error = b"Error: Snapshot 'no' does not exist in one or more devices\r\n"
        assert typed(path, b"loadvm no\n") == BANNER + echo(b"loadvm no") + error + PROMPT

    played(conversation, "--errors", "qmp")


def test_what_is_denied_is_told_as_hmp_tells_errors() -> None:
    def conversation(path: str) -> None:
        printed = typed(path, b"savevm t\n")
        assert printed.startswith(BANNER + echo(b"savevm t") + b"Error: ")
        assert printed.endswith(b" is not allowed here\r\n" + PROMPT)

    assert played(conversation, "--rule", "deny savevm") == [("savevm t", "refused")]


def test_half_a_line_is_echoed_and_not_run() -> None:
    def conversation(path: str) -> None:
        assert typed(path, b"savevm t") == BANNER + echo(b"savevm t")[:-2]

    assert played(conversation) == []


def test_nothing_is_printed_while_a_command_runs() -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}", has_prompt=True) as server:
            qemu.hold("snapshot-save")
            printing = asyncio.create_task(asyncio.to_thread(typed, server.hmp_path, b"savevm t\nsavevm u\n"))
            await qemu.reached("snapshot-save")
            assert [command["arguments"]["tag"] for command in qemu.received if command["execute"] == "snapshot-save"] == ["t"]
            qemu.release()
            assert await printing == BANNER + echo(b"savevm t") + PROMPT + echo(b"savevm u") + PROMPT

    asyncio.run(run())


def test_clients_have_a_line_and_a_history_of_their_own() -> None:
    def conversation(path: str) -> None:
        with socket.socket(socket.AF_UNIX) as other:
            other.settimeout(DEADLINE_S)
            other.connect(path)
            other.sendall(b"del")
            assert typed(path, b"savevm t\n\x1b[A\n").count(echo(b"savevm t")) == 1
            other.sendall(b"vm t\n\x1b[A\x1b[A")
            other.shutdown(socket.SHUT_WR)
            printed = received(other)
            assert printed.startswith(BANNER + echo(b"delvm t") + PROMPT)
            assert b"savevm" not in printed

    assert played(conversation) == [("savevm t", "rewritten"), ("savevm t", "delegated"), ("delvm t", "rewritten")]


def test_client_finds_what_the_one_before_it_left() -> None:
    """The history and the position in it, and not what it did not end. One that has typed nothing leaves nothing."""

    def conversation(path: str) -> None:
        with socket.socket(socket.AF_UNIX) as silent:
            silent.settimeout(DEADLINE_S)
            silent.connect(path)
            typed(path, b"delvm t\ninfo name\n\x1b[A\x1b[Axy\x1b[")
            silent.shutdown(socket.SHUT_WR)
            assert received(silent) == BANNER
        assert typed(path, b"A\x1b[B\n").startswith(BANNER + b"A\x1b[K" + b"\x1b[Dinfo name\x1b[K\r\n")

    assert [line for line, _ in played(conversation)] == ["delvm t", "info name", "info name"]


def test_bytes_that_json_cannot_carry_are_refused() -> None:
    def conversation(path: str) -> None:
        assert typed(path, b"\xff\n").endswith(b"\r\nError: hmpshim cannot pass on what is not UTF-8\r\n" + PROMPT)

    assert played(conversation) == []


def test_client_that_does_not_read_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_UNSENT_BYTES", 1024)

    def conversation(path: str) -> None:
        with socket.socket(socket.AF_UNIX) as stuck:
            stuck.connect(path)
            stuck.sendall(b"x" * 4095)  # 33 MB on its screen
            assert typed(path, b"savevm t\n") == BANNER + echo(b"savevm t") + PROMPT

    assert played(conversation) == [("savevm t", "rewritten")]


def test_descriptor_that_no_getfd_takes_is_closed_with_its_client() -> None:
    """Or when another comes; of several, all but the first at once."""

    def conversation(path: str) -> None:
        pairs = [socket.socketpair() for _ in range(3)]
        theirs = [one for _, one in pairs]
        with pairs[0][0] as first, pairs[1][0] as second, pairs[2][0] as third, socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            client.connect(path)
            socket.send_fds(client, [b"delvm t\n"], [one.fileno() for one in theirs[:2]])
            assert second_is_closed(theirs[1], second)
            socket.send_fds(client, [b"delvm t\n"], [theirs[2].fileno()])
            assert second_is_closed(theirs[0], first)
            client.shutdown(socket.SHUT_WR)
            assert received(client).endswith(echo(b"delvm t") + PROMPT)
            assert second_is_closed(theirs[2], third)

    def second_is_closed(ours: socket.socket, other: socket.socket) -> bool:
        ours.close()
        other.settimeout(DEADLINE_S)
        return other.recv(1) == b""

    played(conversation)


# -- by hand: what the relay would do ------------------------------------------------------------------------------------


class Owner:
    """The stream's owner, which answers by hand. asked: what the client has sent in QMP; passed: the descriptors with it."""

    def __init__(self, end: SocketEnd) -> None:
        self.asked: list[dict[str, Any]] = []
        self.passed: list[tuple[int, ...]] = []
        self.has_left = self.has_failed = False
        self.stream = module.HumanStream(
            end,
            succession=Succession(DEBIAN_12),
            monitor_format=LINES,
            on_data=self._take,
            on_eof=self._leave,
            on_drained=lambda: None,
            on_failure=self._give_up,
        )

    def _take(self, data: bytes, descriptors: tuple[int, ...]) -> None:
        self.asked.append(json.loads(data))
        self.passed.append(descriptors)

    def _leave(self) -> None:
        self.has_left = True

    def _give_up(self) -> None:
        self.has_failed = True

    async def answer(self, execute: str, reply: dict[str, Any]) -> dict[str, Any]:
        """Answer the next command, which must be this one; return its arguments."""
        await until(lambda: self.asked)
        command = self.asked.pop(0)
        assert command["execute"] == execute
        self.stream.write(json.dumps(reply).encode() + b"\r\n")
        arguments: dict[str, Any] = command.get("arguments", {})
        return arguments


def by_hand(scene: Callable[[Owner, socket.socket], Awaitable[None]]) -> None:
    async def run() -> None:
        ours, peer = socket.socketpair()
        with peer:
            peer.settimeout(DEADLINE_S)
            owner = Owner(SocketEnd(ours))
            owner.stream.write(b'{"QMP": {}}\r\n')
            owner.stream.start()
            await owner.answer("qmp_capabilities", {"return": {}})
            await scene(owner, peer)
            owner.stream.close()

    asyncio.run(run())


async def printed_to(peer: socket.socket, end: bytes) -> bytes:
    """Read to where this is printed."""
    printed = b""
    while not printed.endswith(end):
        data = await in_thread(peer.recv, 1 << 16)
        assert data, printed
        printed += data
    return printed


def test_quit_is_followed_by_the_end_and_no_prompt() -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"quit\ninfo name\n")
        assert await owner.answer("human-monitor-command", {"return": ""}) == {"command-line": "quit"}
        owner.stream.write(b'{"timestamp": {}, "event": "SHUTDOWN"}\r\n')
        assert await printed_to(peer, echo(b"quit")) == BANNER + echo(b"quit")
        owner.stream.finish(lambda: None)
        assert await in_thread(received, peer) == b""

    by_hand(scene)


def test_quit_that_fails_is_followed_by_a_prompt() -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"q x\n")
        await owner.answer("human-monitor-command", {"return": "q: extraneous characters at the end of line\r\n"})
        await printed_to(peer, b"end of line\r\n" + PROMPT)

    by_hand(scene)


def test_password_is_asked_for_and_set() -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"change vnc password\nab\n")
        await owner.answer("human-monitor-command", {"return": "terminal does not support password prompting\r\n"})
        assert await owner.answer("change-vnc-password", {"return": {}}) == {"password": "ab"}
        printed = await printed_to(peer, PROMPT)
        while b"**" not in printed:
            printed += await printed_to(peer, PROMPT)
        assert b"Password: *" in printed

    by_hand(scene)


@pytest.mark.parametrize(
    ("keys", "asked", "output", "completed"),
    [
        (b"sav\t", "help", "savevm tag -- save\r\nstop  -- stop\r\n", b"savevm "),
        (b"info ver\t", "help info", "info version  -- show the version\r\n", b"info version "),
    ],
)
def test_names_are_completed_from_help(keys: bytes, asked: str, output: str, completed: bytes) -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(keys)
        assert await owner.answer("human-monitor-command", {"return": output}) == {"command-line": asked}
        await printed_to(peer, completed + b"\x1b[K")

    by_hand(scene)


def test_arguments_are_completed() -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"drive_del d\tx\n")
        await owner.answer("query-block", {"return": [{"device": "d0"}, {"device": ""}, {"device": "cd"}]})
        assert await owner.answer("human-monitor-command", {"return": ""}) == {"command-line": "drive_del d0 x"}

    by_hand(scene)


def test_arguments_that_nobody_tells_are_not_completed() -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"device_add \tx\n")
        assert await owner.answer("human-monitor-command", {"return": ""}) == {"command-line": "device_add x"}

    by_hand(scene)


def test_answer_is_printed_though_the_end_comes_with_it() -> None:
    """QEMU is killed, say. What was typed after it is not begun."""

    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"info name\ninfo uuid\n")
        await owner.answer("human-monitor-command", {"return": "vm\r\n"})
        owner.stream.finish(lambda: None)
        assert await in_thread(received, peer) == BANNER + echo(b"info name") + b"vm\r\n" + PROMPT
        assert owner.asked == []
        assert not owner.has_failed

    by_hand(scene)


def test_answer_is_printed_though_much_is_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"info name\n")
        await until(lambda: owner.asked)
        monkeypatch.setattr(module, "_MOST_UNSENT_BYTES", -1)
        await owner.answer("human-monitor-command", {"return": "vm\r\n"})
        assert await printed_to(peer, b"vm\r\n" + PROMPT)

    by_hand(scene)


def test_descriptor_goes_with_getfd() -> None:
    """Whichever line it came with; the next one has none."""

    async def scene(owner: Owner, peer: socket.socket) -> None:
        ours, theirs = socket.socketpair()
        with ours:
            ours.settimeout(DEADLINE_S)
            socket.send_fds(peer, [b"info name\ngetfd a\ngetfd b\n"], [theirs.fileno()])
            theirs.close()
            await owner.answer("human-monitor-command", {"return": ""})
            assert await owner.answer("getfd", {"return": {}}) == {"fdname": "a"}
            assert await owner.answer("human-monitor-command", {"return": ""}) == {"command-line": "getfd b"}
            assert [len(descriptors) for descriptors in owner.passed] == [0, 0, 1, 0]
            close_descriptors(owner.passed[2])
            assert await in_thread(ours.recv, 1) == b""

    by_hand(scene)


def test_prompt_comes_when_the_migration_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed meanwhile is not read."""
    monkeypatch.setattr(typed_commands, "_LOOK_AGAIN_S", 0.0)

    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"migrate tcp:x\ninfo name\n")
        await owner.answer("human-monitor-command", {"return": f"a hint\r\n{GOES_ON}"})
        for status in ("setup", "active"):
            await owner.answer("query-migrate", {"return": {"status": status}})
        await until(lambda: owner.asked)
        assert await printed_to(peer, echo(b"migrate tcp:x")) == BANNER + echo(b"migrate tcp:x")
        assert owner.stream.read_count == 3  # it is not idle
        await owner.answer("query-migrate", {"return": {"status": "completed"}})
        assert (await printed_to(peer, echo(b"info name"))).startswith(b"a hint\r\n" + PROMPT)

    by_hand(scene)


def test_client_that_goes_while_its_migration_runs_is_waited_for_no_more() -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"migrate tcp:x\n")
        await owner.answer("human-monitor-command", {"return": GOES_ON})
        await owner.answer("query-migrate", {"return": {"status": "active"}})
        peer.close()
        await until(lambda: owner.has_left)

    by_hand(scene)


def test_cpu_goes_with_each_command() -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"cpu 1\nx 0\n")
        assert await owner.answer("human-monitor-command", {"return": ""}) == {"command-line": "cpu 1"}
        assert await owner.answer("human-monitor-command", {"return": ""}) == {"command-line": "x 0", "cpu-index": 1}

    by_hand(scene)


def test_long_line_is_echoed_as_fast_as_it_is_read() -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"x" * 2000 + b"\n")
        peer.shutdown(socket.SHUT_WR)
        reading = asyncio.create_task(printed_to(peer, b"no\r\n" + PROMPT))
        assert await owner.answer("human-monitor-command", {"return": "no\r\n"}) == {"command-line": "x" * 2000}
        assert len(await reading) > 4 * 2000 * 1000
        await until(lambda: owner.has_left)

    by_hand(scene)


def test_nothing_is_asked_once_it_is_closed() -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"info name\ninfo uuid\n")
        await owner.answer("human-monitor-command", {"return": ""})
        owner.stream.close()
        await asyncio.sleep(0)
        owner.stream._ask(Execute("stop"), lambda _: None)
        assert owner.asked == []

    by_hand(scene)


def test_client_that_hangs_up_at_once_gets_its_first_command_done() -> None:
    """As natively, where that is a race; nothing more of it is begun."""

    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"savevm t\nquit\n")
        peer.close()
        assert await owner.answer("human-monitor-command", {"return": ""}) == {"command-line": "savevm t"}
        await until(lambda: owner.has_left)
        assert owner.asked == []

    by_hand(scene)


def test_client_that_hangs_up_while_its_command_runs_has_left() -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"savevm t\n")
        await until(lambda: owner.asked)
        peer.close()
        await until(lambda: owner.has_left)

    by_hand(scene)


def test_failure_of_ours_ends_the_client(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"info name\n")
        await owner.answer("human-monitor-command", {"return": 5})  # no text: what cannot be
        await until(lambda: owner.has_failed)

    by_hand(scene)
    assert "a connection is given up" in caplog.messages


def test_client_that_hangs_up_before_an_answer_has_nothing_more_begun() -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"savevm t\nquit\n")
        await until(lambda: owner.asked)
        peer.close()
        await owner.answer("human-monitor-command", {"return": ""})
        await until(lambda: owner.has_left)
        assert owner.asked == []

    by_hand(scene)


def test_answer_that_comes_after_the_hang_up_changes_nothing() -> None:
    async def scene(owner: Owner, peer: socket.socket) -> None:
        peer.sendall(b"savevm t\n")
        await until(lambda: owner.asked)
        peer.close()
        await until(lambda: owner.has_left)
        owner.has_left = False
        await owner.answer("human-monitor-command", {"return": ""})
        for _ in range(10):
            await asyncio.sleep(0)
        assert not owner.has_left

    by_hand(scene)


def test_what_is_typed_before_the_negotiation_waits() -> None:
    async def run() -> None:
        ours, peer = socket.socketpair()
        with peer:
            peer.settimeout(DEADLINE_S)
            owner = Owner(SocketEnd(ours))
            peer.sendall(b"info name\n")
            owner.stream.start()
            await until(lambda: owner.stream.read_count)
            await owner.answer("qmp_capabilities", {"return": {}})
            await owner.answer("human-monitor-command", {"return": "vm\r\n"})
            assert await printed_to(peer, b"vm\r\n" + PROMPT) == BANNER + echo(b"info name") + b"vm\r\n" + PROMPT
            assert not owner.has_failed
            owner.stream.close()

    asyncio.run(run())
