"""The looks at processes: what leaks is seen."""

import os
import subprocess
import sys

import pytest

from tests.soak.looks import descriptors_of, rss_kib, wait_until, zombies_of
from tests.soak.oracle import Violation
from tests.soak.run import Figures


def test_leaked_descriptor_is_seen() -> None:
    before = descriptors_of(os.getpid())
    Figures(1, 1, before, descriptors_of(os.getpid())).check()
    with open("/dev/null"), pytest.raises(Violation, match="the proxy's descriptors"):
        Figures(1, 1, before, descriptors_of(os.getpid())).check()


def test_memory_that_grows_is_seen() -> None:
    grown_kib = rss_kib(os.getpid()) + 20_000
    Figures(grown_kib, grown_kib + 1000, [], []).check()
    with pytest.raises(Violation, match="the proxy's memory"):
        Figures(rss_kib(os.getpid()), grown_kib, [], []).check()


def test_zombie_is_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert [text.split()[0] for text in zombies_of(os.getpid())] == [str(child.pid)]
    assert zombies_of(os.getpid()) == []


def test_what_does_not_come_about_is_seen() -> None:
    wait_until("vm", "it is there", lambda: True, 0)
    with pytest.raises(Violation, match="expected: it is there\n  found:    not within 0 s"):
        wait_until("vm", "it is there", lambda: False, 0)
