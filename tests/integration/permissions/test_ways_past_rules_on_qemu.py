"""What `@monitor` and `@exec` stand for, before a real QEMU: each way leads past the proxy where no rule denies it."""

import array
import json
import socket
import ssl
import struct
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM
from tests.support.proxy.certificates import Authority, Identity
from tests.support.proxy.running_vm_proxy import free_port
from tests.support.raw_client import DEADLINE_S, RawClient, command_bytes

pytestmark = pytest.mark.versions

# HMP's text console is the only one, so that a display shows it at once.
CONSOLE: Final = ("-vga", "none", "-vnc", "unix:vnc.sock,password=on", "-monitor", "vc")
ENFORCE: Final = ("--mode", "enforce")


def is_denied(reply: dict[str, Any]) -> bool:
    return "is not allowed here" in reply.get("error", {}).get("desc", "")


def hand_over(client: RawClient, **arguments: Any) -> tuple[dict[str, Any], socket.socket]:
    """Have QEMU take a socket as a display's client. Return its answer and the other end."""
    ours, theirs = socket.socketpair()
    with theirs:
        getfd = command_bytes("getfd", {"fdname": "x"})
        client.socket.sendmsg([getfd], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))])
        assert "return" in json.loads(client.read_until_reply()[-1])
        ours.settimeout(DEADLINE_S)
        return client.execute("add_client", {"protocol": "vnc", "fdname": "x", **arguments}), ours


def received(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more, data
        data += more
    return data


def type_into_vnc(sock: socket.socket, keys: bytes) -> None:
    """Be a client of VNC that needs no password (RFC 6143)."""
    assert received(sock, 12).startswith(b"RFB ")
    sock.sendall(b"RFB 003.008\n")
    assert received(sock, received(sock, 1)[0]) == b"\1"
    sock.sendall(b"\1")
    assert received(sock, 4) == bytes(4)
    sock.sendall(b"\1")
    received(sock, 20)
    received(sock, struct.unpack(">I", received(sock, 4))[0])
    symbols = [0xFF0D if key == ord("\n") else key for key in keys]
    # At once: the last key's press may end QEMU before its release is written.
    sock.sendall(b"".join(struct.pack(">BBxxI", 4, is_down, symbol) for symbol in symbols for is_down in (1, 0)))


def test_display_leads_to_the_monitor_on_its_console() -> None:
    with QEMUVM(CONSOLE) as vm:
        with ProxyProcess(vm.folder, vm.qmp_path, ENFORCE) as proxy, proxy.negotiated() as client:
            reply, ours = hand_over(client, skipauth=True)
            assert is_denied(reply)
            ours.close()
            assert "return" in client.execute("query-status")
        with ProxyProcess(vm.folder, vm.qmp_path, ["--rule", "deny quit"]) as proxy, proxy.negotiated() as client:
            reply, ours = hand_over(client, skipauth=True)
            assert "return" in reply
            with ours:
                type_into_vnc(ours, b"quit\n")
                assert vm.wait_gone() == 0


@pytest.mark.parametrize(
    ("word", "command", "arguments"),
    [
        ("set_password: vnc", "set_password", {"protocol": "vnc", "password": "x"}),
        ("expire_password: vnc", "expire_password", {"protocol": "vnc", "time": "never"}),
        ("change-vnc-password: vnc", "change-vnc-password", {"password": "x"}),
        ("display-update: vnc", "display-update", {"type": "vnc", "addresses": [{"type": "unix", "path": "new.sock"}]}),
    ],
)
def test_display_is_opened_only_where_that_is_allowed(word: str, command: str, arguments: dict[str, Any]) -> None:
    with QEMUVM(CONSOLE) as vm:
        with ProxyProcess(vm.folder, vm.qmp_path, ENFORCE) as proxy, proxy.negotiated() as client:
            assert is_denied(client.execute(command, arguments))
        with ProxyProcess(vm.folder, vm.qmp_path, [*ENFORCE, "--allow", word]) as proxy, proxy.negotiated() as client:
            client.returned(command, arguments)


def test_exception_for_a_display_is_none_for_a_monitor() -> None:
    monitor = ("-chardev", "socket,id=second,path=second.sock,server=on,wait=off", "-mon", "chardev=second,mode=control")
    with (
        QEMUVM([*CONSOLE, *monitor]) as vm,
        ProxyProcess(vm.folder, vm.qmp_path, [*ENFORCE, "--allow", "add_client: vnc"]) as proxy,
        proxy.negotiated() as client,
    ):
        reply, ours = hand_over(client)
        with ours:
            assert "return" in reply
            assert received(ours, 4) == b"RFB "
        assert is_denied(client.execute("add_client", {"protocol": "second", "fdname": "x"}))


def test_keys_of_commands_do_not_reach_the_console() -> None:
    """So they need no rule."""
    with QEMUVM(CONSOLE) as vm, vm.negotiated() as client:
        for key in ("q", "u", "i", "t", "ret"):
            value = {"type": "qcode", "data": key}
            client.returned("send-key", {"keys": [value]})
            for is_down in (True, False):
                client.execute("input-send-event", {"events": [{"type": "key", "data": {"down": is_down, "key": value}}]})
            client.hmp(f"sendkey {key}")
        assert client.returned("query-status")["status"] == "running"


# -- monitors that ask for certificates -----------------------------------------------------------------------------------

WAYS_IN: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("object-add", {"qom-type": "authz-simple", "id": "new", "identity": "CN=stranger"}),
    ("qom-set", {"path": "/objects/only", "property": "identity", "value": "CN=stranger"}),
    ("qom-set", {"path": "/objects/tls", "property": "verify-peer", "value": False}),
)


