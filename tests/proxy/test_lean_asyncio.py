"""The proxy starts without OpenSSL, and leaves no trace of that: in a process of its own, because pytest needs asyncio."""

import subprocess
import sys

from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S


def output(program: str) -> str:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True, timeout=DEADLINE_S).stdout


def test_tls_is_not_loaded() -> None:
    loaded = "import sys, proxy.lean_asyncio; print([name in sys.modules for name in ('asyncio', 'ssl', '_ssl')])"
    assert output(loaded) == "[True, False, False]\n"


def test_tls_can_be_loaded_later() -> None:
    assert output("import proxy.lean_asyncio, ssl; print(ssl.create_default_context().verify_mode.name)") == "CERT_REQUIRED\n"


def test_asyncio_that_is_loaded_already_keeps_tls() -> None:
    assert output("import asyncio, sys, proxy.lean_asyncio; print(sys.modules['ssl'].__name__)") == "ssl\n"
