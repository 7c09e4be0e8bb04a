"""TLS contexts, made of the files that an operator names. Imported only if TLS is used: OpenSSL costs 4 MiB.

Clients and QEMU are authenticated by certificates of the operator's own authority, so none of the machine's authorities is ever
trusted.
"""

import ssl
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from host.errors import TLSError
from host.settings.config import UpstreamTLS
from host.settings.listener import Terms, TLSClients

__all__ = ["PeerContext", "common_name", "reason_of", "server_context", "upstream_client_context", "upstream_server_context"]

_Context = TypeVar("_Context", bound=ssl.SSLContext)


# QEMU reads its monitor byte by byte. Before 8.0 it forgets what its TLS library still holds of a record, and goes on only when
# the kernel has something new (seen on 7.2: it takes the first byte of a command, and waits). So the last byte of whatever we
# write goes into a record of its own: while that is in the kernel QEMU reads on, and after it nothing is left.
class _SocketToQEMU(ssl.SSLSocket):
    def send(self, data: Any, flags: int = 0) -> int:
        view = memoryview(data)
        sent = super().send(view[:-1] or view, flags)
        if sent < len(view) - 1 or len(view) == 1:
            return sent
        try:
            return sent + super().send(view[-1:], flags)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return sent


class _ObjectToQEMU(ssl.SSLObject):
    """The same for asyncio's streams, which use this class."""

    def write(self, data: Any) -> int:
        view = memoryview(data)
        written = super().write(view[:-1] or view)
        return written if written < len(view) - 1 or len(view) == 1 else written + super().write(view[-1:])


class PeerContext(ssl.SSLContext):
    """The context towards QEMU. expected_name: the name that its certificate must have; None for any name."""

    expected_name: str | None = None
    sslsocket_class = _SocketToQEMU
    sslobject_class = _ObjectToQEMU

    @property
    def is_server(self) -> bool:
        """Whether QEMU connects to us."""
        return self.protocol is ssl.PROTOCOL_TLS_SERVER

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Expect that name: asyncio's streams expect the host's name, and qemu.qmp passes no other one on."""
        return super().wrap_bio(incoming, outgoing, server_side, self.expected_name or server_hostname, session)


@dataclass(frozen=True, slots=True)
class _File:
    """A file that a setting names; path: "" if it names none."""

    setting: str
    path: str

    def error(self, reason: str) -> TLSError:
        return TLSError(self.path, reason, self.setting)

    def check(self) -> None:
        """Raise TLSError if the file cannot be read: the ssl module would not say which one."""
        try:
            with open(self.path, "rb"):
                pass
        except OSError as exc:
            raise self.error(exc.strerror or str(exc)) from exc


def server_context(terms: Terms) -> ssl.SSLContext:
    """Return the context of a listener. Raises TLSError."""
    certificate, key = _File("tls_certificate", terms.tls_certificate), _File("tls_key", terms.tls_key)
    context = _for_a_server(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key)
    if terms.tls_client_ca:
        _trust(context, _File("tls_client_ca", terms.tls_client_ca))
        context.verify_mode = ssl.CERT_REQUIRED if terms.tls_clients is TLSClients.CERTIFICATE else ssl.CERT_OPTIONAL
    return context


def upstream_server_context(files: UpstreamTLS) -> PeerContext:
    """Return the context for a QEMU that connects to us. Raises TLSError."""
    context = _for_a_server(PeerContext(ssl.PROTOCOL_TLS_SERVER), *_to_qemu(files))
    context.expected_name = files.name or None
    _trust(context, _File("upstream_tls_ca", files.ca))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def upstream_client_context(files: UpstreamTLS, host: str) -> PeerContext:
    """Return the context for a QEMU that we connect to, at a host. Raises TLSError."""
    context = PeerContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.expected_name = files.name or host
    _trust(context, _File("upstream_tls_ca", files.ca))
    if files.certificate:
        _identify(context, *_to_qemu(files))
    return context


def _to_qemu(files: UpstreamTLS) -> tuple[_File, _File]:
    return _File("upstream_tls_certificate", files.certificate), _File("upstream_tls_key", files.key)


def common_name(sock: ssl.SSLSocket) -> str | None:
    """Return the common name in the subject of the peer's certificate; None without one, or if it has several."""
    certificate = sock.getpeercert() or {}
    subject = certificate.get("subject", ())
    names = [str(part[1]) for parts in subject for part in parts if part[0] == "commonName"]
    return names[0] if len(names) == 1 else None


def reason_of(exc: OSError) -> str:
    """Return in a few words why TLS failed."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return str(exc.verify_message)
    if isinstance(exc, ssl.SSLEOFError):
        return "the connection was closed"
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or str(exc)).replace("_", " ").lower()
    return exc.strerror or str(exc)


def _for_a_server(context: _Context, certificate: _File, key: _File) -> _Context:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Nothing is sent to a client beyond what it asked for, and nothing is kept from one connection for another. A client that
    # ends its sending side by TCP alone has half-closed, as it would without TLS; half a command is dropped anyway.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_IGNORE_UNEXPECTED_EOF
    _identify(context, certificate, key)
    return context


def _identify(context: ssl.SSLContext, certificate: _File, key: _File) -> None:
    with_key = key if key.path else certificate

    def refuse() -> NoReturn:
        raise with_key.error("the key is encrypted; store it without a password, and let only the proxy's user read the file")

    certificate.check()
    with_key.check()
    # The ssl module would not say which of the two is wrong.
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, "it does not hold a certificate, in PEM")
    try:
        context.load_cert_chain(certificate.path, key.path or None, refuse)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise with_key.error("its key is not that of the certificate") from exc
        advice = "" if key.path else f"; name the key's file with {key.setting}"
        raise with_key.error(f"it does not hold a key, in PEM{advice}") from exc


def _trust(context: ssl.SSLContext, authority: _File) -> None:
    authority.check()
    _load(context, authority, "it does not hold the certificate of an authority, in PEM")


def _load(context: ssl.SSLContext, file: _File, expected: str) -> None:
    try:
        context.load_verify_locations(file.path)
    except ssl.SSLError as exc:
        raise file.error(expected) from exc
