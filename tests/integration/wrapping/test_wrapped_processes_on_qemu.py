"""What a tool sees of the QEMU that it has started is the same where it has started the wrapper: process, streams, files."""

import fcntl
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.waiting import until
from tests.integration.wrapping.wrapped_process import HMP, NATIVE, QMP, WAYS, WRAPPED, Place, children_of, ended
from tests.support.raw_client import DEADLINE_S

EACH_WAY = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def place() -> Iterator[Place]:
    with Place() as place:
        yield place


# -- how it ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "-version",
        "-help",
        f"-device help {QMP}",
        f"-machine pc,help {HMP}",
        f"-nonesuch {QMP}",
        "-qmp",
        f"{QMP} -drive file=nonesuch.qcow2",
        f"{QMP} -machine nonesuch",
        f"{QMP} -device nonesuch",
        f"{QMP} -qmp fd:0",
        f"{QMP} -mon nonesuch",
    ],
)
def test_what_ends_by_itself_ends_as_natively(place: Place, words: str) -> None:
    natively, wrapped = (ended(place.start(way, words)) for way in WAYS)
    assert wrapped == natively
    place.wait_gone()
    assert not place.path("q").exists() or natively[0]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("-qmp unix:none/q,server=on,wait=off", "No such file or directory"),
        ("-qmp unix:.,server=on,wait=off", ""),
        ("-qmp unix:nobody", "No such file or directory"),
        (f"{QMP} -qmp tcp:nonesuch.invalid:0,server=on,wait=off", ""),
        (f"{QMP} -monitor unix:none/h,server=on,wait=off", "No such file or directory"),
    ],
)
def test_qemu_says_itself_what_cannot_be_opened(place: Place, words: str, reason: str) -> None:
    status, stdout, stderr = ended(place.start(NATIVE, words))
    assert (status, stdout) == (1, "")
    notice = f"hmp-proxy: not covered by the proxy: {reason}"
    status, stdout, told = ended(place.start(WRAPPED, words))
    first, _, rest = told.partition("\n")
    assert (status, stdout, rest) == (1, "", stderr)
    assert first.startswith(notice)


@pytest.mark.parametrize(
    ("options", "status"),
    [("", "running"), ("-S", "prelaunch"), ("-incoming defer", "inmigrate"), ("-preconfig", "prelaunch")],
)
@EACH_WAY
def test_machine_begins_as_natively(place: Place, way: str, options: str, status: str) -> None:
    process = place.start(way, f"{QMP} {options}")
    with place.negotiated() as client:
        assert client.returned("query-status")["status"] == status
        assert len(place.processes()) == (1 if way == NATIVE else 2)
        client.returned("quit")
    assert ended(process) == (0, "", "")
    place.wait_gone()
    assert not place.path("q").exists()


@EACH_WAY
def test_qemu_that_is_only_asked_what_it_can_do_is_alone(place: Place, way: str) -> None:
    """As libvirt does it."""
    process = place.start(way, f"{QMP} -machine none -S -no-user-config -pidfile pid")
    with place.negotiated() as client:
        assert list(place.processes()) == [process.pid]
        client.returned("quit")
    assert ended(process) == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@EACH_WAY
def test_signal_ends_it_in_order(place: Place, way: str, number: signal.Signals) -> None:
    process = place.start(way, QMP)
    with place.negotiated() as client:
        process.send_signal(number)
        assert client.receive()["data"] == {"guest": False, "reason": "host-signal"}
        assert client.expect_eof() == b""
    status, _, stderr = ended(process)
    assert status == 0
    assert re.fullmatch(rf"\S+: terminating on signal {number} from pid {os.getpid()} \(.*\)\n", stderr)
    place.wait_gone()
    assert not place.path("q").exists()


@EACH_WAY
def test_killed_process_leaves_nobody(place: Place, way: str) -> None:
    process = place.start(way, f"{QMP} {HMP}")
    with place.negotiated() as client:
        process.kill()
        assert client.expect_eof() == b""
    assert process.wait(DEADLINE_S) == -signal.SIGKILL
    place.wait_gone()


def test_killed_proxy_leaves_qemu_running(place: Place) -> None:
    process = place.start(WRAPPED, QMP)
    with place.negotiated() as client:
        (proxy,) = place.proxies(process)
        os.kill(proxy, signal.SIGKILL)
        client.expect_eof()
    until(lambda: not place.proxies(process))
    assert place.qemus() == [process.pid]
    # And it works: it hears a signal.
    process.terminate()
    assert ended(process)[0] == 0


