"""Mode "enforce": which HMP commands pass, and what the others are told."""

import pytest

from shim.hmp.allowance import refusal
from shim.hmp.line import HMPLine

BLOCK = "HMP command 'info block' is not allowed here; use QMP: query-block and query-named-block-nodes"


@pytest.mark.parametrize(
    "command_line",
    [
        # Snapshot commands are rewritten, or get QEMU's own words.
        "savevm t", "loadvm t", "delvm t", "savevm", "info snapshots", "  savevm\tt ",
        "savevm a b", "loadvm", 'delvm "a', "info snapshots x",
        # So does what has no name.
        "", "  ", "\t\n", "/x", " /info block",
    ],
)  # fmt: skip
def test_passes_without_being_allowed(command_line: str) -> None:
    assert refusal(HMPLine.read(command_line), frozenset()) is None


@pytest.mark.parametrize(
    ("command_line", "allow"),
    [
        ("qemu-io d0 flush", "qemu-io"),
        (" qemu-io\td0", "qemu-io"),
        ("info block", "info block"),
        ("info  block -v d0", "info block"),
        ("\tinfo\tblock", "info block"),
        ("info block", "info"),
        ("info nosuch", "info"),
        ("info", "info"),
        ("x/10i 0", "x"),
        ("nosuch", "nosuch"),
    ],
)
def test_passes_because_it_is_allowed(command_line: str, allow: str) -> None:
    assert refusal(HMPLine.read(command_line), {allow, "help"}) is None
    assert refusal(HMPLine.read(command_line), {"help"}) is not None


@pytest.mark.parametrize(
    ("command_line", "allow"),
    [
        ("info block", "block"),
        ("info block", "info b"),
        ("info blockstats", "info block"),
        ("info block/x", "info"),
        ("cont", "c"),
        ("c", "cont"),
        ("Info block", "info"),
        ("qemu-io-x", "qemu-io"),
    ],
)
def test_only_the_whole_name_counts(command_line: str, allow: str) -> None:
    is_info = command_line.startswith("info ") and allow == "info"
    assert (refusal(HMPLine.read(command_line), {allow}) is None) is is_info


@pytest.mark.parametrize(
    ("command_line", "reason"),
    [
        ("info block", BLOCK),
        ("info block -v", BLOCK),
        ("info\tblock", BLOCK),
        ("stop", "HMP command 'stop' is not allowed here; use QMP: stop"),
        ("s", "HMP command 's' is not allowed here; use QMP: stop"),
        ("drive_del d0", "HMP command 'drive_del' is not allowed here; use QMP: blockdev-del (after device_del)"),
        ("info irq", "HMP command 'info irq' is not allowed here; use QMP: x-query-irq (unstable)"),
        ("qemu-io d0 flush", "HMP command 'qemu-io' is not allowed here; use QMP: x-qemu-io (unstable, since 11.2)"),
        ("x/10i 0", "HMP command 'x' is not allowed here; it has no QMP equivalent"),
        ("info mtree", "HMP command 'info mtree' is not allowed here; it has no QMP equivalent"),
        ("nosuch", "HMP command 'nosuch' is not allowed here; QMP has no such command either"),
        ("info", "HMP command 'info' is not allowed here; use QMP: query-commands and query-qmp-schema"),
        ("info nosuch", "HMP command 'info nosuch' is not allowed here; QMP has no such command either"),
    ],
)
def test_refusals(command_line: str, reason: str) -> None:
    assert refusal(HMPLine.read(command_line), frozenset({"help"})) == reason
