"""Where a proxy is asked, as an operator writes it."""

import argparse
import os

import pytest

from host.net.addresses import TCPAddress, UnixAddress
from host.settings.listener import Said
from proxy.command_line.places import default_path, read_metrics_address, read_socket


@pytest.mark.parametrize("text", ["/run/c.sock", "unix:/run/c.sock"])
def test_socket_is_a_path_with_who_may_connect(text: str) -> None:
    assert read_socket(text) == UnixAddress("/run/c.sock")
    assert read_socket(f"{text},mode=0660,group=0") == Said(
        UnixAddress("/run/c.sock"), {"socket_mode": 0o660, "socket_group": 0}
    )


@pytest.mark.parametrize("text", ["", "unix:", "/" + "x" * 200, "/c,mode=9"])
def test_wrong_sockets(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        read_socket(text)


def test_metrics_are_at_tcp_or_a_path() -> None:
    assert read_metrics_address("tcp:127.0.0.1:9180") == TCPAddress("127.0.0.1", 9180)
    assert read_metrics_address("unix:/m,mode=0660") == Said(UnixAddress("/m"), {"socket_mode": 0o660})


@pytest.mark.parametrize("text", ["9180", "stdio", "fd:3", "systemd", "hold:tcp:127.0.0.1:9180", "tcp:::x"])
def test_wrong_addresses_of_metrics(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"write tcp:HOST:PORT, such as tcp:127\.0\.0\.1:9180, or unix:PATH"):
        read_metrics_address(text)


def test_default_path_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_path("control") == "/run/hmp-proxy/control.sock"
    monkeypatch.setattr(os, "geteuid", lambda: 7)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/x")
    assert default_path("admin") == "/x/hmp-proxy/admin.sock"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert default_path("control") == "/run/user/7/hmp-proxy/control.sock"
