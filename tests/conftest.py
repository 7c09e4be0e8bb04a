"""Settings for all tests.

asyncio's debug mode reports coroutines never awaited and callbacks on the wrong thread.
"""

import os
import tempfile

os.environ["PYTHONASYNCIODEBUG"] = "1"
# Programs in terminals of the tests are drawn as for a person.
os.environ["TERM"] = "xterm-256color"
os.environ.pop("NO_COLOR", None)
# What the programs keep for their next run; pytest's own folders do not exist yet.
os.environ["STATE_DIRECTORY"] = tempfile.mkdtemp(prefix="hmpshim-state-")
