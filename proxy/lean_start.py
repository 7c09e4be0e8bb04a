"""Start with less: import this first, and call `all_imported` when the rest is imported.

asyncio comes without TLS, for which OpenSSL costs 4 MiB and a tenth of the start. asyncio does without the module ssl where
there is none (asyncio/sslproto.py). The entry is taken out again afterwards, so that whoever needs TLS in this process later
still gets it.

No garbage is collected meanwhile. What an import makes stays, and to look through it time and again takes a sixth of the start.
"""

import gc
import sys
from types import ModuleType
from typing import cast

__all__ = ["all_imported"]

if "ssl" not in sys.modules and "asyncio" not in sys.modules:  # pragma: no cover - a process of its own: test_lean_start.py
    gc.disable()
    sys.modules["ssl"] = cast(ModuleType, None)
    import asyncio  # noqa: F401

    del sys.modules["ssl"]


def all_imported() -> None:
    """Collect garbage from now on, but do not look for it in what there is."""
    if not gc.isenabled():  # pragma: no cover - a process of its own, too
        gc.freeze()
        gc.enable()
