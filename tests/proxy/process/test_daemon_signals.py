"""Signals to the daemon: SIGHUP has the configuration and the audit logs read again, SIGTERM and SIGINT end it.

Where a second signal ends it, it is in a process of its own.
"""

import asyncio
import contextlib
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

import pytest

from host.log_lines import LogObjects
from proxy.command_line.invocations import ServeInvocation
from proxy.command_line.subcommands import parse_command_line
from proxy.control.status import read_status
from proxy.net.sockets import is_answered
from proxy.process.daemon import Daemon
from tests.fakes.qemu import FakeQEMU, When, two_disks
from tests.support.checkout import ROOT
from tests.support.processes.running_daemon import RunningDaemon, hmp, records, run, table, until
from tests.support.raw_client import DEADLINE_S, ConnectionLostError, RawClient

AS_IT_WAS: Final = "the configuration was read again, and nothing has changed"
READ_AGAIN: Final = "the policy and the rules were read again"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="d", dir="/tmp"))
    yield path
    shutil.rmtree(path)


# -- SIGHUP: the policy ---------------------------------------------------------------------------------------------------


def test_new_policy_holds_for_commands_that_come_afterwards(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The one that runs goes on with what it has begun with, to its last job."""
    log = f'audit = "{folder}/log"'

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            qemu = await stack.enter_async_context(FakeQEMU(two_disks()))
            old = table(qemu, folder / "a", log, 'vmstate = "d1"')
            running = await stack.enter_async_context(RunningDaemon(folder, old))
            assert await hmp(folder / "a", "savevm t") == [""]
            qemu.hold("snapshot-save", When.RECEIVED)
            held = asyncio.create_task(hmp(folder / "a", "savevm t"))
            await qemu.reached("snapshot-save")
            new = table(qemu, folder / "a", log, 'vmstate = "d0"', 'overwrite = "refuse"')
            assert await running.read_again(caplog, new) == ["the policy and the rules were read again"]
            qemu.release()
            assert await held == [""]
            assert (await hmp(folder / "a", "savevm t"))[0].startswith("Error: snapshot 't' exists")
            assert await hmp(folder / "a", "savevm u") == [""]

    run(main)
    first, second, refused, last = records(folder / "log")
    assert [sent["execute"] for sent in second["qmp"] if sent["execute"].startswith("snapshot-")] == [
        *("snapshot-save", "snapshot-delete", "snapshot-save", "snapshot-delete")
    ]
    assert {sent["arguments"].get("vmstate", "d1") for sent in second["qmp"]} == {"d1"}
    assert [record["action"] for record in (first, second, refused, last)] == ["rewritten", "rewritten", "refused", "rewritten"]
    assert last["vmstate"]["node"] == "d0"


def test_new_mode(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            assert await hmp(folder / "a", "nosuch") == ["unknown command: 'nosuch'\r\n"]
            await running.read_again(caplog, '[defaults]\nmode = "enforce"\n', table(qemu, folder / "a"))
            refusal = "Error: HMP command 'nosuch' is not allowed here; QMP has no such command either\r\n"
            assert await hmp(folder / "a", "nosuch") == [refusal]

    run(main)


def test_new_rules_hold_for_clients_that_are_connected(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also a role of one listener, which needs no restart; and the proxy's own look at the disks is not denied."""
    strict = ("strict = true", 'exclude = "d1"')

    def listening_at(role: str) -> str:
        return f'listen = {{ address = "unix:{folder}/a", role = "{role}" }}'

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a", *strict)) as running:
            plain = table(qemu, folder / "a", *strict)
            with await asyncio.to_thread(RawClient.connect, folder / "a") as client:
                await asyncio.to_thread(client.negotiate)
                denials = []
                for text in (
                    plain,
                    f'{plain}rules = [{{ deny = "query-*", user = {os.getuid()} }}]\n',
                    f'{plain}rules = [{{ deny = "query-*", user = {os.getuid() + 1} }}]\n',
                    plain.replace(f'listen = "unix:{folder}/a"', listening_at("snapshots")),
                    f'{plain}role = "read-only"\n',
                ):
                    assert await running.read_again(caplog, text) == [AS_IT_WAS if text == plain else READ_AGAIN]
                    replies = [
                        await asyncio.to_thread(client.execute, name) for name in ("query-name", "stop", "system_wakeup")
                    ]
                    denials.append(["is not allowed" in str(reply) for reply in replies])
        assert denials == [
            [False, False, False],
            [True, False, False],
            [False, False, False],
            [False, False, True],
            [False, True, True],
        ]

    run(main)


def test_new_policy_outlives_qemu(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is not forgotten when QEMU comes back."""
    path = str(folder / "q")

    async def main() -> None:
        async with FakeQEMU(two_disks(), path=path) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            await running.read_again(caplog, table(qemu, folder / "a", 'mode = "enforce"'))
            await qemu.close()
            async with FakeQEMU(two_disks(), path=path):
                await until(lambda: "is back" in caplog.text)
                assert (await hmp(folder / "a", "nosuch"))[0].startswith("Error: HMP command 'nosuch' is not allowed")

    run(main)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nonsense", "F:1: invalid TOML: "),
        (
            "[[vm]]\nupstream = 'unix:/q'\nlisten = 'unix:/l'\nmode = 'none'\n",
            "F:4: mode: write one of 'rewrite', 'observe', 'enforce'",
        ),
        ("", "F:1: vm: there is no VM; write at least one [[vm]] table"),
    ],
)
def test_wrong_file_changes_nothing(folder: Path, caplog: pytest.LogCaptureFixture, text: str, error: str) -> None:
    async def main() -> None:
        enforcing = 'mode = "enforce"'
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a", enforcing)) as running:
            (message,) = await running.read_again(caplog, text)
            assert message.replace(str(running.path), "F").startswith(error)
            assert message.endswith("; the running configuration stays")
            assert (await hmp(folder / "a", "nosuch"))[0].startswith("Error: HMP command")
            assert await running.read_again(caplog, table(qemu, folder / "a")) == ["the policy and the rules were read again"]
            assert await hmp(folder / "a", "nosuch") == ["unknown command: 'nosuch'\r\n"]

    run(main)


def test_file_that_has_gone_changes_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            running.path.unlink()
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: "No such file" in caplog.text)
            assert await hmp(folder / "a", "savevm t") == [""]

    run(main)


def test_pattern_that_fits_nothing_is_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At start and here alike: the disk may be plugged in later."""
    fitting_nothing = 'exclude = ["usbstick", "d1"]'
    warned = "exclude: 'usbstick' matches no block node of the VM, which has d0, d0-file, d1, d1-file"

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            exact = table(qemu, folder / "a", fitting_nothing)
            async with RunningDaemon(folder, exact) as running:
                assert [message.partition(": ")[2] for message in caplog.messages if "usbstick" in message] == [warned]
                await running.read_again(caplog, exact.replace('"usbstick", "d1"', '"d1", "usbstick"'))
                await until(lambda: warned in caplog.text)
                assert caplog.messages[0] == "the policy and the rules were read again"
                assert await hmp(folder / "a", "savevm t") == [""]
            assert [node.count("t") for node in qemu.vm.graph.nodes if node.driver == "qcow2"] == [1, 0]

    run(main)


def test_strict_policy_that_fits_nothing_is_not_used(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            strict = table(qemu, folder / "a", "strict = true", 'exclude = ["usbstick", "d1"]')
            (message,) = await running.read_again(caplog, strict)
            assert message.startswith(f"{running.path}:6: exclude: 'usbstick' matches no block node of the VM, which has ")
            assert message.endswith("; the running policy stays")
            assert await hmp(folder / "a", "savevm t") == [""]
            fitting = table(qemu, folder / "a", "strict = true", 'exclude = "d1"')
            assert await running.read_again(caplog, fitting) == ["the policy and the rules were read again"]
            assert await hmp(folder / "a", "savevm u") == [""]
            assert [node.count("u") for node in qemu.vm.graph.nodes if node.driver == "qcow2"] == [1, 0]

    run(main)


def test_excluded_disk_that_comes_back_under_another_name_is_told_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = f'audit = "{folder}/log"'

    async def main() -> None:
        async with (
            FakeQEMU(two_disks()) as qemu,
            RunningDaemon(folder, table(qemu, folder / "a", log, 'exclude = "node:d1"')) as running,
        ):
            await running.read_again(caplog, table(qemu, folder / "a", log, 'exclude = ["node:d1", "node:d7"]'))
            await until(lambda: "'node:d7' matches no block node" in caplog.text)
            qemu.vm.graph["d1"].name = "d2"
            backends = qemu.vm.graph.backends
            backends[:] = [replace(item, root="d2") if item.root == "d1" else item for item in backends]
            assert await hmp(folder / "a", "savevm t") == [""]
            assert "'d2' is taken by snapshots now: it is a disk that 'node:d1' excluded before" in caplog.text

    run(main)
    (record,) = records(folder / "log")
    lost = "writable disk, although 'node:d1' excluded this disk before: the pattern no longer fits it (file d1.img)"
    assert [node["reason"] for node in record["nodes"]] == ["writable disk", lost]


def test_policy_that_changes_while_qemu_is_away_holds_when_it_is_back(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = str(folder / "q")

    async def main() -> None:
        async with FakeQEMU(two_disks(), path=path) as first, RunningDaemon(folder, table(path, folder / "a")) as running:
            await first.close()
            await until(lambda: "has gone; waiting for it to come back" in caplog.text)
            changed = table(path, folder / "a", 'exclude = "d1"')
            assert await running.read_again(caplog, changed) == ["the policy and the rules were read again"]
            async with FakeQEMU(two_disks(), path=path) as second:
                await until(lambda: is_answered(str(folder / "a")))
                assert await hmp(folder / "a", "savevm t") == [""]
                assert [second.vm.graph[name].count("t") for name in ("d0", "d1")] == [1, 0]

    run(main)


def test_qemu_that_goes_while_it_is_asked_about_a_policy(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A strict policy that could not be compared with the disks is not used."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            await hmp(folder / "a", "nosuch")  # so that it is not the proxy's first look that is held
            qemu.hold("query-block", When.RECEIVED)
            running.path.write_text(table(qemu, folder / "a", "strict = true", 'exclude = "d1"'))
            os.kill(os.getpid(), signal.SIGHUP)
            await qemu.reached("query-block")
            qemu.disconnect()
            qemu.release()
            told = "QEMU went before its disks were compared with the patterns; the running policy stays"
            await until(lambda: ("proxy.change", logging.ERROR, told) in caplog.record_tuples)
            await until(lambda: qemu.client_count == 2 and is_answered(str(folder / "a")))
            assert await hmp(folder / "a", "savevm t") == [""]
            assert [qemu.vm.graph[name].count("t") for name in ("d0", "d1")] == [1, 1]

    run(main)


def test_nothing_is_read_again_by_a_process_that_ends(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            qemu.hold("snapshot-save")
            saving = asyncio.create_task(hmp(folder / "a", "savevm t"))
            await qemu.reached("snapshot-save")
            os.kill(os.getpid(), signal.SIGTERM)
            await until(lambda: "stopping once the commands that have begun are answered" in caplog.text)
            running.path.write_text("wrong")
            os.kill(os.getpid(), signal.SIGHUP)
            for _ in range(3):
                await asyncio.sleep(0)
            qemu.release()
            assert await saving == [""]
            await running.task

    run(main)
    assert "invalid TOML" not in caplog.text


# -- SIGHUP: the audit log ------------------------------------------------------------------------------------------------


def test_moved_log_is_left_and_a_new_one_begun(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As logrotate does it, while commands come: no record is lost or torn."""
    log = folder / "log"
    clients, commands, rotations = 3, 60, 8

    async def main() -> None:
        async with FakeQEMU(two_disks()) as first, FakeQEMU(two_disks()) as second:
            tables = (table(qemu, folder / name, f'audit = "{log}"') for qemu, name in ((first, "a"), (second, "b")))
            async with RunningDaemon(folder, *tables):
                lines = [[f"nosuch-{client}-{number}" for number in range(commands)] for client in range(clients)]
                talks = [asyncio.create_task(hmp(folder / "ab"[client % 2], *lines[client])) for client in range(clients)]
                for number in range(rotations):
                    await until(lambda: log.exists() and log.stat().st_size)
                    log.rename(folder / f"log.{number}")
                    caplog.clear()
                    os.kill(os.getpid(), signal.SIGHUP)
                    await until(lambda: AS_IT_WAS in caplog.text)
                    await hmp(folder / "a", f"rotated-{number}")
                await asyncio.gather(*talks)

    run(main)
    found = [record["command_line"] for path in sorted(folder.glob("log*")) for record in records(path)]
    expected = [f"nosuch-{client}-{number}" for client in range(clients) for number in range(commands)]
    assert sorted(found) == sorted([*expected, *(f"rotated-{number}" for number in range(rotations))])
    assert "rotated-7" in [record["command_line"] for record in records(log)]


def test_log_that_cannot_be_opened_again_is_kept(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = folder / "log"

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a", f'audit = "{log}"')):
            log.rename(folder / "log.1")
            log.mkdir()
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: AS_IT_WAS in caplog.text)
            told = f"cannot write the audit log {log}: Is a directory; going on with the old file"
            await until(lambda: told in caplog.messages)
            await hmp(folder / "a", "nosuch")

    run(main)
    assert [record["command_line"] for record in records(folder / "log.1")] == ["nosuch"]


def test_without_a_file_only_the_log_is_opened_again(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = folder / "log"

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            arguments = ["--upstream", f"unix:{qemu.path}", "--listen", f"unix:{folder / 'a'}", "--audit", str(log)]
            invocation = parse_command_line(arguments)
            assert isinstance(invocation, ServeInvocation)
            task = asyncio.create_task(Daemon(invocation).run())
            await until(lambda: "hmpshim" in caplog.text)
            caplog.clear()
            log.rename(folder / "log.1")
            os.kill(os.getpid(), signal.SIGHUP)
            await until(log.exists)
            await hmp(folder / "a", "nosuch")
            assert caplog.messages == []
            os.kill(os.getpid(), signal.SIGINT)
            await task

    run(main)
    assert (len(records(log)), len(records(folder / "log.1"))) == (1, 0)


# -- the end --------------------------------------------------------------------------------------------------------------


def test_second_signal_is_an_interruption(folder: Path) -> None:
    """It comes out of the event loop itself, before what is waited for is done."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        qemu = FakeQEMU(two_disks())
        runner.run(qemu.__aenter__())
        arguments = ["--upstream", f"unix:{qemu.path}", "--listen", f"unix:{folder / 'a'}"]
        invocation = parse_command_line(arguments)
        assert isinstance(invocation, ServeInvocation)
        running = loop.create_task(Daemon(invocation).run())
        runner.run(until((folder / "a").exists))
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(running)
        loop.run_until_complete(running)
        runner.run(qemu.close())


@contextmanager
def started(qemu: FakeQEMU, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run `hmp-proxy`; it ends with the context, also where a test fails: whoever waits for its output hears of it then."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "proxy"]
    command += ["--upstream", f"unix:{qemu.path}", "--listen", f"unix:{folder / 'a'}"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(stream: IO[str]) -> str:
    """Read a line, but not what asyncio's debug mode says of a busy machine, nor that the process serves now."""
    while (line := stream.readline()).startswith(("hmp-proxy: Executing <", "hmp-proxy: hmpshim ")):
        pass
    return line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("is_impatient", [False, True], ids=["once", "twice"])
def test_signals(folder: Path, number: signal.Signals, is_impatient: bool) -> None:
    """The first one waits for the command that runs; the second one does not."""
    stopping = "hmp-proxy: stopping once the commands that have begun are answered; a second signal stops at once\n"

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            with started(qemu, folder) as process, RawClient.connect(await listening(process, folder / "a")) as client:
                assert process.stderr is not None
                await asyncio.to_thread(client.negotiate)
                qemu.hold("snapshot-save")
                talk = asyncio.create_task(asyncio.to_thread(client.hmp, "savevm"))
                await qemu.reached("snapshot-save")
                await asyncio.to_thread(next_line, process.stderr)
                process.send_signal(number)
                assert await asyncio.to_thread(next_line, process.stderr) == stopping
                if is_impatient:
                    process.send_signal(number)
                    assert await asyncio.to_thread(process.wait, DEADLINE_S) == 130
                    with pytest.raises(ConnectionLostError):
                        await talk
                    qemu.release()
                else:
                    assert process.poll() is None
                    qemu.release()
                    assert await talk == ""
                    assert await asyncio.to_thread(process.wait, DEADLINE_S) == 0
                left = "hmp-proxy: ended before QEMU had answered; commands without an answer: 1\n" if is_impatient else ""
                assert await asyncio.to_thread(process.stderr.read) == left
            assert not (folder / "a").exists()

    run(main)


async def listening(process: subprocess.Popen[str], path: Path) -> Path:
    await until(lambda: process.poll() is not None or is_answered(str(path)))
    return path


# -- SIGUSR1 ---------------------------------------------------------------------------------------------------------------


def test_status_is_an_object_of_a_log_of_objects(folder: Path) -> None:
    handler = logging.StreamHandler(said := io.StringIO())
    handler.setFormatter(LogObjects("p"))

    async def main() -> None:
        async with (
            FakeQEMU(two_disks()) as qemu,
            RunningDaemon(folder, table(qemu, folder / "a"), options=["--log-format", "json"]),
        ):
            os.kill(os.getpid(), signal.SIGUSR1)
            await until(lambda: '"vms"' in said.getvalue())

    logging.getLogger().addHandler(handler)
    try:
        run(main)
    finally:
        logging.getLogger().removeHandler(handler)
    (status,) = [told for line in said.getvalue().splitlines() if (told := json.loads(line))["message"] == "status"]
    assert [vm.name for vm in read_status(status)] == ["a"]
    assert (status["pid"], status["discover"], status["program"]) == (os.getpid(), [], "p")


def test_status_is_written_where_the_log_goes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []

    def is_shown() -> bool:
        shown.append(capsys.readouterr().err)
        return "served" in "".join(shown)

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")):
            os.kill(os.getpid(), signal.SIGUSR1)
            await until(is_shown)

    run(main)
