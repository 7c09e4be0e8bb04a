"""The sockets of a wrapped QEMU are those of QEMU, but for the number of clients that they serve at once."""

import os
import select
import socket
import stat
from collections.abc import Iterator

import pytest

from repl.finding.processes import running_qemus
from repl.finding.vms import Via, merge
from shim.qmp import QEMUVersion
from tests.integration.qemu_vm import reconnecting
from tests.integration.waiting import until
from tests.integration.wrapping.wrapped_process import HMP, NATIVE, QMP, WAYS, WRAPPED, Place, ended
from tests.support.raw_client import DEADLINE_S, RawClient, negotiated

EACH_WAY = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def place() -> Iterator[Place]:
    with Place() as place:
        yield place


def test_several_clients_are_served_at_once(place: Place) -> None:
    process = place.start(WRAPPED, f"{QMP} {HMP}")
    with place.negotiated() as first, place.negotiated() as second, place.connect("h") as third, place.connect("h") as fourth:
        for client in (second, first):
            assert client.returned("query-status")["status"] == "running"
        for person in (fourth, third):
            assert b"monitor - type 'help'" in person.socket.recv(4096)
        second.returned("quit")
        first.read_until_event("SHUTDOWN")
    assert ended(process)[0] == 0


@EACH_WAY
def test_prompt_finds_it_by_its_processes(place: Place, way: str) -> None:
    process = place.start(way, f"-name {place.folder.name} {QMP}")
    with place.negotiated() as client:
        found = [qemu for qemu in running_qemus() if qemu.name == place.folder.name]
        assert [qemu.is_wrapped for qemu in found if qemu.sockets] == [way == WRAPPED]
        (row,) = merge([], [], found, {})
        assert (row.name, str(row.address)) == (place.folder.name, f"unix:{place.path('q')}")
        assert row.via is (Via.PROXY if way == WRAPPED else Via.QEMU)
        client.returned("quit")
    assert ended(process)[0] == 0


@pytest.mark.parametrize("umask", [0o022, 0o077])
@EACH_WAY
def test_umask_decides_who_may_connect(place: Place, way: str, umask: int) -> None:
    process = place.start(way, QMP, umask=umask)
    with place.negotiated() as client:
        assert stat.S_IMODE(place.path("q").stat().st_mode) == 0o777 & ~umask
        client.returned("quit")
    assert ended(process)[0] == 0


@pytest.mark.parametrize("was", ["stale socket", "socket in use", "file", "link"])
@EACH_WAY
def test_what_was_at_the_path_is_replaced(place: Place, way: str, was: str) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        if was == "file":
            place.path("q").write_text("precious")
        elif was == "link":
            place.path("q").symlink_to("nowhere")
        else:
            other.bind(str(place.path("q")))
        if was == "socket in use":
            other.listen()
        # So that its inode is not used again.
        os.link(place.path("q"), place.path("kept"), follow_symlinks=False)
        process = place.start(way, QMP)
        until(lambda: place.path("q").is_socket() and place.path("q").stat().st_ino != place.path("kept").lstat().st_ino)
        with place.negotiated() as client:
            client.returned("quit")
    assert ended(process)[0] == 0
    place.wait_gone()
    assert not os.path.lexists(place.path("q"))


def test_socket_that_another_has_made_meanwhile_is_not_removed(place: Place) -> None:
    """Natively the end of the first QEMU takes the second one's socket away."""
    first = place.start(WRAPPED, QMP)
    with place.negotiated() as client:
        os.rename(place.path("q"), place.path("first"))
        second = place.start(WRAPPED, QMP)
        with place.negotiated() as other:
            client.returned("quit")
            assert ended(first)[0] == 0
            until(lambda: len(place.processes()) == 2)
            with place.negotiated() as third:
                assert third.returned("query-status")["status"] == "running"
            other.returned("quit")
    assert ended(second)[0] == 0


@EACH_WAY
def test_start_waits_for_a_client(place: Place, way: str) -> None:
    """And for the first one only. What stands behind it on the command line is made when it is there."""
    process = place.start(way, "-qmp unix:q,server=on -chardev file,id=f,path=later -serial chardev:f")
    assert process.stderr is not None
    told = process.stderr.readline().decode()
    assert told.endswith(": -qmp unix:q,server=on: info: QEMU waiting for connection on: disconnected:unix:q,server=on\n")
    assert not place.path("later").exists()
    assert not place.qemus() or way == NATIVE
    with place.negotiated() as client:
        assert place.path("later").exists()
        client.returned("quit")
    assert ended(process) == (0, "", "")


