"""A new process that is killed while it takes over: the old one goes on with what it has, and begins anew what it had given."""

import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.integration.process.fake_qemus import fake_qemus
from tests.integration.proxy_process import ProxyProcess
from tests.integration.waiting import until
from tests.support.raw_client import ConnectionLostError, RawClient, negotiated

VMS: Final = 20
KILLS: Final = 4
# What the old process says.
TAKES_OVER: Final = " takes over; "
GONE: Final = "the process that was to take over has gone"
TAKEN_BACK: Final = "by the old process again"


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="h", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("seed", range(3))
def test_process_that_is_killed_has_harmed_only_what_it_was_given(folder: Path, seed: int) -> None:
    rng = random.Random(f"killed {seed}")
    sockets = {folder / f"q{number}": folder / ("legacy.sock" if number == 0 else f"l{number}") for number in range(VMS)}
    config, meeting = folder / "fleet.toml", folder / "meet"
    tables = [f'[[vm]]\nname = "{q.name}"\nupstream = "unix:{q}"\nlisten = "unix:{at}"\n' for q, at in sockets.items()]
    # One that is never handed over, so that the old process does not come to its end before the new one is killed.
    tables.append(f'[[vm]]\nname = "stays"\nupstream = "accept:unix:{folder}/accept"\nlisten = "unix:{folder}/stays"\n')
    config.write_text("".join(tables))
    with ExitStack() as stack:
        stack.enter_context(fake_qemus(list(sockets)))
        old = stack.enter_context(ProxyProcess(folder, None, ["--config", str(config), "--replaceable", str(meeting)]))
        until(lambda: f"VMs served: {VMS}," in old.stderr)
        clients = {q: stack.enter_context(negotiated(old.connect(str(at)))) for q, at in sockets.items()}
        for _ in range(KILLS):
            names = given_to_the_killed(old, ["--config", str(config), "--replace", str(meeting)], rng)
            dead = {q for q in sockets if q.name in names}
            for q, at in sockets.items():
                assert is_gone(clients[q]) is (q in dead), q.name
                if q in dead:
                    clients[q] = stack.enter_context(negotiated(old.connect(str(at))))
                assert clients[q].hmp("savevm t") == ""
        assert [client.hmp("loadvm t") for client in clients.values()] == [""] * VMS


def given_to_the_killed(old: ProxyProcess, options: Sequence[str], rng: random.Random) -> set[str]:
    """Start a process that takes over, kill it when it has some VMs, and name those that it was given until it was dead."""
    before, most = len(given(old)), rng.randrange(VMS)
    gone = old.stderr.count(GONE)
    with ProxyProcess(old.audit_path.parent, None, options) as new:
        until(lambda: old.stderr.count(TAKES_OVER) > gone and len(given(old)) >= before + most)
        new.kill()
    until(lambda: old.stderr.count(GONE) > gone and old.stderr.count(TAKEN_BACK) == len(given(old)))
    return set(given(old)[before:])


def given(proxy: ProxyProcess) -> list[str]:
    """Name the VMs that it has handed over so far."""
    return [line.split(": ")[1] for line in proxy.stderr.splitlines() if line.endswith(": handed over")]


def is_gone(client: RawClient) -> bool:
    try:
        client.returned("query-status")
    except (ConnectionLostError, BrokenPipeError, ConnectionResetError):
        return True
    return False
