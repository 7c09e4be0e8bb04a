"""What happens in the background: learning about the VM, showing events, and restoring a lost connection.

repl/prompt/commands.py does what the lines ask for. Nothing here knows how a line is edited.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime

from prompt_toolkit.application import get_app_or_none

from host.audit_log.log import AuditLog
from host.net.connecting import backoff_s
from repl.beside import proxy_notices
from repl.command_line import Invocation
from repl.completing.hints import hint
from repl.errors import LinkError, LostError, OwnPolicyError, failure_text
from repl.executor import Executor
from repl.finding.control import control_paths
from repl.lines.arguments import last_line
from repl.link import Event, Link
from repl.output.layout import Fragments
from repl.output.show import event_line
from repl.output.vm_status import VMStatus, policy_text, run_state_after, start_line, toolbar
from repl.progress.earlier import log_file, taken_s
from repl.progress.meter import Meter
from repl.progress.others import Others, served_at
from repl.prompt.commands import Commands
from repl.prompt.event_filter import EventFilter
from repl.prompt.foreground import Foreground
from repl.prompt.terminal import Terminal
from repl.results import intents_at
from repl.vm_cache import VMCache
from shim.client import Client
from shim.plans.jobs import REPL_JOB_PREFIX
from shim.printable import harmless

__all__ = ["Console"]

# After these events, the VM's disks or snapshots may have changed.
_TELLING_EVENTS = frozenset({"RESUME", "STOP", "SHUTDOWN", "RESET", "DEVICE_DELETED", "BLOCK_JOB_COMPLETED"})
# A running prompt dismisses its concluded jobs within this time.
_ALIVE_S = 1.0
# How often the toolbar updates how long the prompt has been waiting.
_TICK_S = 1.0


class Console:
    """One VM at the prompt. Call `start` once, `obey` for each text that the person enters, and `finish` at the end.

    tasks: for the tasks in the background; its owner waits for them. expand: expands the alias in a line. If a line asks for
    another VM, `obey` leaves that in `commands.change_over`, for the caller to do.
    """

    def __init__(
        self,
        invocation: Invocation,
        client: Client,
        audit_log: AuditLog | None,
        link: Link,
        terminal: Terminal,
        tasks: asyncio.TaskGroup,
        expand: Callable[[str], str] = str,
    ) -> None:
        self._invocation = invocation
        self._link = link
        self._intents = intents_at(invocation.address)
        self._terminal = terminal
        self._tasks = tasks
        self._executor = Executor(
            link,
            invocation.policy,
            client,
            name=invocation.name,
            audit_log=audit_log,
            complain=lambda exc: terminal.error(f"{exc}; the command went on"),
            intents=self._intents,
            on_failure=lambda exc: terminal.error(failure_text(exc)),
            policy_options=invocation.policy_options,
            foretells=not invocation.hmp_errors,
        )
        self.knowledge = VMCache(self._executor, on_change=_redraw)
        self.events = EventFilter()
        self._getting_to_know: asyncio.Task[None] | None = None
        self._tidying: asyncio.Task[None] | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._others = Others(
            link.address,
            lambda: None if self._executor.proxy is None else self._executor.proxy.vm,
            server=lambda: link.server_pid,
        )
        self._meter = Meter(lambda: self.knowledge.graph, lambda: self.knowledge.ram_bytes, self._earlier)
        self.watch = Foreground(
            terminal,
            self._executor,
            self.knowledge,
            tasks,
            ready=self._know,
            toolbar=self.toolbar,
            meter=self._meter,
            others=self._others,
        )
        self.commands = Commands(
            invocation,
            terminal,
            self._executor,
            self.knowledge,
            self.watch,
            expand=expand,
            set_events=self._set_events,
            reconnect=self._reconnect_once,
            learn=self._meter.learn,
        )

    def start(self, *, greets: bool = False) -> None:
        """Learn about the VM in the background. greets: then show which VM it is, and how to get help."""
        self._getting_to_know = self._tasks.create_task(self._get_to_know(greets=greets))
        self._tidying = self._tasks.create_task(self._tidy_up())
        self._ticking = self._tasks.create_task(self._tick())

    @property
    def correction(self) -> str | None:
        """Return what was probably meant by the text that was just refused."""
        return self.commands.correction

    @property
    def under_way(self) -> str | None:
        """Return the command that is under way; None if there is none."""
        running = self._executor.running
        return None if running is None else running.command_line.strip()

    async def obey(self, text: str) -> bool:
        """Do what a text asks for. Return False to leave the prompt."""
        return await self.commands.obey(text)

    async def finish(self) -> None:
        """See running commands to their end, because a snapshot job that nobody dismisses would stay in QEMU; then clean up."""
        await self.watch.finish()
        for task in (self._getting_to_know, self._tidying, self._reconnecting, self._ticking):
            if task is not None:
                task.cancel()
        await self.knowledge.close()
        self._intents.close()

    def toolbar(self, mode: str = "", *, is_at_prompt: bool = False) -> Fragments:
        """Return the toolbar.

        mode: the editing mode, if it is worth a word. is_at_prompt: nothing else shows what the prompt is waiting for.
        """
        status = self._status(self._waits if is_at_prompt else "")
        return toolbar(status, mode=mode, width=self._terminal.columns, hint=self._hint())

    def _status(self, waits: str = "") -> VMStatus:
        return VMStatus(
            self._executor.vm_name,
            str(self._link.version),
            self.knowledge.run_state,
            policy_text(self._executor.policy) + (" of the proxy" if self._executor.proxy is not None else ""),
            self.knowledge.snapshot_count,
            is_connected=self._link.is_connected,
            waits=waits,
        )

    def _hint(self) -> str:
        """Return what the command at the cursor takes, without asking QEMU."""
        app = get_app_or_none()
        typed = "" if app is None else last_line(app.current_buffer.document.text_before_cursor)
        return hint(typed, self.knowledge.facts, self.knowledge.answers.known)

    @property
    def _waits(self) -> str:
        """Return whom the prompt waits for while QEMU does not answer; "" for nobody."""
        return self._others.sentence(self._link.owed.silence, self._executor.running)

    async def _tick(self) -> None:
        """Redraw the toolbar regularly while QEMU does not answer."""
        was_told = False
        while True:
            await asyncio.sleep(_TICK_S)
            is_told = bool(self._waits)
            if is_told or was_told:
                _redraw()
            was_told = is_told

    def _earlier(self) -> Mapping[str, float]:
        """Return how long earlier commands took, from the log of this prompt or of the proxy. This blocks."""
        proxy, own = self._executor.proxy, self._invocation.audit
        vm = None if proxy is None or own is not None else served_at(self._link.address, proxy.vm, control_paths())
        path = log_file(own, None if vm is None else vm.audit)
        return {} if path is None else taken_s(path, self._executor.vm_name)

    def _set_events(self, names: tuple[str, ...] | None, on: bool | None) -> None:
        self.events = self.events.changed(names, on)
        self._terminal.notice(str(self.events))

    # -- what comes by itself -----------------------------------------------------------------------------------------

    def take_event(self, event: Event) -> None:
        """Show an event, if the person wants to see it, and note what it means for the VM."""
        self._executor.take_event(event)
        running = self._executor.running
        line = None if running is None else running.trace.line
        during = None if line is None else line.command
        self.knowledge.run_state = run_state_after(self.knowledge.run_state, event.name, during)
        is_job = event.name == "JOB_STATUS_CHANGE"
        job = str(event.data.get("id", "")) if is_job else ""
        is_own = job.startswith(self._executor.job_prefix)
        self._others.take_event(event, is_own=is_own)
        if event.name in _TELLING_EVENTS or (is_job and not is_own and event.data.get("status") == "concluded"):
            self.knowledge.refresh()
        # Those of another prompt are as little of interest as this one's.
        if self.events.lets_pass(event.name) and not job.startswith(REPL_JOB_PREFIX):
            self._terminal.show(event_line(event.name, event.data, event.time_s, local_time=datetime.fromtimestamp))
        _redraw()

    def take_loss(self, error: LostError) -> None:
        """Show that the connection has ended, and start to restore it if the person wants that."""
        hint = "connecting again as soon as it is back" if self._invocation.reconnects else "'reconnect' connects again"
        self._terminal.error(f"{error}; {hint}")
        if self._invocation.reconnects and (self._reconnecting is None or self._reconnecting.done()):
            self._reconnecting = self._tasks.create_task(self._reconnect())
        _redraw()

    async def _get_to_know(self, *, greets: bool = False) -> None:
        try:
            await self._executor.learn()
            if greets:
                self._terminal.show(start_line(self._status(), self.commands.asks, width=self._terminal.columns))
            self._tell_proxy()
            if self._executor.has_unsettled:
                await self._recover()
            self.knowledge.load_soon(self._tasks)
        except LostError:
            return  # take_loss() has shown it
        except (LinkError, OwnPolicyError) as exc:
            self._terminal.error(str(exc))
            await self._link.close()

    def _tell_proxy(self) -> None:
        """Show whose policy applies, if it is a proxy's."""
        for text in proxy_notices(self._executor.proxy, self._invocation.file_policy):
            self._terminal.notice(harmless(text))

    async def _know(self) -> None:
        """Wait until the VM is known, or cannot be."""
        assert self._getting_to_know is not None
        await asyncio.wait([self._getting_to_know])

    async def _tidy_up(self) -> None:
        """Dismiss jobs left by a prompt that was killed. One that is alive dismisses its own at once, so they do not stay."""
        with contextlib.suppress(LostError):
            left = await self._executor.concluded_jobs()
            if left:
                await asyncio.sleep(_ALIVE_S)
            if left & await self._executor.concluded_jobs():
                await self._recover(REPL_JOB_PREFIX)

    async def _recover(self, prefix: str | None = None) -> None:
        for found in await self._executor.recover(prefix):
            tell = self._terminal.error if found.is_trouble else self._terminal.notice
            tell(harmless(found.text))

    async def _reconnect(self) -> None:
        for delay in backoff_s():  # pragma: no branch - backoff_s() never ends
            await asyncio.sleep(delay)
            with contextlib.suppress(LinkError):
                await self._connect_again()
                return

    async def _reconnect_once(self) -> bool:
        if self._link.is_connected:
            self._terminal.notice("the connection is there")
            return True
        try:
            await self._connect_again()
        except LinkError as exc:
            self._terminal.error(str(exc))
            return False
        return True

    async def _connect_again(self) -> None:
        await self._link.connect()
        self._getting_to_know = self._tasks.create_task(self._get_to_know())
        await asyncio.wait([self._getting_to_know])
        if not self._link.is_connected:
            return  # _get_to_know() has shown why
        await self._recover()
        self._terminal.notice(f"connected to QEMU {self._link.version}, VM {harmless(self._executor.vm_name)}")


def _redraw() -> None:
    app = get_app_or_none()
    if app is not None:  # there is none while a pager has the terminal
        app.invalidate()
