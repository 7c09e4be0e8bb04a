"""The process leaves its VMs to the service manager, which starts the new program with them (sd_notify(3), FDSTORE).

All VMs are held still before the first one counts as handed over, because a process ends as a whole. VMs whose snapshot command
runs are waited for first, while the others go on. If anything fails, all VMs go on as they were; VMs that cannot be handed over
are reported before anything is done.
"""

import asyncio
import hashlib
import logging
from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from host.log_lines import about_vm
from host.settings.config import VMConfig
from proxy.entrance.inherited import STORED
from proxy.errors import UpgradeError
from proxy.handover.format import FORMAT, written
from proxy.handover.parcel import Parcel
from proxy.handover.settings import settings_of
from proxy.handover.standstill import GONE_MEANWHILE, UNSETTLED, Standstill, why_never
from shim.version import VERSION

if TYPE_CHECKING:
    from proxy.fleet.fleet import Fleet
    from proxy.fleet.service_manager import ServiceManager

__all__ = ["Storing", "stored_name"]

_log = logging.getLogger(__name__)

_TRIAL: Final = f"{STORED}trial"
# How long the service manager may take to accept a message, or to handle all messages so far.
_ANSWER_S: Final = 10.0
_LOOK_S: Final = 0.02
# How long to keep trying while a VM is busy, or VMs come or go. Each attempt may stall the tools for as long as a standstill
# may take, so there is a pause between two.
_PATIENCE_S: Final = 20.0
_FIRST_PAUSE_S: Final = 0.05
_MOST_PAUSE_S: Final = 2.0
_COME_MEANWHILE: Final = "it has come meanwhile"

_SILENT: Final = f"the service manager has not answered within {_ANSWER_S:g} s"
_NO_STORE: Final = "the service manager keeps nothing for it: FileDescriptorStoreMax= is not in the unit, or its store is full"


class Storing:
    """Call `leave`. If it has returned reasons, it may be called again."""

    def __init__(self, fleet: "Fleet", manager: "ServiceManager") -> None:
        self._fleet = fleet
        self._manager = manager
        # The VMs that were ended because they cannot be handed over.
        self._ended: list[VMConfig] = []

    async def leave(self, formats: object, *, ends_others: bool) -> Mapping[str, str]:
        """Have the service manager keep all VMs, and let go of them. Return the VMs that prevent it, and why; then all VMs go
        on.

        formats: those that the new program reads, according to whoever asks. ends_others: end VMs that cannot be handed over,
        in order, instead of giving up; they are served again if the rest fails. Raises UpgradeError if the reason is not a VM.
        """
        has_left = False
        try:
            _check(formats)
            await self._keep_trial()
            why_not = await self._leave(ends_others=ends_others)
            has_left = not why_not
            return why_not
        except TimeoutError as exc:
            raise _cannot(_SILENT) from exc
        except OSError as exc:
            raise _cannot(f"cannot pass files to the service manager: {exc.strerror}") from exc
        finally:
            ended, self._ended = self._ended, []
            if not has_left:
                await self._fleet.take_back(ended)

    async def _leave(self, *, ends_others: bool) -> Mapping[str, str]:
        loop, pause_s = asyncio.get_running_loop(), _FIRST_PAUSE_S
        end_s = loop.time() + _PATIENCE_S
        while True:
            why_not: Mapping[str, str] = self._why_never()
            is_final = any(why != UNSETTLED for why in why_not.values())
            if not why_not and not (why_not := await self._try()):
                return {}
            is_late = loop.time() > end_s
            if is_final or is_late:
                if not ends_others:
                    return why_not
                # A VM that has only just begun may be ready in a moment.
                await self._end({name: why for name, why in why_not.items() if is_late or why != UNSETTLED})
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _MOST_PAUSE_S)

    def _why_never(self) -> dict[str, str]:
        """Return which VMs cannot be handed over, and why. A VM without a proxy just now starts afresh, unnoticed."""
        proxies = {name: vm.proxy for name, vm in self._fleet.by_key.items() if vm.proxy is not None}
        return {name: why for name, proxy in proxies.items() if (why := why_never(proxy)) is not None}

    async def _end(self, names: Mapping[str, str]) -> None:
        for name in names.keys() & self._fleet.by_key.keys():
            with about_vm(name):
                _log.warning("its clients are disconnected, as it cannot be handed over: %s", names[name])
            self._ended.append(self._fleet.by_key[name].config)
            self._fleet.dismiss(name)
        while names.keys() & self._fleet.by_key.keys():  # noqa: ASYNC110 - each ends when what it has begun is done
            await asyncio.sleep(_LOOK_S)

    async def _try(self) -> Mapping[str, str]:
        """Bring all VMs to a standstill, and leave them to the manager. Return the VMs for which that failed, and why."""
        stills = {name: Standstill(vm.proxy) for name, vm in self._fleet.by_key.items() if vm.proxy is not None}
        parcels: dict[str, Parcel] = {}
        try:
            why_not = await _together({name: still.no_plan() for name, still in stills.items()})
            why_not = why_not or await _together({name: _held(still) for name, still in stills.items()})
            if why_not:
                return why_not
            await self._store(stills, parcels)
            why_not = {name: GONE_MEANWHILE for name, still in stills.items() if not still.is_as_carried}
            why_not |= {name: _COME_MEANWHILE for name, vm in self._fleet.by_key.items() if vm.proxy and name not in stills}
            if not why_not:
                _let_go(stills, parcels)
                parcels.clear()
            return why_not
        finally:
            for parcel in parcels.values():
                parcel.close()
            for still in stills.values():
                still.go_on()
            await self._discard(map(stored_name, parcels))

    async def _store(self, stills: Mapping[str, Standstill], parcels: dict[str, Parcel]) -> None:
        """Have the manager keep the VMs, and check that it does; none counts yet."""
        for name, still in stills.items():
            value, numbers = written(still.carried())
            about = {"vm": name, "format": FORMAT, "version": VERSION, "settings": settings_of(still.config)}
            parcels[name] = Parcel({**about, "is": value}, numbers)
            await self._give(stored_name(name), parcels[name])
        async with asyncio.timeout(_ANSWER_S):
            await self._manager.has_heard()
        if lost := [name for name, parcel in parcels.items() if not parcel.is_kept]:
            few = f"the service manager keeps {len(parcels) - len(lost)} of {len(parcels)} VMs"
            raise _cannot(f"{few}; raise FileDescriptorStoreMax= in the unit")

    async def _keep_trial(self) -> None:
        """Find out whether the manager keeps anything, before any VM is held still."""
        parcel = Parcel({}, ())
        try:
            await self._give(_TRIAL, parcel)
            async with asyncio.timeout(_ANSWER_S):
                await self._manager.has_heard()
            if not parcel.is_kept:
                raise _cannot(_NO_STORE)
        finally:
            parcel.close()
            await self._discard([_TRIAL])

    async def _give(self, name: str, parcel: Parcel) -> None:
        async with asyncio.timeout(_ANSWER_S):
            await self._manager.store(name, parcel.number)
        parcel.given()

    async def _discard(self, names: Iterable[str]) -> None:
        """Have the manager stop keeping these; no process would take them up, as they are not sealed."""
        try:
            for name in names:
                async with asyncio.timeout(_ANSWER_S):
                    await self._manager.discard(name)
        except OSError as exc:
            _log.warning("the service manager still keeps what it no longer needs to: %s", exc.strerror or _SILENT)


