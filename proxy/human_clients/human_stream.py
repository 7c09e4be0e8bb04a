"""The stream of a client at HMP's prompt, which the rest of the proxy sees as a QMP client.

So the rules, turns, limits and records of all other clients apply, and none of that is written twice: an entered line becomes a
`human-monitor-command`, and its reply becomes what HMP would show. What a monitor does with keys, and what it prints for them,
is in proxy/human_monitor/.

Like QEMU's monitor, it does not read while a command runs, so what is typed meanwhile waits in the kernel.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final, TypeVar, assert_never

from proxy.human_clients.candidates import Candidates, look_up
from proxy.human_clients.steps import Pause, Steps
from proxy.human_clients.succession import Succession
from proxy.human_clients.typed_commands import Ending, run, set_password, takes_descriptor
from proxy.human_monitor.completion import CompletionRequest
from proxy.human_monitor.dialogue import CommandEntered, Dialogue, PasswordEntered
from proxy.net.closing import close_descriptors
from proxy.net.stream import End, Stream
from proxy.qmp_json.message_framer import MessageFramer
from proxy.qmp_json.messages import MonitorFormat
from shim.qmp import Execute, Reply, decode, read_reply

__all__ = ["HumanStream"]

# How much is printed ahead of a client that reads slowly: echoing a single line of 4,095 bytes takes 33 MB.
_MOST_UNSENT_BYTES: Final = 256 * 1024

_Outcome = TypeVar("_Outcome")


class HumanStream(Stream):
    """A stream whose client types. To its owner the client seems to send QMP, negotiation included."""

    can_be_carried: ClassVar = False

    def __init__(
        self,
        end: End,
        *,
        succession: Succession,
        monitor_format: MonitorFormat,
        on_data: Callable[[bytes, tuple[int, ...]], None],
        on_eof: Callable[[], None],
        on_drained: Callable[[], None],
        on_failure: Callable[[], None],
    ) -> None:
        super().__init__(
            end, on_data=self._receive_keys, on_eof=self._receive_end, on_drained=self._drained, on_failure=on_failure
        )
        self._send_qmp, self._leave, self._tell_drained = on_data, on_eof, on_drained
        self._succession, self._state = succession, succession.begin()
        self._dialogue = Dialogue(self._state)
        self._messages = MessageFramer(monitor_format)
        # Called with the next reply; None if none is due.
        self._on_reply: Callable[[Reply], None] | None = None
        # Calls with the answers that have come, to be made soon.
        self._due: list[Callable[[], None]] = []
        self._pause: asyncio.TimerHandle | None = None
        # The first descriptor of those that came last, unless a `getfd` has taken it.
        self._descriptors: tuple[int, ...] = ()
        # Whether negotiation was requested, and whether it is done; what is typed before that waits.
        self._has_asked = False
        self._has_begun = False
        # Whether the owner wants to read.
        self._may_read = False
        # Whether one of the client's commands was run.
        self._has_run = False
        self._has_left = False
        # Whether QEMU or the client has gone, so that nothing is asked any more.
        self._is_ending = False

    def start(self) -> None:
        self._may_read = True
        if not self._has_asked:
            self._has_asked = True
            self._soon(self._ask, Execute("qmp_capabilities"), self._begin)
        self._look_whether_to_read()

    def pause(self) -> None:
        self._may_read = False
        super().pause()

    def write(self, data: bytes | memoryview, descriptors: tuple[int, ...] = ()) -> None:
        """Take QMP that is due to the client."""
        close_descriptors(descriptors)
        whole, ends = self._messages.receive_data(bytes(data))
        start = 0
        for end in ends:
            message = decode(whole[start:end])
            start = end
            if ("return" in message or "error" in message) and self._on_reply is not None:
                on_reply, self._on_reply = self._on_reply, None
                self._have_due(on_reply, read_reply(message))

    def finish(self, on_finished: Callable[[], None]) -> None:
        """Print what QEMU has answered, stop reading, and close once everything is sent."""
        self._is_ending = True
        while self._due:
            self._do_due()
        super().finish(on_finished)

    def close(self) -> None:
        if not self.is_closed:
            if self.read_count:
                self._succession.leave(self._state)
            close_descriptors(self._descriptors)
            if self._pause is not None:
                self._pause.cancel()
        super().close()

    # What is typed.

    def _receive_keys(self, data: bytes, descriptors: tuple[int, ...]) -> None:
        if descriptors:
            close_descriptors((*self._descriptors, *descriptors[1:]))
            self._descriptors = descriptors[:1]
        self._dialogue.receive(data)
        self._go_on()

    def _receive_end(self) -> None:
        """Go on to the end of what was typed; if the client has hung up, only to its first command."""
        self._dialogue.receive_eof()
        if self._has_run and self.end.is_peer_gone():
            self._leave_once()
        else:
            self._go_on()

    def _drained(self) -> None:
        self._tell_drained()
        self._go_on()

    def _go_on(self) -> None:
        """Take the next step of the dialogue, if there is one, and see whether to read more."""
        if self.is_closed or self._is_ending or not self._has_begun or self.unsent_bytes > _MOST_UNSENT_BYTES:
            return
        event = self._dialogue.next_event()
        self._print()
        match event:
            case CommandEntered():
                is_gone = self.end.is_peer_gone()
                if not (is_gone and self._has_run):
                    self._has_run = True
                    self._do(run(event, has_descriptor=bool(self._descriptors)), self._end_command)
                if is_gone:
                    self._leave_once()
            case PasswordEntered(password):
                self._do(set_password(password), self._end_command)
            case CompletionRequest():
                self._do(look_up(event, self._state.version), self._end_completion)
            case None if self._dialogue.has_input:
                self._soon(self._go_on)  # after all others have had their turn
            case None if self._dialogue.is_finished:
                self._leave_once()
            case None:
                pass
            case _:
                assert_never(event)
        self._look_whether_to_read()

    def _begin(self, _: Reply) -> None:
        self._has_begun = True
        self._go_on()

    def _leave_once(self) -> None:
        if not self._has_left:
            self._has_left = True
            self._leave()

    def _look_whether_to_read(self) -> None:
        if self._may_read and self._dialogue.wants_more:
            super().start()
        else:
            super().pause()

    # What QEMU is asked.

    def _do(self, steps: Steps[_Outcome], on_end: Callable[[_Outcome], None], reply: Reply | None = None) -> None:
        """Begin these steps, or go on with them. on_end: called with their outcome, later."""
        try:
            step = steps.send(reply)
        except StopIteration as end:
            self._have_due(on_end, end.value)
            return
        go_on = partial(self._do, steps, on_end)
        match step:
            case Execute():
                self._ask(step, go_on)
            case Pause(seconds):
                self.read_count += 1  # it waits for something, so the limit on idle clients must not apply
                self._pause = self._loop.call_later(seconds, self._guard, go_on, None)
            case _:
                assert_never(step)

    def _end_command(self, outcome: str | Ending) -> None:
        match outcome:
            case Ending.PASSWORD_PROMPT:
                self._dialogue.reply_password_prompt()
            case Ending.NO_PROMPT:
                return
            case _:
                self._dialogue.reply(outcome)
        self._print()  # however much is unsent, because this is printed only once
        self._go_on()

    def _end_completion(self, candidates: Candidates) -> None:
        self._dialogue.complete(candidates.names, typed=candidates.typed)
        self._print()
        self._go_on()

    def _ask(self, execute: Execute, on_reply: Callable[[Reply], None]) -> None:
        if self.is_closed or self._is_ending:
            return
        assert self._on_reply is None, "one command at a time"
        self._on_reply = on_reply
        descriptors: tuple[int, ...] = ()
        if takes_descriptor(execute):
            descriptors, self._descriptors = self._descriptors, ()
        self._send_qmp(execute.to_wire(), descriptors)

    def _have_due(self, callback: Callable[[_Outcome], None], outcome: _Outcome) -> None:
        """Go on with an answer soon, but not now: whoever is writing is not ready for the next command."""
        self._due.append(partial(callback, outcome))
        self._loop.call_soon(self._do_due)

    def _do_due(self) -> None:
        if self._due:
            self._guard(self._due.pop(0))

    def _soon(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Have this called when all others have had their turn. A failure of ours in it ends only this client."""
        self._loop.call_soon(self._guard, callback, *arguments)

    def _guard(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:
            self._fail()

    def _print(self) -> None:
        super().write(self._dialogue.data_to_send())
