"""qemu.qmp's client on TLS."""

from qemu.qmp import QMPClient

__all__ = ["TLSClient"]


class TLSClient(QMPClient):
    """A client that can end its connection.

    The library waits then until all is written, for which it sets asyncio's limit for what is unwritten to nothing. On TLS
    asyncio takes nothing for over that limit (sslproto.py, `_control_app_writing`, in Python 3.11), and waits for ever.
    """

    async def _bh_flush_writer(self) -> None:
        if self._writer_task is not None and self._writer is not None:
            await self._outgoing.join()
            await self._writer.drain()
