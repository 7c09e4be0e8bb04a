"""The commands that a monitor answers by itself, and what is QEMU's to answer."""

import pytest

from proxy.human_monitor.local_commands import chosen_cpu, history_listing, is_info_history
from shim.hmp.line import HMPLine


@pytest.mark.parametrize(
    ("line", "is_it"),
    [
        ("info history", True),
        ("  info   history  ", True),
        ("info history x", False),
        ("info/history", False),
        ("info history/x", False),
        ("history", False),
        ("info", False),
        ('info "history"', False),
    ],
)
def test_info_history(line: str, is_it: bool) -> None:
    assert is_info_history(HMPLine.read(line)) is is_it


def test_history_listing() -> None:
    lines = [b"info status", b"\xff", b"info history"]
    assert history_listing(lines) == b"0: 'info status'\r\n1: '\xff'\r\n2: 'info history'\r\n"
    assert history_listing([]) == b""


@pytest.mark.parametrize(
    ("line", "index"),
    [
        ("cpu 0", 0),
        (" cpu  12 ", 12),
        ("cpu 0x1F", 31),
        ("cpu 010", 8),
        ("cpu", None),
        ("cpu 08", None),
        ("cpu 1+1", None),
        ("cpu -1", None),
        ("cpu 1 2", None),
        ("cpu/1", None),
        ("cpu \u0661", None),
        ("cpus 1", None),
        ("info cpus", None),
    ],
)
def test_chosen_cpu(line: str, index: int | None) -> None:
    assert chosen_cpu(HMPLine.read(line)) == index
