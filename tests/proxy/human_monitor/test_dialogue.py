"""A connection to a monitor. The bytes are QEMU 7.2's; test_human_monitor_on_qemu.py compares many more with the real one."""

import random

import pytest

from proxy.human_monitor.completion import CompletionRequest
from proxy.human_monitor.dialogue import MAX_OUTPUT_BYTES, MAX_STEP_BYTES, CommandEntered, Dialogue, PasswordEntered
from proxy.human_monitor.monitor_state import MonitorState
from shim.qmp import QEMUVersion
from tests.support.routing.keyboard import echo
from tests.support.routing.monitor_driver import converse

V7_2 = QEMUVersion(7, 2, 22)
V10_0 = QEMUVersion(10, 0, 13)
BANNER = b"QEMU 7.2.22 monitor - type 'help' for more information\r\n"
PROMPT = b"(qemu) "


def begun(state: MonitorState | None = None) -> Dialogue:
    """Return a dialogue whose banner has been sent."""
    dialogue = Dialogue(MonitorState(V7_2) if state is None else state)
    assert dialogue.data_to_send() == BANNER + PROMPT
    return dialogue


def run(command: CommandEntered) -> str | None:
    """Answer as an imaginary QEMU: with the line, or None to what asks for a password."""
    return None if command.line == b"passwd" else f"ran {command.line.decode()}\r\n"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (b"", b""),
        (b"\n", b"\r\n(qemu) "),
        (b"c\r\n", echo(b"c") + b"ran c\r\n(qemu) \r\n(qemu) "),
        (b"  \n", echo(b"  ") + PROMPT),
        (b"a\nb", echo(b"a") + b"ran a\r\n(qemu) b\x1b[K"),
        (b"\x1b\na\n", echo(b"a") + b"ran a\r\n(qemu) "),
        (
            b"a\ninfo history\n",
            echo(b"a") + b"ran a\r\n(qemu) " + echo(b"info history") + b"0: 'a'\r\n1: 'info history'\r\n(qemu) ",
        ),
        (b"passwd\nab\n", echo(b"passwd") + b"Password: *\x1b[K\x1b[D**\x1b[K\r\n(qemu) "),
        (b"passwd\ninfo history\n\n", echo(b"passwd") + b"Password: " + echo(b"*" * 12) + b"(qemu) \r\n(qemu) "),
    ],
    ids=ascii,
)
def test_conversation(typed: bytes, shown: bytes) -> None:
    """However what is typed is cut into pieces."""
    rng = random.Random(ascii(typed))
    for _ in range(10):
        ends = sorted(rng.choices(range(len(typed) + 1), k=2))
        pieces = [typed[: ends[0]], typed[ends[0] : ends[1]], typed[ends[1] :]]
        assert converse(Dialogue(MonitorState(V7_2)), pieces, run) == BANNER + PROMPT + shown


def test_prompt_sticks_to_a_hint_without_its_newline() -> None:
    """QEMU 11.1 has some of these."""
    dialogue = begun()
    dialogue.receive(b"a\n")
    dialogue.next_event()
    dialogue.reply("Error: no\r\nTo enable it, use 'x'")
    assert dialogue.data_to_send().endswith(b"\r\nError: no\r\nTo enable it, use 'x'(qemu) ")


def test_reply_may_hold_bytes_that_are_not_utf8() -> None:
    dialogue = begun()
    dialogue.receive(b"a\xff\n")
    assert dialogue.next_event() == CommandEntered(b"a\xff", None)
    dialogue.reply("unknown command: 'a\udcff'\r\n")
    assert dialogue.data_to_send().endswith(b"unknown command: 'a\xff'\r\n(qemu) ")


def test_input_waits_while_a_command_runs() -> None:
    dialogue = begun()
    dialogue.receive(b"a\nb\nc")
    assert dialogue.next_event() == CommandEntered(b"a", None)
    assert dialogue.data_to_send() == echo(b"a")
    assert (dialogue.has_input, dialogue.kept_bytes, dialogue.wants_more) == (False, 3, False)
    assert dialogue.next_event() is None
    assert dialogue.data_to_send() == b""
    dialogue.reply("")
    assert dialogue.data_to_send() == PROMPT
    assert (dialogue.has_input, dialogue.wants_more) == (True, False)
    assert dialogue.next_event() == CommandEntered(b"b", None)
    dialogue.reply("")
    assert dialogue.next_event() is None
    assert (dialogue.has_input, dialogue.kept_bytes, dialogue.wants_more) == (False, 0, True)


def test_one_read_is_kept_while_a_command_runs() -> None:
    """So the driver learns that the client hangs up."""
    dialogue = begun()
    dialogue.receive(b"a\n")
    dialogue.next_event()
    assert dialogue.wants_more
    dialogue.receive(b"b")
    assert not dialogue.wants_more


def test_every_whole_line_runs_after_the_end() -> None:
    dialogue = begun()
    dialogue.receive(b"a\nb\nc")
    dialogue.receive_eof()
    for line in (b"a", b"b"):
        assert not dialogue.is_finished
        assert dialogue.next_event() == CommandEntered(line, None)
        dialogue.reply("")
    assert not dialogue.is_finished
    assert dialogue.next_event() is None
    assert dialogue.data_to_send().endswith(b"(qemu) c\x1b[K")
    assert (dialogue.is_finished, dialogue.wants_more) == (True, False)


