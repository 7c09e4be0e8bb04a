"""Rules before a real QEMU: what is denied has no effect, in whatever spelling, and what the tables say of QEMU is true."""

import array
import json
import random
import re
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest

from shim.client import Client
from shim.graph.policy import Policy
from shim.qmp import QEMUVersion
from shim.rules.asked import ALIASES
from shim.rules.deeds import SUBJECTS, fold
from shim.rules.permissions import Permissions, Role
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM, make_qcow2
from tests.support.raw_client import ConnectionLostError, RawClient, command_bytes, negotiated
from tests.support.shim.commands import hmp_message, message
from tests.support.shim.forbidden import cut, forbidden_streams

SMUGGLER_RULES: Final = ("--rule", "deny quit, object-add: monitor-*, human-monitor-command: quit", "--rule", "allow *")
DISK: Final = (
    "-blockdev",
    "driver=qcow2,node-name=d0,file.driver=file,file.filename=d0.qcow2",
    "-device",
    "virtio-blk,drive=d0",
)
# Monitors that nobody is connected to, and a third one for the test's own view.
IDLE_MONITORS: Final = (
    *("-chardev", "socket,id=second,path=second.sock,server=on,wait=off", "-mon", "chardev=second,mode=control"),
    *("-chardev", "socket,id=third,path=third.sock,server=on,wait=off", "-mon", "chardev=third,mode=readline"),
)
NOT_ALLOWED: Final = "is not allowed here"


def is_denied(reply: dict[str, Any]) -> bool:
    return NOT_ALLOWED in reply.get("error", {}).get("desc", "")


def observed(vm: QEMUVM) -> dict[str, Any]:
    """Return what a client could have changed, as the other monitor sees it."""
    with vm.negotiated(observer=True) as observer:
        return {
            "status": observer.returned("query-status"),
            "chardevs": sorted(row["label"] for row in observer.returned("query-chardev")),
            "objects": sorted(row["name"] for row in observer.returned("qom-list", {"path": "/objects"})),
            "nodes": [row["node-name"] for row in observer.returned("query-named-block-nodes")],
            "jobs": observer.returned("query-jobs"),
            "migration": observer.returned("query-migrate").get("status"),
            "devices": sorted(row["name"] for row in observer.returned("qom-list", {"path": "/machine/peripheral"})),
        }


@pytest.fixture(scope="module")
def vm() -> Iterator[QEMUVM]:
    running = QEMUVM([*DISK, *IDLE_MONITORS], observed=True)
    try:
        make_qcow2(running.path("d0.qcow2"))
        with running:
            yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def schema(vm: QEMUVM) -> dict[str, Any]:
    with vm.negotiated(observer=True) as observer:
        return {row["name"]: row for row in observer.returned("query-qmp-schema")}


# -- roles ----------------------------------------------------------------------------------------------------------------


def test_reader_changes_nothing_whatever_it_sends(vm: QEMUVM) -> None:
    """Every command of this QEMU, of QMP and of HMP, with arguments that would do something."""
    with vm.negotiated(observer=True) as observer:
        qmp = sorted(row["name"] for row in observer.returned("query-commands"))
        hmp = re.findall(r"(?m)^([a-z?][\w|?-]*)", observer.hmp("help"))
    before = observed(vm)
    with ProxyProcess(vm.folder, vm.qmp_path, ["--role", "read-only"]) as proxy, proxy.negotiated() as client:
        rules = Permissions(role=Role.READ_ONLY).rules_for(Client(), Policy())
        assert rules is not None
        for name in qmp:
            # This installation's modules need not fit the QEMU that a list of all types would load them into.
            if name not in ("query-qmp-schema", "query-cpu-definitions", "device-list-properties"):
                assert is_denied(client.execute(name, {})) is not rules.judge(message(name)).is_allowed, name
        for name in (name for names in hmp for name in names.split("|")):
            reply = client.execute("human-monitor-command", {"command-line": f"{name} d0"})
            assert is_denied(reply) is (name not in ("help", "?", "info")), name
        assert client.returned("query-status")["status"] == "running"
        assert "d0" in client.hmp("info block")
    assert observed(vm) == before


def test_snapshots_are_taken_and_no_more(vm: QEMUVM) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path, ["--role", "snapshots"]) as proxy, proxy.negotiated() as client:
        assert client.hmp("savevm t") == ""
        assert " t " in client.hmp("info snapshots")
        assert client.hmp("loadvm t") == ""
        assert client.hmp("delvm t") == ""
        client.returned("stop")
        assert client.hmp("c") == ""
        for line in ("quit", "q", "qemu-io d0 flush", "commit all", "x /1x 0"):
            assert is_denied(client.execute("human-monitor-command", {"command-line": line}))
        refused = proxy.records[-5:]
    assert [record["command_line"] for record in refused] == ["quit", "q", "qemu-io d0 flush", "commit all", "x /1x 0"]
    assert {(record["action"], record["reason"]) for record in refused} == {("refused", "denied by role snapshots")}
    assert all(record["failed"] for record in refused)


