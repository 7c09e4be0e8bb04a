"""The TLS contexts of one VM: those of its listeners, and the one towards QEMU. Nothing of TLS is imported where there is none.

They are made at the start of the VM, so that a file that is wrong is told then, and made anew on SIGHUP: certificates are short
lived. Who is connected stays so, because a certificate is looked at once in a connection's life.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from host.addresses import AcceptAddress, TCPAddress
from host.config import VMConfig
from host.errors import TLSError
from host.listener import Terms, listener_name

if TYPE_CHECKING:
    import ssl

    from host.tls import PeerContext
    from proxy.net.tls import Handshake, TLSEnd

__all__ = ["Certificates"]

_log = logging.getLogger(__name__)


class Certificates:
    """Begin handshakes by them. upstream: the context towards QEMU; None where there is no TLS."""

    def __init__(self, config: VMConfig) -> None:
        """Raises TLSError for a file that cannot be used."""
        self._config = config
        self._of_listeners: dict[Terms, ssl.SSLContext] = {}
        self.upstream: PeerContext | None = None
        self._load()

    @classmethod
    def of_upstream(cls, config: VMConfig) -> Self:
        """Return only what is needed to connect to QEMU. Raises TLSError."""
        return cls(replace(config, terms=Terms(), own_listeners=()))

    def begin_handshake(self, sock: socket.socket, terms: Terms, on_end: Callable[[TLSEnd | str], None]) -> Handshake:
        """Shake hands with a client of a listener whose terms name a certificate."""
        from proxy.net.tls import Handshake  # it is there already

        return Handshake(sock, self._of_listeners[terms], on_end)

    def reload(self) -> None:
        """Read the files again, for those who connect from now on. Where one is wrong, all stay as they are."""
        if not self._of_listeners and self.upstream is None:
            return
        name = self._config.shown_name
        try:
            self._load()
        except TLSError as exc:
            _log.error("%s: %s; the old certificates stay in force", name, exc)
        else:
            _log.warning("%s: the certificates were read again", name)

    def _load(self) -> None:
        config = self._config
        at_listeners = (config.terms_at(listener_name(address)) for address in config.listeners)
        encrypted = {terms for terms in (config.terms, *at_listeners) if terms.tls_certificate}
        files = config.upstream_tls
        if not encrypted and files is None:
            return
        # Here, because without TLS nothing of it is needed; and all of it, because nothing is imported while serving.
        import proxy.net.tls  # noqa: F401
        from host.tls import server_context, upstream_client_context, upstream_server_context

        of_listeners = {terms: server_context(terms) for terms in encrypted}
        match config.upstream:
            case AcceptAddress() if files is not None:
                self.upstream = upstream_server_context(files)
            case TCPAddress(host) if files is not None:
                self.upstream = upstream_client_context(files, host)
        self._of_listeners = of_listeners
