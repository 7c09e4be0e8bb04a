"""TLS contexts of files: what they ask of the other end, and how a file that is wrong is told."""

import contextlib
import select
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from host.errors import TLSError
from host.settings.config import UpstreamTLS
from host.settings.listener import Terms, TLSClients
from host.tls import PeerContext, common_name, reason_of, server_context, upstream_client_context, upstream_server_context
from tests.support.proxy.certificates import Authority, Identity

NEVER_THERE = "/nowhere/a.pem"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def own(authority: Authority) -> Identity:
    return authority.issue("own")


def test_clients_need_a_certificate_where_nothing_else_is_said(authority: Authority, own: Identity) -> None:
    context = server_context(Terms(tls_certificate=own.certificate, tls_key=own.key, tls_client_ca=authority.ca))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_any_client_may_show_a_certificate(authority: Authority, own: Identity) -> None:
    terms = Terms(tls_certificate=own.certificate, tls_key=own.key, tls_clients=TLSClients.ANY)
    assert server_context(terms).verify_mode is ssl.CERT_NONE
    terms = Terms(tls_certificate=own.certificate, tls_key=own.key, tls_clients=TLSClients.ANY, tls_client_ca=authority.ca)
    assert server_context(terms).verify_mode is ssl.CERT_OPTIONAL


def test_qemu_needs_a_certificate(authority: Authority, own: Identity) -> None:
    files = UpstreamTLS(authority.ca, own.certificate, own.key)
    context = upstream_client_context(files, "host.example")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (context.expected_name, context.is_server) == ("host.example", False)
    context = upstream_server_context(files)
    assert (context.verify_mode, context.expected_name, context.is_server) == (ssl.CERT_REQUIRED, None, True)
    named = UpstreamTLS(authority.ca, own.certificate, own.key, "qemu")
    assert upstream_client_context(named, "host.example").expected_name == "qemu"
    assert upstream_server_context(named).expected_name == "qemu"
    assert upstream_client_context(UpstreamTLS(authority.ca), "h").get_ca_certs()[0]["subject"] == (
        (("commonName", "authority"),),
    )


def test_name_is_expected_whatever_a_stream_says(authority: Authority) -> None:
    context = upstream_client_context(UpstreamTLS(authority.ca, name="qemu"), "host.example")
    assert context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="host.example").server_hostname == "qemu"


def test_key_may_be_in_the_file_of_its_certificate(folder: Path, own: Identity) -> None:
    both = folder / "both.pem"
    both.write_bytes(Path(own.certificate).read_bytes() + Path(own.key).read_bytes())
    server_context(Terms(tls_certificate=str(both)))


def test_file_that_is_wrong_is_told(folder: Path, authority: Authority, own: Identity) -> None:
    nothing, locked = folder / "nothing.pem", folder / "locked.key"
    nothing.write_text("nothing\n")
    command = ["openssl", "pkey", "-in", own.key, "-aes256", "-passout", "pass:secret", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    other = authority.issue("other")
    locked_reason = "the key is encrypted; store it without a password, and let only the proxy's user read the file"
    cases: list[tuple[Callable[[], object], str, str]] = [
        (lambda: server_context(Terms(tls_certificate=NEVER_THERE)), NEVER_THERE, "No such file or directory"),
        (
            lambda: server_context(Terms(tls_certificate=own.certificate, tls_key=NEVER_THERE)),
            NEVER_THERE,
            "No such file or directory",
        ),
        (
            lambda: server_context(Terms(tls_certificate=own.certificate, tls_key=other.key)),
            other.key,
            "its key is not that of the certificate (setting tls_key)",
        ),
        (
            lambda: server_context(Terms(tls_certificate=own.certificate)),
            own.certificate,
            "it does not hold a key, in PEM; name the key's file with tls_key (setting tls_certificate)",
        ),
        (
            lambda: server_context(Terms(tls_certificate=own.certificate, tls_key=str(nothing))),
            str(nothing),
            "it does not hold a key, in PEM (setting tls_key)",
        ),
        (
            lambda: server_context(Terms(tls_certificate=str(nothing), tls_key=own.key)),
            str(nothing),
            "it does not hold a certificate, in PEM (setting tls_certificate)",
        ),
        (
            lambda: upstream_server_context(UpstreamTLS(authority.ca, own.certificate)),
            own.certificate,
            "it does not hold a key, in PEM; name the key's file with upstream_tls_key (setting upstream_tls_certificate)",
        ),
        (lambda: server_context(Terms(tls_certificate=own.certificate, tls_key=str(locked))), str(locked), locked_reason),
        (
            lambda: upstream_client_context(UpstreamTLS(str(nothing)), "h"),
            str(nothing),
            "it does not hold the certificate of an authority, in PEM (setting upstream_tls_ca)",
        ),
        (
            lambda: upstream_client_context(UpstreamTLS(NEVER_THERE), "h"),
            NEVER_THERE,
            "No such file or directory (setting upstream_tls_ca)",
        ),
    ]
    for make, path, reason in cases:
        with pytest.raises(TLSError) as caught:
            make()
        assert str(caught.value).startswith(f"cannot use TLS with {path}: {reason}")
        assert caught.value.exit_status == 2


class _Told:
    """Whose certificate says this."""

    def __init__(self, subject: object) -> None:
        self._subject = subject

    def getpeercert(self) -> object:
        return self._subject and {"subject": self._subject}


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        (None, None),
        ((), None),
        (((("organizationName", "o"),), (("commonName", "n"),)), "n"),
        (((("commonName", "a"),), (("commonName", "b"),)), None),
    ],
)
def test_name_in_a_certificate(subject: object, name: str | None) -> None:
    assert common_name(_Told(subject)) == name  # type: ignore[arg-type]


