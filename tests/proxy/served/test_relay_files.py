"""What a relay does with files: the audit log, and the descriptors that clients pass."""

import os
import socket
from pathlib import Path
from typing import TextIO

import pytest

from tests.fakes.qemu import FakeQEMU, When
from tests.support.proxy.running_vm_proxy import RunningServer, connected, in_thread, played, until


def null() -> TextIO:
    return open("/dev/null")


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_full_disk_is_reported_and_the_command_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            assert await in_thread(client.hmp, "savevm t") == ""
            assert await in_thread(client.hmp, "info x") != ""
        assert caplog.text.count("cannot write the audit log /dev/full: No space left on device") == 1

    played(scene, audit="/dev/full")


def test_record_is_written_before_the_answer() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            for number in range(20):

                def ask(number: int = number) -> int:
                    client.hmp(f"savevm t{number}")
                    return len(Path(server.audit_path).read_text().splitlines())

                assert await in_thread(ask) == number + 1

    played(scene)


def test_descriptors_of_a_client_that_leaves_are_not_kept() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        before = count_descriptors()
        with null() as file:
            for raw in (b'{"execute":"getfd"', b'{"execute":"query-name"}', b"  ", b'{"execute":"getfd"'):
                with await connected(server.path) as client:
                    socket.send_fds(client.socket, [raw], [file.fileno()] * 3)
        await until(lambda: count_descriptors() == before)

    played(scene)


def test_descriptors_that_wait_are_closed_when_qemu_goes() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        before = count_descriptors()
        qemu.hold("getfd", When.RECEIVED)
        with null() as file:
            clients = [await connected(server.path) for _ in range(3)]
            for client in clients:
                socket.send_fds(client.socket, [b'{"execute":"getfd","arguments":{}}'], [file.fileno()] * 2)
            await qemu.reached("getfd")
            qemu.disconnect()
            qemu.release()
            for client in clients:
                await in_thread(client.expect_eof)
                client.close()
        await until(lambda: qemu.client_count == 2)
        await until(lambda: count_descriptors() == before)

    played(scene)
