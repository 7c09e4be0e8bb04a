"""Texts that are HMP command lines."""

import pytest

from audit.scanning.rules.hmp_texts import COMPUTED, known_command, snapshot_lines


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("savevm t1", ["savevm"]),
        ("  loadvm {tag}\r\n", ["loadvm"]),
        ("delvm %s", ["delvm"]),
        ('savevm "a b"', ["savevm"]),
        ('savevm "', ["savevm"]),
        ("savevm ${ a + b }", ["savevm"]),
        ("savevm $(date +%s)", ["savevm"]),
        ("info  snapshots\n", ["info snapshots"]),
        ("stop\nsavevm t\n\ncont\n", ["savevm"]),
        ("savevm a\ndelvm b", ["savevm", "delvm"]),
        ("savevm failed", []),
        ("savevm Failed!", []),
        ("savevm t1 took 3 s", []),
        ("savevm <tag>", []),
        ("savevm [tag]", []),
        ("saveVm t", []),
        ("savevms t", []),
        ("usage:\nsavevm t\n", []),
        ("info block", []),
        ("", []),
    ],
)
def test_snapshot_lines(text: str, commands: list[str]) -> None:
    assert [line.command for line in snapshot_lines(text)] == commands


def test_places_and_bare_words() -> None:
    assert [(line.offset, line.is_whole) for line in snapshot_lines("  savevm\n loadvm \n info snapshots")] == [
        (2, False),
        (10, True),
        (19, True),
    ]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("savevm {tag}", "savevm"),
        ("info snapshots", "info snapshots"),
        ("info {topic}", COMPUTED),
        ("info", COMPUTED),
        ("{command} t", COMPUTED),
        ("$LINE", COMPUTED),
        ("%s", COMPUTED),
        ("", COMPUTED),
        ('savevm"', "savevm"),
        ("qemu-io disk 'write 0 1M'", "qemu-io"),
    ],
)
def test_known_command(text: str, command: str) -> None:
    assert known_command(text) == command
