"""TLS contexts, made of the files that an operator names. It is imported only where TLS is used: OpenSSL costs 4 MiB.

Clients and QEMU are told by certificates of the operator's own authority, so none of the machine's authorities is ever trusted.
"""

import ssl
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from host.config import UpstreamTLS
from host.errors import TLSError
from host.listener import Terms, TLSClients

__all__ = ["PeerContext", "common_name", "reason_of", "server_context", "upstream_client_context", "upstream_server_context"]

_Context = TypeVar("_Context", bound=ssl.SSLContext)


# QEMU reads its monitor byte by byte. Before 8.0 it forgets there what its TLS library still has of a record, and reads on only
# when there is something new in the kernel (seen on 7.2: it takes the first byte of a command, and waits). So the last byte of
# whatever we write goes in a record of its own: while that is in the kernel QEMU reads on, and after it nothing is left.
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
    """What asyncio's streams use."""

    def write(self, data: Any) -> int:
        view = memoryview(data)
        written = super().write(view[:-1] or view)
        return written if written < len(view) - 1 or len(view) == 1 else written + super().write(view[-1:])


class PeerContext(ssl.SSLContext):
    """The context towards QEMU. expected_name: what is to stand in its certificate, whatever its host; None for any name."""

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
        """Expect that name: asyncio's streams take the host for it, and qemu.qmp passes no other on."""
        return super().wrap_bio(incoming, outgoing, server_side, self.expected_name or server_hostname, session)


def server_context(terms: Terms) -> ssl.SSLContext:
    """Return the context of a listener. Raises TLSError."""
    context = _for_a_server(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), terms.tls_certificate, terms.tls_key)
    if terms.tls_client_ca:
        _trust(context, terms.tls_client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if terms.tls_clients is TLSClients.CERTIFICATE else ssl.CERT_OPTIONAL
    return context


def upstream_server_context(files: UpstreamTLS) -> PeerContext:
    """Return the context for a QEMU that connects to us. Raises TLSError."""
    context = _for_a_server(PeerContext(ssl.PROTOCOL_TLS_SERVER), files.certificate, files.key)
    context.expected_name = files.name or None
    _trust(context, files.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def upstream_client_context(files: UpstreamTLS, host: str) -> PeerContext:
    """Return the context for a QEMU that we connect to, at a host. Raises TLSError."""
    context = PeerContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.expected_name = files.name or host
    _trust(context, files.ca)
    if files.certificate:
        _identify(context, files.certificate, files.key)
    return context


def common_name(sock: ssl.SSLSocket) -> str | None:
    """Return the subject's common name in the certificate of the other end; None without one, or if it has several."""
    certificate = sock.getpeercert() or {}
    subject = certificate.get("subject", ())
    names = [str(part[1]) for parts in subject for part in parts if part[0] == "commonName"]
    return names[0] if len(names) == 1 else None


def reason_of(exc: OSError) -> str:
    """Say in a few words why TLS failed."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return str(exc.verify_message)
    if isinstance(exc, ssl.SSLEOFError):
        return "the connection was closed"
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or str(exc)).replace("_", " ").lower()
    return exc.strerror or str(exc)


def _for_a_server(context: _Context, certificate: str, key: str) -> _Context:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Nothing is sent to a client beside what it asked for, and nothing of one connection is kept for another. A client that
    # ends its sending side by TCP alone is one that half-closes, as it would be without TLS; half a command is dropped anyway.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_IGNORE_UNEXPECTED_EOF
    _identify(context, certificate, key)
    return context


def _identify(context: ssl.SSLContext, certificate: str, key: str) -> None:
    def refuse() -> NoReturn:
        reason = "the key is encrypted; store it without a password, and let only the proxy's user read the file"
        raise TLSError(key or certificate, reason)

    _check(certificate)
    if key:
        _check(key)
    _attempt(lambda: context.load_cert_chain(certificate, key or None, refuse), key or certificate, "a key of that certificate")


def _trust(context: ssl.SSLContext, ca: str) -> None:
    _check(ca)
    _attempt(lambda: context.load_verify_locations(ca), ca, "the certificate of an authority")


def _check(path: str) -> None:
    """Raise TLSError if a file cannot be read: the ssl module would not say which."""
    try:
        with open(path, "rb"):
            pass
    except OSError as exc:
        raise TLSError(path, exc.strerror or str(exc)) from exc


def _attempt(load: Callable[[], None], path: str, expected: str) -> None:
    try:
        load()
    except ssl.SSLError as exc:
        raise TLSError(path, f"it is not {expected}, in PEM: {reason_of(exc)}") from exc
