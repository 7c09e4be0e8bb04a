"""Clients that ask without a pause, each in a thread, and judge what they get: nothing lost, doubled or out of order."""

import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.support.raw_client import DEADLINE_S, RawClient, command_bytes

__all__ = ["KINDS", "Listener", "Tireless", "told_of", "worked_through"]

_BATCH: Final = 20
# A client's answers wait for another's savevm.
_PATIENCE_S: Final = 3 * DEADLINE_S


class Tireless:
    """A client of one kind (KINDS), from `start` to `finish`, which raises what went wrong.

    round: what it does again and again. count: how often it has. longest_s: what one round took at most.
    """

    def __init__(self, connect: Callable[[], RawClient], kind: str, seed: int) -> None:
        self.kind = kind
        self.count = 0
        self._seed = seed
        self.longest_s = 0.0
        self._rng = random.Random(f"{kind} {seed}")
        self._round = KINDS[kind]
        self._client = connect()
        self._client.deadline_s = _PATIENCE_S
        self._client.negotiate(oob=kind == "oob")
        self._ids = 0
        self._is_over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=kind)

    def start(self) -> None:
        self._thread.start()

    @property
    def has_failed(self) -> bool:
        return self._error is not None

    def finish(self) -> None:
        """Let it end its round, and see that nothing is left over."""
        self._is_over.set()
        self._thread.join()
        self._client.close()
        if self._error is not None:
            raise AssertionError(f"the {self.kind} client, after {self.count} rounds: {self._error!r}") from self._error

    def _work(self) -> None:
        try:
            while not self._is_over.is_set():
                began_s = time.monotonic()
                self._round(self)
                self.longest_s = max(self.longest_s, time.monotonic() - began_s)
                self.count += 1
        except BaseException as exc:
            self._error = exc

    # -- the kinds -----------------------------------------------------------------------------------------------------

    def ping(self) -> None:
        own = self._new_id()
        self._client.send(command_bytes("query-status", id=own))
        self._hear(own)

    def pipeline(self) -> None:
        """Send a batch in pieces that are cut anywhere."""
        ids = [self._new_id() for _ in range(_BATCH)]
        raw = b"".join(command_bytes(self._rng.choice(("query-name", "query-version")), id=own) for own in ids)
        while raw:
            size = self._rng.randint(1, 400)
            self._client.send(raw[:size])
            raw = raw[size:]
        for own in ids:
            self._hear(own)

    def save(self) -> None:
        tag = f"t{self.count % 3}"
        for line in (f"savevm {tag}", f"loadvm {tag}", "info snapshots", f"delvm {tag}"):
            own = self._new_id()
            self._client.send(command_bytes("human-monitor-command", {"command-line": line}, id=own))
            told = self._hear(own)
            assert (tag in told) if line == "info snapshots" else told == "", (line, told)

    def descriptor(self) -> None:
        own, name = self._new_id(), f"fd{self._seed}-{self.count}"
        number = os.open("/dev/null", os.O_RDONLY)
        try:
            socket.send_fds(self._client.socket, [command_bytes("getfd", {"fdname": name}, id=own)], [number])
        finally:
            os.close(number)
        self._hear(own)
        # It succeeds only if QEMU has got the descriptor by this name.
        own = self._new_id()
        self._client.send(command_bytes("closefd", {"fdname": name}, id=own))
        self._hear(own)

    def oob(self) -> None:
        in_band, urgent = self._new_id(), self._new_id()
        self._client.send(command_bytes("query-status", id=in_band))
        self._client.send(json.dumps({"exec-oob": "query-yank", "id": urgent}).encode() + b"\n")
        assert {self._reply()["id"] for _ in range(2)} == {in_band, urgent}

    def _new_id(self) -> str:
        self._ids += 1
        return f"{self.kind}-{self._ids}"

    def _reply(self) -> Any:
        return json.loads(self._client.read_until_reply()[-1])

    def _hear(self, own: str) -> Any:
        reply = self._reply()
        assert reply.get("id") == own, (own, reply)
        assert "return" in reply, reply
        return reply["return"]


KINDS: Final[dict[str, Callable[[Tireless], None]]] = {
    "ping": Tireless.ping,
    "pipeline": Tireless.pipeline,
    "save": Tireless.save,
    "descriptor": Tireless.descriptor,
    "oob": Tireless.oob,
}


class Listener:
    """A client that only hears events. told: their names and times."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        client.deadline_s = _PATIENCE_S

    def told_until(self, name: str) -> list[tuple[str, int, int]]:
        """Return what has come up to an event."""
        noted = ("STOP", "RESUME", name)
        events = map(json.loads, self._client.read_until_event(name))
        return [(event["event"], *event["timestamp"].values()) for event in events if event["event"] in noted]

    def close(self) -> None:
        self._client.close()


def worked_through(
    clients: Sequence[Tireless],
    step: Callable[[], object],
    times: int,
    stderr: Callable[[], str],
    *,
    after: Callable[[], object] = lambda: None,
) -> list[float]:
    """Take a step again and again while the clients work, and return how long each took, in seconds.

    after: comes after each, and is not timed. Raises ExceptionGroup, with what the program has said, if a client has noticed.
    """
    took_s: list[float] = []
    for client in clients:
        client.start()
    errors = []
    try:
        while len(took_s) < times and not any(client.has_failed for client in clients):
            began_s = time.monotonic()
            step()
            took_s.append(time.monotonic() - began_s)
            after()
    finally:
        for client in clients:
            try:
                client.finish()
            except AssertionError as exc:
                errors.append(exc)
    if errors:
        raise ExceptionGroup(stderr(), errors)
    return took_s


def told_of(clients: Sequence[Tireless]) -> str:
    """Say how many rounds each has done."""
    return ", ".join(f"{client.kind} {client.count} (at most {client.longest_s:.3f} s)" for client in clients)