def test_reasons_are_short() -> None:
    assert reason_of(ConnectionResetError(104, "Connection reset by peer")) == "Connection reset by peer"
    assert reason_of(OSError("why")) == "why"
    assert reason_of(ssl.SSLEOFError(8, "EOF occurred in violation of protocol (_ssl.c:992)")) == "the connection was closed"


def records(context: ssl.SSLContext, server: ssl.SSLContext, send: Callable[[ssl.SSLObject], None]) -> list[int]:
    """Return the lengths of the records that one side writes, as the other reads them."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = context.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (theirs, ours):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    send(theirs)
    lengths: list[int] = []
    with contextlib.suppress(ssl.SSLWantReadError):
        while True:
            lengths.append(len(ours.read(65536)))
    return lengths


@pytest.mark.parametrize(("length", "expected"), [(1, [1]), (2, [1, 1]), (150, [149, 1]), (40_000, [16384, 16384, 7231, 1])])
def test_last_byte_to_qemu_goes_alone(authority: Authority, own: Identity, length: int, expected: list[int]) -> None:
    """QEMU before 8.0 reads a byte of a record, and the rest only when more is in the kernel."""
    server = server_context(Terms(tls_certificate=own.certificate, tls_key=own.key, tls_clients=TLSClients.ANY))

    def send(theirs: ssl.SSLObject) -> None:
        data = memoryview(bytes(length))
        while data:
            data = data[theirs.write(data) :]

    assert records(upstream_client_context(UpstreamTLS(authority.ca), "127.0.0.1"), server, send) == expected


@pytest.mark.parametrize("length", [1, 2, 150, 5_000_000])
def test_all_of_it_goes_to_qemu_by_a_socket_that_is_full_at_times(authority: Authority, own: Identity, length: int) -> None:
    server = server_context(Terms(tls_certificate=own.certificate, tls_key=own.key, tls_clients=TLSClients.ANY))
    context = upstream_client_context(UpstreamTLS(authority.ca, name="127.0.0.1"), "h")
    plain, other = socket.socketpair()
    if length > 1_000_000:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    may_read = threading.Event()
    shaking = threading.Thread(target=lambda: got.append(_all_of(server.wrap_socket(other, server_side=True), may_read)))
    got: list[tuple[int, int]] = []
    shaking.start()
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as sock:
        sock.setblocking(False)
        data = memoryview(bytes(length))
        waits = 0
        while data:
            try:
                data = data[sock.send(data) :]
            except ssl.SSLWantWriteError:
                waits += 1
                may_read.set()
                select.select([], [sock], [])
        may_read.set()
        sock.setblocking(True)
        sock.shutdown(socket.SHUT_WR)
        shaking.join()
    assert got == [(length, 1)]
    assert waits or length < 1_000_000


def _all_of(sock: ssl.SSLSocket, may_read: threading.Event) -> tuple[int, int]:
    """Return how many bytes came, and how many of them in the last record."""
    may_read.wait()
    with sock:
        lengths = [0]
        while lengths[-1] or len(lengths) == 1:
            lengths.append(len(sock.recv(65536)))
        return sum(lengths), lengths[-2]


def test_last_byte_that_does_not_fit_comes_later(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    def send(_: ssl.SSLSocket, data: memoryview, flags: int = 0) -> int:
        if len(data) == 1:
            raise ssl.SSLWantWriteError
        return len(data)

    monkeypatch.setattr(ssl.SSLSocket, "send", send)
    sock = PeerContext.sslsocket_class.__new__(PeerContext.sslsocket_class)
    assert sock.send(b"abc") == 2
    with pytest.raises(ssl.SSLWantWriteError):
        sock.send(b"c")
