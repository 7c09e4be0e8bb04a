"""A test that waits for ever does not hang the suite, and what stood still is shown."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import GRACE_S, LIMIT_S
from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S, TIME_SCALE

# So that the limit is a few seconds.
SCALE: Final = 0.01
BLOCKED: Final = {
    "loop": "asyncio.run(asyncio.Event().wait())",
    "process": "with subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE) as process: process.wait()",
    "thread": "asyncio.run(asyncio.to_thread(threading.Event().wait))",
}


@pytest.mark.parametrize("how", BLOCKED)
def test_test_that_waits_for_ever_is_ended(tmp_path: Path, how: str) -> None:
    probe = tmp_path / "test_probe.py"
    imports = "import asyncio, subprocess, sys, threading\n"
    probe.write_text(f"{imports}def test_blocked():\n    {BLOCKED[how]}\ndef test_next(): pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", os.devnull, "-q", str(probe)]
    environment = os.environ | {"HMPSHIM_TEST_TIME_SCALE": str(SCALE), "HMPSHIM_PARTS": "1"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=4 * DEADLINE_S, check=False
    )
    assert ended.returncode == 1
    if how == "thread":  # its end is waited for by the clean-up, which no exception interrupts for good
        assert "Timeout (" in ended.stderr or "OverdueError" in ended.stdout
    else:
        assert "OverdueError: the test was not done within" in ended.stdout
        assert "1 failed, 1 passed" in ended.stdout


def test_limit_is_far_beyond_the_deadlines_of_the_tests() -> None:
    assert LIMIT_S / TIME_SCALE > 100
    assert GRACE_S < LIMIT_S
