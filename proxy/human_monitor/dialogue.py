"""A client's connection to a monitor: banner, prompt, echo, one command at a time (monitor/hmp.c, monitor/monitor.c).

The package's docstring states its contract with the driver.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from proxy.human_monitor.completion import CompletionRequest, matching
from proxy.human_monitor.line_editor import CompletionWanted, LineEntered
from proxy.human_monitor.local_commands import chosen_cpu, history_listing, is_info_history
from proxy.human_monitor.monitor_state import MonitorState
from shim.hmp.line import BLANKS, HMPLine

__all__ = ["CommandEntered", "Dialogue", "DialogueEvent", "PasswordEntered"]

# How much output may wait before a step ends. A byte of input adds 29 kB at most, a completion 256 names, `info history` 64
# lines.
MAX_OUTPUT_BYTES: Final = 64 * 1024
# How much input is read in one step: a few milliseconds, even if nothing is shown for it.
MAX_STEP_BYTES: Final = 1024
# A TAB ends a step, because one that completes nothing can cost as much as a hundred other bytes.
_TAB: Final = ord("\t")


@dataclass(frozen=True, slots=True)
class CommandEntered:
    """A line to run, neither blank nor one that a monitor answers by itself; end it with `Dialogue.reply`.

    line: as it was typed, UTF-8 or not, at most 4095 bytes. cpu_index: for human-monitor-command; None for none.
    """

    line: bytes
    cpu_index: int | None


@dataclass(frozen=True, slots=True)
class PasswordEntered:
    """What was typed at `Password: `, maybe nothing; end it with `Dialogue.reply`."""

    password: bytes


DialogueEvent: TypeAlias = CommandEntered | PasswordEntered | CompletionRequest


class Dialogue:
    """One connection. Its first output is the banner, which can be sent at once."""

    __slots__ = ("_has_eof", "_input", "_output", "_request", "_state")

    def __init__(self, state: MonitorState) -> None:
        self._state = state
        self._has_eof = False
        # Input that has not been read.
        self._input = bytearray()
        self._output = bytearray()
        # The request that has been returned as an event and not answered.
        self._request: CompletionRequest | None = None
        self._begin()

    @property
    def kept_bytes(self) -> int:
        """How much input has not been read."""
        return len(self._input)

    @property
    def has_input(self) -> bool:
        """Whether `next_event` has something to read: call it again, once the output has been sent."""
        return bool(self._input) and not self._is_waiting

    @property
    def wants_more(self) -> bool:
        """Whether to read from the client: not while input is kept here, as QEMU, too, leaves it in the socket."""
        return not self._input and not self._has_eof

    @property
    def is_finished(self) -> bool:
        """Whether the client sends no more, and everything has been read and answered: close once all output is sent."""
        return self._has_eof and not self._input and not self._is_waiting

    def receive(self, data: bytes) -> None:
        """Take what the client sent. None of it is read before `next_event`."""
        self._input += data

    def receive_eof(self) -> None:
        """Note that the client sends no more (a half-close). Lines that it has sent still run, but not one without its end."""
        self._has_eof = True

    def data_to_send(self) -> bytes:
        """Take what is to be written to the client."""
        data = bytes(self._output)
        self._output.clear()
        return data

    def next_event(self) -> DialogueEvent | None:
        """Read input up to the next thing that the driver has to do, and return that.

        Return None if all is read, if enough is read for one step (then `has_input`), or if the previous event has not been
        answered. Take the output before the next call, or it grows by a step each time.
        """
        if self._is_waiting:
            return None
        event = None
        read = 0
        for byte in self._input[:MAX_STEP_BYTES]:
            event = self._read(byte)
            read += 1
            if event is not None or byte == _TAB or len(self._output) >= MAX_OUTPUT_BYTES:
                break
        del self._input[:read]
        return event

    def reply(self, text: str) -> None:
        """End a command or a password with what it printed, in HMP's form: as human-monitor-command returns it.

        Lines end with CR LF. If the last one does not, the prompt follows on the same line, as it does natively.
        """
        self._state.resume(text)
        self._output += text.encode(errors="surrogateescape")
        self._prompt()

    def reply_password_prompt(self) -> None:
        """End a command that asks for a password (`change vnc password`): the next line is a PasswordEntered."""
        self._state.resume("", is_reading_password=True)
        self._prompt()

    def complete(self, candidates: Iterable[str], *, typed: str | None = None) -> None:
        """Answer a CompletionRequest, even if there are no candidates.

        candidates: in the order of QEMU's table, including those that do not match. typed: the part of the word that they
        continue, if that is not the whole word (`sendkey ctrl-al`: "al").
        """
        assert self._request is not None
        start = self._request.word if typed is None else typed
        self._request = None
        self._state.editor.complete(matching(candidates, start), len(start.encode(errors="surrogateescape")))
        self._output += self._state.editor.data_to_send()

    @property
    def _is_waiting(self) -> bool:
        """Whether an event has not been answered, by this connection or one before it."""
        return self._state.is_suspended or self._request is not None

    def _begin(self) -> None:
        self._output += f"QEMU {self._state.version} monitor - type 'help' for more information\r\n".encode()
        self._state.editor.restart()
        # QEMU 5.2 and 7.2 show a prompt even while a command of the previous client runs; 8.2, 10.0 and 11.1 do not.
        if not self._state.is_suspended or self._state.version < (8, 0):
            self._prompt()

    def _prompt(self) -> None:
        self._state.editor.show_prompt()
        self._output += self._state.editor.data_to_send()

    def _read(self, byte: int) -> DialogueEvent | None:
        edited = self._state.editor.feed(byte)
        self._output += self._state.editor.data_to_send()
        match edited:
            case LineEntered(line):
                return self._begin_line(line)
            case CompletionWanted(start):
                self._request = CompletionRequest.read(start)
                return self._request
            case None:
                return None
            case _:
                assert_never(edited)

    def _begin_line(self, typed: bytes) -> CommandEntered | PasswordEntered | None:
        """Answer a line that the monitor answers by itself, and return any other as an event for the driver."""
        if self._state.editor.is_reading_password:
            self._state.suspend()
            return PasswordEntered(typed)
        line = HMPLine.read(typed.decode(errors="surrogateescape"))
        if is_info_history(line):
            self._output += history_listing(self._state.editor.history.lines)
        elif line.text.strip(BLANKS):
            self._state.suspend(chosen_cpu=chosen_cpu(line))
            return CommandEntered(typed, self._state.cpu_index)
        self._prompt()
        return None
