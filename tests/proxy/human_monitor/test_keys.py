"""Which keys bytes are. test_line_editor.py shows what they do."""

import pytest

from proxy.human_monitor.keys import Key, KeyReader
from shim.qmp import QEMUVersion

OLD = QEMUVersion(8, 2)
NEW = QEMUVersion(10, 0)


def read(data: bytes, version: QEMUVersion = OLD) -> list[Key | bytes]:
    """Return the keys, and what is inserted, of these bytes."""
    reader = KeyReader(version)
    found = [reader.read(byte) for byte in data]
    return [bytes([item]) if isinstance(item, int) else item for item in found if item is not None]


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"\x01", [Key.HOME]),
        (b"\x04", [Key.DELETE]),
        (b"\x05", [Key.END]),
        (b"\x08\x7f", [Key.BACKSPACE, Key.BACKSPACE]),
        (b"\t", [Key.COMPLETE]),
        (b"\r\n", [Key.ENTER, Key.ENTER]),
        (b"\x0c", [Key.CLEAR_SCREEN]),
        (b"\x17", [Key.DELETE_WORD]),
        (b"\x1b[A\x1b[F", [Key.PREVIOUS_LINE, Key.PREVIOUS_LINE]),
        (b"\x1b[B\x1b[E", [Key.NEXT_LINE, Key.NEXT_LINE]),
        (b"\x1b[C\x1b[D", [Key.RIGHT, Key.LEFT]),
        (b"\x1b[1~\x1bOH", [Key.HOME, Key.HOME]),
        (b"\x1b[4~\x1bOF", [Key.END, Key.END]),
        (b"\x1b[3~", [Key.DELETE]),
        (b"a\xe9 ~", [b"a", b"\xe9", b" ", b"~"]),
    ],
    ids=ascii,
)
def test_keys(data: bytes, keys: list[Key | bytes]) -> None:
    assert read(data) == keys


@pytest.mark.parametrize(
    "data",
    [
        *(b"\x00", b"\x02", b"\x03", b"\x06", b"\x07", b"\x0b", b"\x12", b"\x14", b"\x19", b"\x1a", b"\x1c", b"\x1f"),
        *(b"\x1b[H", b"\x1b[7~", b"\x1b[8~", b"\x1b[2~", b"\x1b[5~", b"\x1b[15~", b"\x1b[200~", b"\x1b[201~", b"\x1bOP"),
        *(b"\x1bx", b"\x1b\n", b"\x1b\x1b", b"\x1b[\n", b"\x1b[\x1b", b"\x9bx", b"\x1b", b"\x1b[", b"\x1b[12", b"\x1bO"),
    ],
    ids=ascii,
)
def test_swallowed(data: bytes) -> None:
    """Whole sequences that mean nothing, and what began and did not end."""
    assert read(data) == read(data, NEW) == []


def test_number_is_forgotten_by_sequences_only() -> None:
    """Another byte after ESC leaves it to a CSI of one byte, which has none of its own."""
    assert read(b"\x1b[1~\x1b\x1b\x9b~") == [Key.HOME, Key.HOME]
    assert read(b"\x1b[1~\x1b[x\x9b~") == read(b"\x1b[1~\x1bOx\x9b~") == [Key.HOME]


def test_control_keys_that_came_after_9_0() -> None:
    data = b"\x0e\x10\x15"
    assert read(data, QEMUVersion(9, 0)) == []
    assert read(data, NEW) == [Key.NEXT_LINE, Key.PREVIOUS_LINE, Key.DELETE_TO_START]


def test_modifier_is_typed() -> None:
    """Ctrl and the left arrow: the sequence ends at what QEMU does not know."""
    assert read(b"\x1b[1;5D") == [b"5", b"D"]


def test_csi_of_one_byte() -> None:
    """It keeps the number of the last sequence, and stands inside of characters of UTF-8."""
    assert read(b"\x9bA") == [Key.PREVIOUS_LINE]
    assert read(b"\x1b[3~\x9b~") == [Key.DELETE, Key.DELETE]
    assert read("Лab".encode()) == [b"\xd0", b"b"]


def test_number_has_32_bits() -> None:
    assert read(b"\x1b[4294967299~") == [Key.DELETE]
    assert read(b"\x1b[" + b"9" * 10_000) == []


def test_reset_forgets_half_a_sequence() -> None:
    reader = KeyReader(OLD)
    for byte in b"\x1b[3":
        reader.read(byte)
    reader.reset()
    assert reader.read(ord("A")) == ord("A")
    reader.read(0x9B)
    assert reader.read(ord("~")) is Key.DELETE