def stored_name(vm: str) -> str:
    """Return the name under which a VM is stored. Its own may be too long, or have characters that are not allowed."""
    return STORED + hashlib.sha256(vm.encode(errors="surrogateescape")).hexdigest()[:32]


def _cannot(reason: str) -> UpgradeError:
    return UpgradeError("the proxy", reason)


def _check(formats: object) -> None:
    """Check that the program that asks can go on with the VMs, if it says which formats it reads."""
    if formats is not None and not (isinstance(formats, list) and FORMAT in formats):
        told = f"hmpshim {VERSION} hands over in format {FORMAT}, which the program that asks does not read"
        raise _cannot(f"{told}; install a newer one")


async def _held(still: Standstill) -> str | None:
    """Hold a VM still. A snapshot command may have begun since the last check."""
    return await still.no_plan() or await still.hold()


async def _together(works: Mapping[str, Coroutine[Any, Any, str | None]]) -> dict[str, str]:
    """Run these for all VMs at once, and return the reasons of those that failed."""
    async with asyncio.TaskGroup() as group:
        tasks = {}
        for name, work in works.items():
            with about_vm(name):
                tasks[name] = group.create_task(work, name=f"hold {name}")
    return {name: why for name, task in tasks.items() if (why := task.result()) is not None}


def _let_go(stills: Mapping[str, Standstill], parcels: Mapping[str, Parcel]) -> None:
    """Seal the parcels in one turn of the loop, and let go of the VMs."""
    for name, still in stills.items():
        try:
            parcels[name].seal()
        except OSError as exc:
            with about_vm(name):
                _log.error("the service manager no longer keeps it, so it ends: %s", exc.strerror)
        else:
            _leave_to_manager(name, still)
        parcels[name].close()


def _leave_to_manager(name: str, still: Standstill) -> None:
    """Let go of a VM that counts as handed over. An error of ours must not affect the VMs after it."""
    with about_vm(name):
        try:
            still.let_go()
        except Exception:
            _log.exception("handed over to the service manager, but not completely released")
        else:
            _log.info("handed over to the service manager")
