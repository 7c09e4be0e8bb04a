"""A run: two periods of play, with a close look after each. In the second the proxy is not ended: its memory is looked at."""

import random
import signal
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from tests.soak.drivers import Driver
from tests.soak.looks import descriptors_of, rss_kib, wait_until, zombies_of
from tests.soak.oracle import Violation
from tests.soak.play import Play
from tests.soak.scene import DEADLINE_S, Scene
from tests.soak.visitors import make_record, strike_all, visit

__all__ = ["Figures", "Soak"]

_SHARE_WITH_PROXY_FAULTS: Final = 0.55
_VISITORS: Final = 2
_SAMPLE_S: Final = 0.5
# What a process has got of the system and not given back varies by some hundred KiB, in runs of one minute and of five.
_MOST_GROWTH_KIB: Final = 4 * 1024
# Of the samples, the first part is the warm-up.
_WARM_UP: Final = 0.3
_JOIN_S: Final = 4 * DEADLINE_S


@dataclass(frozen=True, slots=True)
class Figures:
    """What a process held: its memory after the warm-up and at the end, and its descriptors before and after."""

    warm_kib: int
    end_kib: int
    descriptors_before: list[str]
    descriptors_after: list[str]

    def check(self) -> None:
        """Raises Violation if something was not given back."""
        if self.end_kib - self.warm_kib > _MOST_GROWTH_KIB:
            raise Violation("the proxy's memory", f"at most {self.warm_kib + _MOST_GROWTH_KIB} KiB", f"{self.end_kib} KiB")
        if len(self.descriptors_after) > len(self.descriptors_before):
            raise Violation("the proxy's descriptors", self.descriptors_before, self.descriptors_after)


class Soak:
    """Plays for a while in a folder. What was played is in `play.tally`; `figures` is there at the end."""

    def __init__(self, seed: str, folder: Path, seconds: float) -> None:
        self.scene = Scene(folder)
        self.play = Play(seed, self.scene)
        self.drivers = [Driver(self.play, machine) for machine in self.scene.machines]
        self.figures: Figures | None = None
        self._seconds = seconds
        self._periods = count(1)

    def run(self) -> None:
        """Play to the end. Raises Violation, or whatever else went wrong."""
        with self.scene:
            self._play_for(self._seconds * _SHARE_WITH_PROXY_FAULTS, ends_proxy=True)
            self._look_closely()
            self.scene.proxy.restart(signal.SIGTERM)
            make_record(self.play)
            before = self._quiet_descriptors()
            samples = self._play_for(self._seconds * (1 - _SHARE_WITH_PROXY_FAULTS), ends_proxy=False)
            self._look_closely()
            make_record(self.play)
            self._wait_for_descriptors(len(before))
            self.figures = _figures(samples, before, descriptors_of(self.scene.proxy.pid))
            self._check_end()
            self.scene.proxy.end(signal.SIGTERM)

    def _play_for(self, seconds: float, *, ends_proxy: bool) -> list[int]:
        """Let all threads play; return samples of the proxy's memory."""
        samples: list[int] = []
        threads = [self.play.thread(driver.machine.profile.name, driver.episode) for driver in self.drivers]
        period = next(self._periods)
        for machine in self.scene.machines:
            for number in range(_VISITORS):
                name = f"visitor {number} of {machine.profile.name} in period {period}"
                threads.append(self.play.thread(name, partial(visit, self.play, machine, self.play.rng(name))))
        rng = self.play.rng(f"strikes in period {period}")
        threads.append(self.play.thread("strikes", partial(strike_all, self.play, rng, ends_proxy=ends_proxy)))
        self._run_threads(threads, seconds, lambda: None if ends_proxy else samples.append(rss_kib(self.scene.proxy.pid)))
        return samples

    def _run_threads(self, threads: list[threading.Thread], seconds: float, sample: Callable[[], None]) -> None:
        until = time.monotonic() + seconds
        for thread in threads:
            thread.start()
        try:
            while time.monotonic() < until and not self.play.stop.wait(_SAMPLE_S):
                sample()
        finally:
            self.play.stop.set()
            for thread in threads:
                thread.join(_JOIN_S)
        stuck = [thread.name for thread in threads if thread.is_alive()]
        if self.play.failure is not None:
            raise self.play.failure
        if stuck:
            raise Violation("the run", "all clients end", f"{stuck} do not")
        self.play.stop.clear()

    def _look_closely(self) -> None:
        self.scene.proxy.check()
        for driver in self.drivers:
            driver.look_closely()

    def _quiet_descriptors(self) -> list[str]:
        """Return what the proxy has open when it serves all VMs, and nobody is there."""
        found: list[list[str]] = [[]]

        def is_settled() -> bool:
            found.append(descriptors_of(self.scene.proxy.pid))
            return len(found) > 50 and len({len(one) for one in found[-50:]}) == 1

        wait_until("the proxy", "descriptors that do not change while nobody is there", is_settled, DEADLINE_S)
        return found[-1]

    def _wait_for_descriptors(self, number: int) -> None:
        """Let the proxy notice that the last clients have gone."""
        deadline = time.monotonic() + 5
        while len(descriptors_of(self.scene.proxy.pid)) > number and time.monotonic() < deadline:
            time.sleep(_SAMPLE_S)

    def _check_end(self) -> None:
        assert self.figures is not None
        self.scene.proxy.check()
        self.figures.check()
        for driver in self.drivers:
            driver.check_jobs()
        if zombies := zombies_of(self.scene.proxy.pid):
            raise Violation("the proxy", "no zombies", zombies)
        self.play.book.check(self.play.answered)


def _figures(samples: list[int], before: list[str], after: list[str]) -> Figures:
    warm = samples[int(len(samples) * _WARM_UP) :] or [0]
    part = max(1, len(warm) // 4)
    return Figures(int(statistics.median(warm[:part])), int(statistics.median(warm[-part:])), before, after)


def choose_seed() -> str:
    """Return another seed each time."""
    return str(random.SystemRandom().randrange(10**9))
