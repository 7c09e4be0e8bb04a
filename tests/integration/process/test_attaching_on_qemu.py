"""The proxy has QEMU add a monitor for it, and leaves the socket that it borrowed to the tool whose it is.

QEMU takes a new monitor from 11.1 on; before that, these tests see that the proxy says so and leaves no trace.
"""

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from host.net.connecting import count_waiting
from proxy.net.attaching import MONITOR_PREFIX
from shim.qmp import QEMUVersion
from tests.integration.proxy_process import ProxyError, ProxyProcess
from tests.integration.qemu_vm import IDLE_ROM, QEMUVM, make_qcow2, snapshots_of
from tests.integration.waiting import until
from tests.support.raw_client import DEADLINE_S, RawClient, command_bytes, negotiated

ATTACHABLE_SINCE: Final = (11, 1)
# A label as one of a proxy that was killed.
DEAD: Final = f"{MONITOR_PREFIX}dead-1"
Scene: TypeAlias = Callable[[QEMUVM], None]

pytestmark = pytest.mark.versions


@pytest.fixture
def vm() -> Iterator[QEMUVM]:
    machine = QEMUVM(["-bios", "rom", "-drive", "if=none,id=d0,file=d0.qcow2,format=qcow2"], observed=True)
    machine.path("rom").write_bytes(IDLE_ROM)
    make_qcow2(machine.path("d0.qcow2"))
    machine.args += ("-qmp", f"unix:{tool_path(machine)},server=on,wait=off")
    with machine:
        yield machine


def tool_path(vm: QEMUVM) -> str:
    """Return where the tool's socket is, by the path that QEMU knows it by."""
    return str(vm.path("tool.sock"))


def a_tool(vm: QEMUVM) -> RawClient:
    return negotiated(RawClient.connect(tool_path(vm)))


def attached(vm: QEMUVM, *options: str) -> ProxyProcess:
    listen = ["--listen", f"unix:{vm.folder}/legacy.sock", "--audit", f"{vm.folder}/audit.jsonl"]
    return ProxyProcess(vm.folder, None, ["--attach", tool_path(vm), *listen, *options])


@contextmanager
def starting(proxy: ProxyProcess) -> Iterator[Callable[[], AbstractContextManager[ProxyProcess]]]:
    """Start a proxy that has to wait; yield what waits until it listens, and ends it where it is left."""

    @contextmanager
    def started() -> Iterator[ProxyProcess]:
        entered.result(DEADLINE_S)
        with ExitStack() as stack:
            stack.push(proxy)
            yield proxy

    with ThreadPoolExecutor(1) as pool:
        entered = pool.submit(proxy.__enter__)
        yield started


def play(vm: QEMUVM, qemu_version: QEMUVersion, scene: Scene) -> None:
    """Play a scene where QEMU takes new monitors; elsewhere see that the proxy says so, and leaves everything as it was."""
    if qemu_version >= ATTACHABLE_SINCE:
        scene(vm)
        return
    proxy = attached(vm, "--wait")
    with pytest.raises(ProxyError, match="ended at once"):
        proxy.__enter__()
    assert proxy.wait_gone() == 4
    reason = f"it is QEMU {qemu_version}, and only 11.1 or newer can add a monitor; take over its socket instead"
    assert proxy.stderr == f"hmp-proxy: cannot attach to QEMU at unix:{tool_path(vm)}: {reason}\n"
    assert added(vm) == []
    with a_tool(vm) as tool:
        assert tool.returned("query-status")["status"] == "running"


def added(vm: QEMUVM) -> list[str]:
    """Return the monitors, and then the character devices, that proxies have added and not removed."""
    with vm.negotiated(observer=True) as observer:
        names = [entry["name"] for entry in observer.returned("qom-list", {"path": "/objects"})]
        names += [entry["label"] for entry in observer.returned("query-chardev")]
    return [name for name in names if name.startswith(MONITOR_PREFIX)]


def saves(client: RawClient, tag: str) -> bool:
    assert client.hmp(f"savevm {tag}") == ""
    return tag in client.hmp("info snapshots")


