"""Write QMP to a client as a monitor with `pretty=on` does, while the rest of the proxy writes lines."""

from collections.abc import Callable
from typing import Final

from proxy.net.closing import close_descriptors
from proxy.net.stream import End, Stream
from proxy.qmp_json.indentation import Indenter

__all__ = ["PrettyStream"]

# A reply whose id is 1024 brackets takes 2 kB as a line and 8 MB in the pretty form. So data are converted in steps of this
# size.
_STEP_BYTES: Final = 4096


class PrettyStream(Stream):
    """A stream that sends the pretty form of what is written to it, even if a message comes in pieces. It reads like a Stream.

    most_unsent_bytes: beyond it nothing more is written, because whoever writes will then cut the client off.
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