def test_dialogue_is_not_finished_before_its_last_command() -> None:
    dialogue = begun()
    dialogue.receive(b"a\n")
    dialogue.receive_eof()
    dialogue.next_event()
    assert not dialogue.is_finished
    dialogue.reply("")
    assert dialogue.is_finished


def test_step_ends_when_much_is_to_be_sent() -> None:
    dialogue = begun()
    dialogue.receive(b"a" * 4095 + b"\n")
    sent = []
    while dialogue.next_event() is None:
        assert dialogue.has_input
        sent.append(len(dialogue.data_to_send()))
    sent.append(len(dialogue.data_to_send()))
    assert sum(sent) == 33_546_240 + len(b"\r\n")
    assert max(sent) < MAX_OUTPUT_BYTES + 29_000


def test_step_ends_after_much_that_is_not_shown() -> None:
    dialogue = begun()
    dialogue.receive(b"\0" * (2 * MAX_STEP_BYTES))
    assert dialogue.next_event() is None
    assert (dialogue.has_input, dialogue.kept_bytes) == (True, MAX_STEP_BYTES)


def test_step_ends_after_a_tab_that_completes_nothing() -> None:
    dialogue = begun()
    dialogue.receive(b'"' + b"\t" * 3)
    for kept_bytes in (2, 1, 0):
        assert (dialogue.next_event(), dialogue.kept_bytes) == (None, kept_bytes)


def test_completion() -> None:
    dialogue = begun()
    dialogue.receive(b"sto\tx")
    assert dialogue.next_event() == CompletionRequest(("sto",))
    dialogue.data_to_send()
    assert (dialogue.next_event(), dialogue.has_input, dialogue.kept_bytes) == (None, False, 1)
    dialogue.complete(["system_reset", "stop", "stopcapture"])
    assert dialogue.data_to_send() == b"\r\nstop         stopcapture  \r\n(qemu) stop\x1b[K"
    assert dialogue.next_event() is None
    assert dialogue.data_to_send() == b"\x1b[D\x1b[D\x1b[D\x1b[Dstopx\x1b[K"


def test_completion_of_the_end_of_a_word() -> None:
    dialogue = begun()
    dialogue.receive(b"sendkey ctrl-al\t")
    assert dialogue.next_event() == CompletionRequest(("sendkey", "ctrl-al"))
    dialogue.data_to_send()
    dialogue.complete(["alt", "ctrl"], typed="al")
    assert dialogue.data_to_send() == b"\x1b[D" * 15 + b"sendkey ctrl-alt \x1b[K"


def test_client_that_ends_in_a_completion_is_not_finished() -> None:
    dialogue = begun()
    dialogue.receive(b"x\t")
    dialogue.receive_eof()
    dialogue.next_event()
    assert not dialogue.is_finished
    dialogue.complete([])
    assert dialogue.is_finished


def test_quote_without_its_end_is_not_completed() -> None:
    dialogue = begun()
    dialogue.receive(b'"a\t\n')
    assert dialogue.next_event() is None
    assert dialogue.next_event() == CommandEntered(b'"a', None)


def test_password_is_asked_for_over_a_reconnect() -> None:
    state = MonitorState(V7_2)
    dialogue = begun(state)
    dialogue.receive(b"passwd\n")
    dialogue.next_event()
    dialogue.reply_password_prompt()
    dialogue = Dialogue(state)
    assert dialogue.data_to_send() == BANNER + b"Password: "
    dialogue.receive(b"st\t")
    assert dialogue.next_event() == CompletionRequest(("st",))
    dialogue.complete(["stop", "stats"])
    assert dialogue.data_to_send().endswith(b"\r\nstats     stop      \r\nPassword: **\x1b[K")
    dialogue.receive(b"\n")
    assert dialogue.next_event() == PasswordEntered(b"st")
    dialogue.reply("")
    assert dialogue.data_to_send() == b"\r\n(qemu) "


def test_cpu_and_history_last_and_half_a_line_does_not() -> None:
    state = MonitorState(V7_2)
    dialogue = begun(state)
    dialogue.receive(b"cpu 1\nhalf\x1b[")
    assert dialogue.next_event() == CommandEntered(b"cpu 1", None)
    dialogue.reply("")
    dialogue.next_event()
    dialogue = begun(state)
    dialogue.receive(b"A\x1b[A\n")
    assert dialogue.next_event() == CommandEntered(b"cpu 1", 1)


@pytest.mark.parametrize(("version", "prompt"), [(V7_2, PROMPT), (V10_0, b"")])
def test_client_that_comes_while_a_command_of_another_runs(version: QEMUVersion, prompt: bytes) -> None:
    """QEMU 7.2 shows it a prompt, and a second one when the command ends; 8.2 and later do not. Neither reads."""
    state = MonitorState(version)
    Dialogue(state).receive(b"")
    state.suspend()
    dialogue = Dialogue(state)
    assert dialogue.data_to_send().endswith(b"information\r\n" + prompt)
    dialogue.receive(b"a")
    assert (dialogue.next_event(), dialogue.has_input, dialogue.data_to_send()) == (None, False, b"")
    dialogue.reply("")
    assert dialogue.data_to_send() == PROMPT
    assert (dialogue.next_event(), dialogue.data_to_send()) == (None, b"a\x1b[K")


def test_0xff_is_typed() -> None:
    dialogue = begun()
    dialogue.receive(b"\xff\xfb\x00\n")
    assert dialogue.next_event() == CommandEntered(b"\xff\xfb", None)
