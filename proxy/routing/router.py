"""Many clients on one QEMU, without I/O: who gets which reply, and who sees which event.

QEMU answers the in-band commands of one monitor in the order in which it got them. So a FIFO of who is owed the next reply
routes them, and no id is touched; only an out-of-band command gets an id of the proxy's, because its reply overtakes. The
dispatcher puts into the FIFO who is owed what; here it is emptied. Both live as long as one connection to QEMU.
"""

from proxy.routing.dispatcher import Dispatcher
from proxy.routing.messages import Kind, MonitorFormat, may_be_noted, parse
from proxy.routing.pending import LocalLine, Receiver
from proxy.routing.session import Session

__all__ = ["Router"]


class Router:
    """Route what QEMU says. After each call, empty the dispatcher's outbox."""

    def __init__(self, dispatcher: Dispatcher, monitor_format: MonitorFormat) -> None:
        self._dispatcher = dispatcher
        self._format = monitor_format
        self._owed = dispatcher.owed
        self._out_of_band = dispatcher.out_of_band
        # A message that has not come whole is kept in pieces, or passed on piece by piece to this session.
        self._held: list[bytes] = []
        self._streaming_to: Session | None = None

    def sole_receiver(self, data: bytes) -> Session | None:
        """Take in one whole reply that is for one session as it is, with nothing else to do; None if it is more or less."""
        session = self._owed[0] if self._owed else None
        if type(session) is not Session or session.has_left or self._held or self._streaming_to is not None:
            return None
        if self._out_of_band.is_under_way or not data.startswith(self._format.replies):
            return None
        if self._format.find_end(data, 0) != len(data) or (len(self._owed) > 1 and type(self._owed[1]) is LocalLine):
            return None
        self._owed.popleft()
        session.settle()
        return session

    def receive_from_qemu(self, data: bytes) -> None:
        """Route what QEMU sent, cut anywhere.

        Neighbouring messages for the same receiver go out in one piece, as they came in one.
        """
        data = self._complete(data)
        run_start = position = 0
        run_receiver: Session | Receiver = Receiver.NOBODY
        while end := self._format.find_end(data, position):
            receiver = self._receiver(data, position, end)
            if receiver is not run_receiver:
                self._deliver(run_receiver, data[run_start:position])
                run_receiver, run_start = receiver, position
            if receiver is Receiver.PROXY:
                self._dispatcher.settle(data[position:end])
            position = end
            if self._owed and type(self._owed[0]) is LocalLine:
                self._deliver(run_receiver, data[run_start:position])
                run_receiver, run_start = Receiver.NOBODY, position
                self._dispatcher.settle_local_lines()
        self._deliver(run_receiver, data[run_start:position])
        if position < len(data):
            self._begin(data[position:])

    def _receiver(self, data: bytes, start: int, end: int) -> Session | Receiver:
        owed = self._owed[0] if self._owed else None
        # The usual case first: a reply that is for a session as it is.
        if type(owed) is Session and data.startswith(self._format.replies, start) and not self._out_of_band.is_under_way:
            self._owed.popleft()
            owed.settle()
            return owed
        if self._format.kind(data, start, end) is Kind.EVENT:
            return self._event_receiver(data, start, end)
        return Receiver.PROXY

    def _event_receiver(self, data: bytes, start: int, end: int) -> Receiver:
        if not may_be_noted(data, start, end):
            return Receiver.EVERYBODY
        event = parse(data[start:end])
        match event["event"]:
            case "STOP" | "RESUME" as name:
                is_shown = self._dispatcher.plans.take_run_state(name, data[start:end])
            case "JOB_STATUS_CHANGE":
                is_shown = self._dispatcher.take_job_status(event["data"]["id"], event["data"]["status"])
            case "DEVICE_DELETED":
                self._dispatcher.plans.take_device_deleted()
                is_shown = True
            case _:
                is_shown = True
        return Receiver.EVERYBODY if is_shown else Receiver.NOBODY

    def _deliver(self, receiver: Session | Receiver, data: bytes) -> None:
        if isinstance(receiver, Session):
            self._dispatcher.outbox.send(receiver, data)
        elif receiver is Receiver.EVERYBODY:
            self._dispatcher.outbox.tell_everybody(data)

    # In pieces: a reply that is only passed on goes out as it comes, anything else waits for its end.

    def _begin(self, data: bytes) -> None:
        owed = self._owed[0] if self._owed else None
        is_plain = type(owed) is Session and not self._out_of_band.is_under_way and not self._format.is_pretty
        if is_plain and isinstance(owed, Session) and self._format.is_reply_begun(data):
            self._streaming_to = owed
            self._dispatcher.outbox.send(owed, data)
        else:
            self._held.append(data)

    def _complete(self, data: bytes) -> bytes:
        """Give the bytes from which to route on, once the message that was begun has its end."""
        if self._streaming_to is not None:
            return self._stream(self._streaming_to, data)
        if not self._held:
            return data
        self._held.append(data)
        if b"\n" not in data:
            return b""
        data = b"".join(self._held)
        self._held.clear()
        return data

    def _stream(self, session: Session, data: bytes) -> bytes:
        end = self._format.find_end(data, 0)
        if not end:
            self._dispatcher.outbox.send(session, data)
            return b""
        self._dispatcher.outbox.send(session, data[:end])
        self._streaming_to = None
        self._owed.popleft()
        session.settle()
        self._dispatcher.outbox.to_flush[session] = None
        self._dispatcher.settle_local_lines()
        return data[end:]
