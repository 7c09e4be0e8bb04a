"""The TLS contexts of one VM: those of its listeners, and the one towards QEMU. Nothing of TLS is imported where there is none.

They are made at the start of the VM, so that a file that is wrong is told then, and made anew on SIGHUP: certificates are short
lived. Who is connected stays so, because a certificate is looked at once in a connection's life.

To read the files takes a disk, which may be stuck, and a millisecond each. So `load` is called in a thread, while others are
served, and what it has made is put to use afterwards.
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
    """What the files of a VM have made. upstream: towards QEMU; None where there is no TLS."""

    of_listeners: dict[Terms, ssl.SSLContext] = field(default_factory=dict)
    upstream: PeerContext | None = None

    def __bool__(self) -> bool:
        return bool(self.of_listeners) or self.upstream is not None


_NONE: Final = Contexts()


def load(config: VMConfig, known: dict[Terms, ssl.SSLContext] | None = None) -> Contexts:
    """Read the files of a VM. Raises TLSError for one that cannot be used.

    known: what was made for other VMs of the same reading, which is used again, and added to.
    """
    encrypted, files = _encrypted(config), config.upstream_tls
    if not encrypted and files is None:
        return _NONE
    # Here, because without TLS nothing of it is needed; and all of it, because nothing is imported while serving.
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
    """Return a file of TLS that a VM needs, after the setting that names it; None if it needs none."""
    for terms in _encrypted(config):
        return "tls_certificate", terms.tls_certificate
    return None if config.upstream_tls is None else ("upstream_tls_ca", config.upstream_tls.ca)


def _encrypted(config: VMConfig) -> set[Terms]:
    """Return the terms that name a certificate."""
    at_listeners = (config.terms_at(listener_name(address)) for address in config.listeners)
    return {terms for terms in (config.terms, *at_listeners) if terms.tls_certificate}


class Certificates:
    """Begin handshakes by them. contexts: those in force."""

    def __init__(self, contexts: Contexts) -> None:
        self.contexts = contexts

    @classmethod
    def of_upstream(cls, config: VMConfig) -> Self:
        """Return only what is needed to connect to QEMU. Raises TLSError."""
        return cls(load(replace(config, terms=Terms(), own_listeners=())))

    @property
    def upstream(self) -> PeerContext | None:
        """The context towards QEMU; None where there is no TLS."""
        return self.contexts.upstream

    def begin_handshake(self, sock: socket.socket, terms: Terms, on_end: Callable[[TLSEnd | str], None]) -> Handshake:
        """Shake hands with a client of a listener whose terms name a certificate."""
        from proxy.net.tls import Handshake  # it is there already

        return Handshake(sock, self.contexts.of_listeners[terms], on_end)