def test_each_listener_has_its_role(vm: QEMUVM) -> None:
    second = f"{vm.folder}/reader.sock"
    with (
        ProxyProcess(vm.folder, vm.qmp_path, ["--listen", f"unix:{second},role=read-only"]) as proxy,
        proxy.negotiated() as client,
        negotiated(RawClient.connect(second)) as reader,
    ):
        assert is_denied(reader.execute("stop"))
        assert "return" in client.execute("stop")
        assert "return" in client.execute("cont")


# -- spellings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_no_spelling_of_quit_ends_the_vm(vm: QEMUVM, seed: int) -> None:
    rng = random.Random(seed)
    before = observed(vm)
    with ProxyProcess(vm.folder, vm.qmp_path, SMUGGLER_RULES) as proxy:
        for stream in forbidden_streams(seed, 25):
            with proxy.connect() as client:
                client.negotiate(oob=rng.random() < 0.5)
                for piece in cut(rng, stream):
                    client.send(piece)
                # After all of it has been answered; a client with a half object would not be.
                client.send(b'{"execute":"query-status","id":"last"}')
                while json.loads(client.read_until_reply()[-1]).get("id") != "last":
                    pass
    assert vm.is_alive
    assert observed(vm) == before


def send_all(proxy: ProxyProcess, stream: bytes) -> None:
    """Send it, and await the answer to a last command after it."""
    with proxy.negotiated() as client:
        client.send(stream + b'{"execute":"query-status","id":"last"}')
        while json.loads(client.read_until_reply()[-1]).get("id") != "last":
            pass


def test_the_same_streams_would_have_ended_it() -> None:
    with QEMUVM() as victim, ProxyProcess(victim.folder, victim.qmp_path) as proxy:
        streams = b"".join(forbidden_streams(0, 25))
        with pytest.raises((ConnectionLostError, BrokenPipeError, ConnectionResetError)):
            send_all(proxy, streams)
        assert victim.wait_gone() == 0


# -- ways around ----------------------------------------------------------------------------------------------------------


