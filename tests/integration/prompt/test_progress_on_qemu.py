"""How far a save or load is, and whom a prompt waits for, on a real QEMU.

It is stopped by SIGSTOP in the middle, so that there is time to look: a save takes as long as the test wants.
"""

import asyncio
import os
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from host.net.addresses import UnixAddress
from repl.command_line import Invocation
from repl.errors import ExitStatus
from repl.prompt.app import Prompt
from repl.prompt.terminal import Terminal
from shim.client import Client
from shim.graph.policy import Policy
from tests.integration.command_lines import BIOS, virtio
from tests.integration.machines import Machine, machine, make_folder
from tests.integration.prompt.sitting import freeze, sit, thaw
from tests.support.proxy.running_vm_proxy import until
from tests.support.raw_client import DEADLINE_S, RawClient
from tests.support.repl.desk import at_desk
from tests.support.repl.screen import CTRL_C, ENTER, Person

pytestmark = pytest.mark.needs_snapshot_jobs
# A QEMU that a loader of another system runs is not known by its command line, so what it writes is not seen.
versions = pytest.mark.versions

MIB: Final = 1024 * 1024
RAM_MIB: Final = 256
# What of it is no zero page, and so the size of the state.
FULL_MIB: Final = 128
# QEMU writes more than the RAM in a second.
GOES_ON_S: Final = 0.002
STANDS_S: Final = 0.018
SOME: Final = r"(\d+ ms|[\d.]+ s|\d+ min \d+ s)"
STOPPED: Final = r"QEMU \(pid \d+\) is stopped"
RESUMES: Final = r"'kill -CONT \d+' resumes it"


@pytest.fixture
def full() -> Iterator[Machine]:
    """A VM whose RAM is half full of what nobody can compress, and its disk at a path that means the same to us.

    Clusters that a deletion frees stay in the file. It is flushed: what is written again before it has reached the disk does
    not count as written.
    """
    folder = Path(tempfile.mkdtemp(prefix="g", dir="/tmp"))
    try:
        make_folder(folder, {"d0.qcow2": ""})
        (folder / "ram").write_bytes(os.urandom(FULL_MIB * MIB) + bytes((RAM_MIB - FULL_MIB) * MIB))
        ram = f"-object memory-backend-file,id=ram,size={RAM_MIB}M,mem-path=ram,share=off -machine memory-backend=ram"
        file = f"file.driver=file,file.filename={folder}/d0.qcow2"
        disk = f"-blockdev driver=qcow2,node-name=d0,pass-discard-snapshot=off,{file} {virtio('d0')}"
        with machine(f"{BIOS} {ram} {disk}", {}, folder=folder, memory=str(RAM_MIB)) as running:
            yield running
    finally:
        shutil.rmtree(folder)


