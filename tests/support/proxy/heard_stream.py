"""A stream of sockets or pipes, and what it told."""

from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.net.ends import End
from proxy.net.stream import Stream

__all__ = ["Heard"]


@dataclass(slots=True)
class Heard:
    """What a stream told."""

    data: bytearray = field(default_factory=bytearray)
    pieces: list[tuple[bytes, tuple[int, ...]]] = field(default_factory=list)
    eofs: int = 0
    drains: int = 0
    failures: int = 0

    def stream(self, end: End, make_stream: Callable[..., Stream] = Stream) -> Stream:
        return make_stream(end, on_data=self._take, on_eof=self._end, on_drained=self._drain, on_failure=self._fail)

    def _take(self, data: bytes, descriptors: tuple[int, ...]) -> None:
        self.data += data
        self.pieces.append((data, descriptors))

    def _end(self) -> None:
        self.eofs += 1

    def _drain(self) -> None:
        self.drains += 1

    def _fail(self) -> None:
        self.failures += 1
