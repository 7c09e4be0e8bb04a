"""What a monitor's screen gets for what is typed. The bytes are QEMU's, of 5.2 to 11.1 where no version is named."""

import pytest

from proxy.human_monitor.line_editor import MAX_LINE_BYTES, CompletionWanted, LineEditor, LineEntered
from shim.qmp import QEMUVersion

OLD = QEMUVersion(7, 2)
NEW = QEMUVersion(10, 0)
PROMPT = b"(qemu) "
# As the fact tables of the monitor have them: a column to the left and to the right, and the rest of the line cleared.
L, R, K = b"\x1b[D", b"\x1b[C", b"\x1b[K"


def editor_with(typed: bytes = b"", version: QEMUVersion = OLD) -> LineEditor:
    """Return an editor that has been typed this into, and has sent what it had to."""
    editor = LineEditor(version)
    editor.show_prompt()
    type_into(editor, typed)
    return editor


def type_into(editor: LineEditor, typed: bytes) -> bytes:
    """Return what is sent after this, which has no Enter and no TAB."""
    editor.data_to_send()
    for byte in typed:
        assert editor.feed(byte) is None
    return editor.data_to_send()


def enter(editor: LineEditor, typed: bytes = b"") -> bytes:
    """Return the line that Enter makes of what is typed before it, and have the next prompt shown."""
    type_into(editor, typed)
    entered = editor.feed(ord("\n"))
    assert isinstance(entered, LineEntered)
    assert editor.data_to_send() == b"\r\n"
    editor.show_prompt()
    assert editor.data_to_send() == PROMPT
    return entered.line


@pytest.mark.parametrize(
    ("before", "typed", "shown"),
    [
        (b"", b"ab", b"a" + K + L + b"ab" + K),
        (b"ab", b"\x1b[D", L),
        (b"ab\x1b[D", b"X", L + b"aXb" + K + L),
        (b"abc", b"\x7f", L * 3 + b"ab" + K),
        (b"", b"\x7f\x08\x04\x17\x1b[C\x1b[D\x01\x05", b""),
        (b"abc", b"\x01", L * 3),
        (b"abc\x01", b"\x05", R * 3),
        (b"abc\x1b[D", b"\x1b[C", R),
        (b"a\x01", b"\x04", K),
        (b"a", b"\x04", b""),
        (b"ab cd  ", b"\x17", L * 7 + b"ab " + K),
        (b"  ab", b"\x17", L * 4 + b"  " + K),
        (b" ab", b"\x17", L * 3 + K),
        (b" a", b"\x17", L * 2 + K),
        (b"   ", b"\x17", L * 3 + K),
        (b"ab cd\x1b[D", b"\x17", L * 4 + b"ab d" + K + L),
        (b"ab", b"\x0c", b"\x1b[2J\x1b[1;1H" + PROMPT + b"ab" + K),
        (b"ab\x01", b"\x0c", b"\x1b[2J\x1b[1;1H" + PROMPT + b"ab" + K + L * 2),
        (b"", "é".encode(), b"\xc3" + K + L + b"\xc3\xa9" + K),
        (b"ab", b"\x1b[1;5D", L * 2 + b"ab5" + K + L * 3 + b"ab5D" + K),
    ],
    ids=ascii,
)
def test_redraw(before: bytes, typed: bytes, shown: bytes) -> None:
    assert type_into(editor_with(before), typed) == shown


def test_delete_to_the_start_of_the_line() -> None:
    assert type_into(editor_with(b"abcd\x1b[D\x1b[D", NEW), b"\x15") == L * 2 + b"cd" + K + L * 2
    assert type_into(editor_with(b"abcd\x1b[D\x1b[D", OLD), b"\x15") == b""


def test_line_costs_the_square_of_its_length() -> None:
    """A hundred characters give 20,200 bytes, without one that begins a new row."""
    shown = type_into(editor_with(), b"a" * 100)
    assert len(shown) == 20_200
    assert b"\n" not in shown


@pytest.mark.parametrize("end", [b"", b"\x01", b"\x1b[D"])
def test_enter_takes_the_whole_line_wherever_the_cursor_is(end: bytes) -> None:
    assert enter(editor_with(), b"info status" + end) == b"info status"