def moved(running: Machine, counter: str) -> int:
    assert running.vm.process is not None
    lines = Path(f"/proc/{running.vm.process.pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)[counter])


def grown(running: Machine) -> int:
    return running.vm.path("d0.qcow2").stat().st_blocks * 512


@contextmanager
def freezing(running: Machine, amount: Callable[[], int], mib: int) -> Iterator[threading.Event]:
    """Let QEMU go on by moments until it has moved so much more, which the event tells, and then no more before the end."""
    stands, before, deadline = threading.Event(), amount(), time.monotonic() + DEADLINE_S

    def hold() -> None:
        while amount() - before < mib * MIB and time.monotonic() < deadline:
            thaw(running)
            time.sleep(GOES_ON_S)
            freeze(running)
            time.sleep(STANDS_S)
        stands.set()

    holding = threading.Thread(target=hold)
    holding.start()
    try:
        yield stands
    finally:
        holding.join()
        thaw(running)


@versions
def test_first_save_is_told_by_the_ram_and_the_next_by_the_first(full: Machine) -> None:
    """The first state may be as large as the RAM: more than so much is not known."""

    async def scene(person: Person) -> None:
        with freezing(full, lambda: grown(full), 32) as stands:
            person.type("savevm t1" + ENTER)
            await person.until(stands.is_set, "QEMU standing still")
            await person.sees_match(rf"savevm t1  {SOME}  at least (1[2-9]|[2-5]\d) %")
        await person.sees_match(r"done: savevm t1")
        await person.sees_prompt()
        await person.sees_toolbar("1 snapshot")
        with freezing(full, lambda: grown(full), 32):
            person.type("savevm t2" + ENTER)
            await person.sees_match(rf"savevm t2  {SOME}  about [2-9]\d %")
        await person.sees_match(r"done: savevm t2")

    sit(full, scene, columns=120)


def test_save_into_what_an_earlier_one_has_left_is_told_by_what_qemu_writes(full: Machine) -> None:
    """The image does not grow then."""
    for line in ("savevm t1", "delvm t1"):
        assert full.observer.hmp(line) == ""

    async def scene(person: Person) -> None:
        before = grown(full)
        with freezing(full, lambda: moved(full, "write_bytes"), 32):
            person.type("savevm t3" + ENTER)
            await person.sees_match(rf"savevm t3  {SOME}  at least (1[2-9]|[2-5]\d) %")
            assert grown(full) - before < MIB
        await person.sees_match(r"done: savevm t3")

    sit(full, scene, columns=120, asks=False)


def test_load_is_told_by_what_qemu_reads(full: Machine) -> None:
    assert full.observer.hmp("savevm t1") == ""

    async def scene(person: Person) -> None:
        with freezing(full, lambda: moved(full, "rchar"), 32):
            person.type("loadvm t1" + ENTER)
            await person.sees_match(rf"loadvm t1  {SOME}  about (\d\d) %")
        await person.sees_match(r"done: loadvm t1")

    sit(full, scene, columns=120, asks=False)


@versions
def test_progress_fits_a_narrow_terminal(full: Machine) -> None:
    async def scene(person: Person) -> None:
        with freezing(full, lambda: grown(full), 32):
            person.type("savevm t1" + ENTER)
            await person.sees_match(
                rf"\nsavevm t1  {SOME}\s+at least \d+ %(, at most .* left)?\n{STOPPED}\n{RESUMES}  save-vm\n"
            )
            await person.sees("(Ctrl-C: do not wait)")
        await person.sees_match(r"done: savevm t1")

    sit(full, scene, columns=40)


# -- somebody else --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def saving(client: RawClient, command: str, **arguments: object) -> AsyncIterator[None]:
    """Have another client save meanwhile, and wait for its end."""
    ended = asyncio.create_task(asyncio.to_thread(client.returned, command, arguments or None))
    try:
        yield
    except BaseException:
        # The failure within says more than that of a client whose save was held up by it.
        await asyncio.wait([ended])
        raise
    await ended


@versions
def test_command_waits_for_the_save_of_another_monitor(full: Machine) -> None:
    async def scene(person: Person) -> None:
        async with saving(full.observer, "human-monitor-command", **{"command-line": "savevm theirs"}):
            with freezing(full, lambda: grown(full), 16) as stands:
                await person.until(stands.is_set, "QEMU standing still")
                await person.sees_toolbar("QEMU has not answered for")
                person.type("info name" + ENTER)
                first = await person.sees_match(rf"info name  .*QEMU has not answered for {SOME}  {STOPPED}  {RESUMES}")
                await person.until(lambda: first[0] not in person.screen.text, "time that goes on")
                person.type(CTRL_C)
                await person.sees("info name goes on in QEMU; its end will be reported here")
                await person.sees_prompt()
        await person.sees_match("done: info name")

    sit(full, scene, columns=140)


@versions
def test_command_waits_for_the_job_of_another_monitor(full: Machine) -> None:
    node = next(one["node-name"] for one in full.observer.returned("query-named-block-nodes") if one["drv"] == "qcow2")
    arguments = {"job-id": "theirs", "tag": "t", "vmstate": node, "devices": [node]}

    async def scene(person: Person) -> None:
        async with saving(full.observer, "snapshot-save", **arguments):
            with freezing(full, lambda: grown(full), 16) as stands:
                await person.until(stands.is_set, "QEMU standing still")
                await person.sees_toolbar("waits for job 'theirs' of another client: ")
                person.type("savevm t1" + ENTER)
                await person.sees_match(rf"savevm t1  .*waits for job 'theirs' of another client: {SOME}")
                assert "%" not in person.screen.text
        await person.sees_match("done: savevm t1")
        assert full.observer.returned("job-dismiss", {"id": "theirs"}) == {}

    sit(full, scene, columns=140)


def opened_at(path: str) -> asyncio.Task[ExitStatus]:
    return asyncio.create_task(Prompt(Invocation(UnixAddress(path), Policy()), Client(), None).run())


@versions
@pytest.mark.parametrize("is_left", [True, False])
def test_prompt_that_is_opened_meanwhile_tells_for_how_long_it_waits(full: Machine, is_left: bool) -> None:
    """QEMU greets while it saves, and answers afterwards."""

    async def play() -> None:
        theirs, before = {"command-line": "savevm theirs"}, grown(full)
        async with saving(full.observer, "human-monitor-command", **theirs), at_desk(Terminal()) as desk:
            with freezing(full, lambda: grown(full), 96):
                await until(lambda: grown(full) > before + MIB)
                running = opened_at(full.vm.qmp_path)
                await desk.sees("QEMU is busy with a save or load; waiting for its answer")
                await desk.sees("s; it may be saving or loading  (Ctrl-C: leave)")
                if is_left:
                    desk.keyboard.send_text(CTRL_C)
                    assert await running is ExitStatus.INTERRUPTED
                    return
            await desk.sees("hmp>")
            assert "(Ctrl-C: leave)" not in desk.screen.text
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    asyncio.run(play())
    assert full.tags("d0.qcow2") == ["theirs"]


# -- beside a proxy -------------------------------------------------------------------------------------------------------


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path of a control socket that this user's prompt knows."""
    folder = Path(tempfile.mkdtemp(prefix="c", dir="/tmp"))
    (folder / "hmp-proxy").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder / "hmp-proxy" / "control.sock"
    shutil.rmtree(folder)


@versions
def test_proxy_tells_whose_save_is_waited_for(full: Machine, control: Path) -> None:
    async def scene(person: Person) -> None:
        async with saving(client, "human-monitor-command", **{"command-line": "savevm theirs"}):
            with freezing(full, lambda: grown(full), 16) as stands:
                await person.until(stands.is_set, "QEMU standing still")
                await person.sees_toolbar("waits for 'savevm theirs' of ")
                person.type("info name" + ENTER)
                pid = os.getpid()
                await person.sees_match(rf"info name  .*waits for 'savevm theirs' of .+ \(.*pid {pid}, uid \d+\): {SOME}")
        await person.sees_prompt()

    with full.proxied("--control", str(control)) as (client, proxy):
        sit(full, scene, columns=200, path=proxy.path)


@versions
def test_own_save_at_a_proxy_is_measured_and_its_log_tells_how_long_it_takes(full: Machine, control: Path) -> None:
    async def scene(person: Person) -> None:
        with freezing(full, lambda: grown(full), 32) as stands:
            person.type("savevm t2" + ENTER)
            await person.until(stands.is_set, "QEMU standing still")
            await person.sees_match(rf"savevm t2  {SOME}  about [2-9]\d %")
            assert person.console is not None
            assert person.console._meter._of_log["savevm"] > 0
            await person.until(
                lambda: person.console is not None and person.console._others._told is not None, "the proxy's word"
            )
            assert "waits" not in person.screen.text
        await person.sees_match("done: savevm t2")

    with full.proxied("--control", str(control)) as (client, proxy):
        assert client.hmp("savevm t1") == ""
        sit(full, scene, columns=140, path=proxy.path)
