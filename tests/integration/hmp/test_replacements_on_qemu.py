"""The tables of what replaces HMP, and of what QEMU dropped of it, against the QEMU under test."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from shim.hmp.deprecations import CHANGES
from shim.hmp.replacements import REPLACEMENTS
from shim.qmp import QEMUVersion
from tests.integration.qemu_vm import QEMUVM, version
from tests.support.raw_client import RawClient

pytestmark = pytest.mark.versions

# QMP commands that came after QEMU 7.2, with the version that had them first.
NEWER: Final = {
    # Before, only a QEMU for s390x had it.
    "dump-skeys": QEMUVersion(10, 1),
    "query-accelerators": QEMUVersion(10, 2),
    "query-cryptodev": QEMUVersion(8, 0),
    "query-firmware-log": QEMUVersion(10, 2),
    "x-accel-stats": QEMUVersion(10, 1),
    "x-qemu-io": QEMUVersion(11, 2),
    "x-query-network": QEMUVersion(11, 2),
    "x-query-usernet": QEMUVersion(11, 2),
    "xen-event-inject": QEMUVersion(8, 0),
    "xen-event-list": QEMUVersion(8, 0),
}
# QMP commands that are no more, with the first version without.
GONE: Final = {
    "x-query-opcount": QEMUVersion(10, 1),
    "x-query-profile": QEMUVersion(8, 1),
    "x-query-rdma": QEMUVersion(9, 1),
}
# HMP's commands that this machine's QEMU has not: of s390x, and of a build with the trace backend "simple".
ELSEWHERE: Final = frozenset({"dump-skeys", "info cmma", "info skeys", "migration_mode", "trace-file"})
_NAMES: Final = re.compile(r"[a-z?][\w|?-]*(?= |$)")
_SINCE: Final = re.compile(r"\bsince (\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the QEMU under test knows. hmp: commands with their short forms, and `info TOPIC`. deprecated: of qmp."""

    version: QEMUVersion
    hmp: frozenset[str]
    qmp: frozenset[str]
    deprecated: frozenset[str]


def _commands(help_text: str) -> Iterator[str]:
    """Read the names from lines like `help|? [cmd] -- show the help`; what begins otherwise continues a line."""
    for line in help_text.splitlines():
        if names := _NAMES.match(line):
            yield from names[0].split("|")


def _topics(help_text: str) -> Iterator[str]:
    return (" ".join(line.split()[:2]) for line in help_text.splitlines() if line.startswith("info "))


def _deprecated(client: RawClient) -> Iterator[str]:
    for entity in client.returned("query-qmp-schema"):
        if entity["meta-type"] == "command" and "deprecated" in entity.get("features", ()):
            yield entity["name"]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    with QEMUVM() as vm:
        found = version(vm)
        if found < (7, 2):
            pytest.skip("the table is made from QEMU 7.2 and later")
        with vm.negotiated() as client:
            hmp = {*_commands(client.hmp("help")), *_topics(client.hmp("help info"))}
            qmp = {row["name"] for row in client.returned("query-commands")}
            deprecated = frozenset(_deprecated(client))
    return Vocabulary(found, frozenset(hmp), frozenset(qmp), deprecated)


def test_help_was_understood(vocabulary: Vocabulary) -> None:
    assert {"help", "?", "cont", "c", "savevm", "drive_add", "info", "info snapshots"} <= vocabulary.hmp
    assert len(vocabulary.hmp) > 120


def test_every_hmp_command_of_this_qemu_is_in_the_table(vocabulary: Vocabulary) -> None:
    assert vocabulary.hmp - REPLACEMENTS.keys() == frozenset()


def test_what_other_builds_have_is_in_the_table_too(vocabulary: Vocabulary) -> None:
    assert ELSEWHERE - REPLACEMENTS.keys() == frozenset()
    assert vocabulary.hmp & ELSEWHERE == frozenset()


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


def test_qmp_command_that_this_qemu_deprecates_is_told_so(vocabulary: Vocabulary) -> None:
    entries = [entry for entry in REPLACEMENTS.values() if vocabulary.deprecated.intersection(entry.commands)]
    assert entries
    assert [str(entry) for entry in entries if not entry.note.startswith("deprecated since ")] == []


def test_qmp_command_that_is_told_to_be_deprecated_is_so_since_then(vocabulary: Vocabulary) -> None:
    told = [entry for entry in REPLACEMENTS.values() if entry.commands and entry.note.startswith("deprecated since ")]
    since = {name: _SINCE.search(entry.note) for entry in told for name in entry.commands}
    by_now = {name for name, found in since.items() if found and vocabulary.version >= (int(found[1]), int(found[2]))}
    assert by_now == vocabulary.deprecated & since.keys()


def test_hmp_command_is_gone_when_the_table_says(vocabulary: Vocabulary) -> None:
    gone = {change.command for change in CHANGES if not change.option and change.gone and vocabulary.version >= change.gone}
    assert gone
    assert vocabulary.hmp & gone == frozenset()


def test_hmp_command_is_there_until_then(vocabulary: Vocabulary) -> None:
    """Those that were gone before the oldest QEMU of the table can no longer be asked for."""
    later = {change.command for change in CHANGES if not change.gone or vocabulary.version < change.gone}
    assert later
    assert later - vocabulary.hmp == set()


def test_hmp_command_warns_when_the_table_says(vocabulary: Vocabulary) -> None:
    with QEMUVM() as vm, vm.negotiated() as client:
        is_told = "'info capture' is deprecated since v10.2" in client.hmp("info capture")
    assert is_told == (vocabulary.version >= (10, 2))