@pytest.mark.parametrize("spec", ["unix:q,server=on", "tcp:127.0.0.1:0,server=on", "telnet::0,server=on,ipv4=on"])
@pytest.mark.parametrize("option", ["-monitor", "-chardev"])
def test_line_about_waiting_is_qemus_own(place: Place, spec: str, option: str) -> None:
    words = f"{option} {spec}"
    if option == "-chardev":
        kind, _, rest = spec.partition(":")
        where = "path=q" if kind == "unix" else f"host=127.0.0.1,port=0{',telnet=on' if kind == 'telnet' else ''}"
        words = f"-chardev socket,id=c,{where},{rest.partition(',')[2]} -mon c"
    lines = []
    for way in WAYS:
        process = place.start(way, words)
        assert process.stderr is not None
        # QEMU 11.1 calls -mon deprecated, before it waits.
        lines.append(next(line for line in process.stderr if b": warning: " not in line).decode())
        process.kill()
    natively, wrapped = (line.rpartition(":127.0.0.1:")[0] or line.rpartition(":0.0.0.0:")[0] or line for line in lines)
    assert "info: QEMU waiting for connection on: disconnected:" in natively
    assert wrapped == natively


@EACH_WAY
def test_waiting_start_ends_by_a_signal(place: Place, way: str) -> None:
    process = place.start(way, "-qmp unix:q,server=on")
    assert process.stderr is not None
    process.stderr.readline()
    process.terminate()
    assert process.wait(DEADLINE_S) == -15
    place.wait_gone()


@EACH_WAY
def test_person_can_have_the_machine_made(place: Place, way: str) -> None:
    process = place.start(way, f"{QMP} {HMP} -preconfig")
    with place.negotiated() as client, place.connect("h") as person:
        person.send(b"x_exit_preconfig\rexit_preconfig\r")
        until(lambda: client.returned("query-status")["status"] == "running")
        client.returned("quit")
    code, _, stderr = ended(process)
    reason = "the monitor of -monitor unix:h,server=on,wait=off is used while there is no machine yet (-preconfig)"
    assert (code, stderr) == (0, "" if way == NATIVE else f"hmp-proxy: not covered by the proxy: {reason}\n")


@EACH_WAY
def test_client_that_listens_is_connected_to_again(place: Place, way: str, qemu_version: QEMUVersion) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(DEADLINE_S)
        listener.bind(str(place.path("c")))
        listener.listen()
        process = place.start(way, f"-qmp unix:c,{reconnecting(qemu_version)}")
        for _ in range(2):
            with negotiated(RawClient(listener.accept()[0])) as client:
                assert client.returned("query-status")["status"] == "running"
        with negotiated(RawClient(listener.accept()[0])) as client:
            client.returned("quit")
    assert ended(process)[0] == 0


@EACH_WAY
def test_client_that_listens_is_connected_to_once(place: Place, way: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_S)
        process = place.start(way, f"-qmp tcp:127.0.0.1:{listener.getsockname()[1]} {HMP}")
        with negotiated(RawClient(listener.accept()[0])) as client, place.connect("h"):
            assert client.returned("query-status")["status"] == "running"
        process.terminate()
        assert ended(process)[0] == 0
        readable, _, _ = select.select([listener], [], [], 0)
        assert not readable


@EACH_WAY
def test_inherited_socket_is_served(place: Place, way: str) -> None:
    """As libvirt hands it over; its file goes with QEMU, too."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.path("l")))
        listener.listen(1)
        number = listener.fileno()
        words = f"-chardev socket,id=m,fd={number},server=on,wait=off -mon chardev=m,id=monitor,mode=control -S"
        # A client may be there, and ask, before QEMU is.
        with RawClient.connect(place.path("l")) as client:
            process = place.start(way, words, pass_fds=(number,))
            listener.close()
            client.negotiate()
            assert [device["label"] for device in client.returned("query-chardev") if device["label"] == "m"] == ["m"]
            client.returned("quit")
    assert ended(process)[0] == 0
    place.wait_gone()
    assert not place.path("l").exists()


@EACH_WAY
def test_inherited_connection_is_a_monitor_at_once(place: Place, way: str) -> None:
    ours, theirs = socket.socketpair()
    with RawClient(ours) as client:
        number = theirs.fileno()
        process = place.start(way, f"-chardev socket,id=m,fd={number} -mon m,mode=control {HMP}", pass_fds=(number,))
        theirs.close()
        client.negotiate()
        assert client.returned("query-status")["status"] == "running"
    # Its end is not QEMU's.
    with place.connect("h") as person:
        assert b"monitor - type 'help'" in person.socket.recv(4096)
        process.terminate()
    assert ended(process)[0] == 0
