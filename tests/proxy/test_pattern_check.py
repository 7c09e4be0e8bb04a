"""A pattern that has no effect is told of with where it stands and what there is, and is an error to who is strict."""

import asyncio
import socket
import threading
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from host.configuration import config_file
from host.errors import ConfigError
from host.net.addresses import UnixAddress
from host.settings.config import Origin, VMConfig
from proxy import pattern_check
from proxy.net.qmp_connection import QMPConnection
from proxy.pattern_check import check_patterns
from shim.graph.policy import Policy
from shim.graph.selection import select
from tests.fakes.block import BlockGraph
from tests.fakes.qemu import FakeQEMU, Node, VMFaults, uefi_vm
from tests.support.shim.graphs import Backend, Machine, disk, patterns

QEMU = UnixAddress("/q")
THERE = "code-file, d0, disk0-file, pflash0, pflash1, vars-file"


def check(
    config: VMConfig, nodes: list[Node] | None = None, faults: VMFaults | None = None
) -> tuple[list[str], list[ConfigError]]:
    """Check against a modelled QEMU; give the commands that it was asked behind the negotiation, and the complaints."""

    async def main() -> tuple[list[str], list[ConfigError]]:
        numbers = count(1)
        async with FakeQEMU(uefi_vm() if nodes is None else nodes, vm_faults=faults) as qemu:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, qemu.path)
            connection = QMPConnection(sock, "unix:/q", lambda: f"id-{next(numbers)}")
            try:
                await connection.negotiate(None, "unix:/q")
                complaints = await check_patterns(connection, config)
                return qemu.commands[3:], complaints
            finally:
                connection.close()

    return asyncio.run(main())


def complaint(config: VMConfig, nodes: list[Node] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        check(replace(config, is_strict=True), nodes)
    assert caught.value.exit_status == 2
    _, warnings = check(config, nodes)
    assert str(warnings[0]) == str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "policy",
    [
        Policy(vmstate=patterns("d0")),
        Policy(vmstate=patterns("node:disk0", "device:d*")),
        Policy(include=patterns("kind:pflash"), exclude=patterns("driver:qcow2")),
        Policy(exclude=patterns("pflash1", "file:*disk0*")),
    ],
)
def test_patterns_that_match(policy: Policy) -> None:
    asked, complaints = check(VMConfig(QEMU, policy=policy, is_strict=True))
    assert asked == ["query-block", "query-named-block-nodes", "x-debug-query-block-graph"]
    assert complaints == []


def test_nothing_is_asked_without_patterns() -> None:
    assert check(VMConfig(QEMU)) == ([], [])


@pytest.mark.parametrize(
    ("policy", "key", "pattern"),
    [
        (Policy(vmstate=patterns("d1")), "vmstate", "d1"),
        (Policy(vmstate=patterns("d0", "node:d0")), "vmstate", "node:d0"),
        (Policy(include=patterns("d0", "kind:removable")), "include", "kind:removable"),
        (Policy(exclude=patterns("*x")), "exclude", "*x"),
        (Policy(include=patterns("d0"), exclude=patterns("data")), "exclude", "data"),
        (Policy(vmstate=patterns("b"), include=patterns("a")), "vmstate", "b"),
    ],
)
def test_pattern_of_an_option_that_matches_nothing(policy: Policy, key: str, pattern: str) -> None:
    reason = f"'{pattern}' matches no block node of the VM, which has {THERE}"
    assert complaint(VMConfig(QEMU, policy=policy)) == f"command line: --{key}: {reason}"


def test_vm_without_nodes() -> None:
    policy = Policy(vmstate=patterns("d0"))
    error = "command line: --vmstate: 'd0' matches no block node of the VM, which has none"
    assert complaint(VMConfig(QEMU, policy=policy), []) == error


@pytest.mark.parametrize(
    ("text", "line"),
    [("[[vm]]\nwait = true\nvmstate = 'd1'\n", 3), ("[defaults]\nvmstate = 'd1'\n[[vm]]\n", 2)],
    ids=["own", "inherited"],
)
def test_pattern_of_a_file_that_matches_nothing(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "hmpshim.toml"
    path.write_text(text)
    config = VMConfig(QEMU, policy=Policy(vmstate=patterns("d1")), origin=Origin(str(path), 0))
    reason = f"'d1' matches no block node of the VM, which has {THERE}"
    assert complaint(config) == f"{path}:{line}: vmstate: {reason}"


def test_qemu_that_does_not_tell() -> None:
    """It is not the time to complain: a command will say so."""
    faults = VMFaults(is_graph_refused=True)
    asked, complaints = check(VMConfig(QEMU, policy=Policy(vmstate=patterns("d1")), is_strict=True), faults=faults)
    assert (len(asked), complaints) == (3, [])


def test_qemu_whose_disks_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it the time to complain of an answer of another shape, by a QEMU of the future."""
    monkeypatch.setattr(BlockGraph, "query_graph", lambda graph: {"nodes": [], "edges": "none"})
    asked, complaints = check(VMConfig(QEMU, policy=Policy(vmstate=patterns("d1")), is_strict=True))
    assert (len(asked), complaints) == (3, [])


def test_every_pattern_without_effect_is_told_of() -> None:
    policy = Policy(vmstate=patterns("d7"), include=patterns("disk0-file"), exclude=patterns("kind:removable"))
    _, complaints = check(VMConfig(QEMU, policy=policy))
    inside = "'disk0-file' matches 'disk0-file' only, which snapshots take as a part of 'd0'; name that"
    assert [str(complaint) for complaint in complaints] == [
        f"command line: --vmstate: 'd7' matches no block node of the VM, which has {THERE}",
        f"command line: --include: {inside}",
        f"command line: --exclude: 'kind:removable' matches no block node of the VM, which has {THERE}",
    ]


def test_disks_that_are_excluded_now_are_noted() -> None:
    policy = Policy(exclude=patterns("d0"))
    check(VMConfig(QEMU, policy=policy))
    told: list[str] = []
    policy.exclusions.on_lost = told.append
    again = Machine(disk("disk0"), [Backend("disk0", "other", "/machine/peripheral/v0/virtio-backend")])
    select(again.graph(), policy)
    assert told[0].startswith("'other' is taken by snapshots now: it is a disk that 'd0' excluded before")


def test_disk_of_the_file_that_is_stuck_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the line of the complaint is unknown then."""
    let_go = threading.Event()

    def stuck(origin: Origin, key: str, reason: str) -> ConfigError:
        let_go.wait()
        raise AssertionError("nobody waits any more")

    monkeypatch.setattr(config_file, "error_at", stuck)
    monkeypatch.setattr(pattern_check, "_WITHIN_S", 0.01)
    try:
        _, (told,) = check(VMConfig(QEMU, policy=Policy(vmstate=patterns("nosuch")), origin=Origin("/c.toml", 0)))
    finally:
        let_go.set()
    assert str(told).startswith("/c.toml: vmstate: ")