def test_tool_keeps_its_socket_and_the_proxy_has_a_monitor(vm: QEMUVM, qemu_version: QEMUVersion) -> None:
    def scene(vm: QEMUVM) -> None:
        inode = os.stat(tool_path(vm)).st_ino
        with a_tool(vm) as tool:
            before = {entry["label"] for entry in tool.returned("query-chardev")}
        with attached(vm) as proxy:
            monitor, chardev = added(vm)
            assert monitor == chardev
            with a_tool(vm) as tool, proxy.negotiated() as client:
                assert saves(client, "t")
                assert "t" in tool.hmp("info snapshots")
                assert {entry["label"] for entry in tool.returned("query-chardev")} == {*before, chardev}
        until(lambda: not added(vm))
        assert os.stat(tool_path(vm)).st_ino == inode
        assert [record["command_line"] for record in proxy.records] == ["savevm t", "info snapshots"]
        assert "Cannot delete" not in vm.stderr

    play(vm, qemu_version, scene)


def test_tool_that_waits_for_the_socket_hears_nothing_of_the_proxy(vm: QEMUVM, qemu_version: QEMUVersion) -> None:
    """It comes behind the proxy, which waits for its turn behind another tool."""

    def scene(vm: QEMUVM) -> None:
        with a_tool(vm) as first, starting(attached(vm, "--wait")) as started:
            until(lambda: count_waiting(tool_path(vm)) == 1)
            with RawClient.connect(tool_path(vm)) as second:
                first.close()
                with started() as proxy, proxy.negotiated() as client:
                    second.negotiate()
                    second.returned("query-status")
                    assert [message.split(b'"')[1] for message in second.transcript] == [b"QMP", b"return", b"return"]
                    assert saves(client, "t")

    play(vm, qemu_version, scene)


def test_tool_that_is_there_is_waited_for(vm: QEMUVM, qemu_version: QEMUVersion) -> None:
    def scene(vm: QEMUVM) -> None:
        with a_tool(vm) as tool:
            alone = attached(vm)
            with pytest.raises(ProxyError, match="QEMU serves one client per socket, and another one is connected"):
                alone.__enter__()
            assert tool.returned("query-status")["running"]
            proxy = attached(vm, "--wait")
            with starting(proxy) as started:
                until(lambda: proxy.stderr_path.exists() and "another one is connected; waiting for it" in proxy.stderr)
                tool.close()
                with started(), proxy.negotiated() as client:
                    assert saves(client, "t")

    play(vm, qemu_version, scene)


def test_qemu_that_is_started_anew_is_attached_to(vm: QEMUVM, qemu_version: QEMUVersion) -> None:
    def scene(vm: QEMUVM) -> None:
        with attached(vm) as proxy:
            with proxy.negotiated() as client:
                vm.quit()
                client.expect_eof()
            vm.start()
            with proxy.negotiated() as client, a_tool(vm):
                assert saves(client, "t")
                assert len(added(vm)) == 2

    play(vm, qemu_version, scene)


def test_qemu_itself_removes_what_a_killed_proxy_had(vm: QEMUVM, qemu_version: QEMUVersion) -> None:
    def scene(vm: QEMUVM) -> None:
        with attached(vm) as proxy, a_tool(vm):
            assert len(added(vm)) == 2
            proxy.kill()
            until(lambda: not added(vm))

    play(vm, qemu_version, scene)


def test_proxy_that_is_ended_upon_a_savevm_leaves_nothing(vm: QEMUVM, qemu_version: QEMUVersion) -> None:
    def scene(vm: QEMUVM) -> None:
        with attached(vm) as proxy, proxy.negotiated() as client:
            assert proxy.process is not None
            client.send(command_bytes("human-monitor-command", {"command-line": "savevm t"}))
            until(lambda: "t" in dict(snapshots_of(vm.path("d0.qcow2"))))
            proxy.process.terminate()
            assert b'"return": ""' in client.read_until_reply()[-1]
            assert proxy.wait_gone() == 0
        until(lambda: not added(vm))
        assert "Cannot delete" not in vm.stderr

    play(vm, qemu_version, scene)


def test_proxy_that_was_killed_amid_a_command_leaves_nothing_for_long(vm: QEMUVM, qemu_version: QEMUVersion) -> None:
    """QEMU fails to remove the monitor whose command it is at; the next proxy does it then."""

    def scene(vm: QEMUVM) -> None:
        with attached(vm) as proxy, proxy.negotiated() as client:
            client.send(b"".join(command_bytes("query-qmp-schema") for _ in range(20)))
            client.receive()
            proxy.kill()
        with attached(vm) as proxy, proxy.negotiated() as client:
            until(lambda: len(added(vm)) == 2)
            assert saves(client, "t")
        until(lambda: not added(vm))

    play(vm, qemu_version, scene)


