"""Clients that type at the proxy's own monitor: to QEMU, the rules and the log they are clients as any other."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import pytest

from proxy.human_clients import human_stream as module
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.raw_client import DEADLINE_S
from tests.support.running_vm_proxy import RunningServer, in_thread

BANNER: Final = b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) "
PROMPT: Final = b"(qemu) "


def shown(line: str) -> bytes:
    """Return what the monitor prints for a line that is typed to its end."""
    steps = [line[:1] + "\x1b[K"]
    for length in range(2, len(line) + 1):
        steps.append("\x1b[D" * (length - 1) + line[:length] + "\x1b[K")
    return "".join(steps).encode() + b"\r\n"


def typed(path: str, keys: bytes) -> bytes:
    """Type all of it, send no more, and return what was printed."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(path)
        client.sendall(keys)
        client.shutdown(socket.SHUT_WR)
        return received(client)


def received(client: socket.socket) -> bytes:
    printed = b""
    try:
        while data := client.recv(1 << 16):
            printed += data
    except ConnectionResetError:
        pass
    return printed


def played(conversation: Callable[[str], None], *options: str) -> list[tuple[str | None, str]]:
    """Have a conversation with the monitor at a path; return what is on record."""

    async def run() -> list[tuple[str | None, str]]:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}", *options, has_prompt=True) as server:
            await in_thread(conversation, server.hmp_path)
            return server.actions()

    return asyncio.run(run())


def test_command_is_run_and_its_output_shown() -> None:
    def conversation(path: str) -> None:
        assert typed(path, b"savevm t\ndelvm t\n") == BANNER + shown("savevm t") + PROMPT + shown("delvm t") + PROMPT

    assert played(conversation) == [("savevm t", "rewritten"), ("delvm t", "rewritten")]


def test_failure_is_hmps_text_whatever_the_style_of_errors() -> None:
    def conversation(path: str) -> None:
        error = b"Error: Snapshot 'no' does not exist in one or more devices\r\n"
        assert typed(path, b"loadvm no\n") == BANNER + shown("loadvm no") + error + PROMPT

    played(conversation, "--errors", "qmp")


def test_what_is_denied_is_told_as_hmp_tells_errors() -> None:
    def conversation(path: str) -> None:
        printed = typed(path, b"savevm t\n")
        assert printed.startswith(BANNER + shown("savevm t") + b"Error: ")
        assert printed.endswith(b" is not allowed here\r\n" + PROMPT)

    assert played(conversation, "--rule", "deny savevm") == [("savevm t", "refused")]


def test_half_a_line_is_echoed_and_not_run() -> None:
    def conversation(path: str) -> None:
        assert typed(path, b"savevm t") == BANNER + shown("savevm t")[:-2]

    assert played(conversation) == []


def test_nothing_is_printed_while_a_command_runs() -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}", has_prompt=True) as server:
            qemu.hold("snapshot-save")
            printing = asyncio.create_task(asyncio.to_thread(typed, server.hmp_path, b"savevm t\nsavevm u\n"))
            await qemu.reached("snapshot-save")
            assert [command["arguments"]["tag"] for command in qemu.received if command["execute"] == "snapshot-save"] == ["t"]
            qemu.release()
            assert await printing == BANNER + shown("savevm t") + PROMPT + shown("savevm u") + PROMPT

    asyncio.run(run())


def test_clients_have_a_line_and_a_history_of_their_own() -> None:
    def conversation(path: str) -> None:
        with socket.socket(socket.AF_UNIX) as other:
            other.settimeout(DEADLINE_S)
            other.connect(path)
            other.sendall(b"del")
            assert typed(path, b"savevm t\n\x1b[A\n").count(shown("savevm t")) == 1
            other.sendall(b"vm t\n\x1b[A\x1b[A")
            other.shutdown(socket.SHUT_WR)
            printed = received(other)
            assert printed.startswith(BANNER + shown("delvm t") + PROMPT)
            assert b"savevm" not in printed

    assert played(conversation) == [("savevm t", "rewritten"), ("savevm t", "delegated"), ("delvm t", "rewritten")]


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
            assert typed(path, b"savevm t\n") == BANNER + shown("savevm t") + PROMPT

    assert played(conversation) == [("savevm t", "rewritten")]


def test_descriptors_are_closed_and_end_nothing() -> None:
    def conversation(path: str) -> None:
        ours, theirs = socket.socketpair()
        with ours, socket.socket(socket.AF_UNIX) as client:
            ours.settimeout(DEADLINE_S)
            client.settimeout(DEADLINE_S)
            client.connect(path)
            socket.send_fds(client, [b"delvm t\n"], [theirs.fileno()])
            theirs.close()
            assert ours.recv(1) == b""
            client.shutdown(socket.SHUT_WR)
            assert received(client).endswith(shown("delvm t") + PROMPT)

    played(conversation)
