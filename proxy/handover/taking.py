"""The new process: it asks for each VM when it is ready for it, and starts afresh those that are not handed over."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from host.audit_log.losses import LossesByLog
from host.settings.config import VMConfig
from proxy.errors import HandOverError
from proxy.handover.channel import Channel, Message, close_all
from proxy.handover.format import FORMAT, READ_FORMATS, read, read_lost, why_unreadable
from proxy.handover.legacy import Legacy
from proxy.handover.meeting import meet
from proxy.handover.settings import differences, settings_of
from proxy.waiting import Signal
from shim.qmp import JSON
from shim.version import VERSION

__all__ = ["Taking", "take_from"]

_log = logging.getLogger(__name__)

_HELLO_S: Final = 10.0
_ANOTHER: Final = "what answers there is not hmp-proxy's --replaceable socket"
_ENDING: Final = "it is ending; start this one without --replace when it has ended"
# Stands for the other process's last word on a VM.
_ENDED: Final[Message] = ({"ended": True}, [])


class Taking:
    """One conversation with the process that is replaced. Create it in the loop, and call `close` at the end.

    losses: of the audit logs here. finished: set when that process has no VM any more, or has gone.
    """

    def __init__(self, channel: Channel, form: int, vms: dict[str, dict[str, JSON]], losses: LossesByLog) -> None:
        self._channel = channel
        self._losses = losses
        self._form = form
        # The other process's VMs whose fate is still open, with their settings.
        self._theirs = vms
        self._said: dict[str, asyncio.Queue[Message]] = {name: asyncio.Queue() for name in vms}
        # What the other process was asked to do with each VM: "want" or "end".
        self._asked: dict[str, str] = {}
        self.finished = Signal()
        self._hearing = asyncio.create_task(self._hear(), name="take over")

    async def end_others(self, wanted: Collection[str]) -> None:
        """Have the other process end all VMs except these. Do this last: until then it can go on with all of them."""
        for name in [name for name in self._theirs if name not in wanted]:
            await self._say({"end": name})

    async def close(self) -> None:
        """End the conversation: the other process goes on with the VMs that it still has."""
        self._hearing.cancel()
        await asyncio.wait((self._hearing,))
        for queue in self._said.values():
            while not queue.empty():
                close_all(queue.get_nowait()[1])
        self._channel.close()

    def serves(self, name: str) -> bool:
        """Whether the other process still serves the VM of that name, for all that is known."""
        return name in self._theirs and not self.finished.is_set()

    async def claim(self, config: VMConfig, on_waiting: Callable[[], object]) -> Legacy | None:
        """Return the VM as the other process hands it over; None if that process does not serve it, or no longer does.

        on_waiting: called when it is known that this takes a while.
        """
        name = config.shown_name
        if name not in self._theirs:
            return None
        others = differences(settings_of(config), self._theirs[name])
        await self._ask(name, others)
        while True:
            message, numbers = await self._said[name].get()
            match message:
                case {"is": _, "attempt": int(attempt)} if others:  # they were the same when it was asked first
                    close_all(numbers)
                    await self._settle(name, attempt, "its settings have changed")
                case {"is": dict(value), "attempt": int(attempt)}:
                    settle = partial(self._settle, name, attempt)
                    try:
                        return Legacy(read(value, numbers, self._form), numbers, settle)
                    except ValueError as exc:
                        _log.error("%s", exc)
                        close_all(numbers)
                        await settle(str(exc))
                case {"stays": str(why)}:
                    _log.info("the old process serves it for now: %s", why)
                    on_waiting()
                case {"ended": _}:
                    self._forget(name)
                    return None

    async def _ask(self, name: str, others: Sequence[str]) -> None:
        what = "end" if others else "want"
        if self._asked.get(name) == what:
            return
        self._asked[name] = what
        if others:
            _log.info("begins anew, as these settings have changed: %s", ", ".join(others))
        await self._say({what: name})

    async def _settle(self, name: str, attempt: int, why_not: str | None) -> bool:
        """Answer an attempt, and return whether the VM is ours. If the other process has gone by then, it is."""
        await self._say({"answer": attempt, "why_not": why_not})
        while why_not is None:
            message, numbers = await self._said[name].get()
            close_all(numbers)
            match message:
                case {"goes": _} | {"ended": _}:
                    self._forget(name)
                    return True
                case {"keeps": _, "attempt": int(other)} if other == attempt:
                    return False
        return False

    def _forget(self, name: str) -> None:
        del self._theirs[name]

    async def _say(self, message: dict[str, JSON]) -> None:
        try:
            await self._channel.send(message)
        except OSError as exc:
            _log.debug("the old process can no longer be told anything: %s", exc.strerror or exc)

    async def _hear(self) -> None:
        """Pass each message on to whoever waits for that VM."""
        try:
            while True:
                message, numbers = await self._channel.receive()
                for lost in message.get("lost", ()):
                    self._losses.take_over(read_lost(lost))
                if "done" in message:
                    return
                self._said[message["vm"]].put_nowait((message, numbers))
        except (EOFError, OSError, ValueError, KeyError, TypeError) as exc:
            _log.warning("the old process has gone: %r", exc)
        finally:
            for queue in self._said.values():
                queue.put_nowait(_ENDED)
            self.finished.set()


async def take_from(path: str, losses: LossesByLog) -> Taking:
    """Meet the process that waits at a path. losses: see Taking. Raises HandOverError if this process cannot replace it."""
    channel = await meet(path)
    try:
        async with asyncio.timeout(_HELLO_S):
            said = await _greeted(channel)
        if "refused" in said:
            raise HandOverError(path, str(said["refused"]))
        if "done" in said:
            raise HandOverError(path, _ENDING)
        return Taking(channel, _form(path, said), dict(said["vms"]), losses)
    except (EOFError, OSError, KeyError, TypeError, ValueError) as exc:
        channel.close()
        raise HandOverError(path, _why_not_understood(exc)) from exc
    except BaseException:
        channel.close()
        raise


async def _greeted(channel: Channel) -> dict[str, JSON]:
    """Say hello, and return the answer. Raises OSError, EOFError and ValueError as the channel does."""
    with suppress(ConnectionError):  # it has hung up already, and may have said why before
        await channel.send({"formats": list(READ_FORMATS), "version": VERSION})
    said, numbers = await channel.receive()
    close_all(numbers)
    return said


def _why_not_understood(error: Exception) -> str:
    """Return why the conversation failed at its beginning, and what to do."""
    match error:
        case TimeoutError():
            return f"it has not answered within {_HELLO_S:g} s: {_ANOTHER}, or that process hangs"
        case EOFError() | ConnectionError():
            return f"it has hung up: {_ANOTHER}, or that process is ending"
        case OSError():
            return error.strerror or str(error)
    return f"{_ANOTHER}; name the path that it was started with"


def _form(path: str, said: dict[str, JSON]) -> int:
    """Return the format in which VMs are handed over. Raises HandOverError for one that is not known."""
    form = int(said["format"])
    if (why := why_unreadable(said)) is None:
        return form
    todo = "install that version or a newer one" if form > FORMAT else "stop it, and start this one"
    raise HandOverError(path, f"{why}; {todo}")
