"""`hmp-proxy` as a command that ends by itself."""

import subprocess
import sys

from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S

__all__ = ["run_proxy"]


def run_proxy(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with warnings as errors, and give its status and output; TimeoutExpired if it goes on."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "proxy", *arguments]
    return subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
