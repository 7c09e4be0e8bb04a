"""Which QMP command does what an HMP command does: the table against the QEMU under test."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from shim.qmp import QEMUVersion
from shim.replacements import REPLACEMENTS, Replacement, replacement
from tests.integration.qemu_vm import QEMUVM, version

# QMP commands that came after QEMU 7.2, with the version that had them first.
NEWER: Final = {
    "query-accelerators": QEMUVersion(10, 2),
    "query-cryptodev": QEMUVersion(8, 0),
    "query-firmware-log": QEMUVersion(10, 2),
    "x-accel-stats": QEMUVersion(10, 1),
    "xen-event-inject": QEMUVersion(8, 0),
    "xen-event-list": QEMUVersion(8, 0),
}
# QMP commands that are no more, with the first version without.
GONE: Final = {
    "x-query-opcount": QEMUVersion(11, 0),
    "x-query-profile": QEMUVersion(8, 1),
    "x-query-rdma": QEMUVersion(9, 1),
}
_NAMES: Final = re.compile(r"[a-z?][\w|?-]*(?= |$)")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the QEMU under test knows. hmp: commands with their short forms, and `info TOPIC`."""

    version: QEMUVersion
    hmp: frozenset[str]
    qmp: frozenset[str]


def _commands(help_text: str) -> Iterator[str]:
    """Read the names from lines like `help|? [cmd] -- show the help`; what begins otherwise continues a line."""
    for line in help_text.splitlines():
        if names := _NAMES.match(line):
            yield from names[0].split("|")


def _topics(help_text: str) -> Iterator[str]:
    return (" ".join(line.split()[:2]) for line in help_text.splitlines() if line.startswith("info "))


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    with QEMUVM() as vm:
        found = version(vm)
        if found < (7, 2):
            pytest.skip("the table is made from QEMU 7.2 and later")
        with vm.negotiated() as client:
            hmp = {*_commands(client.hmp("help")), *_topics(client.hmp("help info"))} - {"info"}
            qmp = {row["name"] for row in client.returned("query-commands")}
    return Vocabulary(found, frozenset(hmp), frozenset(qmp))


def test_help_was_understood(vocabulary: Vocabulary) -> None:
    assert {"help", "?", "cont", "c", "savevm", "drive_add", "pcie_aer_inject_error", "info snapshots"} <= vocabulary.hmp
    assert len(vocabulary.hmp) > 120


def test_every_hmp_command_of_this_qemu_is_in_the_table(vocabulary: Vocabulary) -> None:
    assert vocabulary.hmp - REPLACEMENTS.keys() == frozenset()


def test_every_qmp_command_of_the_table_is_in_this_qemu(vocabulary: Vocabulary) -> None:
    named = {name for entry in REPLACEMENTS.values() for name in entry.commands}
    newer = {name for name, first in NEWER.items() if vocabulary.version < first}
    gone = {name for name, first_without in GONE.items() if vocabulary.version >= first_without}
    assert named - vocabulary.qmp == newer | gone


def test_an_entry_without_commands_has_no_qmp_command_of_its_name(vocabulary: Vocabulary) -> None:
    overlooked = set()
    for name in (name for name, entry in REPLACEMENTS.items() if not entry.commands):
        spelled = name.removeprefix("info ").replace("_", "-")
        overlooked |= {name, spelled, f"query-{spelled}", f"x-query-{spelled}"} & vocabulary.qmp
    assert overlooked == set()


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (Replacement(("stop",)), "stop"),
        (Replacement(("a", "b")), "a and b"),
        (Replacement(("a",), "a job"), "a (a job)"),
        (Replacement(), "no QMP equivalent"),
        (Replacement(note="see -d"), "no QMP equivalent (see -d)"),
    ],
)
def test_texts(entry: Replacement, text: str) -> None:
    assert str(entry) == text


def test_info_is_looked_up_by_its_topic() -> None:
    assert replacement("info", "status") == Replacement(("query-status",))
    assert replacement("savevm") == Replacement(("snapshot-save",), "a job; delete the tag first to replace it")
    assert replacement("status") is None
    assert replacement("info") is None
    assert replacement("info", "nosuch") is None
