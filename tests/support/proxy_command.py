"""`hmp-proxy` as a command that ends by itself."""

import re
import subprocess
import sys
from typing import Final

from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S

__all__ = ["SLOW_CALLBACK", "run_proxy"]

# What asyncio's debug mode says of a callback that took over 0.1 s: a busy machine, and nothing that the proxy wrote.
SLOW_CALLBACK: Final = re.compile(r"^.*Executing <.*> took [0-9.]+ seconds\n", re.MULTILINE)


def run_proxy(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with warnings as errors, and give its status and output; TimeoutExpired if it goes on."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "proxy", *arguments]
    ended = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    ended.stderr = SLOW_CALLBACK.sub("", ended.stderr)
    return ended
