"""HMPLine against the real monitor: what it says of a line is what QEMU then does with it.

Every line goes to human-monitor-command as it is, on a stopped VM with one small disk. What QEMU did is read off its
reply and the disk's snapshots, which never go through shim.hmp.line.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, assert_never

import pytest

from shim.hmp.line import DelVM, HMPLine, InfoSnapshots, LoadVM, SaveVM
from tests.integration.qemu_vm import QEMUVM, make_qcow2
from tests.support.raw_client import RawClient
from tests.support.shim.hmp_lines import ARGUMENTS, MALFORMED_ARGUMENTS, NOT_BLANKS, NOT_OURS

DEVICE = "d0"
BLANKS = " \t\n\v\f\r"
SENTINEL = "sentinel"

# block/snapshot.h, QEMUSnapshotInfo: "char name[256]".
STORED_NAME_BYTES = 255

# monitor/hmp.c, "char cmdname[256]". A last character that does not fit may leave up to three bytes unused.
NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class Disk:
    """A VM's only disk, and its monitor."""

    client: RawClient

    def run(self, line: str) -> str | None:
        """Run a line natively and give its text, None if QEMU refuses the JSON."""
        reply = self.client.execute("human-monitor-command", {"command-line": line})
        text: str | None = reply.get("return")
        return text

    def snapshots(self) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = self.client.returned("query-named-block-nodes", {"flat": True})
        return next(node["image"].get("snapshots", []) for node in nodes if node["drv"] == "qcow2")

    def names(self) -> list[str]:
        return [snapshot["name"] for snapshot in self.snapshots()]

    def add(self, name: str) -> None:
        self.client.returned("blockdev-snapshot-internal-sync", {"device": DEVICE, "name": name})

    def clear(self) -> None:
        for snapshot in self.snapshots():
            # By id, since a name that QEMU cut inside a character cannot be written in JSON.
            arguments = {"device": DEVICE, "id": snapshot["id"]}
            self.client.returned("blockdev-snapshot-delete-internal-sync", arguments)


@pytest.fixture(scope="module")
def vm_disk() -> Iterator[Disk]:
    vm = QEMUVM(["-S", "-drive", f"file=d0.qcow2,format=qcow2,if=none,id={DEVICE}"])
    make_qcow2(vm.path("d0.qcow2"), "1M")
    with vm, vm.negotiated() as client:
        yield Disk(client)


@pytest.fixture
def disk(vm_disk: Disk) -> Disk:
    vm_disk.clear()
    return vm_disk


def stored(tag: str) -> str:
    """Return the tag as query-block shows it after QEMU has stored its first 255 bytes, perhaps with half a character."""
    cut = tag.encode().replace(b"\0", b"\xc0\x80")[:STORED_NAME_BYTES]
    return cut.replace(b"\xc0\x80", b"\0").decode(errors="replace")


def assert_saves(disk: Disk, line: str, tag: str | None) -> None:
    assert disk.run(line) == ""
    names = disk.names()
    if tag is None:
        assert len(names) == 1
        assert re.fullmatch(r"vm-\d{14}", names[0])
    else:
        assert names == [stored(tag)]


def assert_looks_for(disk: Disk, line: str, tag: str) -> None:
    """A loadvm of a missing tag names the tag, whole, and changes nothing in a VM that is stopped."""
    text = f"Error: Snapshot '{tag}' does not exist in one or more devices\n"
    assert disk.run(line) == text.replace("\n", "\r\n")


def assert_deletes(disk: Disk, line: str, tag: str) -> None:
    disk.add(SENTINEL)
    if tag and stored(tag) == tag:
        disk.add(tag)
        assert disk.names() == [SENTINEL, tag]
    assert disk.run(line) == ""
    assert disk.names() == [SENTINEL]


def assert_left_alone(disk: Disk, line: str) -> None:
    """QEMU answers None with a text that is no answer of ours, or with nothing to a blank line."""
    disk.add(SENTINEL)
    text = disk.run(line)
    assert disk.names() == [SENTINEL]
    if text is not None:
        assert (text == "") == (not line.strip(BLANKS))
        assert not text.startswith(("Error: ", "List of snapshots", "There is no snapshot"))
        assert_name_is_looked_up(line, text)


def assert_name_is_looked_up(line: str, text: str) -> None:
    """QEMU repeats the line up to the end of the name that it does not know; of "info x" it knows the first name.

    It repeats names over 255 bytes whole, although it looks up no more than that of them.
    """
    name = HMPLine.read(line).name
    if text.startswith("unknown command: ") and name != "info":
        blanks = line[: len(line) - len(line.lstrip(BLANKS))]
        end = "" if len(name.encode()) >= NAME_BYTES - 3 else "'\n"
        assert text.startswith(f"unknown command: '{blanks}{name}{end}".replace("\n", "\r\n"))


def assert_parse_agrees(disk: Disk, line: str) -> None:
    match HMPLine.read(line).command:
        case SaveVM(tag):
            assert_saves(disk, line, tag)
        case LoadVM(tag):
            assert_looks_for(disk, line, tag)
        case DelVM(tag):
            assert_deletes(disk, line, tag)
        case InfoSnapshots():
            assert disk.run(line) == "There is no snapshot available.\r\n"
        case None:
            assert_left_alone(disk, line)
        case command:
            assert_never(command)


