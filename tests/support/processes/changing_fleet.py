"""A running fleet, its configuration changed at random, with faults: QEMUs that die, hang and appear late, wrong files, and
listeners and logs that cannot be opened. It keeps a client at each VM, and knows which of them nothing may have disturbed.
"""

import asyncio
import contextlib
import random
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from proxy.control.status import State
from proxy.net.sockets import is_answered
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import RunningDaemon, statuses, until
from tests.support.raw_client import RawClient, negotiated

__all__ = ["ChangingFleet"]

# VMs of which the file speaks, each with two QEMUs that it may be in front of, and VMs that are found.
_STATIC: Final = 4
_FOUND: Final = ("m", "n")
_LISTENERS: Final = 8
_FAULTS: Final = ("die", "hang", "occupy", "lose_log_folder", "write_wrong_file")


@dataclass(frozen=True, slots=True)
class _VM:
    """What the file says of one VM."""

    name: str
    qemu: str
    listen: tuple[str, ...]
    max_clients: int = 20
    errors: str = "hmp"
    mode: str = "rewrite"
    audit: str = ""

    def table(self, folder: Path) -> str:
        listen = ", ".join(f'"unix:{folder}/{name}"' for name in self.listen)
        lines = [f'name = "{self.name}"', f'upstream = "unix:{folder}/{self.qemu}"', f"listen = [{listen}]"]
        lines += [f"max_clients = {self.max_clients}", f'errors = "{self.errors}"', f'mode = "{self.mode}"']
        lines += [f'audit = "{folder}/{self.audit}"'] if self.audit else []
        return "\n".join(["[[vm]]", *lines, ""])


@dataclass(slots=True)
class _Witness:
    """A client that stays at a VM. qemu: behind it. number: of the times at which that has gone."""

    client: RawClient
    qemu: str
    number: int


