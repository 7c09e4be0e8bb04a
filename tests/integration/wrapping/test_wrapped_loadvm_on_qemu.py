"""`-loadvm` of a wrapped QEMU, done by the proxy: a tool sees what QEMU's own does, and a varstore does not prevent it."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.qemu_vm import IDLE_ROM, KIB, make_raw, qemu_binary
from tests.integration.twins import make_images
from tests.integration.uefi_machine import DATA_DISK, DISK, FLASH, IMAGES, QCOW2_VARS, RAW_VARS, pattern_of
from tests.integration.waiting import until
from tests.integration.wrapping.wrapped_process import HMP, NATIVE, QMP, WAYS, WRAPPED, Place, children_of, ended, words_of
from tests.support.raw_client import DEADLINE_S, RawClient

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

EACH_WAY = pytest.mark.parametrize("way", WAYS)
WITH_RAW_VARS: Final = f"{FLASH} {RAW_VARS} {DISK}"
WITH_QCOW2_VARS: Final = f"{FLASH} {QCOW2_VARS} {DISK}"
SAVED, LATER = 0x11, 0x22
TIME: Final = re.compile(r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ")


@pytest.fixture
def place() -> Iterator[Place]:
    with Place() as place:
        make_images(place.folder, IMAGES)
        make_raw(place.path("vars.raw"), content=b"\xaa" * 64 * KIB)
        make_images(place.folder, {"vars.qcow2": ""})
        make_raw(place.path("code.rom"), len(IDLE_ROM), content=IDLE_ROM)
        yield place


def save(place: Place, disks: str, *, paused: bool = False) -> None:
    """Make a snapshot `t`, and then other content on the disk d0."""
    process = place.start(WRAPPED, f"{QMP} {disks}")
    with place.negotiated() as client:
        write(client, SAVED)
        if paused:
            client.returned("stop")
        assert client.hmp("savevm t") == ""
        write(client, LATER)
        client.returned("quit")
    assert ended(process)[0] == 0
    place.wait_gone()


def write(client: RawClient, pattern: int) -> None:
    assert client.hmp(f'qemu-io d0 "write -q -P {pattern:#x} 0 64k"') == ""


def status(client: RawClient) -> str:
    found: str = client.returned("query-status")["status"]
    return found


@pytest.mark.parametrize("paused", [False, True], ids=["saved running", "saved paused"])
@pytest.mark.parametrize(
    ("way", "disks"),
    [(NATIVE, DISK), (WRAPPED, DISK), (WRAPPED, WITH_RAW_VARS), (WRAPPED, WITH_QCOW2_VARS)],
    ids=["native", "wrapped", "wrapped, raw varstore", "wrapped, qcow2 varstore"],
)
def test_machine_runs_on_from_the_snapshot(place: Place, way: str, disks: str, paused: bool) -> None:
    save(place, disks, paused=paused)
    process = place.start(way, f"{QMP} {disks} -loadvm t")
    with place.negotiated() as client:
        assert status(client) == "running"
        # Nothing of how it came to that.
        assert [message for message in client.transcript if b'"event"' in message] == []
        assert client.returned("query-jobs") == []
        assert client.hmp("qemu-io d0 flush") == ""
        assert pattern_of(place.path("d0.qcow2")) == SAVED
        client.returned("quit")
    assert ended(process) == (0, "", "")
    place.wait_gone()
    assert not place.path("q").exists()


@EACH_WAY
def test_machine_stays_paused_where_that_is_asked_for(place: Place, way: str) -> None:
    save(place, DISK)
    process = place.start(way, f"{QMP} {DISK} -loadvm t -S")
    with place.negotiated() as client:
        assert status(client) == "prelaunch"
        client.send(b'{"execute": "cont"} {"execute": "quit"}')
        client.expect_eof()
    assert ended(process)[0] == 0


def test_qemu_knows_nothing_of_it(place: Place) -> None:
    save(place, DISK)
    process = place.start(WRAPPED, f"{QMP} {DISK} -loadvm nonesuch -loadvm t")
    with place.negotiated() as client:
        (qemu,) = children_of(process.pid)
        words = words_of(qemu)
        assert words.count("-S") == 1
        assert not {"-loadvm", "t", "nonesuch"} & set(words)
        client.returned("quit")
    assert ended(process)[0] == 0


def test_load_is_on_record(place: Place) -> None:
    save(place, WITH_RAW_VARS)
    process = place.start(WRAPPED, f"{QMP} {WITH_RAW_VARS} -loadvm t", options=["--audit", str(place.path("audit.jsonl"))])
    with place.negotiated() as client:
        client.returned("quit")
    assert ended(process)[0] == 0
    place.wait_gone()
    (record,) = records(place.path("audit.jsonl"))
    assert (record["command_line"], record["action"]) == ("loadvm t", "rewritten")
    # Whoever started it has asked for it.
    client = record["client"]
    assert (client["pid"], client["uid"], client["exe"]) == (os.getpid(), os.getuid(), os.readlink("/proc/self/exe"))


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.matrix
@pytest.mark.parametrize(
    "words",
    [
        f"{QMP} {DISK} -loadvm nonesuch",
        f"{QMP} {DISK} -loadvm nonesuch -S",
        f"{DISK} -loadvm nonesuch",
        f"{QMP} {DISK} {DATA_DISK} -loadvm t",
        f"{QMP} -loadvm t",
        f"{QMP} {DISK} -loadvm t -m 64",
        f"{QMP} {DISK} -loadvm t -incoming defer",
        f"{QMP} {DISK} -loadvm t -snapshot",
        f"{QMP} {DISK} -loadvm nonesuch -msg timestamp=off",
        f"{QMP} {DISK} -loadvm nonesuch -msg timestamp=on",
        f"{QMP} {DISK} -loadvm nonesuch -msg timestamp=on -msg guest-name=off",
        f"{QMP} {DISK} -loadvm nonesuch -msg timestamp",
        f"{QMP} {DISK} -loadvm",
    ],
)
def test_failure_is_told_as_natively(place: Place, words: str) -> None:
    if "-loadvm t" in words:
        save(place, DISK)
    natively, wrapped = (timeless(ended(place.start(way, words))) for way in WAYS)
    assert wrapped == natively
    place.wait_gone()


def timeless(outcome: tuple[int, str, str]) -> tuple[int, str, str]:
    """Have one time in place of those of `-msg timestamp=on`."""
    code, stdout, stderr = outcome
    return code, stdout, TIME.sub("TIME ", stderr)


def test_daemon_lets_go_when_it_is_loaded(place: Place) -> None:
    save(place, WITH_RAW_VARS)
    process = place.start(WRAPPED, f"-qmp unix:{place.path('q')},server=on,wait=off {WITH_RAW_VARS} -loadvm t -daemonize")
    assert ended(process) == (0, "", "")
    with place.negotiated() as client:
        assert status(client) == "running"
        client.returned("quit")
    place.wait_gone()


@EACH_WAY
def test_daemon_that_cannot_load_is_a_failure(place: Place, way: str) -> None:
    process = place.start(way, f"-qmp unix:{place.path('q')},server=on,wait=off {DISK} -loadvm nonesuch -daemonize")
    code, stdout, stderr = ended(process)
    assert (code, stdout) == (1, "")
    assert stderr.endswith(": Snapshot 'nonesuch' does not exist in one or more devices\n")
    place.wait_gone()


# -- the process that was started is QEMU's parent ------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_is_passed_on(place: Place, number: signal.Signals) -> None:
    save(place, DISK)
    process = place.start(WRAPPED, f"{QMP} {DISK} -loadvm t")
    with place.negotiated() as client:
        process.send_signal(number)
        assert client.receive()["data"] == {"guest": False, "reason": "host-signal"}
        client.expect_eof()
    code, _, stderr = ended(process)
    assert code == 0
    assert f": terminating on signal {number} from pid {process.pid} (" in stderr
    place.wait_gone()


@pytest.mark.parametrize("who", ["started", "qemu"])
def test_killed_process_leaves_nobody(place: Place, who: str) -> None:
    save(place, DISK)
    process = place.start(WRAPPED, f"{QMP} {DISK} -loadvm t")
    with place.negotiated() as client:
        (qemu,) = children_of(process.pid)
        os.kill(process.pid if who == "started" else qemu, signal.SIGKILL)
        client.expect_eof()
    assert process.wait(DEADLINE_S) == -signal.SIGKILL
    place.wait_gone()


def test_killed_proxy_leaves_qemu_running(place: Place) -> None:
    save(place, DISK)
    process = place.start(WRAPPED, f"{QMP} {DISK} -loadvm t")
    with place.negotiated() as client:
        (proxy,) = place.proxies(process)
        os.kill(proxy, signal.SIGKILL)
        client.expect_eof()
    until(lambda: not place.proxies(process))
    assert place.qemus() == children_of(process.pid)
    process.terminate()
    assert ended(process)[0] == 0


@pytest.mark.parametrize("tag", ["t", "nonesuch"])
def test_qemu_with_an_inherited_monitor_is_the_started_process(place: Place, tag: str) -> None:
    """Whoever hands one over keeps count of that process (libvirt), and learns of a failure by its end."""
    save(place, DISK)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.path("l")))
        listener.listen(1)
        words = f"-chardev socket,id=m,fd={listener.fileno()},server=on,wait=off -qmp chardev:m {DISK} -loadvm {tag}"
        process = place.start(WRAPPED, words, pass_fds=(listener.fileno(),))
    if tag == "t":
        with place.negotiated("l") as client:
            assert place.qemus() == [process.pid]
            assert status(client) == "running"
            client.returned("quit")
        assert ended(process) == (0, "", "")
    else:
        code, _, stderr = ended(process)
        assert code == -signal.SIGKILL
        assert stderr == f"{os.path.basename(qemu_binary())}: Snapshot '{tag}' does not exist in one or more devices\n"
    place.wait_gone()


def test_line_that_only_observes_leaves_it_to_qemu(place: Place) -> None:
    save(place, DISK)
    process = place.start(WRAPPED, f"{QMP} {HMP} {DISK} -loadvm t", options=["--mode", "observe"])
    with place.negotiated() as client:
        assert place.qemus() == [process.pid]
        assert "-loadvm" in words_of(process.pid)
        assert status(client) == "running"
        client.returned("quit")
    assert ended(process) == (0, "", "")
