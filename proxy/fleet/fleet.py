"""The VMs of one process: those that are wanted, and those that run. Each follows its own configuration, and no other VM's.

A VM is known by its name, or by the address of its QEMU if the configuration gives no name: QEMU's own name is not known until
QEMU is there. What a change requires is worked out for that VM alone (proxy/needs.py), and most changes are made while its
clients stay connected. A change that requires a new connection to QEMU ends the VM's proxy in order and starts another one; its
tools are disconnected, as they are when QEMU exits. A VM whose change fails stays as it is, and the change is retried.

No step takes long, and other VMs are served between steps, so a change of a thousand VMs delays nobody.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from host.errors import ProgramError
from host.log_lines import VMLabel, about_vm
from host.net.connecting import backoff_s
from host.settings.config import VMConfig
from proxy.errors import first_error
from proxy.fairness.ledger import Ledger
from proxy.fleet.audit_logs import AuditLogs
from proxy.fleet.outlasting import Outlasting
from proxy.fleet.place import Changes, Place, rename, summary_of
from proxy.fleet.settling import Settling
from proxy.fleet.supervision import SupervisedVM
from proxy.fleet.wish import Wish, by_key, most_bytes
from proxy.needs import Need, needs
from proxy.net.certificates import Contexts
from proxy.recording.audit_writer import LAST_WRITE_S
from proxy.recording.disk_thread import DiskThread
from proxy.relaying.lasting import Shared, Standing
from shim.printable import natural

if TYPE_CHECKING:  # a start is quicker without them
    from proxy.fleet.successor import Successor
    from proxy.handover.legacy import Predecessor

__all__ = ["GIVING", "Fleet"]

_log = logging.getLogger(__name__)

GIVING: Final = "another process takes over, and reads the configuration"
# A VM that has been handed over ends almost at once.
_LOOK_S: Final = 0.02


class Fleet:
    """Call `run` once, `want` with each new configuration while it runs, and `stop` to end it.

    forgives: an error ends only the VM's current attempt, and the VM is started again. Otherwise the error ends the process,
    because a service manager acts upon the exit status.
    """

    def __init__(self, vms: Iterable[VMConfig], *, forgives: bool) -> None:
        self.forgives = forgives
        self.wanted = by_key(vms, {}, forgives=forgives)
        self._shared = Shared(Ledger(most_bytes(self.wanted.values())), DiskThread("state"))
        self.audit_logs = AuditLogs(self._shared.losses)
        # The VMs that run or are about to end.
        self._places: dict[str, Place] = {}
        self._group: asyncio.TaskGroup | None = None
        # Held while the set of wanted VMs changes.
        self._wanting = asyncio.Lock()
        self._settling = Settling()
        # begun: all VMs wanted at the start have been started. settled: for each VM it is known whether it is served.
        self.begun, self.settled = asyncio.Event(), self._settling.settled
        self._stop = asyncio.Event()
        self._outlasting = Outlasting(self._stop)
        # Who holds the VMs of the process that this one replaces; set before `run`.
        self.taking: Predecessor | None = None
        # Another process that is taking over; it follows the configuration from now on.
        self.successor: Successor | None = None

    async def run(self) -> None:
        """Serve until all VMs have ended. Raises what a VM raises if errors are not forgiven."""
        try:
            async with asyncio.TaskGroup() as self._group:
                self.outlast_vms(self._outlasting.is_wanted)
                await self._begin_all()
        except BaseExceptionGroup as errors:
            # Not `except*`: before Python 3.11.4, what it raises is wrapped in a group again.
            raise first_error(errors) from None
        finally:
            self._group = None
            await self.audit_logs.close()
            await self._shared.state.finish(LAST_WRITE_S)

    async def _begin_all(self) -> None:
        """Start all wanted VMs one after the other, so that the memory one needs only to start is reused by the next."""
        async with self._wanting:
            beginning = Place("", VMLabel(""))
            self._settling.add(beginning)
            for key in list(self.wanted):
                if key in self.wanted and key not in self._places:  # stop() or dismiss() may have been called since
                    self._begin(key)
                await self._settling.room()
            self.begun.set()
            self._settling.discard(beginning)

    def outlast_vms(self, outlasts: bool, /) -> bool:
        """Say whether the process goes on when no VM is left, until `stop` is called. Return the previous setting."""
        return self._outlasting.set(outlasts, self._group)

    def stop(self) -> None:
        """End all VMs, each when the rewritten command that runs there is done."""
        self.wanted = {}
        self._stop.set()
        for place in self._places.values():
            place.stop_trying()
            if place.running is not None:
                place.running.stop()

    async def want(self, wish: Wish) -> list[str]:
        """Serve these VMs from now on. Return what could not be changed, and why; the log says so, too."""
        if self.successor is not None:
            return [GIVING]
        async with self._wanting:
            changes = await self._become(wish)
        if wish.is_of_file:
            changes.tell(len(self.wanted))
        return [*changes.problems, *await changes.why_not_used()]

    @property
    def vms(self) -> list[SupervisedVM]:
        """The running VMs, sorted by name; vm2 comes before vm10."""
        return sorted(self._running(), key=lambda vm: natural(vm.name))

    @property
    def summary(self) -> str:
        """The fleet's state in a few words."""
        return summary_of(self._running())

    def running(self, key: str) -> SupervisedVM | None:
        """Return the running VM of that key; None if it does not run."""
        place = self._places.get(key)
        return None if place is None else place.running

    # Another process takes over.

    @property
    def by_key(self) -> dict[str, SupervisedVM]:
        """The VMs that run or are about to end, by key."""
        return {place.key: place.running for place in self._places.values() if place.running is not None}

    def dismiss(self, key: str) -> None:
        """End a VM that another process is to serve."""
        self.wanted.pop(key, None)
        if (running := self.running(key)) is not None:
            running.stop()

    async def take_back(self, vms: Iterable[VMConfig]) -> None:
        """Serve VMs again that another process had taken over. Does nothing if no VM is left here or all are to end."""
        for key, config in by_key(vms, {}, forgives=self.forgives).items():
            while key in self._places:  # noqa: ASYNC110 - seldom, and for a moment
                await asyncio.sleep(_LOOK_S)
            if self._group is not None and not self._stop.is_set():
                with about_vm(key):
                    _log.info("served from now on, by the old process again")
                self.wanted[key] = config
                self._begin(key)

    # A VM becomes what it is to be.

    async def _become(self, wish: Wish) -> Changes:
        """Change one VM after the other, and let others be served in between. The caller holds the lock for changes."""
        changes = Changes()
        if self._stop.is_set() or not (self._places or self._outlasting.is_wanted):
            return changes  # the process ends
        before, self.wanted = self.wanted, dict(wish.vms)
        self._shared.ledger.most_bytes = most_bytes(self.wanted.values())
        rename(self._places, self.wanted, self._name_in_log)
        changed = [place for place in self._places.values() if self._is_changed(place, before, wish)]
        # So that two VMs can swap their listeners.
        for key, addresses in wish.moving.items():
            if (running := self.running(key)) is not None:
                running.release(addresses)
        for place in changed:
            with about_vm(place.label):
                await self._follow(place, wish, changes)
            await asyncio.sleep(0)
        for key in [key for key in self.wanted if key not in self._places]:
            if key not in self.wanted:
                break  # stop() was called since
            changes.new += 1
            changes.problems += [f"{key}: {wish.problems[key]}"] if key in wish.problems else []
            with about_vm(key):
                is_theirs = self.taking is not None and self.taking.serves(key)
                _log.info("the old process is asked for it" if is_theirs else "served from now on")
            self._begin(key)
            await asyncio.sleep(0)
        return changes

    def _is_changed(self, place: Place, before: Mapping[str, VMConfig], wish: Wish) -> bool:
        """Return whether there is anything to do for a VM. by_key() keeps the object of an unchanged configuration."""
        is_same = (key := place.key) in self.wanted and self.wanted[key] is before.get(key)
        return not is_same or place.retry is not None or key in wish.contexts or key in wish.problems

    async def _follow(self, place: Place, wish: Wish, changes: Changes) -> None:
        """Change a running VM to its new configuration. A VM that is about to end picks it up when it starts again."""
        await place.end_retry()
        running, vm = place.running, self.wanted.get(place.key)
        contexts, problem = wish.contexts.get(place.key), wish.problems.get(place.key)
        if running is None or running.is_stopping or self._stop.is_set():
            return
        needed = set() if vm is None else needs(running.config, vm)
        if vm is None:
            changes.ended += 1
            _log.info("not served any more, %s", wish.why_gone)
            running.stop()
        elif problem is not None:
            stays = "it stays as it was" if needed else "the old certificates stay in force"
            changes.problems.append(f"{running.name}: {problem}")
            _log.error("%s; %s", problem, stays)
        elif (needed or running.config.origin != vm.origin) and running.is_beginning:
            running.stop()  # what it asks the old process for depends on its settings
        elif Need.CONNECTION in needed:
            changes.anew += 1
            _log.info("begins anew, with another connection to QEMU")
            running.stop()
        elif needed or running.config.origin != vm.origin:
            changes.changed += bool(needed)
            if (why := await self._change(place, vm, contexts, backoff_s())) is not None:
                changes.problems.append(why)
            elif Need.POLICY in needed:
                changes.compared.append(running)
        elif contexts is not None:
            running.use_certificates(contexts)
            _log.info("the certificates were read again")

    async def _change(self, place: Place, vm: VMConfig, contexts: Contexts | None, delays_s: Iterator[float]) -> str | None:
        """Change a VM while its clients stay connected. Return why that failed, if it did; the change is then retried."""
        running = place.running
        assert running is not None, "nothing is tried again when it ends"
        try:
            await running.change(vm, contexts)
        except ProgramError as exc:
            level = logging.DEBUG if running.unchanged == str(exc) else logging.ERROR
            _log.log(level, "%s; it stays as it was, and its change is tried again", exc)
            running.unchanged = str(exc)
            place.set_retry(asyncio.create_task(self._change_later(place, vm, contexts, delays_s), name="change later"))
            return f"{running.name}: {exc}"
        running.unchanged = None
        place.set_retry(None)
        return None

    async def _change_later(self, place: Place, vm: VMConfig, contexts: Contexts | None, delays_s: Iterator[float]) -> None:
        await asyncio.sleep(next(delays_s))
        place.is_trying = True
        with about_vm(place.label):
            await self._change(place, vm, contexts, delays_s)

    def _running(self) -> Iterator[SupervisedVM]:
        return (place.running for place in self._places.values() if place.running is not None)

    def _name_in_log(self, key: str, config: VMConfig) -> str:
        """Return what the VM's log lines begin with; nothing if it is the only VM and has no name."""
        return key if self.forgives else config.name or ""

    # A VM runs.

    def _begin(self, key: str) -> None:
        assert self._group is not None, "it runs"
        place = self._places[key] = Place(key, VMLabel(self._name_in_log(key, self.wanted[key])))
        self._settling.add(place)
        self._group.create_task(self._tend(place), name=f"VM {key}")

    async def _tend(self, place: Place) -> None:
        """Serve a VM as long as it is wanted, with one proxy after the other: each new connection to QEMU needs a new proxy."""
        standing, settle = Standing(), lambda: self._settling.discard(place)
        try:
            while (config := self.wanted.get(place.key)) is not None:
                vm = place.running = SupervisedVM(config, self.audit_logs, self._shared, settle, standing)
                vm.taking = self.taking
                try:
                    with about_vm(place.label):
                        await (vm.keep_running() if self.forgives else vm.run())
                finally:
                    place.stop_trying()
                    place.running = None
                    await vm.close()
                if not vm.is_stopping:  # it has ended by itself
                    self.wanted.pop(place.key, None)
        finally:
            standing.pausing.close()
            del self._places[place.key]
            self._settling.discard(place)
            if self.successor is not None and not self._places:
                self.outlast_vms(False)
