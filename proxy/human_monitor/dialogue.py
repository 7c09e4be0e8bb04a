"""A client's connection to a monitor: banner, prompt, echo, one command at a time (monitor/hmp.c, monitor/monitor.c).

Its contract with the driver is in the docstring of the package.
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

# Of output that waits. A byte of input adds 29 kB to it at most, a completion the list of 256 names, `info history` 64 lines.
MAX_OUTPUT_BYTES: Final = 64 * 1024
# Of input in one step: some milliseconds, even if none of it is shown.
MAX_STEP_BYTES: Final = 1024
# It ends a step, because one that completes nothing can cost as much as a hundred other bytes.
_TAB: Final = ord("\t")


@dataclass(frozen=True, slots=True)
class CommandEntered:
    """A line to run, neither blank nor one that a monitor answers by itself; end it with `Dialogue.reply`.

    line: as it was typed, UTF-8 or not, at most 4095 bytes. cpu_index: for human-monitor-command; None: without one.
    """

    line: bytes
    cpu_index: int | None


@dataclass(frozen=True, slots=True)
class PasswordEntered:
    """What was typed at `Password: `, maybe nothing; end it with `Dialogue.reply`."""

    password: bytes


DialogueEvent: TypeAlias = CommandEntered | PasswordEntered | CompletionRequest


class Dialogue:
    """One connection. It begins with the banner, which can be sent at once."""

    __slots__ = ("_has_eof", "_input", "_output", "_request", "_state")

    def __init__(self, state: MonitorState) -> None:
        self._state = state
        self._has_eof = False
        # Not read yet.
        self._input = bytearray()
        self._output = bytearray()
        # The one that has been handed out and not answered.
        self._request: CompletionRequest | None = None
        self._begin()

    @property
    def kept_bytes(self) -> int:
        """How much input has not been read."""
        return len(self._input)

    @property
    def has_input(self) -> bool:
        """Whether `next_event` has something to read: call it again, after what is to be sent has been."""
        return bool(self._input) and not self._is_waiting

    @property
    def wants_more(self) -> bool:
        """Whether the client is to be read from: not while input is kept, of which QEMU too leaves the rest in the socket."""
        return not self._input and not self._has_eof

    @property
    def is_finished(self) -> bool:
        """Whether the client has sent its last byte and all of them were read and answered: close when all is sent."""
        return self._has_eof and not self._input and not self._is_waiting

    def receive(self, data: bytes) -> None:
        """Take what the client sent; nothing of it is read before `next_event`."""
        self._input += data

    def receive_eof(self) -> None:
        """Note that the client sends no more (a half-close): what it sent is run, and a line without its end is not."""
        self._has_eof = True

    def data_to_send(self) -> bytes:
        """Take what is to be written to the client."""
        data = bytes(self._output)
        self._output.clear()
        return data

    def next_event(self) -> DialogueEvent | None:
        """Read input up to what the driver has to do, and return that.

        None: all is read, or enough for one step (then `has_input`), or what was returned before has not been answered. Take
        what is to be sent before the next call, or the output grows by a step each time.
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

        Its lines end with CR LF; the last one may lack that, and the prompt then follows on it, as it does natively.
        """
        self._state.resume(text)
        self._output += text.encode(errors="surrogateescape")
        self._prompt()

    def reply_password_prompt(self) -> None:
        """End a command that asks for a password (`change vnc password`): the next line is a PasswordEntered."""
        self._state.resume("", is_reading_password=True)
        self._prompt()

    def complete(self, candidates: Iterable[str], *, typed: str | None = None) -> None:
        """Answer a CompletionRequest; with nothing if there are no candidates.

        candidates: in the order of QEMU's table, those too that do not match. typed: what part of the word they continue, where
        it is not the whole (`sendkey ctrl-al`: "al").
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
        # QEMU 5.2 and 7.2 show a prompt even while a command of the client before is running; 8.2, 10.0 and 11.1 do not.
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
        """Answer a line that the monitor answers, and return any other for the driver."""
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
