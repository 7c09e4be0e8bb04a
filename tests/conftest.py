"""Settings for all tests.

asyncio's debug mode reports coroutines never awaited and callbacks on the wrong thread.
"""

import os
import tempfile
import time

os.environ["PYTHONASYNCIODEBUG"] = "1"
# Programs in terminals of the tests are drawn as for a person.
os.environ["TERM"] = "xterm-256color"
os.environ.pop("NO_COLOR", None)
# What the programs keep for their next run; pytest's own folders do not exist yet.
os.environ["STATE_DIRECTORY"] = tempfile.mkdtemp(prefix="hmpshim-state-")
# The days since 1970 choose what a run takes of more than fits into one. The workers of a run take it from the first process.
os.environ.setdefault("HMPSHIM_FAULT_SEED", str(int(time.time()) // 86400))


def pytest_report_header() -> str:
    return f"faults: HMPSHIM_FAULT_SEED={os.environ['HMPSHIM_FAULT_SEED']}"
