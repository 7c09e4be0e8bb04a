"""Who has the socket of a QEMU that does not greet."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.net.addresses import TCPAddress, UnixAddress, process
from repl.finding.holding import known_as, why_silent
from shim.client import Client
from tests.support.process_folder import add_process
from tests.support.processes.vm_statuses import BUSY, as_told
from tests.support.proxy.answering_proxy import answering
from tests.support.proxy.asked_sockets import short_folder

ANOTHER = "no greeting within 5 s; QEMU serves one client per socket, and another one is connected: "


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


def said(folder: Path, address: UnixAddress | TCPAddress, server: int | None = None) -> str:
    return why_silent(address, 5.0, server, controls=lambda: [folder / "c"], proc=folder / "proc")


def test_proxy_with_a_control_socket_is_named(folder: Path) -> None:
    with answering(folder / "c", json.dumps({"return": as_told(BUSY)}).encode()):
        assert said(folder, UnixAddress("/q")) == f"{ANOTHER}hmp-proxy, which serves it at unix:/l"


def test_proxy_without_a_control_socket_is_named(folder: Path) -> None:
    add_process(folder / "proc", 7, "hmp-proxy", "--upstream", "tcp:h:1", "--listen", "unix:/l", "--listen", "unix:/m")
    assert said(folder, TCPAddress("h", 1)) == f"{ANOTHER}hmp-proxy, which serves it at unix:/l and unix:/m"


def test_proxy_that_no_prompt_can_connect_to_is_named(folder: Path) -> None:
    add_process(folder / "proc", 7, "hmp-proxy", "--upstream", "unix:/q", "--listen", "stdio")
    assert said(folder, UnixAddress("/q")) == f"{ANOTHER}hmp-proxy"


def test_other_client_is_named_by_its_tool(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(folder / "s"))
        listener.listen()
        client.connect(str(folder / "s"))
        accepted, _ = listener.accept()
        with accepted:
            assert said(folder, UnixAddress(str(folder / "s"))).startswith(ANOTHER)
            assert f"pid {os.getpid()}, uid {os.getuid()})" in said(folder, UnixAddress(str(folder / "s")))


def test_nobody_is_connected(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen()
        assert "no other client is connected" in said(folder, UnixAddress(str(folder / "s")))
    assert "or another client is connected" in said(folder, TCPAddress("h", 1))


def test_process_that_is_stopped_is_named(folder: Path) -> None:
    (folder / "proc" / "7").mkdir(parents=True)
    (folder / "proc" / "7" / "stat").write_text("7 (a ) b) T 1 1")
    assert (
        said(folder, UnixAddress("/q"), 7) == "no greeting within 5 s; its process 7 is stopped, and 'kill -CONT 7' resumes it"
    )


def test_client_is_known_by_its_tool_or_else_by_its_program() -> None:
    assert known_as(process(os.getpid(), os.getuid())).endswith(f"pid {os.getpid()}, uid {os.getuid()})")
    assert known_as(Client(None, 5, "/x")) == "/x (pid None, uid 5)"