@pytest.mark.parametrize("has_monitor", [True, False])
def test_what_a_dead_proxy_left_is_removed(vm: QEMUVM, qemu_version: QEMUVersion, has_monitor: bool) -> None:
    """With a monitor it was killed amid a command, and without one amid its attaching."""

    def scene(vm: QEMUVM) -> None:
        with a_tool(vm) as tool:
            leave_behind(tool, has_monitor=has_monitor)
        until(lambda: is_disconnected(vm, DEAD))
        with attached(vm) as proxy:
            assert len([name for name in added(vm) if name != DEAD]) == 2
            assert DEAD not in added(vm)
            assert f"removed the monitor that a proxy had left in QEMU: {DEAD}" in proxy.stderr
        until(lambda: not added(vm))

    play(vm, qemu_version, scene)


def leave_behind(tool: RawClient, *, has_monitor: bool) -> None:
    """Add what a proxy adds, but for its wish that QEMU may remove it, and go."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(tool.socket, [command_bytes("getfd", {"fdname": "f"})], [theirs.fileno()])
        tool.read_until_reply()
        backend = {"type": "socket", "data": {"addr": {"type": "fd", "data": {"str": "f"}}, "server": False}}
        tool.returned("chardev-add", {"id": DEAD, "backend": backend})
        if has_monitor:
            tool.returned("object-add", {"qom-type": "monitor-qmp", "id": DEAD, "chardev": DEAD})


def is_disconnected(vm: QEMUVM, label: str) -> bool:
    with vm.negotiated(observer=True) as observer:
        filenames: dict[str, str] = {entry["label"]: entry["filename"] for entry in observer.returned("query-chardev")}
    return filenames[label].startswith("disconnected:")


def test_monitor_of_another_proxy_stays(vm: QEMUVM, qemu_version: QEMUVersion) -> None:
    def scene(vm: QEMUVM) -> None:
        other = ProxyProcess(vm.folder, None, ["--attach", tool_path(vm), "--listen", f"unix:{vm.folder}/legacy.sock"])
        vm.path("beside").mkdir()
        beside = vm.path("beside")
        with other, ProxyProcess(beside, None, ["--attach", tool_path(vm), "--listen", f"unix:{beside}/legacy.sock"]) as proxy:
            assert len(added(vm)) == 4
            with other.negotiated() as client, proxy.negotiated() as another:
                assert saves(client, "t")
                assert saves(another, "u")

    play(vm, qemu_version, scene)


def test_clients_cannot_remove_the_monitor_that_serves_them(vm: QEMUVM, qemu_version: QEMUVersion) -> None:
    def scene(vm: QEMUVM) -> None:
        with attached(vm) as proxy, proxy.negotiated() as client:
            own = added(vm)[0]
            current = "Cannot delete the current QMP monitor"
            assert client.execute("object-del", {"id": own})["error"]["desc"] == current
            assert client.hmp(f"object_del {own}") == f"Error: {current}\r\n"
            assert client.execute("chardev-remove", {"id": own})["error"]["desc"] == f"Chardev '{own}' is busy"
            assert client.hmp(f"chardev-remove {own}") == f"Error: Chardev '{own}' is busy\r\n"
            assert saves(client, "t")

    play(vm, qemu_version, scene)


def test_rules_are_for_clients_only(vm: QEMUVM, qemu_version: QEMUVersion) -> None:
    def scene(vm: QEMUVM) -> None:
        with attached(vm, "--rule", "deny object-add, chardev-add, getfd") as proxy, proxy.negotiated() as client:
            refused = client.execute("object-add", {"qom-type": "monitor-qmp", "id": "m", "chardev": "c"})
            assert "error" in refused
            assert saves(client, "t")

    play(vm, qemu_version, scene)


def test_proxy_whose_monitor_somebody_removes_attaches_again(vm: QEMUVM, qemu_version: QEMUVersion) -> None:
    def scene(vm: QEMUVM) -> None:
        with attached(vm) as proxy:
            own = added(vm)[0]
            with a_tool(vm) as tool, proxy.negotiated() as client:
                tool.returned("object-del", {"id": own})
                tool.returned("chardev-remove", {"id": own})
                client.expect_eof()
            until(lambda: "is back" in proxy.stderr)
            with proxy.negotiated() as client:
                assert saves(client, "t")
                assert own not in added(vm)
                assert len(added(vm)) == 2

    play(vm, qemu_version, scene)


def test_proxy_ends_with_its_vm(vm: QEMUVM, qemu_version: QEMUVersion) -> None:
    def scene(vm: QEMUVM) -> None:
        with attached(vm, "--end-with-vm") as proxy:
            vm.quit()
            assert proxy.wait_gone() == 0
        assert not Path(proxy.path).exists()

    play(vm, qemu_version, scene)