TABLE = [
    *("savevm", "savevm ", "savevm\n", "loadvm", "loadvm ", "delvm", "info snapshots", " info\t snapshots\n"),
    *(f"savevm {argument}" for argument in (*ARGUMENTS, *MALFORMED_ARGUMENTS, *NOT_BLANKS)),
    *(f"\r\n loadvm\v{argument}\f" for argument in (*ARGUMENTS, *MALFORMED_ARGUMENTS, *NOT_BLANKS)),
    *(f"delvm\t{argument} " for argument in (*ARGUMENTS, *MALFORMED_ARGUMENTS, *NOT_BLANKS)),
    *(f"savevm{argument}" for argument in (*MALFORMED_ARGUMENTS, *NOT_BLANKS)),
    *(f"{char}savevm t" for char in NOT_BLANKS),
    *("savevm/", "savevm /", "savevm/x", "savevm//x", 'savevm/"x"', "savevm/x y", "loadvm/x", "delvm/x"),
    *(line for line in NOT_OURS if HMPLine.read(line).name not in {"stop", "help"}),
    *("savevm a\ufffe", "savevm a\ufdd0", "savevm \ud800", "savevm \U0010ffff"),
]


@pytest.mark.parametrize("line", TABLE, ids=ascii)
def test_line_of_the_table(disk: Disk, line: str) -> None:
    assert_parse_agrees(disk, line)


LONG = {
    "word-of-255": "a" * 255,
    "word-of-256": "a" * 256,
    "stored-name-cut-in-a-character": "a" * 254 + "é",
    "word-of-1023": "a" * 1023,
    "word-of-1024": "a" * 1024,
    "word-of-100000": "a" * 100_000,
    "quoted-2000": '"' + "a " * 1000 + '"',
    "escapes-of-1100": '"' + r"\n" * 1100 + '"',
    "cut-behind-a-character": "a" * 1021 + "éb",
    "nuls": "\0" * 511 + "bb",
    "more-behind-the-cut": "a" * 2000 + " b",
    "quoted-and-more-behind-the-cut": '"' + "a" * 2000 + '" b',
    "bad-escape-behind-the-cut": '"' + "a" * 2000 + r"\t" + '"',
    "unterminated-behind-the-cut": '"' + "a" * 2000,
}


@pytest.mark.parametrize("argument", LONG)
@pytest.mark.parametrize("name", ["savevm", "loadvm", "delvm"])
def test_long_argument(disk: Disk, name: str, argument: str) -> None:
    assert_parse_agrees(disk, f"{name} {LONG[argument]}")


@pytest.mark.parametrize("line", [" " * 100_000 + "savevm t", "savevm" + " " * 100_000 + "t" + "\n" * 100_000, "s" * 255])
def test_long_line(disk: Disk, line: str) -> None:
    assert_parse_agrees(disk, line)


@pytest.mark.parametrize("argument", ["a" * 1022 + "é", "a" * 1020 + "😀", "a" * 1022 + "\0"], ids=["2", "4", "nul"])
def test_argument_cut_inside_a_character_passes_through(disk: Disk, argument: str) -> None:
    """QEMU takes these with half a character at the end, which no QMP command can carry."""
    assert HMPLine.read(f"savevm {argument}").command is None
    assert disk.run(f"savevm {argument}") == ""
    assert disk.names() == ["a" * STORED_NAME_BYTES]


@pytest.mark.parametrize("argument", ["t", '""', r'"a\"b\\"', "日本", "t\0x", "/"], ids=ascii)
def test_snapshot_of_the_parsed_tag_is_loaded(disk: Disk, argument: str) -> None:
    saved = HMPLine.read(f"savevm {argument}").command
    assert isinstance(saved, SaveVM)
    disk.client.returned("human-monitor-command", {"command-line": f"savevm {argument}"})
    assert HMPLine.read(f"loadvm {argument}").command == LoadVM(disk.names()[0])
    assert disk.run(f"loadvm {argument}") == ""


# Pieces that meet often enough to give commands, near misses and odd mixtures.
NAMES = ["savevm"] * 4 + ["loadvm"] * 3 + ["delvm"] * 3 + ["info snapshots", "info", "snapshots", "Savevm", "savevmx"]
PIECES = [
    *("a", "b1", "-x", "é", "日本", "😀", "\x01", "\x1c", "\x7f", "\x85", "\xa0", "\u2028", "\0", "#", ";", "'", "%n"),
    *('"', '"', "\\", '\\"', "\\\\", "\\n", "\\r", "\\'", "\\t", "/", *BLANKS),
]


def random_line(rng: random.Random) -> str:
    """Return a line that is a command of ours about half of the time."""
    blanks = "".join(rng.choices(BLANKS, k=rng.choice([0, 0, 1, 3])))
    separator = rng.choice([" ", " ", " ", "\t\n", "/", "", '"'])
    argument = "".join(rng.choices(PIECES, k=rng.choice([0, 1, 1, 2, 3, 5]))) * rng.choice([1, 1, 1, 1, 90])
    if rng.random() < 0.4:
        argument = f'"{argument}"'
    return blanks + rng.choice(NAMES) + separator + argument + rng.choice(["", "", " ", "\r\n", "x"])


@pytest.mark.parametrize("seed", range(300))
def test_random_line(disk: Disk, seed: int) -> None:
    assert_parse_agrees(disk, random_line(random.Random(seed)))


def test_random_lines_are_of_every_kind() -> None:
    kinds = [type(HMPLine.read(random_line(random.Random(seed))).command) for seed in range(300)]
    assert all(kinds.count(kind) >= minimum for kind, minimum in ((SaveVM, 30), (LoadVM, 20), (DelVM, 20), (type(None), 90)))
