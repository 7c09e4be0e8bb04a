"""Words of `driver,key=value,...`."""

import pytest

from repl.completing.completion import suggest
from repl.completing.key_values import current_key, split_parts, suggest_key_value, values_named
from repl.completing.names import Suggestion
from repl.completing.questions import Kind, Question
from repl.completion_data import Named
from tests.support.repl.known_names import ANSWERS, FACTS, looking


def texts(line: str) -> list[str]:
    return [one.text for one in suggest(line, FACTS, looking())]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("device_add virtio-blk-pci-n", ["virtio-blk-pci-non-transitional"]),
        ("device_add max", ["max-x86_64-cpu"]),
        ("device_add virtio-blk-pci,i", ["id=", "iothread="]),
        ("device_add virtio-blk-pci,id=x,i", ["iothread="]),
        ("device_add driver=virtio-blk-pci,dr", ["drive="]),
        ("device_add virtio-blk-pci,drive=", ["d0", "cd0", "n0", "#block1"]),
        ("device_add virtio-blk-pci,iothread=", ["io1"]),
        ("device_add virtio-blk-pci,netdev=", ["free0"]),
        ("device_add virtio-blk-pci,chardev=", ["rb", "nu"]),
        ("device_add virtio-blk-pci,bus=", ["pcie.0"]),
        ("device_add virtio-blk-pci,romfile=/", ["/etc/"]),
        ("device_add virtio-blk-pci,write-cache=", ["on", "off", "auto"]),
        ("device_add virtio-blk-pci,serial=", []),
        ("device_add virtio-blk-pci,nosuch=", []),
        ("device_add virtio-blk-pci,serial=a,,pa", []),
        ("device_add virtio-blk-pci,pa", ["packed="]),
        ("device_add usb-host,", ["id=", "bus="]),
        ("device_add nosuch,", ["id=", "bus="]),
        ('device_add "virtio', []),
        ("device_add virtio-blk-pci x", []),
        ("object_add ", ["secret", "iothread"]),
        ("object_add secret,", ["id=", "data=", "format="]),
        ("object_add qom-type=secret,da", ["data="]),
        ("object_add secret,format=r", ["raw"]),
        ("object_add iothread,loaded=", ["on", "off"]),
        ("netdev_add hubport,netdev=", ["free0"]),
        ("netdev_add user,", ["id=", "restrict=", "hostfwd="]),
        ("netdev_add stream,", ["id=", "addr.type=", "addr.host=", "addr.more=", "endpoint="]),
        ("netdev_add stream,endpoint=", ["client", "server"]),
        ("chardev-add ", ["null", "socket"]),
        ("chardev-add socket,", ["id=", "logfile=", "path=", "server="]),
        ("chardev-add vc,", ["id=", "cols=", "logfile="]),
        ("chardev-add null,", ["id=", "logfile="]),
        ("chardev-add nosuch,", ["id=", "cols=", "logfile=", "path=", "server="]),
        ("chardev-add socket,server=", ["on", "off"]),
        ("drive_add ", []),
        ("drive_add 0 ", ["id=", "file=", "format=", "if=", "werror=", "cache="]),
        ("drive_add 0 file=", ["a.img", "sub/"]),
        ("drive_add 0 format=", ["raw", "qcow2"]),
        ("drive_add -n 0 if=", ["ide", "scsi", "none"]),
        ("drive_add 0 if=none,werror=", ["ignore", "report", "stop", "enospc"]),
        ("drive_add 0 cache=w", ["writeback", "writethrough"]),
    ],
)
def test_offered(line: str, offered: list[str]) -> None:
    assert texts(line) == offered


def test_completion_replaces_the_last_part_only() -> None:
    assert suggest_key_value("device_add", "virtio-blk-pci,ser", FACTS, looking()) == [Suggestion("serial=", -3, "str")]
    assert suggest_key_value("object_add", "secret,format=q", FACTS, looking()) == [Suggestion("qcow2", -1, "enum")]


def test_developers_properties_come_last() -> None:
    assert texts("device_add virtio-blk-pci,")[-1] == "x-old="


def test_what_is_not_known_is_asked_for() -> None:
    asked: list[Question] = []

    def look(question: Question) -> tuple[Named, ...]:
        asked.append(question)
        return ANSWERS[question] if question.kind is Kind.DRIVERS else ()

    assert [one.text for one in suggest_key_value("device_add", "e1000,", FACTS, look)] == ["id=", "bus="]
    assert Question(Kind.PROPERTIES, "e1000") in asked
    asked.clear()
    suggest_key_value("device_add", "usb-host,", FACTS, look)
    assert {question.kind for question in asked} == {Kind.DRIVERS}


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a,", ["a", ""]),
        ("a,b=c", ["a", "b=c"]),
        ("a=b,,c,d", ["a=b,,c", "d"]),
        (",,", [",,"]),
        (",a", ["", "a"]),
    ],
)
def test_word_in_parts(word: str, parts: list[str]) -> None:
    assert split_parts(word) == parts


def test_key_that_is_being_set() -> None:
    def key(command: str, word: str) -> str | None:
        found = current_key(command, word, FACTS, looking())
        return None if found is None else found.name

    assert key("object_add", "secret,format=r") == "format"
    assert key("object_add", "secret,format") == "format"
    assert key("object_add", "secret,form") is None
    assert key("object_add", "secret") is None
    assert key("drive_add", "file=x") == "file"


def test_filter_may_be_at_a_back_end_in_use() -> None:
    found = values_named("object_add", "filter-dump", Named("netdev", "", "string"), "", FACTS, looking())
    assert [one.name for one in found] == ["n0", "free0"]
