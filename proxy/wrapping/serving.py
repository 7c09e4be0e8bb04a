"""The proxy's process: how it is set up for one QEMU, what it does if QEMU's start fails, and its end."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from host.log_lines import log_ordinary_news, write_log
from host.net.addresses import DescriptorAddress
from host.settings.config import NEGOTIATION_TIMEOUT_S, VMConfig
from host.settings.listener import Listener, Terms
from proxy.errors import HungUpError, NotQMPError
from proxy.lean_start import all_imported
from proxy.qemu_command_line.endpoints import Stdio
from proxy.qemu_command_line.messages import MessageForm
from proxy.qemu_command_line.monitors import Kind
from proxy.qmp_json.limits import RECURSION_LIMIT
from proxy.wrapping.children import FAILED, Parent
from proxy.wrapping.doors import Door
from proxy.wrapping.invocation import WrapInvocation
from proxy.wrapping.loading import Load, StartFailedError
from proxy.wrapping.reception import Reception
from proxy.wrapping.start import Start
from proxy.wrapping.terminal import kept_in_order, raw_terminal
from shim.client import Client

if TYPE_CHECKING:  # clients are greeted before it is needed
    from host.audit_log.log import AuditLog
    from proxy.wrapping.wrapped_vm import WrappedVM

__all__ = ["Serving"]

_log = logging.getLogger(__name__)

_STANDARD_INPUT_AND_OUTPUT: Final = (0, 1)
_STANDARD_ERROR: Final = 2
# The name that `ps` shows.
_PROCESS_NAME: Final = "hmp-proxy"


@dataclass(slots=True)
class Serving:
    """All that the proxy of one QEMU works with.

    Attributes:
        starter: who started QEMU.
        program: the name by which QEMU calls itself in its messages.
        qemu: a pidfd of QEMU.
        parent: the process that waits for QEMU; None if QEMU is the process that the tool started.
        detaches: QEMU closes its standard streams once it has started (`-daemonize`).
        has_terminal: a monitor is on a terminal.
    """

    invocation: WrapInvocation
    start: Start
    doors: list[Door]
    starter: Client
    program: str
    qemu: int
    parent: Parent | None
    load: Load | None
    audit_log: "AuditLog | None"
    detaches: bool
    has_terminal: bool

    def run(self) -> None:
        """Serve until QEMU has gone."""
        _take_own_name()
        sys.setrecursionlimit(RECURSION_LIMIT)
        write_log("hmp-proxy")
        log_ordinary_news(is_verbose=self.invocation.is_verbose)
        with contextlib.ExitStack() as stack:
            door = next((door for door in self.doors if isinstance(door.endpoint.address, Stdio)), None)
            if door is None:
                _point_to_nothing(*_STANDARD_INPUT_AND_OUTPUT)
            else:
                stack.enter_context(kept_in_order())
                if self.has_terminal and door.monitor.kind is Kind.HMP and isinstance(door.endpoint.address, Stdio):
                    stack.enter_context(raw_terminal(has_signals=door.endpoint.address.signal))
            asyncio.run(self._serve())

    def _config(self) -> VMConfig:
        """Return the settings with the addresses from QEMU's command line.

        Unless the settings say otherwise, a client may take as long as it likes to negotiate: some have only this one
        connection, and QEMU itself would wait forever.
        """
        config = self.invocation.config or VMConfig(DescriptorAddress(0))
        if config.negotiation_timeout_s == NEGOTIATION_TIMEOUT_S:
            config = replace(config, negotiation_timeout_s=0.0)
        human = [door.address for door in self.doors if door.monitor.kind is Kind.HMP]
        return replace(
            config,
            upstream=DescriptorAddress(self.start.control.fileno()),
            listen=tuple(door.address for door in self.doors if door.address not in human),
            hmp_listen=tuple(human),
            own_listeners=tuple(Listener(door.address, _terms(door, config.terms)) for door in self.doors),
        )

    async def _serve(self) -> None:
        if self.parent is not None:
            # Whoever killed the parent meant to kill QEMU.
            asyncio.get_running_loop().add_reader(self.parent.own, self._kill, self.parent.own)
        reception = Reception(self._config(), self.start.control, self.doors, self.starter)
        try:
            await reception.open()
            await self._serve_vm(reception)
        except HungUpError:
            pass  # QEMU has ended, and said why
        except NotQMPError as exc:
            _log.error("%s", exc)
        finally:
            reception.close()

    async def _serve_vm(self, reception: Reception) -> None:
        from proxy.wrapping.wrapped_vm import WrappedVM  # here, because clients have been greeted by now

        all_imported()
        vm = WrappedVM(reception, self.audit_log)
        try:
            await vm.begin(self.load)
            if self.detaches:
                self._detach()
            await vm.serve()
        except StartFailedError as exc:
            await self._fail(vm, str(exc))
        finally:
            await vm.close()
            # A QEMU that is started next may use the same paths.
            reception.close()
            if not self.has_terminal:  # its modes are restored at the very end
                self._let_parent_end()
            await vm.emptied()

    def _kill(self, parent: int) -> None:
        asyncio.get_running_loop().remove_reader(parent)
        with contextlib.suppress(ProcessLookupError):  # QEMU has ended by itself, and the parent after it
            signal.pidfd_send_signal(self.qemu, signal.SIGKILL)

    def _detach(self) -> None:
        """Let go of the streams and the parent whose end the caller waits for."""
        _point_to_nothing(*_STANDARD_INPUT_AND_OUTPUT, _STANDARD_ERROR)
        self._let_parent_end()

    def _let_parent_end(self) -> None:
        """Let the parent wait for nothing but QEMU. Calling it again does nothing."""
        if self.parent is not None and self.parent.to_parent >= 0:
            os.close(self.parent.to_parent)
            self.parent.to_parent = -1

    async def _fail(self, vm: "WrappedVM", text: str) -> None:
        """Say why, as QEMU would, and end QEMU: by its own command, or by a signal, so that its status is no success."""
        form = MessageForm.of(self.invocation.words)
        sys.stderr.write(f"{form.spell(self.program, text, datetime.now(UTC))}\n")
        sys.stderr.flush()
        if self.parent is None:
            signal.pidfd_send_signal(self.qemu, signal.SIGKILL)
        else:
            os.write(self.parent.to_parent, FAILED)
            await vm.quit()


def _terms(door: Door, terms: Terms) -> Terms:
    """Return the terms of a door: QEMU's command line says what is spoken there."""
    return replace(terms, telnet=door.endpoint.telnet, pretty=door.monitor.kind is Kind.QMP_PRETTY)


def _take_own_name() -> None:
    """Rename the process, so that pidof or killall does not take it for QEMU; until now it has the name of the link."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="utf-8") as file:
        file.write(_PROCESS_NAME)


def _point_to_nothing(*numbers: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in numbers:
        os.dup2(nothing, number)
    if nothing not in numbers:
        os.close(nothing)
