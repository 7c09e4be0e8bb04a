"""The TLS contexts of one VM: those of its listeners, and the one for QEMU. Without TLS nothing that it needs is imported.

Contexts are made when the VM starts, so that a bad file is reported then, and again on SIGHUP, because certificates are short
lived. Connected clients stay connected: a certificate is checked only once, at the beginning of a connection.

Reading the files takes a millisecond each, and a disk, which may hang. So `load` is called in a thread while clients are
served, and its result is put to use afterwards.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self

from host.net.addresses import AcceptAddress, TCPAddress
from host.settings.config import VMConfig
from host.settings.listener import Terms, listener_name

if TYPE_CHECKING:
    import ssl

    from host.tls import PeerContext
    from proxy.net.tls import Handshake, TLSEnd

__all__ = ["Certificates", "Contexts", "load", "named_file"]


@dataclass(frozen=True, slots=True)
class Contexts:
    """The contexts made from a VM's files. upstream: for the connection to QEMU; None if that has no TLS."""

    of_listeners: dict[Terms, ssl.SSLContext] = field(default_factory=dict)
    upstream: PeerContext | None = None

    def __bool__(self) -> bool:
        return bool(self.of_listeners) or self.upstream is not None


_NONE: Final = Contexts()


def load(config: VMConfig, known: dict[Terms, ssl.SSLContext] | None = None) -> Contexts:
    """Read the TLS files of a VM. Raises TLSError for one that cannot be used.

    known: contexts made for other VMs in the same pass over the configuration; they are reused, and new ones are added.
    """
    encrypted, files = _encrypted(config), config.upstream_tls
    if not encrypted and files is None:
        return _NONE
    # Imported here, because only TLS needs them; and all of them now, because nothing is imported while clients are served.
    import proxy.net.tls  # noqa: F401
    from host.tls import server_context, upstream_client_context, upstream_server_context

    known = {} if known is None else known
    for terms in encrypted - known.keys():
        known[terms] = server_context(terms)
    upstream = None
    match config.upstream:
        case AcceptAddress() if files is not None:
            upstream = upstream_server_context(files)
        case TCPAddress(host) if files is not None:
            upstream = upstream_client_context(files, host)
    return Contexts({terms: known[terms] for terms in encrypted}, upstream)


def named_file(config: VMConfig) -> tuple[str, str] | None:
    """Return the setting that names one of a VM's TLS files, and that file; None if it needs none."""
    for terms in _encrypted(config):
        return "tls_certificate", terms.tls_certificate
    return None if config.upstream_tls is None else ("upstream_tls_ca", config.upstream_tls.ca)


def _encrypted(config: VMConfig) -> set[Terms]:
    """Return the terms that name a certificate."""
    at_listeners = (config.terms_at(listener_name(address)) for address in config.listeners)
    return {terms for terms in (config.terms, *at_listeners) if terms.tls_certificate}


class Certificates:
    """Begin handshakes with a VM's contexts. contexts: those in force; assign new ones to replace them."""

    def __init__(self, contexts: Contexts) -> None:
        self.contexts = contexts

    @classmethod
    def of_upstream(cls, config: VMConfig) -> Self:
        """Return only what is needed to connect to QEMU. Raises TLSError."""
        return cls(load(replace(config, terms=Terms(), own_listeners=())))

    @property
    def upstream(self) -> PeerContext | None:
        """The context for the connection to QEMU; None if that has no TLS."""
        return self.contexts.upstream

    def begin_handshake(self, sock: socket.socket, terms: Terms, on_end: Callable[[TLSEnd | str], None]) -> Handshake:
        """Begin the handshake with a client of a listener whose terms name a certificate."""
        from proxy.net.tls import Handshake  # already imported by `load`

        return Handshake(sock, self.contexts.of_listeners[terms], on_end)
