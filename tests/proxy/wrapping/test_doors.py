"""What a wrapped QEMU's clients come to is opened as QEMU would open it, or not at all."""

import os
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from host.net.addresses import DescriptorAddress, StdioAddress, TCPAddress, UnixAddress
from proxy.net.sockets import is_listening
from proxy.qemu_command_line.endpoints import Endpoint
from proxy.qemu_command_line.monitors import Monitor
from proxy.wrapping.doors import Door, open_door
from tests.support.processes.wrapped_monitors import monitor_of, socket_of

HOSTS = {"both.test": ["127.0.0.1", "::1"], "four.test": ["127.0.0.1"], "six.test": ["::1"]}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes), which is the working directory."""
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as name:
        monkeypatch.chdir(name)
        yield Path(name)


@pytest.fixture(autouse=True)
def _known_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names with addresses of these families, whatever the machine's own names have."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str | None, port: int, *args: Any, **settings: Any) -> list[Any]:
        return [found for name in HOSTS.get(host or "", [host]) for found in resolve(name, port, *args, **settings)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@contextmanager
def opened(monitor: Monitor) -> Iterator[Door]:
    door = open_door(monitor)
    try:
        yield door
    finally:
        door.close()


def connects(door: Door, address: Any = None, family: int = socket.AF_UNIX) -> bool:
    with socket.socket(family) as client:
        client.connect(door.listening[0].getsockname() if address is None else address)
        return True


# -- unix sockets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_umask_decides_who_may_connect(folder: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with opened(monitor_of("unix:q,server=on,wait=off")) as door:
            assert stat.S_IMODE((folder / "q").stat().st_mode) == 0o777 & ~umask
            assert door.address == UnixAddress("q")
            assert connects(door)
    finally:
        os.umask(before)
    assert not (folder / "q").exists()


@pytest.mark.parametrize("was", ["file", "socket", "link"])
def test_whatever_is_at_the_path_is_replaced(folder: Path, was: str) -> None:
    path = folder / "q"
    with socket.socket(socket.AF_UNIX) as other:
        if was == "file":
            path.write_text("precious")
        elif was == "link":
            path.symlink_to(folder / "target")
        else:
            other.bind("q")
            other.listen()
        with opened(monitor_of("unix:q,server=on,wait=off")) as door:
            assert path.is_socket()
            assert not path.is_symlink()
            assert connects(door)
    assert list(folder.iterdir()) == []


def test_folder_at_the_path_is_an_error(folder: Path) -> None:
    (folder / "q").mkdir()
    with pytest.raises(IsADirectoryError):
        open_door(monitor_of("unix:q,server=on,wait=off"))
    assert (folder / "q").is_dir()


def test_path_that_cannot_be_bound_leaves_nothing_open(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_door(monitor_of("unix:none/q,server=on,wait=off"))
    with pytest.raises(OSError, match="path too long"):
        open_door(monitor_of(f"unix:{'x' * 120},server=on,wait=off"))


def test_what_another_has_put_there_is_left(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        with opened(monitor_of("unix:q,server=on,wait=off")):
            (folder / "q").rename(folder / "old")
            other.bind("q")
        assert (folder / "q").is_socket()


def test_client_that_listens_is_connected_to(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("c")
        listener.listen()
        with opened(monitor_of("unix:c")) as door:
            accepted, _ = listener.accept()
            with accepted:
                assert door.connected is not None
                assert (door.listening, door.file, door.is_dialed) == ([], None, False)
                assert door.sockets == [door.connected]
    assert (folder / "c").exists()


@pytest.mark.parametrize("spec", ["unix:c", "tcp:127.0.0.1:1"])
def test_nobody_to_connect_to_is_an_error(folder: Path, spec: str) -> None:
    with pytest.raises(OSError, match=r"No such file|Connection refused"):
        open_door(monitor_of(spec))


@pytest.mark.parametrize("spec", ["unix:c,reconnect=1", "tcp:127.0.0.1:1,reconnect=1"])
def test_client_that_is_connected_to_again_need_not_be_there(folder: Path, spec: str) -> None:
    with opened(monitor_of(spec)) as door:
        assert door.is_dialed
        assert door.sockets == []


# -- TCP ------------------------------------------------------------------------------------------------------------------


def families(door: Door) -> set[int]:
    assert all(is_listening(sock) for sock in door.listening)
    return {sock.family for sock in door.listening}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"host": "127.0.0.1"}, {socket.AF_INET}),
        ({"host": "::1"}, {socket.AF_INET6}),
        ({"host": ""}, {socket.AF_INET, socket.AF_INET6}),
        ({"host": "both.test"}, {socket.AF_INET, socket.AF_INET6}),
        ({"host": "both.test", "ipv4": "on"}, {socket.AF_INET}),
        ({"host": "both.test", "ipv6": "on"}, {socket.AF_INET6}),
        ({"host": "both.test", "ipv4": "off"}, {socket.AF_INET6}),
        ({"host": "both.test", "ipv6": "off"}, {socket.AF_INET}),
        ({"host": "both.test", "ipv4": "on", "ipv6": "off"}, {socket.AF_INET}),
        ({"host": "both.test", "ipv4": "on", "ipv6": "on"}, {socket.AF_INET, socket.AF_INET6}),
    ],
)
def test_families_of_addresses(members: Mapping[str, str], expected: set[int]) -> None:
    with opened(socket_of(port=0, server="on", wait="off", **members)) as door:
        assert families(door) == expected
        # The same port at each.
        (port,) = {sock.getsockname()[1] for sock in door.listening}
        assert door.address == TCPAddress(members["host"] or "0.0.0.0", port)
        assert port > 0


def test_family_that_the_host_has_not_is_not_opened() -> None:
    with pytest.raises(OSError, match="no address of the family"):
        open_door(socket_of(host="four.test", port=0, server="on", wait="off", ipv6="on"))


@pytest.mark.parametrize(
    ("members", "reached"),
    [
        ({"host": "both.test"}, socket.AF_INET6),
        ({"host": "both.test", "ipv6": "on"}, socket.AF_INET6),
        ({"host": "both.test", "ipv4": "on"}, None),
        ({"host": "four.test", "ipv6": "on"}, None),
    ],
)
def test_client_that_listens_is_connected_to_at_an_address_that_is_wanted(
    members: Mapping[str, str], reached: socket.AddressFamily | None
) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        monitor = socket_of(port=listener.getsockname()[1], **members)
        if reached is None:
            with pytest.raises(OSError, match=r"refused|no address of the family"):
                open_door(monitor)
            return
        with opened(monitor) as door:
            assert door.connected is not None
            assert door.connected.family == reached


def test_client_that_is_dialed_has_the_families_that_are_wanted() -> None:
    monitor = socket_of(host="both.test", port=1, ipv4="off", **{"reconnect-ms": 5})
    with opened(monitor) as door:
        assert door.is_dialed
        assert door.families == {socket.AF_INET6}


def test_first_free_port_of_a_range() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        with opened(socket_of(host="127.0.0.1", port=first, to=first + 20, server="on", wait="off")) as door:
            assert first < door.listening[0].getsockname()[1] <= first + 20


@pytest.mark.parametrize("last", [None, "first", "lower"])
def test_port_that_is_taken_is_an_error(last: str | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        to = {} if last is None else {"to": first if last == "first" else first - 1}
        with pytest.raises(OSError, match="Address already in use"):
            open_door(socket_of(host="127.0.0.1", port=first, server="on", wait="off", **to))


def test_range_goes_on_only_where_a_port_is_taken() -> None:
    with pytest.raises(OSError, match="Cannot assign"):
        open_door(socket_of(host="192.0.2.1", port=5000, to=5001, server="on", wait="off"))


def test_port_that_one_family_has_taken_is_passed_over_by_both() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        first = taken.getsockname()[1]
        with opened(socket_of(host="both.test", port=first, to=first + 20, server="on", wait="off")) as door:
            assert {sock.getsockname()[1] for sock in door.listening}.isdisjoint({first})
            assert len(families(door)) == 2


def test_service_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getservbyname", lambda name: {"any": 0}[name])
    with opened(socket_of(host="127.0.0.1", port="any", server="on", wait="off")) as door:
        assert door.listening[0].getsockname()[1] > 0


def test_unknown_names_are_errors() -> None:
    for members in ({"host": "127.0.0.1", "port": "nonesuch"}, {"host": "nonesuch.invalid", "port": 0}):
        with pytest.raises(OSError, match=r".+"):
            open_door(socket_of(server="on", wait="off", **members))


def test_client_on_tcp_that_listens_is_connected_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with opened(monitor_of(f"tcp:127.0.0.1:{port}")) as door:
            accepted, _ = listener.accept()
            accepted.close()
            assert door.address == TCPAddress("127.0.0.1", port)


# -- inherited ones, and the standard streams -----------------------------------------------------------------------------


@pytest.mark.parametrize("listens", [True, False], ids=["listening", "bound"])
def test_inherited_listener_is_listened_at(folder: Path, listens: bool) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("l")
        if listens:
            listener.listen(1)
        with opened(socket_of(fd=listener.fileno(), server="on", wait="off")) as door:
            assert door.address == DescriptorAddress(listener.fileno())
            assert door.descriptor == listener.fileno()
            assert door.listening[0].fileno() != listener.fileno()
            assert connects(door)
        assert not (folder / "l").exists()
        assert listener.fileno() >= 0


def test_inherited_listener_on_tcp_or_without_a_name_has_no_file() -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unnamed:
        unnamed.bind("")  # the kernel names it, in the abstract namespace
        for listener in (tcp, unnamed):
            with opened(socket_of(fd=listener.fileno(), server="on", wait="off")) as door:
                assert door.file is None


def test_inherited_connection_is_the_client() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, opened(socket_of(fd=theirs.fileno())) as door:
        assert door.connected is not None
        door.connected.sendall(b"hello")
        assert ours.recv(5) == b"hello"


def test_inherited_descriptor_must_be_what_is_asked_for(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as idle, open("f", "w") as file:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            for members in (
                {"fd": listener.fileno()},
                {"fd": idle.fileno()},
                {"fd": file.fileno()},
                {"fd": 987654},
                {"fd": ours.fileno(), "server": "on", "wait": "off"},
            ):
                with pytest.raises(OSError, match=r".+"):
                    open_door(socket_of(**members))


def test_standard_streams_are_as_they_are() -> None:
    with opened(monitor_of("stdio")) as door:
        assert (door.address, door.sockets) == (StdioAddress(), [])


# -- waiting --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("unix:q,server=on", "unix:q,server=on"),
        ("tcp:127.0.0.1:0,server=on", "tcp:127.0.0.1:PORT,server=on"),
        ("tcp:six.test:0,server=on", "tcp:[::1]:PORT,server=on"),
        ("telnet:127.0.0.1:0,server=on", "telnet:127.0.0.1:PORT,server=on"),
    ],
)
def test_door_is_shown_as_qemu_shows_it(folder: Path, spec: str, shown: str) -> None:
    monitor = monitor_of(spec, "-monitor")
    assert isinstance(monitor.verdict, Endpoint)
    assert monitor.verdict.waits
    with opened(monitor) as door:
        name: Any = door.listening[0].getsockname()
        assert str(door) == shown.replace("PORT", str(name[-1] if isinstance(name, str) else name[1]))


def test_first_client_is_waited_for(folder: Path) -> None:
    with opened(monitor_of("unix:q,server=on")) as door, socket.socket(socket.AF_UNIX) as client:
        client.connect("q")
        door.accept_first()
        assert door.connected is not None
        assert len(door.sockets) == 2
        client.sendall(b"x")
        assert door.connected.recv(1) == b"x"
