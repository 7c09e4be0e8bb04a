"""The proxy starts without OpenSSL and without collecting garbage: in processes of their own, because pytest needs asyncio."""

import subprocess
import sys

from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S


def output(program: str) -> str:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True, timeout=DEADLINE_S).stdout


def test_tls_is_not_loaded() -> None:
    loaded = "import sys, proxy.lean_start; print([name in sys.modules for name in ('asyncio', 'ssl', '_ssl')])"
    assert output(loaded) == "[True, False, False]\n"


def test_tls_can_be_loaded_later() -> None:
    assert output("import proxy.lean_start, ssl; print(ssl.create_default_context().verify_mode.name)") == "CERT_REQUIRED\n"


def test_asyncio_that_is_loaded_already_keeps_tls() -> None:
    assert output("import asyncio, sys, proxy.lean_start; print(sys.modules['ssl'].__name__)") == "ssl\n"


def test_no_garbage_is_looked_for_in_what_a_start_imports() -> None:
    program = """
import gc
import proxy.lean_start
before = gc.isenabled()
proxy.lean_start.all_imported()
print(before, gc.isenabled(), gc.get_freeze_count() > 1000)
"""
    assert output(program) == "False True True\n"


def test_garbage_is_collected_as_before_where_the_proxy_is_a_guest() -> None:
    program = """
import asyncio, gc
import proxy.lean_start
before = gc.isenabled()
proxy.lean_start.all_imported()
print(before, gc.isenabled(), gc.get_freeze_count())
"""
    assert output(program) == "True True 0\n"
