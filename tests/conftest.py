"""Settings for all tests.

asyncio's debug mode reports coroutines never awaited and callbacks on the wrong thread.
"""

import os

os.environ["PYTHONASYNCIODEBUG"] = "1"
# Programs in terminals of the tests are drawn as for a person.
os.environ["TERM"] = "xterm-256color"
os.environ.pop("NO_COLOR", None)
