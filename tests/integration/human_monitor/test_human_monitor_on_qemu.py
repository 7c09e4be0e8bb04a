"""proxy/human_monitor against the real monitor: whatever is typed, both send the same bytes.

The strings are long enough to meet: a connection each, on one VM, so that the history and the position in it, a password that
was asked for, and what else a monitor keeps go from one to the next.
"""

import random
from collections.abc import Iterator
from typing import Final

import pytest

from proxy.human_monitor.line_editor import MAX_LINE_BYTES
from tests.integration.human_monitor.human_monitors import Monitors
from tests.integration.human_monitor.random_keys import typed_at_random, with_telnet

pytestmark = pytest.mark.versions

STRINGS: Final = 150


@pytest.fixture(scope="module")
def monitors() -> Iterator[Monitors]:
    with Monitors.start() as running:
        yield running


@pytest.fixture(scope="module")
def telnet_monitors() -> Iterator[Monitors]:
    with Monitors.start(is_telnet=True) as running:
        yield running


@pytest.mark.parametrize("completing", [False, True], ids=["editing", "completing"])
def test_random_keys(monitors: Monitors, completing: bool) -> None:
    rng = random.Random(f"human monitor {completing}")
    for _ in range(STRINGS):
        monitors.assert_same(typed_at_random(rng, completing=completing), rng)


def test_password_is_asked_for_until_it_comes(monitors: Monitors) -> None:
    """Over connections, with all keys, TAB and the history too."""
    for typed in (b"stop\nchange vnc password\n", b"a\x7f st\x01b", b"sto\t\x1b[A\x0c\x17", b"\xc3\xa9st\t\ninfo history\n"):
        monitors.assert_same(typed)
    assert not monitors.state.editor.is_reading_password


def test_random_keys_of_a_telnet_client(telnet_monitors: Monitors) -> None:
    rng = random.Random("telnet")
    for _ in range(STRINGS // 3):
        telnet_monitors.assert_same(with_telnet(rng, typed_at_random(rng, completing=False)), rng)


def test_history_that_is_full(monitors: Monitors) -> None:
    """And walks in it: over its ends, and lines that are entered again or changed."""
    monitors.assert_same(b"".join(b"a%d\n" % number for number in range(70)))
    rng = random.Random("full history")
    for _ in range(STRINGS // 5):
        steps = [rng.choice([b"\x1b[A", b"\x1b[B"]) * rng.choice([1, 1, 2, 3, 63, 65]) for _ in range(4)]
        monitors.assert_same(b"".join(step + rng.choice([b"\n", b"", b"x\n", b"\x7f\n"]) for step in steps) + b"info history\n")


def test_line_of_the_greatest_length(monitors: Monitors) -> None:
    """One byte more is not taken; nor is it before the end, where QEMU 8.2 and earlier write past their buffer."""
    before_the_end = b"" if monitors.version < (9, 0) else b"\x1b[Dy"
    monitors.assert_same(b"a" * MAX_LINE_BYTES + b"x" + before_the_end + b"\n\x1b[A\n")


def test_cpu_is_kept_over_connections() -> None:
    with Monitors.start("-smp", "2") as monitors:
        for typed in (
            b"info cpus\n",
            b"cpu 1\ninfo cpus\n",
            b"info cpus\ncpu 2\ninfo cpus\n",
            b"cpu x\ncpu 0x0\ninfo cpus\ncpu\n",
        ):
            monitors.assert_same(typed)
        assert monitors.state.cpu_index == 0
