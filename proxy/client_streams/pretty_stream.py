"""A client that gets QMP as a monitor with `pretty=on` writes it, while all that is behind its stream writes lines."""

from collections.abc import Callable
from typing import Final

from proxy.net.closing import close_descriptors
from proxy.net.stream import End, Stream
from proxy.qmp_json.indentation import Indenter

__all__ = ["PrettyStream"]

# A reply with an id of 1024 brackets, in 2 kB, has 8 MB in the pretty form. So what is written is looked at in such steps.
_STEP_BYTES: Final = 4096


class PrettyStream(Stream):
    """A stream that sends the pretty form of what is written to it, also of a message in pieces. It reads as any other.

    most_unsent_bytes: whoever writes cuts a client off that leaves more unread, so no more is written then.
    """

    def __init__(
        self,
        end: End,
        *,
        most_unsent_bytes: int,
        on_data: Callable[[bytes, tuple[int, ...]], None],
        on_eof: Callable[[], None],
        on_drained: Callable[[], None],
        on_failure: Callable[[], None],
    ) -> None:
        super().__init__(end, on_data=on_data, on_eof=on_eof, on_drained=on_drained, on_failure=on_failure)
        self._most_unsent_bytes = most_unsent_bytes
        self._indenter = Indenter()

    def write(self, data: bytes | memoryview, descriptors: tuple[int, ...] = ()) -> None:
        close_descriptors(descriptors)
        for start in range(0, len(data), _STEP_BYTES):
            if self.unsent_bytes > self._most_unsent_bytes:
                return
            super().write(self._indenter.receive_data(bytes(data[start : start + _STEP_BYTES])))
