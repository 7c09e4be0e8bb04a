"""What the toolbar says of the command at the cursor."""

import random
from dataclasses import replace

import pytest

from repl.completing.completion import suggest
from repl.completing.hints import hint
from repl.completion_data import CompletionData, parse_help
from tests.support.repl.known_names import FACTS, HELP, looking
from tests.support.repl.typed_lines import SNIPPETS

WITH_INFO = replace(FACTS, commands=parse_help(HELP))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", ""),
        ("del", ""),
        ("delvm", ""),
        ("delvm ", "delvm tag -- delete a VM snapshot from its tag"),
        ("  delvm x", "delvm tag -- delete a VM snapshot from its tag"),
        ("s ", "stop -- stop emulation"),
        ("nosuch ", ""),
        ("/x ", ""),
        ("nbd_server_add ", "nbd_server_add [-w] device [name] -- export a block device via NBD"),
        ("info ", "info [subcommand] -- show various information about the system state"),
        ("info block", "info block [-n] [-v] [device] -- show block devices"),
        ("info block -v ", "info block [-n] [-v] [device] -- show block devices"),
        ("plan ", "plan command -- show what a snapshot command would do, without doing it"),
        ("plan delvm ", "delvm tag -- delete a VM snapshot from its tag"),
        ("events ", "events [on|off | name ...] -- which events to show: all, some (BLOCK_*) or none"),
        ("qmp ", "qmp command [{json} | key=value ...] -- run a QMP command"),
        ("qmp nosuch ", "qmp command [{json} | key=value ...] -- run a QMP command"),
        ("qmp stop", "stop"),
        ("qmp snapshot-save {", "snapshot-save tag=string vmstate=string devices=list of string"),
        ('{"exec', '{"execute": command, "arguments": {...}} -- run a QMP command'),
        ('  {"execute": "snapshot-save"', "snapshot-save tag=string vmstate=string devices=list of string"),
        ("{'execute': 'snapshot-save', 'arguments': {", "snapshot-save tag=string vmstate=string devices=list of string"),
        ('{"execute": "snapshot-save", "arguments": {"tag": "', "tag: string"),
        ('{"execute": "nosuch", ', '{"execute": command, "arguments": {...}} -- run a QMP command'),
        ("qmp device_add driver=virtio-blk-pci packed=", "packed: true|false bool (default off)"),
        ("qmp device_add driver=virtio-blk-pci drive", "drive: str, Node name or ID of a block device to use as a backend"),
        (
            "qmp device_add {'driver':'virtio-blk-pci','drive':'",
            "drive: str, Node name or ID of a block device to use as a backend",
        ),
        ('qmp snapshot-save {"devices": ["', "devices: string"),
        ("qmp object-add format=", "format: raw|qcow2 enum, optional"),
        ("qmp netdev_add type=stream addr.host=", "host: string"),
        (
            "qmp object-add ",
            "object-add qom-type=secret|iothread id=string [data=string] [format=raw|qcow2] [poll-max-ns=integer]",
        ),
        (
            "device_add virtio-blk-pci",
            "device_add driver[,prop=value][,...] -- add device, like -device on the command line",
        ),
        ("device_add virtio-blk-pci,packed=o", "packed: on|off bool (default off)"),
        ("device_add virtio-blk-pci,drive", "drive: str, Node name or ID of a block device to use as a backend"),
        (
            "device_add virtio-blk-pci,nosuch=",
            "device_add driver[,prop=value][,...] -- add device, like -device on the command line",
        ),
        ('device_add "a"b', "device_add driver[,prop=value][,...] -- add device, like -device on the command line"),
    ],
)
def test_hint(line: str, said: str) -> None:
    found = hint(line, WITH_INFO, looking())
    assert found == said or (line == "qmp object-add " and found.startswith(said))


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert hint("delvm ", CompletionData(), looking({})) == ""
    assert hint("device_add x,y=", CompletionData(), looking({})) == ""


WORDS = (
    *(
        "device_add ",
        "virtio-blk-pci,",
        "drive=",
        "qom-set /machine ",
        "change ",
        "-f ",
        "migrate_set_parameter speed ",
        "sendkey a-",
    ),
    *(
        "object_add secret",
        ",",
        "=",
        "drive_add 0 ",
        "chardev-change ",
        "set_password vnc x ",
        "info ",
        "block ",
        "plan ",
        "qmp ",
    ),
    *(
        "object-add ",
        'send-key {"keys": [',
        "{",
        "}",
        "[",
        ":",
        ", ",
        '"type": "qcode"',
        "netdev_add type=stream addr.",
        "a.b=1 ",
        "\\",
    ),
    *SNIPPETS,
)


@pytest.mark.parametrize("seed", range(30))
def test_random_line_has_a_hint_and_suggestions_or_none(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(150):
        line = "".join(rng.choices(WORDS, k=rng.randrange(1, 9)))
        for known in (looking(), looking({})):
            assert isinstance(hint(line, FACTS, known), str)
            for suggestion in suggest(line, FACTS, known):
                assert -len(line) <= suggestion.start <= 0, line
                assert suggestion.text, line
