"""Import asyncio without TLS, which nothing here uses: OpenSSL costs 4 MiB and a tenth of the start. Import this first.

asyncio does without the module ssl where there is none (asyncio/sslproto.py). The entry is taken out again afterwards, so that
whoever needs TLS in this process later still gets it.
"""

import sys
from types import ModuleType
from typing import cast

if "ssl" not in sys.modules and "asyncio" not in sys.modules:  # pragma: no cover - a process of its own: test_lean_asyncio.py
    sys.modules["ssl"] = cast(ModuleType, None)
    import asyncio

    del sys.modules["ssl"]
    __all__ = ["asyncio"]
