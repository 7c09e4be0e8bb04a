"""`qmp COMMAND` with words, and with JSON."""

from dataclasses import replace

import pytest

from repl.completing.completion import suggest
from repl.completing.names import Suggestion
from repl.completing.qmp_arguments import suggest_qmp
from repl.completion_data import Named
from tests.support.repl.known_names import FACTS, looking


def texts(rest: str) -> list[str]:
    return [one.text for one in suggest_qmp(rest, FACTS, looking())]


@pytest.mark.parametrize(
    ("rest", "offered"),
    [
        ("st", ["stop"]),
        ("stop ", []),
        ("nosuch ", []),
        ("object-add ", ["qom-type=", "id=", "data=", "format=", "poll-max-ns=", "loaded="]),
        ("object-add qom-type=secret ", ["id=", "data=", "format="]),
        ("object-add qom-type=secret format=", ["raw", "qcow2"]),
        ("netdev_add type=stream addr.", ["addr.type=", "addr.host=", "addr.more="]),
        ("netdev_add type=stream addr.host=x addr.t", ["addr.type="]),
        ("netdev_add type=stream addr.more.x=", []),
        ("blockdev-add file.driver=", ["raw", "qcow2"]),
        ("device_del id=", ["net0"]),
        ("chardev-remove id=", ["rb", "nu"]),
        ("snapshot-save tag=", ["t1"]),
        ("snapshot-save vmstate=", ["n0", "#block1"]),
        ("snapshot-save devices=", ["n0", "#block1"]),
        # Names of what the VM has (test_qmp_names.py)
        ("netdev_add type=hubport netdev=", ["free0"]),
        ("netdev_add type=user id=", []),
        ("object-add qom-type=secret id=", []),
        ("device_add driver=virtio-blk-pci netdev=", ["free0"]),
        ("device_add driver=virtio-blk-pci chardev=", ["rb", "nu"]),
        ("device_add driver=virtio-blk-pci drive=", ["d0", "cd0", "n0", "#block1"]),
        ("device_add driver=virtio-blk-pci iothread=", ["io1"]),
        ("device_add driver=virtio-blk-pci bus=", ["pcie.0"]),
        ("device_add driver=virtio-blk-pci id=", []),
        ("device_add drive=", []),
        ("qom-get path=/m", ["/machine"]),
        ("qom-get path=/machine property=", ["hpet", "kernel"]),
        ("qom-get property=", ["machine", "type", "other"]),
        ("device_add driver=virtio-blk-pci-n", ["virtio-blk-pci-non-transitional"]),
        ("device_add driver=virtio-blk-pci pa", ["packed="]),
        ("device_add driver=virtio-blk-pci packed=", ["true", "false"]),
        ("device_add driver=virtio-blk-pci write-cache=a", ["auto"]),
        ("device-list-properties typename=virtio-blk-pci-n", ["virtio-blk-pci-non-transitional"]),
        ("screendump filename=/", ["/etc/"]),
        ("screendump other=", []),
        ("screendump force=", ["true", "false"]),
        # In single quotes
        ("device_add {'driver': 'virtio-blk-pci-n", ["'virtio-blk-pci-non-transitional'"]),
        ("qom-get {'path':'/mach", ["'/machine'"]),
        ("object-add {'qom-type': ", ["'secret'", "'iothread'"]),
        ("object-add {'qom-type': 'secret', ", ["'id': ", "'data': ", "'format': "]),
        ("screendump {'force': ", ["true", "false"]),
        # JSON
        ("stop {", []),
        ("object-add {", ['"qom-type": ', '"id": ', '"data": ', '"format": ', '"poll-max-ns": ', '"loaded": ']),
        ('object-add {"qom-type": "secret", ', ['"id": ', '"data": ', '"format": ']),
        ('object-add {"qom-type": "secret", "f', ['"format": ']),
        ('object-add {"qom-type": ', ['"secret"', '"iothread"']),
        ('object-add {"qom-type": "s', ['"secret"']),
        ('object-add {"loaded": t', ["true"]),
        ('object-add {"nosuch": ', []),
        ('object-add {"id": ', []),
        ('object-add {"qom-type" ', []),
        ('send-key {"keys": ', ["["]),
        ('send-key {"keys": [', ["{"]),
        ('send-key {"keys": [{', ['"type": ', '"data": ']),
        ('send-key {"keys": [{"type": "qcode", "data": "al', ['"alt"']),
        ('send-key {"rows": [[{"type": "qcode", "data": "al', ['"alt"']),
        ('send-key {"formats": ["raw", ', ['"raw"', '"qcow2"']),
        ('send-key {"keys": {"x": {', []),
        ('blockdev-add {"file": {"driver": "r', ['"raw"']),
        ('blockdev-add {"file": {"file": {"dri', ['"driver": ']),
        ('snapshot-save {"devices": ["', ['"n0"', '"#block1"']),
        ('device_add {"driver":"virtio-blk-pci","drive":"', ['"d0"', '"cd0"', '"n0"', '"#block1"']),
        ('device_add {"driver": "virtio-blk-pci", "pac', ['"packed": ']),
        ('device_add {"driver": "virtio-blk-pci", "packed": ', ["true", "false"]),
        ('netdev_add {"type": "stream", "addr": ', ["{"]),
        ('qom-get {"path": "/m', ['"/machine"']),
        ("object-add [", []),
        ('object-add "', []),
    ],
)
def test_offered(rest: str, offered: list[str]) -> None:
    assert texts(rest) == offered


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("{", ['"execute": ', '"arguments": ', '"id": ']),
        ('{"exec', ['"execute": ']),
        ("{'exec", ["'execute': "]),
        ('{"execute": "block-s', ['"block-stream"']),
        ('{"execute": "eject", ', ['"arguments": ', '"id": ']),
        ('{"execute": "eject", "id": ', []),
        ('{"execute": "eject", "nosuch": ', []),
        ('{"execute": "eject", "arguments": ', ["{"]),
        ('{"execute": "eject", "arguments": {"', ['"device": ', '"id": ']),
        ('{"execute": "eject", "arguments": {"device": "', ['"cd0"', '"d0"']),
        ('{"execute": "eject",\n "arguments": {\n  "dev', ['"device": ']),
        ("{'execute': 'eject', 'arguments': {'device': 'c", ["'cd0'"]),
        ('{"execute": "object-add", "arguments": {"qom-type": "secret", "f', ['"format": ']),
        ('{"execute": "nosuch", "arguments": {"', []),
        ('{"execute": "eject", "other": {"', []),
        ('{"arguments": {"', []),
        ('{"execute": "eject"', []),
        ('{"execute": "eject"}', []),
        ("{]", []),
    ],
)
def test_command_in_qmps_own_form(text: str, offered: list[str]) -> None:
    assert [one.text for one in suggest(text, FACTS, looking())] == offered


def test_property_of_a_device_has_its_description() -> None:
    look = looking()
    (word,) = suggest_qmp("device_add driver=virtio-blk-pci dr", FACTS, look)
    (json,) = suggest_qmp('device_add {"driver": "virtio-blk-pci", "dr', FACTS, look)
    assert word.meta == json.meta == "str, Node name or ID of a block device to use as a backend"


def test_name_that_single_quotes_cannot_hold_is_offered_in_double_ones() -> None:
    facts = replace(FACTS, tags=(Named("it's", ""), Named('a "b"', ""), Named("plain", "")))
    assert [one.text for one in suggest_qmp("snapshot-save {'tag': ", facts, looking())] == [
        '"it\'s"',
        '"a \\"b\\""',
        "'plain'",
    ]


def test_what_json_has_is_replaced_with_its_quote() -> None:
    assert suggest_qmp('object-add {"qom-type": "s', FACTS, looking()) == [Suggestion('"secret"', -2, "enum")]
