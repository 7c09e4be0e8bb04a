"""What a look at a client finds."""

import os
import socket
from pathlib import Path

import pytest

from host.net.addresses import process
from host.who import identifying
from host.who.identifying import Identifier, kept_words
from host.who.process_files import ProcessFiles
from host.who.tcp_peers import Connection, PeerSocket, TCPPeers, connection_of
from host.who.users import Users
from shim.client import Client
from shim.records.identity import NOBODY, Identity, Parent
from tests.support.process_folder import add_process, set_parent

BACKUP = "0::/system.slice/backup.service\n"


def identifier(folder: Path) -> Identifier:
    return Identifier(ProcessFiles(str(folder)), Users(lambda uid: f"u{uid}"), TCPPeers(str(folder)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    add_process(tmp_path, 1, "/sbin/init")
    add_process(tmp_path, 5, "/bin/bash", "/opt/nightly.sh", "--token", "hunter2")
    add_process(tmp_path, 7, "socat", "-", "UNIX:/s")
    for pid, parent in ((1, 0), (5, 1), (7, 5)):
        set_parent(tmp_path, pid, parent, started=pid * 10)
        (tmp_path / str(pid) / "cgroup").write_text(BACKUP)
    return tmp_path


def test_script(folder: Path) -> None:
    found = identifier(folder)(Client(5, 34, "/usr/bin/bash", started=50), None)
    argv = ("/bin/bash", "/opt/nightly.sh", "--token", "***")
    assert found == Identity("u34", "nightly.sh", argv, "backup.service")


def test_tool_of_a_script_is_called_by_the_script(folder: Path) -> None:
    found = identifier(folder)(Client(7, 34, "/usr/bin/socat", started=70), None)
    parent = Parent(5, None, ("/bin/bash", "/opt/nightly.sh", "--token", "***"))
    assert found == Identity("u34", "nightly.sh", ("socat", "-", "UNIX:/s"), "backup.service", None, parent)


def test_tool_of_code_is_called_by_its_own_name(folder: Path) -> None:
    (folder / "5" / "cmdline").write_bytes(b"sh\0-c\0echo x | socat\0")
    found = identifier(folder)(Client(7, 34, "/usr/bin/socat", started=70), None)
    assert (found.tool, found.parent) == ("socat", Parent(5, None, ("sh", "-c", "echo x | socat")))


@pytest.mark.parametrize("client", [Client(5, 34, started=49), Client(5, 34), Client(6, 34, started=60), Client(None, 34)])
def test_process_that_is_another_by_now_or_is_hidden_has_a_user_only(folder: Path, client: Client) -> None:
    assert identifier(folder)(client, None) == Identity(user="u34")


def test_nobody() -> None:
    assert Identifier()(Client(), None) == NOBODY


def test_process_that_says_nothing_of_itself(folder: Path) -> None:
    (folder / "5" / "cmdline").write_bytes(b"")
    assert identifier(folder)(Client(5, 34, started=50), None) == Identity("u34", None, (), "backup.service")


def test_our_own_process() -> None:
    found = Identifier()(process(os.getpid(), os.getuid()), None)
    assert found.tool
    assert found.argv


def test_client_on_tcp_is_the_process_at_the_other_end() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as ours,
    ):
        found = Identifier()(Client(address="127.0.0.1:1"), connection_of(ours.fileno()))
    assert found.process == process(os.getpid(), os.getuid())
    assert found.tool


def test_client_on_tcp_of_another_machine() -> None:
    assert Identifier()(Client(address="192.0.2.1:9"), Connection(b"\xc0\0\2\1", 9, b"\xc0\0\2\2", 9)) == NOBODY


def test_client_on_tcp_whose_process_is_not_found_has_a_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identifying, "peer_socket", lambda _: PeerSocket(34, 77))
    found = identifier(folder)(Client(address="127.0.0.1:9"), Connection(b"\x7f\0\0\1", 9, b"\x7f\0\0\1", 10))
    assert found == Identity(user="u34", process=Client(None, 34))


def test_words_are_bounded() -> None:
    assert kept_words(("a" * 300,)) == ("a" * 256 + "…",)
    assert kept_words(("a",) * 40) == (*("a",) * 32, "…")
    assert kept_words(("a" * 256,) * 6) == (*("a" * 256,) * 4, "…")
    assert kept_words(("a" * 200,) * 6)[5] == "a" * 24 + "…"


@pytest.mark.parametrize("change", ["closed", "another"])
def test_process_that_is_another_by_now_is_not_the_one_on_tcp(
    change: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at once more at the end."""
    monkeypatch.setattr(identifying, "peer_socket", lambda _: PeerSocket(os.getuid(), 77))
    monkeypatch.setattr(identifying, "process", lambda pid, uid: Client(pid, uid, "/usr/bin/socat", started=70))
    (folder / "7" / "fd").mkdir()
    (folder / "7" / "fd" / "3").symlink_to("socket:[77]")
    look, connection = identifier(folder), Connection(b"\x7f\0\0\1", 9, b"\x7f\0\0\1", 10)
    assert look(Client(address="127.0.0.1:9"), connection).tool == "nightly.sh"
    if change == "closed":
        monkeypatch.setattr(TCPPeers, "is_held", lambda *_: False)
    else:
        set_parent(folder, 7, 5, started=71)
    user = f"u{os.getuid()}"
    assert look(Client(address="127.0.0.1:9"), connection) == Identity(user=user, process=Client(None, os.getuid()))


def test_name_is_bounded_and_holds_no_password(folder: Path) -> None:
    (folder / "5" / "cmdline").write_bytes(b"bash\0/opt/" + b"x" * 300 + b"\0")
    assert identifier(folder)(Client(5, 34, "/usr/bin/bash", started=50), None).tool == "x" * 128 + "…"
    (folder / "5" / "cmdline").write_bytes(b"--token=hunter2\0")
    assert identifier(folder)(Client(5, 34, started=50), None).tool == "token=***"
