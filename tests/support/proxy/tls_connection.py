"""A TCP connection of which one side shakes hands in the loop under test, and the other in a thread."""

import socket

from proxy.net.tls import TLSEnd
from tests.support.raw_client import DEADLINE_S

__all__ = ["TLSConnection"]


class TLSConnection:
    """A TCP connection of which one side shakes hands in the loop and the other in a thread."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.theirs = socket.create_connection(server.getsockname())
            self.ours, _ = server.accept()
        self.theirs.settimeout(DEADLINE_S)
        self.outcome: TLSEnd | str | None = None

    def note(self, outcome: TLSEnd | str) -> None:
        assert self.outcome is None
        self.outcome = outcome

    @property
    def end(self) -> TLSEnd:
        assert isinstance(self.outcome, TLSEnd), self.outcome
        return self.outcome
