"""Cut what QEMU writes into whole messages, without I/O: the mirror of what proxy/qmp_json/framing.py does for a client.

It is the easier side. QEMU ends each message with bytes that stand nowhere inside one (messages.py), so nothing is lexed or
decoded here, and no message is copied: the router gets the bytes of a read and the places where messages end in them.
"""

from proxy.qmp_json.messages import MonitorFormat

__all__ = ["MessageFramer"]


class MessageFramer:
    """Find the whole messages, wherever the reads cut them, and keep what has begun.

    A reply may be 200 KB long, and whoever it is for need not wait for its end. `take_begun_reply` takes what has come of it so
    far; its rest then comes as the first of the next messages (`is_partly_taken`), and no byte comes twice.
    """

    def __init__(self, monitor_format: MonitorFormat) -> None:
        self._format = monitor_format
        self._end = monitor_format.end
        self._end_bytes = len(monitor_format.end)
        self._begun: list[bytes] = []  # pieces of a message that has no end yet, and that were not taken
        # The next message to end is one whose first pieces were taken.
        self.is_partly_taken = False
        # Nothing is kept and nothing was taken: the next byte begins a message, and whole ones need not come by here.
        self.is_between = True

    @property
    def has_begun(self) -> bool:
        """Tell whether something is kept of a message that has no end yet."""
        return bool(self._begun)

    def receive_data(self, data: bytes) -> tuple[bytes, list[int]]:
        """Take what QEMU sent, cut anywhere; return bytes, and where in them messages end.

        The first message begins at 0, each other one at the end of the one before. What comes after the last end is kept. The
        bytes are `data` itself, not a copy, unless they complete what was kept.
        """
        if self._begun:
            self._begun.append(data)
            if b"\n" not in data:  # with which each end ends
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
        """Take what has come of a message that is surely a reply and has no end yet; b"" if there is none, or it has to wait.

        In pretty mode all wait: an end has several bytes there, and may be cut.
        """
        if not self._begun or self._format.is_pretty:
            return b""
        if not self.is_partly_taken and not self._format.is_reply_begun(self._begun[0]):
            return b""
        taken = b"".join(self._begun)
        self._begun.clear()
        self.is_partly_taken = True
        return taken
