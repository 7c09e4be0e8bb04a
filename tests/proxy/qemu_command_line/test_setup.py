"""A command line taken apart."""

import pytest

from proxy.qemu_command_line.config_file import Group
from proxy.qemu_command_line.options import Option
from proxy.qemu_command_line.setup import Setup, properties, take_apart


def setup_of(words: str, **files: str) -> Setup:
    return take_apart(words.split(), files.get)


def test_files_are_read_in_place() -> None:
    setup = setup_of("-S -readconfig a -readconfig b", a='[mon]\n  chardev = "c"', b='[name]\n[chardev "c"]')
    first, second = Option("readconfig", "a", 1), Option("readconfig", "b", 3)
    assert setup.groups == (
        (first, Group("mon", None, {"chardev": "c"})),
        (second, Group("name", None)),
        (second, Group("chardev", "c")),
    )
    assert not setup.has_bad_file
    assert setup.has("S")
    assert not setup.has("m", "name")
    assert setup.arguments("readconfig", "S") == ["a", "b"]


@pytest.mark.parametrize("words", ["-readconfig absent", "-readconfig wrong", "-readconfig"])
def test_file_may_be_bad(words: str) -> None:
    assert setup_of(words, wrong="no group").has_bad_file


@pytest.mark.parametrize(
    ("words", "has_display"),
    [
        # QEMU chooses one.
        ("", True),
        ("-display none", False),
        ("-display type=none", False),
        ("-nographic", False),
        ("-display gtk", True),
        ("-display none -display curses,charset=CP437", True),
        ("-display gtk -nographic", False),
        ("-nographic -curses", True),
        ("-display none -vnc :1", True),
        ("-display none -vnc none", False),
        ("-nographic -spice port=1", True),
        ("-display none -readconfig vnc", True),
        ("-display none -readconfig name", False),
    ],
)
def test_display_may_show_consoles(words: str, has_display: bool) -> None:
    assert setup_of(words, vnc='[vnc "default"]\n  vnc = ":1"', name="[name]").has_display is has_display


@pytest.mark.parametrize(
    ("words", "has_port"),
    [
        ("", True),
        ("-nodefaults", False),
        ("-serial none", False),
        ("-device isa-serial,chardev=c", False),
        ("-device driver=isa-serial", False),
        ('-device {"driver":"isa-serial","chardev":"c"}', False),
        ("-device virtio-serial", True),
        ("-readconfig device", False),
    ],
)
def test_serial_port_is_there_by_default(words: str, has_port: bool) -> None:
    assert setup_of(words, device='[device]\n  driver = "isa-serial"').has_default_serial_port is has_port


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("monitor-qmp,id=m,chardev=c", {"qom-type": "monitor-qmp", "id": "m", "chardev": "c"}),
        ("monitor-qmp", {"qom-type": "monitor-qmp"}),
        (
            '{"qom-type":"a","id":"m","pretty":true,"b":false,"c":1,"d":null}',
            {"qom-type": "a", "id": "m", "pretty": "on", "b": "off"},
        ),
        ('{"qom-type":', {}),
        (100_000 * '{"a":', {}),
    ],
)
def test_argument_may_be_json(text: str, values: dict[str, str]) -> None:
    assert properties(text, "qom-type") == values
