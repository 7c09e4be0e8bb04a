"""-loadvm: what is loaded, and the command line without it."""

import pytest

from proxy.qemu_command_line.loadvm import find_loadvm


@pytest.mark.parametrize(
    ("words", "tag", "stays_paused", "without"),
    [
        ("-m 32 -loadvm t disk.img", "t", False, "-m 32 -S disk.img"),
        ("-m 32 --loadvm t", "t", False, "-m 32 -S"),
        ("-S -loadvm t -m 32", "t", True, "-S -m 32"),
        ("-loadvm t --S", "t", True, "--S"),
        ("-loadvm a -m 32 -loadvm b", "b", False, "-S -m 32"),
        ("-loadvm -S", "-S", False, "-S"),
        ("-append -S -loadvm t", "t", False, "-append -S -S"),
    ],
)
def test_snapshot_is_loaded_by_somebody_else(words: str, tag: str, stays_paused: bool, without: str) -> None:
    found = find_loadvm(words.split())
    assert found is not None
    assert (found.tag, found.stays_paused, found.excluded_by) == (tag, stays_paused, None)
    assert found.words == tuple(without.split())


@pytest.mark.parametrize(
    ("words", "excluded_by"),
    [
        ("-loadvm t -incoming defer", "incoming"),
        ("--preconfig -loadvm t", "preconfig"),
        ("-incoming -loadvm -loadvm t", "incoming"),
    ],
)
def test_snapshot_is_left_to_qemu(words: str, excluded_by: str) -> None:
    found = find_loadvm(words.split())
    assert found is not None
    assert (found.excluded_by, found.words) == (excluded_by, tuple(words.split()))


@pytest.mark.parametrize("words", ["", "-S", "-append -loadvm", "-loadvm", "-loadvm t -loadvm", "loadvm t"])
def test_there_may_be_none(words: str) -> None:
    assert find_loadvm(words.split()) is None
