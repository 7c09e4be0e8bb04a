"""Addresses are read or refused with what would be right, and processes are described."""

import subprocess
import sys

import pytest

from host.addresses import (
    AcceptAddress,
    Address,
    DescriptorAddress,
    StdioAddress,
    SystemdAddress,
    TCPAddress,
    UnixAddress,
    parse_listen_address,
    parse_taken_path,
    parse_upstream_address,
    plain,
    process,
)
from host.errors import AddressError

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
    *("tcp:host:٣", "fd:", "fd:-1", "fd:x", "fd:٣", "fd:99999999999", "http://x", "stdio:", "systemd:1", "accept:fd:3"),
]


@pytest.mark.parametrize(("text", "address"), SOCKETS)
def test_socket_is_read_alike_on_both_sides(text: str, address: Address) -> None:
    assert parse_listen_address(text) == parse_upstream_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(("text", "address"), [("stdio", StdioAddress()), ("systemd", SystemdAddress())])
def test_clients_side_only(text: str, address: Address) -> None:
    assert parse_listen_address(text) == address
    assert str(address) == text
    with pytest.raises(AddressError, match=r"write unix:PATH, tcp:HOST:PORT, fd:NUMBER or accept:unix:PATH"):
        parse_upstream_address(text)


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
        with pytest.raises(AddressError, match=r"is no address: write "):
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
