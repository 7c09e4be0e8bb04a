"""Settings for all tests.

asyncio's debug mode reports coroutines never awaited and callbacks on the wrong thread; PYTHONASYNCIODEBUG= turns it off. What
it says of slow callbacks tells of the machine, and would come among the messages that a test looks at.

No test can hang the suite. Each waits with a deadline by itself; where that fails, because a clean-up waits for ever or a
thread does, an alarm ends the test with an error that shows where it stood, and if even that is not heard, the process ends
with the tracebacks of all threads (under pytest-xdist only that worker does, and the others go on).
"""

import faulthandler
import logging
import os
import signal
import tempfile
import threading
import time
import zlib
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Final

import pytest

from proxy.net.closing import closer
from tests.support.leaks import nothing_left
from tests.support.raw_client import TIME_SCALE

os.environ.setdefault("PYTHONASYNCIODEBUG", "1")
# Programs in terminals of the tests are drawn as for a person.
os.environ["TERM"] = "xterm-256color"
os.environ.pop("NO_COLOR", None)
# What is long is shown on the screen, unless a test has a pager of its own.
os.environ["HMPSHIM_PAGER"] = ""
# What the programs keep for their next run; pytest's own folders do not exist yet.
os.environ["STATE_DIRECTORY"] = tempfile.mkdtemp(prefix="hmpshim-state-")
# The days since 1970 choose what a run takes of more than fits into one. The workers of a run take it from the first process.
os.environ.setdefault("HMPSHIM_FAULT_SEED", str(int(time.time()) // 86400))
# A shell starts what runs in its background with SIGINT ignored, and so would be the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    return f"faults: HMPSHIM_FAULT_SEED={os.environ['HMPSHIM_FAULT_SEED']}"


# In debug mode it describes its own loop.
logging.getLogger("asyncio").setLevel(logging.WARNING)
logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Executing <"))

# The longest test takes a quarter of it on two busy cores.
LIMIT_S: Final = 240.0 * TIME_SCALE
# For the clean-up behind the alarm.
GRACE_S: Final = max(12.0, 120.0 * TIME_SCALE)
# For what clients have passed; a close that hangs shows as a thread that is left.
CLOSED_WITHIN_S: Final = 10.0 * TIME_SCALE
# A copy, because pytest puts files in place of standard error.
_STDERR: Final = os.dup(2)
# Only so much of the tests is run, another part each day; of a matrix, continuous integration takes less.
PARTS: Final = int(os.environ.get("HMPSHIM_PARTS", "1"))
MATRIX_PARTS: Final = PARTS + 3 if os.environ.get("CI") == "true" else PARTS


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "matrix: many cases of one kind, which take long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests of today."""
    left_out = [item for item in items if not _is_of_today(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _is_of_today(item)]


def _is_of_today(item: pytest.Item) -> bool:
    parts = MATRIX_PARTS if item.get_closest_marker("matrix") else PARTS
    return (zlib.crc32(item.nodeid.encode()) + int(os.environ["HMPSHIM_FAULT_SEED"])) % parts == 0


class OverdueError(BaseException):
    """A test took too long. It is no Exception, so that what is tested does not handle it."""


def _alarm(number: int, frame: FrameType | None) -> None:
    raise OverdueError(f"the test was not done within {LIMIT_S:g} s")


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """It is the outermost of a test's own fixtures; what those of a file or a session hold was there before."""
    with nothing_left():
        yield
        closer.finish(CLOSED_WITHIN_S)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Limit a test with its fixtures."""
    is_main = threading.current_thread() is threading.main_thread()
    faulthandler.dump_traceback_later(LIMIT_S + GRACE_S, exit=True, file=_STDERR)
    if is_main:
        signal.signal(signal.SIGALRM, _alarm)
        signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        return (yield)
    finally:
        if is_main:
            signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
