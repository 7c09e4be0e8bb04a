"""Start with less: import this first, and call `all_imported` when the rest is imported.

asyncio is imported without TLS, because OpenSSL costs 4 MiB and a tenth of the start. asyncio can do without the ssl module
(asyncio/sslproto.py), so a None stands in for it in sys.modules. That entry is removed right afterwards, so whatever needs TLS
in this process later still gets it.

Meanwhile no garbage is collected: what an import creates stays, and looking through it again and again takes a sixth of the
start.
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
    """Collect garbage from now on, but not among what exists already."""
    if not gc.isenabled():  # pragma: no cover - a process of its own, too
        gc.freeze()
        gc.enable()
