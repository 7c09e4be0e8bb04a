"""What stands at which place of which HMP command."""

import pytest

from repl.completing.completion import suggest
from repl.completing.hmp_arguments import suggest_arguments
from repl.completion_data import CommandHelp
from tests.support.repl.known_names import FACTS, looking


def texts(line: str) -> list[str]:
    return [one.text for one in suggest(line, FACTS, looking())]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("block_job_cancel ", ["j0", "d0", "cd0"]),
        ("block_resize ", ["d0", "cd0"]),
        ("change ", ["cd0", "d0", "vnc"]),
        ("change cd0 ", ["a.img", "sub/"]),
        ("change -f cd0 ", ["a.img", "sub/"]),
        ("change cd0 /", ["/etc/"]),
        ('change cd0 "/', ['"/etc/"']),
        ("change vnc ", ["password"]),
        ("change cd0 x ", ["raw", "qcow2"]),
        ("change cd0 x raw ", ["retain", "read-only"]),
        ("change cd0 x raw retain ", []),
        ("chardev-remove ", ["rb", "nu"]),
        ("chardev-change ", ["rb", "nu"]),
        ("chardev-change rb ", ["null", "socket"]),
        ("commit ", ["d0", "cd0", "all"]),
        ("cpu ", ["0"]),
        ("delvm ", ["t1"]),
        ("device_del n", ["net0"]),
        ("drive_del ", ["d0", "cd0", "n0"]),
        ("drive_mirror -n ", ["d0", "cd0"]),
        ("drive_mirror -n d0 ", ["a.img", "sub/"]),
        ("drive_mirror -n d0 x q", ["qcow2"]),
        ("dump-guest-memory -p s", ["sub/"]),
        ("eject ", ["cd0", "d0"]),
        ("expire_password ", ["vnc", "spice"]),
        ("expire_password vnc n", ["now", "never"]),
        ("expire_password vnc now -d ", []),
        ("info block ", ["d0", "cd0", "n0", "#block1"]),
        ("info qom-tree /", ["/machine", "/other"]),
        ("log ", ["none", "int", "trace:"]),
        ("log i", ["int"]),
        ("log int,", ["none", "trace:"]),
        ("log int,trace:b", ["trace:bdrv_lock_medium"]),
        ("log int ", []),
        ("memsave ", []),
        ("memsave 0 16 ", ["a.img", "sub/"]),
        ("migrate_set_capability ", ["events", "xbzrle"]),
        ("migrate_set_capability events ", ["on", "off"]),
        ("migrate_set_parameter ", ["multifd", "compression", "speed"]),
        ("migrate_set_parameter multifd ", ["on", "off"]),
        ("migrate_set_parameter compression ", ["none", "zlib"]),
        ("migrate_set_parameter speed ", []),
        ("migrate_set_parameter nosuch ", []),
        ("nbd_server_remove ", ["e0"]),
        ("netdev_del ", ["n0", "free0"]),
        ("object_del ", ["pc.ram", "io1"]),
        ("qom-get ", ["/"]),
        ("qom-get /m", ["/machine"]),
        ("qom-get /machine ", ["hpet", "kernel"]),
        ("qom-set /machine hpet ", ["on", "off"]),
        ("qom-set /machine kernel ", []),
        ("qom-set /machine nosuch ", []),
        ("qemu-io ", ["d0", "cd0", "n0", "#block1"]),
        ("ringbuf_read ", ["rb"]),
        ("sendkey ", ["a", "alt", "ctrl", "delete"]),
        ("sendkey ctrl-a", ["a", "alt"]),
        ("sendkey ctrl-alt ", []),
        ("set_link ", ["nic0", "n0", "free0"]),
        ("set_link nic0 ", ["on", "off"]),
        ("set_password ", ["vnc", "spice"]),
        ("set_password vnc secret ", ["keep", "fail"]),
        ("snapshot_delete_blkdev_internal n", ["n0"]),
        ("snapshot_delete_blkdev_internal d0 ", ["t1"]),
        ("trace-event b", ["bdrv_lock_medium"]),
        ("trace-event bdrv_lock_medium ", ["on", "off"]),
        ("watchdog_action ", ["reset", "pause"]),
        ("stop ", []),
        ('qom-get "/m"x', []),
    ],
)
def test_offered(line: str, offered: list[str]) -> None:
    assert texts(line) == offered


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("info block > ", ["out.txt", '"two words"', "sub/"]),
        ("info block >> o", ["out.txt"]),
        ("info block>s", ["sub/"]),
        ("info block > /", ["/tmp/"]),
        ('info block > "t', ['"two words"']),
        ("info block > 't", []),
        ("info block > ~", []),
        ("watch info block > o", ["out.txt"]),
        ("info block > out.txt ", []),
        ("info block > a b", []),
        ("info block | o", []),
    ],
)
def test_file_for_the_output_is_this_programs(line: str, offered: list[str]) -> None:
    assert texts(line) == offered


def test_key_replaces_what_comes_after_the_last_hyphen() -> None:
    (one,) = suggest("sendkey ctrl-del", FACTS, looking())
    assert (one.text, one.start) == ("delete", -3)


def test_parameter_shows_its_type_and_what_it_is_now() -> None:
    assert [one.meta for one in suggest("migrate_set_parameter ", FACTS, looking())] == ["boolean", "enum", "integer, now 5"]


def test_hyphen_begins_an_option_only_where_there_are_options() -> None:
    assert texts("dump-guest-memory -") == ["-p"]
    assert texts("dump-guest-memory -p -") == []
    assert suggest_arguments(CommandHelp(("delvm",), "tag", ""), "delvm", "-", FACTS, looking()) == []
