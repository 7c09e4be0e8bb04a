"""`hmp-proxy` as a command that ends by itself."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.raw_client import DEADLINE_S

__all__ = ["run_proxy"]

_ROOT: Final = Path(__file__).parents[1]


def run_proxy(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with warnings as errors, and give its status and output; TimeoutExpired if it goes on."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "proxy", *arguments]
    return subprocess.run(
        command, cwd=_ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
