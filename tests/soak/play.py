"""What all threads of a run share: the seed, the scene, the log's book, how to connect, and the first thing that was wrong."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

from tests.soak.oracle import Violation
from tests.soak.records import RecordBook
from tests.soak.scene import DEADLINE_S, Machine, Scene
from tests.support.raw_client import ConnectionLostError, RawClient

__all__ = ["EndedError", "Moment", "NobodyThereError", "Play"]

_RETRY_S: Final = 0.01
_CRASH_S: Final = 2.0
_NOBODY_LISTENS: Final = (FileNotFoundError, ConnectionRefusedError, BlockingIOError)
_BITS: Final = str.maketrans("01", " \t")


class NobodyThereError(Exception):
    """The VM is being ended: who wanted to connect has sent nothing."""


class EndedError(Exception):
    """The run is over: what has not begun is not begun."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Whether a connection has a reason to end: how often the proxy and QEMU were ended, and whether one is just now."""

    proxy_ends: int
    qemu_ends: int
    is_ending: bool

    def is_disturbed(self, later: "Moment") -> bool:
        """Tell whether one of them ended, or may have, up to a later moment."""
        return self.is_ending or self != later


class Play:
    """One run. `stop` is set when the threads shall end; `failure` is what the first one of them found."""

    def __init__(self, seed: str, scene: Scene) -> None:
        self.seed = seed
        self.scene = scene
        self.book = RecordBook(scene.proxy.log)
        self.stop = threading.Event()
        self.failure: BaseException | None = None
        self.tally: Counter[str] = Counter()
        # The keys of commands that a client saw answered.
        self.answered: list[str] = []
        self._numbers = count(1)
        self._lock = threading.Lock()

    def rng(self, name: str) -> random.Random:
        """Return the chance of one thread, which follows from the seed."""
        return random.Random(f"{self.seed} {name}")

    def count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.tally[what] += number

    def ask_for(self, machine: Machine, line: str) -> None:
        """Run an HMP command by the proxy, again if it is cut off. Raises NobodyThereError if QEMU has ended."""
        while True:
            key = self.new_key(line)
            try:
                with self.connect(machine, waits_for_start=False) as client:
                    client.negotiate()
                    client.hmp(key)
            except (ConnectionLostError, ConnectionError):
                continue
            self.answered.append(key)
            return

    def explains_end(self, before: Moment, machine: Machine) -> bool:
        """Tell whether a connection has a reason to end. That QEMU has crashed shows a moment after its connections end."""
        until = time.monotonic() + _CRASH_S
        while not before.is_disturbed(self.moment(machine)):
            if time.monotonic() > until:
                return False
            time.sleep(_RETRY_S)
        return True

    def new_key(self, line: str) -> str:
        """Return a line that HMP takes for this one, and that no other command of the run has: it ends in other blanks."""
        return line + " " + f"{next(self._numbers):b}".translate(_BITS)

    def new_id(self) -> str:
        """Return an id that no other command or job of the run has."""
        return f"soak-{next(self._numbers)}"

    def moment(self, machine: Machine) -> Moment:
        machine.notice_crash()
        proxy = self.scene.proxy
        return Moment(proxy.ends, machine.ends, proxy.is_ending or machine.is_ending)

    def connect(self, machine: Machine, *, waits_for_start: bool = True) -> RawClient:
        """Connect to a VM by the proxy, waiting while one of them is away. Raises Violation, or EndedError.

        waits_for_start: else NobodyThereError is raised while the VM is being ended.
        """
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                return RawClient.connect(machine.legacy_path, deadline_s=DEADLINE_S)
            except _NOBODY_LISTENS as exc:
                if self.failure is not None:
                    raise EndedError from None
                machine.notice_crash()
                if machine.is_ending and not waits_for_start:
                    raise NobodyThereError from None
                if time.monotonic() > deadline:
                    raise Violation(machine.profile.name, f"a listener within {DEADLINE_S:g} s", exc) from exc
            time.sleep(_RETRY_S)

    def thread(self, name: str, step: Callable[[], None]) -> threading.Thread:
        """Make a thread that repeats a step until the run stops; what goes wrong in it stops the run."""

        def work() -> None:
            try:
                while not self.stop.is_set():
                    step()
            except EndedError:
                pass
            except BaseException as exc:
                self.fail(exc)

        return threading.Thread(target=work, name=name)

    def fail(self, exc: BaseException) -> None:
        with self._lock:
            self.failure = self.failure or exc
        self.stop.set()
