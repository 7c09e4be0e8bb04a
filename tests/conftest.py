"""Settings for all tests: asyncio's debug mode, which reports coroutines never awaited and callbacks on the wrong thread."""

import os

os.environ["PYTHONASYNCIODEBUG"] = "1"
