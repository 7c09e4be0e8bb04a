"""proxy/human_monitor against the real monitor: whatever is typed, both send the same bytes.

The strings are long enough to meet: a connection each, on one VM, so that the history and the position in it, a password that
was asked for, and what else a monitor keeps go from one to the next.
"""

import random
from collections.abc import Iterator
from typing import Final

import pytest

from proxy.human_monitor.line_editor import MAX_LINE_BYTES
from tests.integration.human_monitors import Monitors

pytestmark = pytest.mark.versions

STRINGS: Final = 150
# Of each string.
MAX_PIECES: Final = 40

# They print the same a second time. None takes a number: HMP shows one byte of what is none, which JSON cannot carry.
COMMANDS: Final = [
    *("info status", "info uuid", "info version", "info name", "info history", "info kvm", "info"),
    *("info foo bar", "info/status", " info  status ", 'info "status"', "info status x", "help stop", "? info status"),
    *("stop", "s", "stop x", "foo", "  foo bar", " ", '"', "delvm", "migrate"),
]
# QEMU completes their arguments.
OTHER_COMMANDS: Final = ["change vnc password", "loadvm t", "device_del x", "info block", "hostfwd_add"]
KEYS: Final = [
    *(bytes([byte]) for byte in range(32) if byte != ord("\t")),
    *(b"\x7f", b"\x9b", b"\xff", b"\x1b", b"\x1b[", b"\x1bO", b"\x1b\x1b", b"\x1b\n", b"\x1bx", b"\x1b[\n", b"\x9bA", b"\x9b~"),
    *(b"\x1b[" + bytes([byte]) for byte in b"ABCDEFGHPZ~;x"),
    *(b"\x1b[%d~" % number for number in (1, 2, 3, 4, 5, 7, 8, 15, 200, 201, 2**32 + 3)),
    *(b"\x1bOF", b"\x1bOH", b"\x1bOP", b"\x1b[1;5D", b"\x1b[1;5C", b"\x1b[13", b"\x1b[3"),
]
# What moves and deletes, for lines of which something is left at Enter.
EDITING: Final = [
    *(b"\x1b[D", b"\x1b[C", b"\x1b[A", b"\x1b[B", b"\x7f", b"\x01", b"\x05", b"\x04", b"\x17", b"\x15", b"\x10", b"\x0e"),
]
# Without q, which alone ends QEMU, and c, which starts the VM.
CHARACTERS: Final = [char.encode() for char in (*map(chr, range(32, 127)), *"  aeinorst", *"éЛ日😀") if char not in "qc"]
# With these TAB comes to no command whose arguments QEMU completes.
STEMS: Final = [
    *(b"", b" ", b"st", b"sto", b"stop", b"sys", b"system_", b"nm", b"bal", b"co", b"x", b"nosuch ", b'"\\x'),
    *(b"inf", b"info", b"info ", b"info s", b"info st", b"info bl", b"info k", b"info status", b"info status x "),
    *(b"info nosuch ", b'info "st"', b'"info" s', b'info "s'),
    *(b"he", b"help", b"help ", b"? ", b"? inf", b"help info s"),
    # Of 16 words and more.
    *(b"help " * 14 + b"info st", b"help " * 14 + b"info ", b"help " * 15 + b"info st", b"help " * 15 + b"info ", b"? " * 17),
]


def typed_at_random(rng: random.Random, *, completing: bool) -> bytes:
    """Return keys with commands among them. completing: with TAB, after what QEMU can complete."""
    commands = COMMANDS if completing else COMMANDS + OTHER_COMMANDS
    pieces = []
    for _ in range(rng.randrange(MAX_PIECES)):
        kind = rng.random()
        if completing and kind < 0.5:
            pieces.append(rng.choice(STEMS) + rng.choice([b"", b"", b"\x1b[D", b"\x01"]) + b"\t" * rng.choice([1, 1, 2]))
            pieces.append(rng.choice([b"\n", b"\x17", b"\x01", b"", b"\x7f"]))
        elif kind < (0.6 if completing else 0.25):
            pieces.append(rng.choice(commands).encode() + rng.choice([b"\n", b"\n", b"\r\n", b"", b"\x7f\n", b"\x1b[D"]))
        elif kind < (0.8 if completing else 0.4):
            pieces.append(rng.choice(EDITING) * rng.choice([1, 1, 2, 5]))
        elif kind < 0.65 or completing:
            pieces.append(b"".join(rng.choices([b"a", b"b", b" "] if completing else CHARACTERS, k=rng.randrange(12))))
        else:
            pieces.append(rng.choice(KEYS))
    return b"".join(pieces)


def with_telnet(rng: random.Random, typed: bytes) -> bytes:
    """Return it with telnet's commands in it, whole ones and halves."""
    said = [b"\xff", b"\xff\xff", b"\xff\xf3", b"\xff\xf1", b"\xff\xfb\x18", b"\xff\xfa\x1f\x00P\x00\x18\xff\xf0", b"\r\0"]
    middle = rng.randrange(len(typed) + 1)
    return typed[:middle] + rng.choice(said) + typed[middle:] + rng.choice([b"", *said])


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
