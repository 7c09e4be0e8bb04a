"""Words of HMP as arguments of QMP; tests/integration/hmp/test_translation_on_qemu.py has them obeyed."""

from typing import Any

import pytest

from shim.hmp.line import HMPLine
from shim.hmp.replacements import REPLACEMENTS
from shim.hmp.translation import SECRET, translate
from shim.qmp import Execute


def of(line: str) -> list[Execute]:
    return list(translate(HMPLine.read(line)))


ONE_COMMAND: list[tuple[str, str, dict[str, Any]]] = [
    ("stop", "stop", {}),
    ("c", "cont", {}),
    (" q ", "quit", {}),
    ("system_reset", "system_reset", {}),
    ("nmi", "inject-nmi", {}),
    ("info status", "query-status", {}),
    ("info migrate -a", "query-migrate", {}),
    ("balloon 64", "balloon", {"value": 64 << 20}),
    ("block_job_cancel d0", "block-job-cancel", {"device": "d0"}),
    ("block_resize d0 64", "block_resize", {"device": "d0", "size": 64 << 20}),
    ("block_resize d0 2G", "block_resize", {"device": "d0", "size": 2 << 30}),
    ("block_resize d0 4096B", "block_resize", {"device": "d0", "size": 4096}),
    ("change cd0 /new.iso", "blockdev-change-medium", {"device": "cd0", "filename": "/new.iso"}),
    ("change cd0 /new.iso raw", "blockdev-change-medium", {"device": "cd0", "filename": "/new.iso", "format": "raw"}),
    ("commit d0", "block-commit", {"device": "d0"}),
    ("device_add virtio-rng-pci,id=r0", "device_add", {"driver": "virtio-rng-pci", "id": "r0"}),
    ("device_add driver=virtio-rng-pci", "device_add", {"driver": "virtio-rng-pci"}),
    (
        "device_add virtio-blk-pci,drive=n0,addr=6,bootindex=1,share-rw=on,disable-legacy=on",
        "device_add",
        {"driver": "virtio-blk-pci", "drive": "n0", "addr": "6", "bootindex": 1, "share-rw": True, "disable-legacy": "on"},
    ),
    ("device_del r0", "device_del", {"id": "r0"}),
    (
        "drive_add 0 if=none,id=n0,file=/d.qcow2,format=qcow2",
        "blockdev-add",
        {"node-name": "n0", "driver": "qcow2", "file": {"driver": "file", "filename": "/d.qcow2"}},
    ),
    (
        "drive_add 0 id=n0,file=/a,,b,format=raw,readonly=on",
        "blockdev-add",
        {"node-name": "n0", "driver": "raw", "read-only": True, "file": {"driver": "file", "filename": "/a,b"}},
    ),
    ("drive_del n0", "blockdev-del", {"node-name": "n0"}),
    ("eject cd0", "eject", {"device": "cd0"}),
    ("eject -f cd0", "eject", {"device": "cd0", "force": True}),
    ("migrate -d tcp:h2:4444", "migrate", {"uri": "tcp:h2:4444"}),
    (
        "migrate_set_capability xbzrle on",
        "migrate-set-capabilities",
        {"capabilities": [{"capability": "xbzrle", "state": True}]},
    ),
    ("netdev_add user,id=n0,restrict=on", "netdev_add", {"type": "user", "id": "n0", "restrict": True}),
    (
        "object_add memory-backend-ram,id=m0,size=1M",
        "object-add",
        {"qom-type": "memory-backend-ram", "id": "m0", "size": 1 << 20},
    ),
    ("object_add secret,id=s0,data=hunter2", "object-add", {"qom-type": "secret", "id": "s0", "data": SECRET}),
    ('screendump "/tmp/my screen.ppm"', "screendump", {"filename": "/tmp/my screen.ppm"}),
    (r'screendump "a\"b\n"', "screendump", {"filename": 'a"b\n'}),
    (
        "sendkey ctrl-alt-delete",
        "send-key",
        {"keys": [{"type": "qcode", "data": key} for key in ("ctrl", "alt", "delete")]},
    ),
    ("sendkey a 200", "send-key", {"keys": [{"type": "qcode", "data": "a"}], "hold-time": 200}),
    ("set_link n0 off", "set_link", {"name": "n0", "up": False}),
    ("set_password vnc hunter2", "set_password", {"protocol": "vnc", "password": SECRET}),
]


@pytest.mark.parametrize(("line", "command", "arguments"), ONE_COMMAND, ids=[line for line, _, _ in ONE_COMMAND])
def test_words_have_names_in_qmp(line: str, command: str, arguments: dict[str, Any]) -> None:
    assert of(line) == [Execute(command, arguments)]


def test_one_line_may_be_two_commands() -> None:
    assert of("info block -v d0") == [Execute("query-block"), Execute("query-named-block-nodes")]


@pytest.mark.parametrize(
    "line",
    [
        *("", "frobnicate", "info", "info frobnicate", "info qtree", "print 1"),
        *("savevm t1", "loadvm t1", "info snapshots"),
        *("stop now", "balloon", "balloon x", "balloon 1 2", "block_resize d0", "block_resize d0 x", "commit all", "commit"),
        *("change vnc password", "change vnc password secret", "change -f cd0 x", "change cd0"),
        *(
            "device_add",
            "device_add a b",
            "device_add x,y",
            "device_add x,a.b=1",
            "device_add x,id=a,id=b",
            "device_add id=a,x=y",
        ),
        *("device_del", "device_del -f x", 'device_del "x', "device_del a b"),
        *("drive_add 0 file=nbd:h:1,id=n,format=raw", "drive_add 0 file=/x,id=n", "drive_add", "drive_add 0 x"),
        *("drive_add 0 file=/x,id=n,format=raw,cache=none", "eject", "eject -f", "eject a b", "migrate", "migrate -b tcp:h:1"),
        *("migrate_set_capability xbzrle", "migrate_set_parameter max-bandwidth 1", "sendkey", "sendkey a b", "set_link n0"),
        *("set_password vnc", "qom-get /machine", "info qom-tree", "info stats vm", "info virtio-status x"),
    ],
)
def test_what_the_line_does_not_say_is_not_guessed(line: str) -> None:
    assert of(line) == []


def test_commands_are_those_that_replace_it() -> None:
    for line, command, _ in ONE_COMMAND:
        replacement = REPLACEMENTS[HMPLine.read(line).full_name]
        assert command in replacement.commands