def is_let_in(port: int, authority: Authority, identity: Identity | None) -> bool:
    context = ssl.create_default_context(cafile=authority.ca)
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), DEADLINE_S) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
        ):
            return sock.recv(6) == b'{"QMP"'
    except (ssl.SSLError, ConnectionError):
        return False


def test_who_may_come_in_to_a_monitor_is_not_changed(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, stranger = authority.issue("server"), authority.issue("stranger")
    for name, path in (("ca-cert", authority.ca), ("server-cert", server.certificate), ("server-key", server.key)):
        (tmp_path / f"{name}.pem").symlink_to(path)
    port = free_port()
    options = (
        *("-object", f"tls-creds-x509,id=tls,endpoint=server,dir={tmp_path},verify-peer=on"),
        *("-object", "authz-simple,id=only,identity=CN=alice"),
        *("-chardev", f"socket,id=second,host=127.0.0.1,port={port},server=on,wait=off,tls-creds=tls,tls-authz=only"),
        *("-mon", "chardev=second,mode=control"),
    )
    with QEMUVM(options) as vm:
        with ProxyProcess(vm.folder, vm.qmp_path, ENFORCE) as proxy, proxy.negotiated() as client:
            assert all(is_denied(client.execute(name, arguments)) for name, arguments in WAYS_IN)
            assert not is_let_in(port, authority, stranger)
        with ProxyProcess(vm.folder, vm.qmp_path) as proxy, proxy.negotiated() as client:
            client.returned(*WAYS_IN[1])
            assert is_let_in(port, authority, stranger)
            client.returned("object-del", {"id": "only"})
            assert not is_let_in(port, authority, stranger)
            client.returned("object-add", {**WAYS_IN[0][1], "id": "only"})
            assert is_let_in(port, authority, stranger)


# -- programs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [ENFORCE, ("--rule", "deny @exec")], ids=["enforce", "rule"])
def test_helper_called_no_is_run_unless_that_is_denied(options: tuple[str, ...]) -> None:
    arguments = {"type": "bridge", "id": "n", "helper": "no"}
    with QEMUVM() as vm:
        vm.path("no").write_text("#!/bin/sh\ntouch ran\n")
        vm.path("no").chmod(0o755)
        with ProxyProcess(vm.folder, vm.qmp_path, options) as proxy, proxy.negotiated() as client:
            assert is_denied(client.execute("netdev_add", arguments))
            assert not vm.path("ran").exists()
        with ProxyProcess(vm.folder, vm.qmp_path) as proxy, proxy.negotiated() as client:
            assert "error" in client.execute("netdev_add", arguments)
            assert vm.path("ran").exists()


@pytest.mark.parametrize(
    "options",
    [
        "tap,id=n,script=no,,evil",
        "tap,id=n,script=no,script=./evil",
        "tap,id=n,noscript",
        "bridge,id=n,helper=no",
        "user,id=n,smb=no",
    ],
)
def test_option_string_hides_no_program(options: str) -> None:
    with QEMUVM() as vm, ProxyProcess(vm.folder, vm.qmp_path, ["--rule", "deny @exec"]) as proxy, proxy.negotiated() as client:
        assert is_denied(client.execute("human-monitor-command", {"command-line": f"netdev_add {options}"}))
        assert client.hmp("netdev_add hubport,id=n,hubid=1") == ""


@pytest.mark.parametrize("kind", ["ringbuf", "memory"])
def test_both_names_of_a_backend_are_denied(kind: str) -> None:
    """QEMU makes the same of both."""
    with QEMUVM() as vm:
        with (
            ProxyProcess(vm.folder, vm.qmp_path, ["--rule", f"deny chardev-add: {kind}"]) as proxy,
            proxy.negotiated() as client,
        ):
            for name in ("ringbuf", "memory"):
                assert is_denied(client.execute("chardev-add", {"id": name, "backend": {"type": name, "data": {}}}))
                assert is_denied(client.execute("human-monitor-command", {"command-line": f"chardev-add {name},id={name}"}))
        with vm.negotiated() as client:
            for name in ("ringbuf", "memory"):
                client.returned("chardev-add", {"id": name, "backend": {"type": name, "data": {}}})
                client.returned("ringbuf-write", {"device": name, "data": "x"})
                assert client.returned("ringbuf-read", {"device": name, "size": 1}) == "x"