def test_client_is_gone_before_the_proxy_and_files_with_it(place: Place) -> None:
    """Whoever sees QEMU's end may start it anew at the same paths."""
    process = place.start(WRAPPED, f"{QMP} {HMP}")
    with place.negotiated() as client, place.connect("h") as person:
        client.returned("quit")
        client.expect_eof()
        person.expect_eof()
    place.wait_gone()
    assert sorted(path.name for path in place.folder.iterdir()) == ["idle.rom"]
    assert ended(process)[0] == 0


# -- the process ----------------------------------------------------------------------------------------------------------


@EACH_WAY
def test_started_process_is_qemu(place: Place, way: str) -> None:
    process = place.start(way, f"{QMP} -pidfile pid")
    with place.negotiated() as client:
        assert place.qemus() == [process.pid]
        assert int(place.path("pid").read_text()) == process.pid
        # A child that it did not make would be a zombie of its own.
        assert children_of(process.pid) == []
        client.returned("quit")
    assert ended(process)[0] == 0
    assert not place.path("pid").exists()


@EACH_WAY
def test_lock_of_whoever_started_it_stays(place: Place, way: str) -> None:
    """libvirt's child locks its pidfile, and becomes QEMU (fcntl(2): any close of the file would end that)."""
    with place.path("pid").open("wb") as file:

        def lock() -> None:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

        process = place.start(way, QMP, pass_fds=(file.fileno(),), preexec_fn=lock)
        with place.negotiated() as client:
            with pytest.raises(BlockingIOError):
                lock()
            client.returned("quit")
        assert ended(process)[0] == 0
        lock()


@EACH_WAY
def test_descriptor_that_is_handed_over_is_qemus_alone(place: Place, way: str) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as ours:
        process = place.start(way, f"{QMP} -add-fd fd={writer},set=1,opaque=pipe", pass_fds=(writer,))
        os.close(writer)
        with place.negotiated() as client:
            (fdset,) = client.returned("query-fdsets")
            assert [fd["opaque"] for fd in fdset["fds"]] == ["pipe"]
            client.returned("remove-fd", {"fdset-id": 1})
            assert ours.read() == b""
            client.returned("quit")
    assert ended(process)[0] == 0


@EACH_WAY
def test_inherited_descriptor_is_open_as_long_as_qemu_runs(place: Place, way: str) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as ours:
        process = place.start(way, QMP, pass_fds=(writer,))
        os.close(writer)
        with place.negotiated() as client:
            links = {os.readlink(link) for link in Path(f"/proc/{process.pid}/fd").iterdir()}
            assert os.readlink(f"/proc/self/fd/{reader}") in links
            for proxy in place.proxies(process):
                held = {os.readlink(link) for link in Path(f"/proc/{proxy}/fd").iterdir()}
                assert os.readlink(f"/proc/self/fd/{reader}") not in held
            client.returned("quit")
        assert ours.read() == b""
    assert ended(process)[0] == 0


# -- -daemonize -----------------------------------------------------------------------------------------------------------


@EACH_WAY
def test_daemon_lets_go_of_whoever_started_it(place: Place, way: str) -> None:
    process = place.start(way, f"-qmp unix:{place.path('q')},server=on,wait=off -daemonize -pidfile {place.path('pid')}")
    # All that has its output must have closed it.
    assert ended(process) == (0, "", "")
    with place.negotiated() as client:
        (qemu,) = place.qemus()
        assert int(place.path("pid").read_text()) == qemu
        assert client.returned("query-status")["status"] == "running"
        assert len(place.processes()) == (1 if way == NATIVE else 2)
        client.returned("quit")
    place.wait_gone()
    assert not place.path("q").exists()


def test_daemon_that_cannot_start_says_why(place: Place) -> None:
    words = f"-qmp unix:{place.path('q')},server=on,wait=off -daemonize -drive file=nonesuch.qcow2"
    natively, wrapped = (ended(place.start(way, words)) for way in WAYS)
    assert wrapped == natively
    assert natively[0] == 1
    place.wait_gone()


@EACH_WAY
def test_killed_daemon_leaves_nobody(place: Place, way: str) -> None:
    process = place.start(way, f"-qmp unix:{place.path('q')},server=on,wait=off -daemonize")
    assert ended(process)[0] == 0
    with place.negotiated() as client:
        (qemu,) = place.qemus()
        os.kill(qemu, signal.SIGKILL)
        assert client.expect_eof() == b""
    place.wait_gone()
