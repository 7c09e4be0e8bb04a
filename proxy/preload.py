"""Import what serving clients may need, so that nothing is imported while they are served.

The package may be upgraded or removed under a running proxy, and the process may run out of descriptors: an import would then
fail in the middle of somebody's command. A start is quicker without most of these modules, so they are imported after the proxy
has begun to listen and before the first byte of a client is read. Imported here is what the sources, and the standard library,
import inside functions.
"""

import asyncio
import importlib
import sys
from collections.abc import Sequence

from host.settings.config import VMConfig

__all__ = ["preload", "preload_in_loop"]

# How long the imports may take on a busy machine.
_IMPORTS_S = 10.0

# Whatever the configuration is now, these may be needed: SIGHUP may change the policy and the mode. tests/proxy/test_preload.py
# serves clients while it records every import, and fails if one is missing here.
_OURS = (
    "shim.plans.snapshot_plans",
    "shim.plans.rehearsal",
    "shim.hmp.allowance",
    "shim.decisions.beside",
    "shim.rules.rules",
    "shim.nearest",
    "shim.hmp.replacements",
    "proxy.control.table",
    "proxy.fleet.successor",
    "proxy.relaying.looking",
    "host.settings.rule_mistakes",
    "proxy.pattern_check",
)
# Needed to show a traceback (traceback, linecache), and to look up a host's name in a thread (asyncio, socket).
_OF_PYTHON = ("ast", "tokenize", "unicodedata", "encodings.idna", "concurrent.futures.thread")
_TO_MASK = ("shim.records.redaction",)


def preload(vms: Sequence[VMConfig]) -> None:
    """Import everything; the second time costs nothing. Raises ImportError if the installation is incomplete."""
    masks = any(vm.audit is not None and vm.audit.redact for vm in vms)
    for name in (*_OURS, *_OF_PYTHON, *(_TO_MASK if masks else ())):
        if name not in sys.modules:
            importlib.import_module(name)


def preload_in_loop(vms: Sequence[VMConfig]) -> None:
    """Do the same in a running event loop, without asyncio's debug mode complaining about a slow callback."""
    loop = asyncio.get_running_loop()
    if loop.slow_callback_duration < _IMPORTS_S:  # if not, another VM has raised it in this iteration
        loop.call_soon(setattr, loop, "slow_callback_duration", loop.slow_callback_duration)
        loop.slow_callback_duration = _IMPORTS_S
    preload(vms)
