"""Addresses are read or refused with what would be right, and processes are described."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import pytest

from host.errors import AddressError
from host.net.addresses import (
    AcceptAddress,
    Address,
    DescriptorAddress,
    StdioAddress,
    SystemdAddress,
    TCPAddress,
    UnixAddress,
    is_loopback,
    look_again,
    parse_attached_path,
    parse_listen_address,
    parse_taken_path,
    parse_upstream_address,
    plain,
    process,
)
from shim.client import Client

LONGEST = "/" + "a" * 106


SOCKETS = [
    ("unix:/run/a", UnixAddress("/run/a")),
    ("unix:relative", UnixAddress("relative")),
    ("unix:/a:b", UnixAddress("/a:b")),
    (f"unix:{LONGEST}", UnixAddress(LONGEST)),
    ("tcp:localhost:4444", TCPAddress("localhost", 4444)),
    ("tcp:[::1]:0", TCPAddress("::1", 0)),
    ("tcp:127.0.0.1:65535", TCPAddress("127.0.0.1", 65535)),
    ("fd:0", DescriptorAddress(0)),
    ("fd:17", DescriptorAddress(17)),
]
MEANINGLESS = [
    *("", "unix:", "unix", "/run/a", "tcp:", "tcp:host", "tcp::1", "tcp:host:", "tcp:host:65536", "tcp:host:-1", "tcp:host:x"),
    *("tcp:host:٣", "fd:", "fd:-1", "fd:x", "fd:٣", "fd:99999999999", "http://x", "stdio:", "accept:fd:3"),
]


@pytest.mark.parametrize(("text", "address"), SOCKETS)
def test_socket_is_read_alike_on_both_sides(text: str, address: Address) -> None:
    assert parse_listen_address(text) == parse_upstream_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "address"),
    [("stdio", StdioAddress()), ("systemd", SystemdAddress()), ("systemd:vm-1.socket", SystemdAddress("vm-1.socket"))],
)
def test_clients_side_only(text: str, address: Address) -> None:
    assert parse_listen_address(text) == address
    assert str(address) == text
    with pytest.raises(AddressError, match=r"write unix:PATH, tcp:HOST:PORT, fd:NUMBER or accept:unix:PATH"):
        parse_upstream_address(text)


@pytest.mark.parametrize("name", ["", "a:b", "a,b", "a b", "\x7f", "ä", "a" * 256])
def test_name_of_a_descriptor_is_one_that_systemd_takes(name: str) -> None:
    with pytest.raises(AddressError, match=r"write systemd:NAME with the FileDescriptorName= of the \.socket unit, or systemd"):
        parse_listen_address(f"systemd:{name}")


@pytest.mark.parametrize(
    ("text", "address"),
    [("hold:unix:/a", UnixAddress("/a", holds=True)), ("hold:tcp:[::1]:1", TCPAddress("::1", 1, holds=True))],
)
def test_clients_may_wait_there(text: str, address: Address) -> None:
    assert parse_listen_address(text) == address
    assert str(address) == text
    assert plain(address) == parse_listen_address(text.removeprefix("hold:"))
    with pytest.raises(AddressError, match="write unix:PATH, tcp:HOST:PORT, fd:NUMBER or accept:unix:PATH"):
        parse_upstream_address(text)


@pytest.mark.parametrize("text", ["hold:stdio", "hold:systemd", "hold:fd:3", "hold:", "hold:hold:unix:/a"])
def test_clients_cannot_be_told_to_wait_there(text: str) -> None:
    with pytest.raises(AddressError, match="write hold:unix:PATH or hold:tcp:HOST:PORT; on fd:NUMBER and systemd clients wait"):
        parse_listen_address(text)


@pytest.mark.parametrize(("text", "holds"), [("/q", False), ("unix:/q", False), ("hold:/q", True), ("hold:unix:/q", True)])
def test_path_to_take_over(text: str, holds: bool) -> None:
    assert parse_taken_path(text) == UnixAddress("/q", holds)


@pytest.mark.parametrize("text", ["", "unix:", "hold:", "/" + 99 * "x"])
def test_path_that_cannot_be_taken_over(text: str) -> None:
    with pytest.raises(AddressError, match=r"write the path of QEMU's socket|has at most 107 bytes"):
        parse_taken_path(text)


@pytest.mark.parametrize("text", ["/q", "unix:/q"])
def test_path_to_attach_to(text: str) -> None:
    assert parse_attached_path(text) == UnixAddress("/q")


@pytest.mark.parametrize("text", ["", "unix:", "hold:/q", "/" + 107 * "x"])
def test_path_that_cannot_be_attached_to(text: str) -> None:
    with pytest.raises(AddressError, match=r"write the path of QEMU's socket|has at most 107 bytes"):
        parse_attached_path(text)


@pytest.mark.parametrize("text", ["accept:unix:/a", "accept:tcp:[::1]:1"])
def test_qemus_side_only(text: str) -> None:
    address = parse_upstream_address(text)
    assert isinstance(address, AcceptAddress)
    assert str(address) == text
    with pytest.raises(AddressError, match=r"write unix:PATH, tcp:HOST:PORT, fd:NUMBER, stdio or systemd"):
        parse_listen_address(text)


@pytest.mark.parametrize("text", MEANINGLESS)
def test_meaningless_address_is_refused_with_what_would_be_right(text: str) -> None:
    for parse in (parse_listen_address, parse_upstream_address):
        with pytest.raises(AddressError, match=r"invalid address '.*': write "):
            parse(text)


@pytest.mark.parametrize("path", [LONGEST + "a", "/" + "é" * 54])
def test_path_that_the_kernel_cannot_take_is_refused(path: str) -> None:
    with pytest.raises(AddressError, match="a socket's path has at most 107 bytes; choose a shorter one"):
        parse_listen_address(f"unix:{path}")


def test_process_that_has_gone_keeps_its_number() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    client = process(done.pid, 7)
    assert (client.pid, client.uid, client.exe) == (done.pid, 7, None)


def test_process_of_another_namespace_has_no_number() -> None:
    assert process(0, 7).pid is None


# -- a client that is looked at again -------------------------------------------------------------------------------------

BECOMES_CAT: Final = "import os; os.read(0, 1); os.execv('/bin/cat', ['cat'])"


@contextmanager
def becoming_cat() -> Iterator[tuple[Client, subprocess.Popen[bytes]]]:
    """Start a process that is Python, and `cat` from the first byte that it is sent, which echoes what follows."""
    child = subprocess.Popen([sys.executable, "-c", BECOMES_CAT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    with child:
        try:
            yield process(child.pid, 7), child
        finally:
            child.kill()


def become_cat(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"xy\n")
    assert child.stdout.read(2) == b"y\n"


def test_client_that_runs_the_same_program_is_as_it_was() -> None:
    with becoming_cat() as (client, _):
        assert look_again(client) is client


def test_client_that_runs_another_program_is_described_as_what_it_is_and_was() -> None:
    with becoming_cat() as (client, child):
        become_cat(child)
        found = look_again(client)
    assert found == Client(child.pid, 7, os.path.realpath("/bin/cat"), connected_as=os.path.realpath(sys.executable))


def test_client_that_has_ended_is_as_it_was() -> None:
    with becoming_cat() as (client, child):
        child.kill()
        child.wait()
        assert look_again(client) is client


def test_program_that_we_may_not_look_at_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one with set-user-ID; what the client was when it connected stays known."""

    def forbidden(path: str) -> str:
        raise PermissionError

    client = process(os.getpid(), 7)
    monkeypatch.setattr(os, "readlink", forbidden)
    assert look_again(client) == replace(client, exe=None, connected_as=client.exe)


