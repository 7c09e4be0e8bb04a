"""What is opened at an address; the tests of what then comes there are those of the listeners."""

import os
import socket
from pathlib import Path

import pytest

from host.net.addresses import AcceptAddress, DescriptorAddress, StdioAddress, SystemdAddress, TCPAddress, UnixAddress
from host.settings.listener import Terms
from proxy.entrance.opening import is_held, is_made_here, open_address
from proxy.errors import ListenError


def test_sockets_are_made_and_do_not_block(tmp_path: Path) -> None:
    address = UnixAddress(str(tmp_path / "s"))
    (opened,), connected = open_address(address, Terms())
    try:
        assert connected == []
        assert (opened.address, opened.holds, opened.sock.getblocking()) == (address, False, False)
        assert opened.file is not None
    finally:
        opened.sock.close()


@pytest.mark.parametrize("listens", [True, False])
def test_sockets_that_are_passed_listen_or_are_clients(tmp_path: Path, listens: bool) -> None:
    ours, theirs = socket.socketpair()
    sock = socket.socket(socket.AF_UNIX) if listens else ours
    if listens:
        sock.bind(str(tmp_path / "s"))
        sock.listen()
    with ours, theirs, sock:
        opened, connected = open_address(DescriptorAddress(os.dup(sock.fileno())), Terms())
        assert (len(opened), len(connected)) == (int(listens), int(not listens))
        for listener in opened:
            assert listener.holds  # it listens whether QEMU is there or not
            listener.sock.close()
        for end, _ in connected:
            end.close()


def test_address_at_which_nobody_comes_is_refused() -> None:
    with pytest.raises(ListenError, match="clients cannot connect there"):
        open_address(AcceptAddress(UnixAddress("/s")), Terms())


def test_what_is_made_here_and_what_holds() -> None:
    plain, holding = UnixAddress("/s"), UnixAddress("/s", holds=True)
    assert all(is_made_here(address) for address in (plain, holding, TCPAddress("127.0.0.1", 1)))
    assert not any(is_made_here(address) for address in (DescriptorAddress(3), SystemdAddress(), StdioAddress()))
    assert [is_held(address) for address in (plain, holding, DescriptorAddress(3))] == [False, True, False]
