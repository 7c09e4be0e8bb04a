"""Import what serving clients may need, so that nothing is imported while they are served.

A package may be upgraded or removed under a running proxy, and a process may be out of descriptors: an import would fail
then, in the middle of somebody's command. A start is quicker without most of it, so it is done between listening and reading
the first client's first byte. What is imported here is what the sources import inside functions, and what the standard
library does.
"""

import asyncio
import importlib
import sys
from collections.abc import Sequence

from host.settings.config import VMConfig

__all__ = ["preload", "preload_in_loop"]

# On a machine that is busy.
_IMPORTS_S = 10.0

# Which may be needed whatever the configuration is now: SIGHUP may change the policy and the mode. tests/proxy/test_preload.py
# serves clients with every import recorded, and fails for one that is missing here.
_OURS = (
    "shim.plans.snapshot_plans",
    "shim.plans.rehearsal",
    "shim.hmp.allowance",
    "shim.decisions.beside",
    "shim.rules.rules",
    "shim.hmp.replacements",
    "proxy.control.table",
    "proxy.relaying.looking",
    "host.settings.rule_mistakes",
    "proxy.pattern_check",
)
# Needed to show a traceback (traceback, linecache), and to look up a host's name in a thread (asyncio, socket).
_OF_PYTHON = ("ast", "tokenize", "unicodedata", "encodings.idna", "concurrent.futures.thread")
_TO_MASK = ("shim.records.redaction",)


def preload(vms: Sequence[VMConfig]) -> None:
    """Import it all; the second time that takes no time. Raises ImportError where the installation is not whole."""
    masks = any(vm.audit is not None and vm.audit.redact for vm in vms)
    for name in (*_OURS, *_OF_PYTHON, *(_TO_MASK if masks else ())):
        if name not in sys.modules:
            importlib.import_module(name)


def preload_in_loop(vms: Sequence[VMConfig]) -> None:
    """Import it in a running event loop, where it may take longer than what asyncio's debug mode lets pass in silence."""
    loop = asyncio.get_running_loop()
    if loop.slow_callback_duration < _IMPORTS_S:  # unless another VM is at it
        loop.call_soon(setattr, loop, "slow_callback_duration", loop.slow_callback_duration)
        loop.slow_callback_duration = _IMPORTS_S
    preload(vms)
