"""qemu.qmp's client for connections with TLS."""

from qemu.qmp import QMPClient

__all__ = ["TLSClient"]


class TLSClient(QMPClient):
    """A client that can end its connection.

    When the library disconnects, it waits until everything is written by setting asyncio's write limit to 0. On TLS, asyncio
    regards even an empty buffer as over that limit (sslproto.py, `_control_app_writing`, in Python 3.11), and waits forever.
    """

    async def _bh_flush_writer(self) -> None:
        if self._writer_task is not None and self._writer is not None:
            await self._outgoing.join()
            await self._writer.drain()
