"""Cut what QEMU writes into whole messages, without I/O: the counterpart of proxy/qmp_json/framing.py, which is for clients.

This is the easier side. QEMU ends each message with bytes that occur nowhere inside one (messages.py), so nothing is lexed or
decoded here, and messages are not copied: the router gets the bytes of a read, and the places in them where messages end.
"""

from proxy.qmp_json.messages import MonitorFormat

__all__ = ["MessageFramer"]


class MessageFramer:
    """Find whole messages, wherever the reads cut them, and keep the beginning of an incomplete one.

    A reply may be 200 KB long, and its receiver need not wait for its end. `take_begun_reply` takes the part that has come; the
    rest then comes as the first of the next messages (`is_partly_taken`), and no byte comes twice.
    """

    def __init__(self, monitor_format: MonitorFormat) -> None:
        self._format = monitor_format
        self._end = monitor_format.end
        self._end_bytes = len(monitor_format.end)
        self._begun: list[bytes] = []  # the pieces of an incomplete message that were not taken
        # Whether the next message to end is one whose first pieces were taken.
        self.is_partly_taken = False
        # Whether nothing is kept or partly taken, so that the next byte begins a message. Whole ones may then bypass the
        # framer.
        self.is_between = True

    @property
    def has_begun(self) -> bool:
        """Whether a part of an incomplete message is kept."""
        return bool(self._begun)

    def receive_data(self, data: bytes) -> tuple[bytes, list[int]]:
        """Take what QEMU sent, cut anywhere. Return bytes, and where in them messages end.

        The first message begins at 0, and each other one where the one before ends. What follows the last end is kept. The
        bytes are `data` itself, not a copy, unless they complete what was kept.
        """
        if self._begun:
            self._begun.append(data)
            if b"\n" not in data:  # every message ends with a line feed
                return b"", []
            data = b"".join(self._begun)
            self._begun.clear()
        ends: list[int] = []
        position, size = 0, len(data)
        while position != size and (found := data.find(self._end, position)) >= 0:
            position = found + self._end_bytes
            ends.append(position)
        if position != size:
            self._begun.append(data[position:])
        if ends:
            self.is_partly_taken = False
        self.is_between = not self._begun and not self.is_partly_taken
        return data, ends

    def take_begun_reply(self) -> bytes:
        """Take the part that has come of an incomplete message that is certainly a reply; b"" if there is none.

        In pretty mode there never is: an end has several bytes there, which may be cut.
        """
        if not self._begun or self._format.is_pretty:
            return b""
        if not self.is_partly_taken and not self._format.is_reply_begun(self._begun[0]):
            return b""
        taken = b"".join(self._begun)
        self._begun.clear()
        self.is_partly_taken = True
        return taken