def test_process_that_has_taken_over_the_pid_is_not_the_client() -> None:
    with becoming_cat() as (client, child):
        become_cat(child)
        assert client.started is not None
        earlier = replace(client, started=client.started - 1)
        assert look_again(earlier) is earlier


@pytest.mark.parametrize("client", [Client(), Client(address="192.0.2.1:5"), Client(1, 2, "/x"), process(0, 7)], ids=str)
def test_client_whose_process_is_not_known_stays_as_it_is(client: Client) -> None:
    assert look_again(client) is client


def test_begin_of_a_process_whatever_its_name_is() -> None:
    name = ") R 1 1 1 ("
    change = f"open('/proc/self/comm', 'w').write({name!r}); print(open('/proc/self/stat').read(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", change], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
        assert child.stdout is not None
        told = child.stdout.readline().decode()
        assert process(child.pid, 7).started == int(told[told.rindex(")") + 1 :].split()[19])
        child.kill()


@pytest.mark.parametrize("host", ["a" * 64, "a." * 130, "a..b", ".", "a\0b", "ü" * 60], ids=lambda host: ascii(host[:10]))
def test_host_that_no_resolver_takes_is_refused(host: str) -> None:
    for parse in (parse_listen_address, parse_upstream_address):
        with pytest.raises(AddressError, match="the host is neither a name nor an IP address"):
            parse(f"tcp:{host}:5")


@pytest.mark.parametrize("host", ["a", "a.", "a" * 63, "münchen.example", "fe80::1%eth0", "192.0.2.1", "a_b"])
def test_host_that_may_be_there(host: str) -> None:
    assert parse_upstream_address(f"tcp:{host}:5") == TCPAddress(host, 5)


def test_path_with_a_nul_is_refused() -> None:
    with pytest.raises(AddressError, match="a path cannot contain a NUL character"):
        parse_listen_address("unix:/a\0b")


def test_path_that_no_file_can_have_is_refused() -> None:
    """In a terminal whose locale is not UTF-8, such a character may be a usual one."""
    with pytest.raises(AddressError, match=r"a path here cannot contain '\\ud800'"):
        parse_upstream_address("unix:/a\ud800")


def test_long_address_is_not_repeated_as_a_whole() -> None:
    with pytest.raises(AddressError) as caught:
        parse_listen_address("unix:/" + "a" * 5000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("127.0.0.1", True),
        ("127.1", True),
        ("127.255.255.255", True),
        ("::1", True),
        ("0:0:0:0:0:0:0:1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("0", False),
        ("10.127.0.1", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%lo", False),
        ("localhost", None),
        ("host.example", None),
        ("1:2", None),
    ],
)
def test_loopback(number: str, answer: bool | None) -> None:
    assert is_loopback(number) is answer
