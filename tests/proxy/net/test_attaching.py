"""A monitor of the proxy's own beside a tool's: how it comes and goes. tests/integration has a real QEMU."""

import asyncio
import contextlib
import errno
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, TypeAlias

import pytest

from host.net.addresses import UnixAddress
from host.settings.config import VMConfig
from proxy.errors import AttachError, UpstreamError
from proxy.net.attaching import MONITOR_PREFIX, AttachedUpstream, upstream_of
from proxy.net.certificates import Certificates, load
from proxy.net.qmp_connection import QMPConnection
from proxy.net.upstream import Upstream
from shim.qmp import Execute, QEMUVersion, ReturnReply
from tests.fakes.attachable_qemu import AttachableQEMU, Chardev
from tests.support.proxy.running_vm_proxy import in_thread, until
from tests.support.raw_client import RawClient

NEGOTIATION: Final = ["qmp_capabilities", "query-commands", "query-name"]
BORROWED: Final = [*NEGOTIATION, "query-chardev"]
ADDED: Final = ["getfd", "chardev-add", "object-add"]
Scene: TypeAlias = Callable[[AttachableQEMU, Upstream], Coroutine[Any, Any, None]]


def of_vm(config: VMConfig) -> Upstream:
    return upstream_of(config, map("id-{}".format, itertools.count()).__next__, Certificates(load(config)))


def play(qemu: AttachableQEMU, scene: Scene) -> None:
    async def run() -> None:
        async with qemu:
            path = UnixAddress(qemu.path)
            upstream = of_vm(VMConfig(path, attach=path))
            try:
                await scene(qemu, upstream)
            finally:
                upstream.close()

    asyncio.run(run())


@contextlib.asynccontextmanager
async def attached(upstream: Upstream) -> AsyncIterator[QMPConnection]:
    connection = await upstream.connect()
    try:
        yield connection
    finally:
        connection.close()


def greeted(path: str) -> bool:
    """Come as a tool, and be served."""
    with RawClient.connect(path) as tool:
        return "QMP" in tool.negotiate()


def test_vm_that_is_attached_to_has_a_kind_of_its_own() -> None:
    path = UnixAddress("/q")
    assert isinstance(of_vm(VMConfig(path, attach=path)), AttachedUpstream)
    assert type(of_vm(VMConfig(path, take_over=path))) is Upstream


def test_socket_is_borrowed_and_given_back() -> None:
    async def scene(qemu: AttachableQEMU, upstream: Upstream) -> None:
        async with attached(upstream) as connection:
            assert qemu.commands() == [*BORROWED, *ADDED]
            (label,) = qemu.chardevs
            assert label.startswith(MONITOR_PREFIX)
            assert qemu.commands(label) == NEGOTIATION
            assert connection.monitor.vm == f"unix:{qemu.path}"
            assert await in_thread(greeted, qemu.path)
            (reply,) = await connection.execute([Execute("query-status")])
            assert isinstance(reply, ReturnReply)
            assert qemu.commands(label)[-1] == "query-status"
        await until(lambda: not qemu.chardevs)
        assert not qemu.descriptors

    play(AttachableQEMU(), scene)


def test_each_connection_has_a_monitor_with_an_id_of_its_own() -> None:
    async def scene(qemu: AttachableQEMU, upstream: Upstream) -> None:
        async with attached(upstream), attached(upstream):
            assert len(qemu.chardevs) == 2
            assert "object-del" not in qemu.commands()

    play(AttachableQEMU(), scene)


def test_older_qemu_is_refused_and_left_as_it_was() -> None:
    async def scene(qemu: AttachableQEMU, upstream: Upstream) -> None:
        with pytest.raises(AttachError) as caught:
            await upstream.connect()
        reason = "it is QEMU 10.2.50, and only 11.1 or newer can add a monitor; take over its socket instead"
        assert str(caught.value) == f"cannot attach to QEMU at unix:{qemu.path}: {reason}"
        assert caught.value.exit_status == 4
        assert qemu.commands() == NEGOTIATION
        assert await in_thread(greeted, qemu.path)

    play(AttachableQEMU(version=QEMUVersion(10, 2, 50)), scene)


@pytest.mark.parametrize("command", ADDED)
def test_qemu_that_does_not_take_a_monitor_is_left_as_it_was(command: str) -> None:
    async def scene(qemu: AttachableQEMU, upstream: Upstream) -> None:
        with pytest.raises(AttachError, match=r"cannot attach to QEMU at .*: a monitor cannot be added: not today$"):
            await upstream.connect()
        assert (qemu.chardevs, qemu.descriptors) == ({}, {})
        assert await in_thread(greeted, qemu.path)

    play(AttachableQEMU(refused={command: "not today"}), scene)


@pytest.mark.parametrize("has_monitor", [True, False])
def test_what_a_dead_proxy_left_is_removed(has_monitor: bool) -> None:
    async def scene(qemu: AttachableQEMU, upstream: Upstream) -> None:
        ours, others = f"{MONITOR_PREFIX}dead-1", "serial0"
        qemu.chardevs = {ours: Chardev(monitor=has_monitor), others: Chardev(monitor=True)}
        async with attached(upstream):
            assert qemu.commands() == [*BORROWED, "object-del", "chardev-remove", *ADDED]
            assert ours not in qemu.chardevs
            assert others in qemu.chardevs

    play(AttachableQEMU(), scene)


def test_monitor_that_qemu_failed_to_remove_is_removed_by_the_next_connection() -> None:
    async def scene(qemu: AttachableQEMU, upstream: Upstream) -> None:
        async with attached(upstream):
            (first,) = qemu.chardevs
        await until(lambda: qemu.chardevs[first].sock is None)
        async with attached(upstream):
            assert len(qemu.chardevs) == 1
            assert first not in qemu.chardevs

    play(AttachableQEMU(deletes=False), scene)


def test_qemu_that_does_not_tell_its_chardevs_is_attached_to() -> None:
    async def scene(qemu: AttachableQEMU, upstream: Upstream) -> None:
        async with attached(upstream):
            assert len(qemu.chardevs) == 1

    play(AttachableQEMU(refused={"query-chardev": "not for you"}), scene)


def test_descriptors_have_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def scene(qemu: AttachableQEMU, upstream: Upstream) -> None:
        monkeypatch.setattr(socket, "socketpair", refuse)
        with pytest.raises(UpstreamError, match="Too many open files"):
            await upstream.connect()
        monkeypatch.undo()
        assert await in_thread(greeted, qemu.path)

    play(AttachableQEMU(), scene)
