"""What answers at a proxy's control socket, once."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.raw_client import DEADLINE_S

__all__ = ["answering"]


@contextmanager
def answering(path: Path, *answers: bytes | None) -> Iterator[list[bytes]]:
    """Answer so many requests, which are returned; None waits until whoever asked has gone."""
    received: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(DEADLINE_S)
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            for answer in answers:
                client, _ = listener.accept()
                with client:
                    client.settimeout(DEADLINE_S)
                    received.append(client.recv(4096))
                    if answer is None:
                        client.recv(1)
                    else:
                        client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield received
        finally:
            thread.join()