def test_line_after_enter_begins_in_the_first_column() -> None:
    editor = editor_with()
    enter(editor, b"abc")
    assert type_into(editor, b"ab") == b"a" + K + L + b"ab" + K


@pytest.mark.parametrize("end", [b"x", b"\x01x", b"\x1b[Dxyz"], ids=["at the end", "at the start", "before the end"])
def test_line_has_4095_bytes_at_most(end: bytes) -> None:
    editor = editor_with(b"a" * MAX_LINE_BYTES)
    assert b"x" not in type_into(editor, end)
    assert enter(editor) == b"a" * MAX_LINE_BYTES


def test_one_byte_of_input_sends_29_kb_at_most() -> None:
    editor = editor_with(b"a" * (MAX_LINE_BYTES - 1) + b"\x01\x05\x1b[D")
    assert len(type_into(editor, b"x")) < 29_000
    assert len(type_into(editor, b"\x01")) < 29_000
    assert len(type_into(editor, b"\x04")) < 29_000


def test_history_keys() -> None:
    editor = editor_with()
    enter(editor, b"a")
    enter(editor, b"bc")
    assert type_into(editor, b"x\x1b[A") == b"x" + K + L + b"bc" + K
    assert type_into(editor, b"\x1b[A") == L * 2 + b"a" + K
    assert type_into(editor, b"\x1b[A") == b""
    assert type_into(editor, b"\x1b[D\x1b[B\x1b[B") == L + b"bc" + K + L * 2 + K
    assert enter(editor) == b""
    assert editor.history.lines == [b"a", b"bc"]


def test_restart_forgets_what_was_half_typed_and_keeps_the_history() -> None:
    editor = editor_with()
    enter(editor, b"a")
    enter(editor, b"b")
    type_into(editor, b"\x1b[Axyz\x1b[D\x1b[")
    editor.feed(ord("C"))
    editor.restart()
    editor.show_prompt()
    assert editor.data_to_send() == PROMPT
    assert type_into(editor, b"C\x1b[A") == b"C" + K + L + b"a" + K


def test_password_is_shown_as_stars_and_not_remembered() -> None:
    editor = editor_with()
    enter(editor, b"a")
    editor.is_reading_password = True
    editor.show_prompt()
    assert editor.data_to_send() == b"Password: "
    assert type_into(editor, b"ab") == b"*" + K + L + b"**" + K
    assert type_into(editor, "é".encode()) == L * 2 + b"***" + K + L * 3 + b"****" + K
    assert type_into(editor, b"\x1b[A") == L * 4 + b"*" + K
    assert editor.feed(ord("\r")) == LineEntered(b"a")
    assert editor.history.lines == [b"a"]


def complete(editor: LineEditor, matches: list[bytes], typed_bytes: int) -> bytes:
    editor.complete(matches, typed_bytes)
    return editor.data_to_send()


def test_completion_is_asked_for_with_the_line_up_to_the_cursor() -> None:
    assert editor_with(b"info status\x1b[D\x1b[D").feed(ord("\t")) == CompletionWanted(b"info stat")


def test_completion_inserts_in_one_redraw() -> None:
    assert complete(editor_with(b"sto"), [b"stop"], 3) == L * 3 + b"stop " + K
    assert complete(editor_with(b"sto x\x1b[D\x1b[D"), [b"stop"], 3) == L * 3 + b"stop  x" + K + L * 2
    assert complete(editor_with(b"sto"), [], 3) == b""


def test_completion_lists_and_draws_the_line_anew() -> None:
    listed = b"\r\nstats     status    \r\n"
    assert complete(editor_with(b"info st"), [b"stats", b"status"], 2) == listed + PROMPT + b"info stat" + K
    assert complete(editor_with(b"info stat"), [b"stats", b"status"], 4) == listed + PROMPT + b"info stat" + K
    assert complete(editor_with(), [b"a", b"b"], 0) == b"\r\na         b         \r\n" + PROMPT


def test_completion_does_not_make_a_line_too_long() -> None:
    editor = editor_with(b"a" * (MAX_LINE_BYTES - 2))
    complete(editor, [b"abcdef"], 1)
    assert enter(editor) == b"a" * (MAX_LINE_BYTES - 2) + b"bc"
