"""Which QMP command does what an HMP command does. tests/integration/hmp/test_replacements_on_qemu.py asks each QEMU."""

import pytest

from shim.hmp.replacements import REPLACEMENTS, Replacement, replacement


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
    assert replacement("info", "nosuch") is None


def test_info_without_a_topic_lists_them_as_help_does() -> None:
    assert replacement("info") == replacement("help")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dump-skeys", "dump-skeys"),
        ("info skeys", "no QMP equivalent"),
        ("info cmma", "no QMP equivalent"),
        ("migration_mode", "no QMP equivalent"),
        ("trace-file", "no QMP equivalent"),
        ("wavcapture", "no QMP equivalent (deprecated since 10.2: use -audiodev wav, or the host's audio system)"),
        ("info capture", "no QMP equivalent (deprecated since 10.2: use -audiodev wav, or the host's audio system)"),
        ("info network", "x-query-network (unstable, since 11.2)"),
        ("info usernet", "x-query-usernet (unstable, since 11.2)"),
        ("qemu-io", "x-qemu-io (unstable, since 11.2)"),
        ("block_job_pause", "block-job-pause (deprecated since 10.1: use job-pause)"),
        ("info kvm", "query-kvm (deprecated since 11.0: use query-accelerators)"),
    ],
)
def test_what_only_some_builds_have_and_what_changed(name: str, text: str) -> None:
    assert str(REPLACEMENTS[name]) == text
