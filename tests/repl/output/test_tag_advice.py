"""What is said of a tag that no disk has, and of one that was made up."""

from typing import Any

import pytest

from repl.output.tag_advice import MissingTag, made_tag, missing_tag
from shim.hmp.line import DelVM, HMPLine, LoadVM
from tests.fakes.qemu import FakeQEMU, VMFaults, two_disks
from tests.support.repl import executing
from tests.support.repl.executing import Bench


def looked(line: str, *tags: str, **options: Any) -> tuple[MissingTag | None, str | None]:
    found: list[tuple[MissingTag | None, str | None]] = []

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        for tag in tags:
            qemu.vm.save_snapshot(tag, overwrite=True)
        found.append((await missing_tag(bench.executor, HMPLine.read(line)), await made_tag(bench.executor)))

    executing.played(scene, FakeQEMU(**({"nodes": two_disks()} | options)))
    return found[0]


@pytest.mark.parametrize(
    ("line", "tags", "told", "corrected"),
    [
        ("loadvm x", [], "no disk has 'x'; there is no snapshot", None),
        (
            *("loadvm zzz", ["a", "b", "c", "d"]),
            *("no disk has 'zzz'; the newest tags: 'd', 'c', 'b'; 'info snapshots' lists all", None),
        ),
        ("delvm T1", ["t1"], "no disk has 'T1'; did you mean 't1'? 'info snapshots' lists all", "delvm t1"),
        ("loadvm 'ab", ["a b"], "no disk has ''ab'; did you mean 'a b'? 'info snapshots' lists all", 'loadvm "a b"'),
        # What no terminal must obey, and HMP cannot be told.
        (
            "loadvm base",
            ["base\x1b"],
            r"no disk has 'base'; did you mean 'base\x1b'? 'info snapshots' lists all",
            "loadvm base\x1b",
        ),
    ],
)
def test_advice(line: str, tags: list[str], told: str, corrected: str | None) -> None:
    missing, _ = looked(line, *tags)
    assert missing is not None
    assert (str(missing), missing.corrected) == (told, corrected)


@pytest.mark.parametrize("line", ["loadvm t", "delvm t", "savevm x", "info snapshots", "loadvm", "stop"])
def test_no_tag_is_missing(line: str) -> None:
    assert looked(line, "t") == (None, None)


def test_where_nothing_can_be_told_qemu_says_it() -> None:
    assert looked("loadvm x", vm_faults=VMFaults(is_graph_refused=True)) == (None, None)
    assert looked("loadvm x", nodes=[]) == (None, None)


def test_tag_that_was_made_is_the_newest_of_its_form() -> None:
    tags = ("vm-20261130120000", "vm-20261130120001", "vm-2026", "mine")
    assert looked("stop", *tags) == (None, "vm-20261130120001")


def test_made_tag_is_not_known_without_a_connection() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        qemu.disconnect()
        assert await made_tag(bench.executor) is None

    executing.played(scene, FakeQEMU(two_disks()))


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (LoadVM("a"), "Error: Snapshot 'a' does not exist in one or more devices\r\n"),
        (DelVM("a"), "Error: no disk has a snapshot 'a'\r\n"),
    ],
)
def test_refusal_of_a_load_has_hmps_words(command: LoadVM | DelVM, text: str) -> None:
    assert MissingTag(command, (), ()).refusal.text == text