def handed_to(client: RawClient, protocol: str) -> tuple[dict[str, Any], bytes]:
    """Hand a socket to a chardev; return the reply, and what then comes from its other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        getfd = command_bytes("getfd", {"fdname": "x"})
        client.socket.sendmsg([getfd], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))])
        assert "return" in json.loads(client.read_until_reply()[-1])
        reply = client.execute("add_client", {"protocol": protocol, "fdname": "x"})
        ours.settimeout(5 if "return" in reply else 0.2)
        try:
            return reply, ours.recv(200)
        except TimeoutError:
            return reply, b""


@pytest.mark.parametrize(("protocol", "greeting"), [("second", b'{"QMP"'), ("third", b"QEMU ")])
def test_another_monitor_is_not_reached_in_mode_enforce(vm: QEMUVM, protocol: str, greeting: bytes) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path, ["--mode", "enforce"]) as proxy, proxy.negotiated() as client:
        reply, heard = handed_to(client, protocol)
        assert is_denied(reply)
        assert heard == b""
    # It would have been.
    with ProxyProcess(vm.folder, vm.qmp_path) as proxy, proxy.negotiated() as client:
        reply, heard = handed_to(client, protocol)
        assert "return" in reply
        assert heard.startswith(greeting)


ARGUMENTS: Final[Sequence[tuple[str, dict[str, Any]]]] = (
    ("object-add", {"qom-type": "monitor-qmp", "id": "m", "chardev": "spare"}),
    ("object-add", {"qom-type": "monitor-hmp", "id": "m", "chardev": "spare"}),
    ("migrate", {"uri": "exec:touch ran"}),
    ("migrate-incoming", {"uri": "exec:touch ran"}),
    ("netdev_add", {"type": "tap", "id": "n", "ifname": "hmpshim0", "script": "./script", "downscript": "no"}),
    ("netdev_add", {"type": "bridge", "id": "n", "helper": "./script"}),
    ("netdev_add", {"type": "user", "id": "n", "guestfwd": [{"str": "tcp:10.0.2.100:1-cmd:touch ran"}]}),
    ("migrate-set-parameters", {"cpr-exec-command": ["touch", "ran"]}),
)


def test_no_program_and_no_monitor_in_mode_enforce(vm: QEMUVM) -> None:
    script = vm.path("script")
    script.write_text("#!/bin/sh\ntouch ran\n")
    script.chmod(0o755)
    before = observed(vm)
    with ProxyProcess(vm.folder, vm.qmp_path, ["--mode", "enforce"]) as proxy, proxy.negotiated() as client:
        for name, arguments in ARGUMENTS:
            assert is_denied(client.execute(name, arguments)), name
            assert is_denied(client.execute(f"x-{name}", arguments)), name
    assert observed(vm) == before
    assert not vm.path("ran").exists()


def test_monitors_come_where_nothing_denies_them(qemu_version: QEMUVersion) -> None:
    """From 11.1 on; the object needs a chardev that exists, so `chardev-add` alone makes none."""
    with QEMUVM() as vm, ProxyProcess(vm.folder, vm.qmp_path) as proxy, proxy.negotiated() as client:
        address = {"type": "unix", "data": {"path": f"{vm.folder}/new.sock"}}
        backend = {"type": "socket", "data": {"addr": address, "wait": False}}
        client.returned("chardev-add", {"id": "new", "backend": backend})
        made = client.execute("object-add", {"qom-type": "monitor-qmp", "id": "m", "chardev": "new"})
        if qemu_version < (11, 1):
            assert "error" in made
            return
        assert "return" in made
        with RawClient.connect(f"{vm.folder}/new.sock") as walker:
            walker.negotiate()
            assert walker.hmp("info name") is not None
        # The chardev of a monitor cannot be exchanged.
        assert "hotswap" in client.execute("chardev-change", {"id": "new", "backend": backend})["error"]["desc"]


# -- what the tables say of QEMU ------------------------------------------------------------------------------------------


def test_hmp_has_no_other_second_names(vm: QEMUVM) -> None:
    with vm.negotiated(observer=True) as observer:
        found = re.findall(r"(?m)^([a-z?][\w?-]*)\|([\w?|-]+)", observer.hmp("help"))
        assert {second: first for first, second in found} == ALIASES
        # Nor does it take the beginning of a name.
        assert "unknown command" in observer.hmp("qui")
        assert "unknown command" in observer.hmp("info stat")


def test_arguments_that_rules_know_are_qemus(schema: dict[str, Any]) -> None:
    members = {"object-add": "qom-type", "netdev_add": "type", "chardev-add": "backend", "add_client": "protocol"}
    members |= {"chardev-change": "backend", "migrate": "uri", "migrate-incoming": "uri", "migrate-recover": "uri"}
    members |= {"transaction": "actions", "snapshot-save": "tag", "snapshot-load": "tag", "snapshot-delete": "tag"}
    members |= {"device_add": "driver", "set_password": "protocol", "expire_password": "protocol", "qom-set": "property"}
    # Without a value of its own: it is about VNC.
    members |= {"display-update": "type", "change-vnc-password": "password"}
    assert {fold(name) for name in members} == SUBJECTS.keys()
    for name, member in members.items():
        if name in schema:
            assert member in [row["name"] for row in schema[schema[name]["arg-type"]]["members"]], name


def reached(schema: dict[str, Any], name: str, depth: int = 8, path: str = "") -> Iterator[str]:
    """Yield the places below a type where a member's name or a value tells of a program or a monitor."""
    row = schema.get(name)
    if row is None or depth == 0:
        return
    for member in row.get("members", ()) if row["meta-type"] in ("object", "alternate", "enum") else ():
        here = f"{path}.{member.get('name', '')}"
        if re.search(r"^(down)?script$|helper|exec|cmd|command|smb$|guestfwd|monitor|program|passt", member.get("name", "")):
            yield here
        if "type" in member:
            yield from reached(schema, member["type"], depth - 1, here)
    for variant in row.get("variants", ()):
        if re.search(r"exec|cmd|monitor", variant["case"]):
            yield f"{path}<{variant['case']}>"
        yield from reached(schema, variant["type"], depth - 1, path)
    if row["meta-type"] == "array":
        yield from reached(schema, row["element-type"], depth - 1, path)


def test_no_other_command_of_this_qemu_tells_of_a_program_or_a_monitor(schema: dict[str, Any]) -> None:
    """If a newer QEMU has one, see whether shim/rules/risks.py has to know it."""
    known = {
        *("migrate.channels.addr<exec>", "migrate.channels.addr.transport.exec"),
        *("migrate-incoming.channels.addr<exec>", "migrate-incoming.channels.addr.transport.exec"),
        *("migrate-set-parameters.cpr-exec-command", "migrate-set-parameters.mode.cpr-exec"),
        *("netdev_add.script", "netdev_add.downscript", "netdev_add.helper", "netdev_add.smb", "netdev_add.guestfwd"),
        *("netdev_add.type.passt",),
        *(
            f"object-add{place}monitor-{kind}{end}"
            for kind in ("qmp", "hmp")
            for place, end in (("<", ">"), (".qom-type.", ""))
        ),
    }
    harmless = {"human-monitor-command.command-line", "object-add.qom-type.pr-manager-helper"}
    found = {
        f"{name}{place}"
        for name, row in schema.items()
        if row["meta-type"] == "command"
        for place in reached(schema, row["arg-type"])
    }
    assert found - known - harmless == set()


def test_plan_says_which_rule_decides(vm: QEMUVM) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path, ["--rule", "deny savevm"]) as proxy, proxy.negotiated() as client:
        plan = client.returned("__hmpshim_plan", {"command-line": "savevm t"})
        assert plan["plan"]["rule"] == "rule 1 (deny savevm)"
        assert plan["plan"]["outcome"]["kind"] == "refused"
        assert is_denied(client.execute("human-monitor-command", hmp_message("savevm t")["arguments"]))