class ChangingFleet:
    """Enter it, call `change` as often as is liked, then `heal` and `check`."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._rng = random.Random(seed)
        self._qemus: dict[str, FakeQEMU] = {}
        self._gone: dict[str, int] = {}
        self._hung: set[str] = set()
        self._occupied: dict[str, socket.socket] = {}
        self._vms: dict[int, _VM] = {number: self._new_vm(number, (f"l{number}",)) for number in range(2)}
        self._found_clients = 20
        self._witnesses: dict[str, _Witness] = {}
        self.kept = 0

    async def __aenter__(self) -> Self:
        (self._folder / "logs").mkdir()
        for name in _FOUND:
            (self._folder / "found" / name).mkdir(parents=True)
        for name in [*(f"q{number}{kind}" for number in range(_STATIC) for kind in "ab"), self._found_qemu("m")]:
            await self._start(name)
        self._running = RunningDaemon(self._folder, self._text())
        await self._running.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for witness in self._witnesses.values():
            witness.client.close()
        await self._running.__aexit__(None, None, None)
        for qemu in self._qemus.values():
            await qemu.close()
        for occupant in self._occupied.values():
            occupant.close()

    async def change(self) -> None:
        """Change a few things, have the file read, and see that whom nothing has disturbed is served."""
        await self._send_witnesses()
        for _ in range(self._rng.randint(1, 3)):
            self._change_settings()
        if self._rng.random() < 0.6:
            await getattr(self, f"_{self._rng.choice(_FAULTS)}")()
        elif self._rng.random() < 0.6:
            await self.heal()
        self._running.path.write_text(self._text())
        await self._running.daemon.reload()
        await self._ask_witnesses()

    async def heal(self) -> None:
        """Undo all faults."""
        for name in [name for name, qemu in self._qemus.items() if qemu._serve_task is None]:
            await self._start(name)
        for name in self._hung:
            self._qemus[name].release("query-commands")
        self._hung.clear()
        for name, occupant in self._occupied.items():
            occupant.close()
            (self._folder / name).unlink()
        self._occupied.clear()
        with contextlib.suppress(FileExistsError):
            (self._folder / "logs").mkdir()

    async def check(self) -> None:
        """See that the VMs become those of the file: by what they are, by where they listen, and that they are served."""
        assert await self._running.daemon.reload() == []
        fleet = self._running.daemon._fleet
        names = {vm.name for vm in self._vms.values()} | {name for name in _FOUND if self._found_qemu(name) in self._qemus}
        paths = {self._folder / name for vm in self._vms.values() for name in vm.listen}
        paths |= {self._folder / f"{name}.sock" for name in names & set(_FOUND)}
        possible = [self._folder / name for name in (*(f"l{n}" for n in range(_LISTENERS)), *(f"{n}.sock" for n in _FOUND))]
        await until(lambda: {vm.name for vm in statuses(fleet) if vm.state is State.SERVED} == names)
        await until(lambda: {path for path in possible if is_answered(str(path))} == paths)
        running = {key: vm.config for key in fleet.wanted if (vm := fleet.running(key)) is not None}
        assert running == fleet.wanted
        assert {vm.max_clients for key, vm in running.items() if key in _FOUND} <= {self._found_clients}
        assert {(vm.name, vm.max_clients, vm.mode) for vm in self._vms.values()} == {
            (vm.name, vm.max_clients, vm.policy.mode) for key, vm in running.items() if key not in _FOUND
        }
        await self._ask_witnesses()

    # The file.

    def _text(self) -> str:
        template = (
            f'[[vm]]\ndiscover = "{self._folder}/found/*/q"\nname = "{{1}}"\nupstream = "unix:{{path}}"\n'
            f'listen = "unix:{self._folder}/{{1}}.sock"\nmax_clients = {self._found_clients}\n'
        )
        return "".join([*(vm.table(self._folder) for vm in self._vms.values()), template])

    def _new_vm(self, number: int, listen: tuple[str, ...]) -> _VM:
        return _VM(f"v{number}", f"q{number}a", listen)

    def _change_settings(self) -> None:
        rng, vms = self._rng, self._vms
        free = sorted({f"l{n}" for n in range(_LISTENERS)} - {name for vm in vms.values() for name in vm.listen})
        number = rng.randrange(_STATIC)
        if number not in vms:
            if free:
                vms[number] = self._new_vm(number, (rng.choice(free),))
            return
        vm = vms[number]
        match rng.randrange(10):
            case 0:
                del vms[number]
                return
            case 1:
                vm = replace(vm, qemu=f"q{number}{rng.choice('ab')}")
            case 2:
                vm = replace(vm, name=f"{rng.choice('vw')}{number}")
            case 3:
                vm = replace(vm, listen=(*vm.listen, *free[:1]))
            case 4:
                vm = replace(vm, listen=vm.listen[1:] or vm.listen)
            case 5:
                other = rng.choice(list(vms))
                vms[other], vm = replace(vms[other], listen=vm.listen), replace(vm, listen=vms[other].listen)
            case 6:
                vm = replace(vm, max_clients=rng.randint(10, 20), errors=rng.choice(["hmp", "qmp"]))
            case 7:
                vm = replace(vm, mode=rng.choice(["rewrite", "observe"]))
            case 8:
                vm = replace(vm, audit=rng.choice(["", "logs/a", "logs/b", "c"]))
            case 9:
                self._found_clients = rng.randint(10, 20)
        vms[number] = vm

    # Faults.

    async def _start(self, name: str) -> None:
        self._qemus[name] = await FakeQEMU(two_disks(), path=str(self._folder / name)).__aenter__()

    def _found_qemu(self, name: str) -> str:
        return f"found/{name}/q"

    async def _die(self) -> None:
        name = self._rng.choice([*self._qemus, self._found_qemu("n")])
        if name not in self._qemus:
            await self._start(name)  # it is one that appears late
        elif self._qemus[name]._serve_task is not None:
            self._gone[name] = self._gone.get(name, 0) + 1
            self._hung.discard(name)
            await self._qemus[name].close()

    async def _hang(self) -> None:
        """It greets, and answers nothing."""
        name = self._rng.choice(list(self._qemus))
        if name not in self._hung and self._qemus[name]._serve_task is not None:
            self._hung.add(name)
            self._gone[name] = self._gone.get(name, 0) + 1
            self._qemus[name].hold("query-commands")
            self._qemus[name].disconnect()

    async def _occupy(self) -> None:
        """Somebody else listens where nobody does yet."""
        name = f"l{self._rng.randrange(_LISTENERS)}"
        if not (self._folder / name).exists():
            self._occupied[name] = socket.socket(socket.AF_UNIX)
            self._occupied[name].bind(str(self._folder / name))
            self._occupied[name].listen()

    async def _lose_log_folder(self) -> None:
        logs = self._folder / "logs"
        if logs.exists():
            logs.rename(self._folder / f"lost{self._rng.random()}")

    async def _write_wrong_file(self) -> None:
        self._running.path.write_text(self._text() + "[[vm]]\nname = 5\n")
        before = dict(self._running.daemon._fleet.wanted)
        assert len(await self._running.daemon.reload()) == 2
        assert {key: vm for key, vm in self._running.daemon._fleet.wanted.items() if key not in _FOUND} == {
            key: vm for key, vm in before.items() if key not in _FOUND
        }

    # Witnesses.

    async def _send_witnesses(self) -> None:
        """Have a client at each VM that is served, by the listeners that are its own for sure."""
        fleet = self._running.daemon._fleet
        for status in statuses(fleet):
            vm = fleet.running(status.name)
            if vm is None or status.state is not State.SERVED or vm.config != fleet.wanted.get(status.name):
                continue
            qemu = str(vm.config.upstream).removeprefix(f"unix:{self._folder}/")
            path = str(vm.config.listen[0]).removeprefix("unix:")
            if qemu in self._witnesses or qemu in self._hung or not is_answered(path):
                continue
            client = await asyncio.to_thread(lambda at=path: negotiated(RawClient.connect(at)))  # type: ignore[misc]
            self._witnesses[qemu] = _Witness(client, qemu, self._gone.get(qemu, 0))

    async def _ask_witnesses(self) -> None:
        """Whose QEMU is the one of its VM as before, and was there all the time, is served. Others may have been cut off."""
        wanted = {vm.qemu for vm in self._vms.values()} | {self._found_qemu(name) for name in _FOUND}
        for qemu, witness in list(self._witnesses.items()):
            if qemu in wanted and witness.number == self._gone.get(qemu, 0):
                assert "return" in await asyncio.to_thread(witness.client.execute, "query-status"), qemu
                self.kept += 1
            else:
                witness.client.close()
                del self._witnesses[qemu]
