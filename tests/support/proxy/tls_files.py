"""Certificates of two authorities, and the terms of a listener and the contexts of clients that go with them."""

import ssl
from pathlib import Path

from host.settings.listener import Terms, TLSClients
from tests.support.proxy.certificates import Authority, Identity

__all__ = ["TLSFiles"]


class TLSFiles:
    """An authority with a server and a client, and a client of another authority."""

    def __init__(self, folder: Path) -> None:
        self.authority, self.other = Authority(folder), Authority(folder, "other")
        self.server = self.authority.issue("server")
        self.client = self.authority.issue("client")
        self.stranger = self.other.issue("client")

    def terms(self, clients: TLSClients = TLSClients.CERTIFICATE, *, names: frozenset[str] = frozenset()) -> Terms:
        """Return those of a listener. names: that may connect."""
        return Terms(
            tls_certificate=self.server.certificate,
            tls_key=self.server.key,
            tls_client_ca=self.authority.ca,
            tls_clients=clients,
            tls_allowed_names=names,
        )

    def context_of(self, client: Identity | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        """Return the context of a client in a test, which is the ssl module's own."""
        context = ssl.create_default_context(cafile=self.authority.ca)
        context.maximum_version = version
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        return context
