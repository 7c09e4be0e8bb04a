"""What happens behind the prompt: lines are obeyed, with questions before harm, and what comes by itself is told.

It knows the executor, the terminal's lines and questions, and nothing of how a line is edited.
"""

import asyncio
import contextlib
from datetime import datetime
from typing import Any, assert_never

from prompt_toolkit.application import get_app

from host.audit_log import AuditLog
from host.connecting import backoff_s
from repl.beside import proxy_notices
from repl.command_line import Invocation
from repl.errors import LinkError, LostError, OwnPolicyError, traceback_text
from repl.executor import Executor
from repl.lines import ConnectLine, EmptyLine, EventsLine, ExitLine, HelpLine, Line, PlanLine, QMPLine, ReconnectLine, read_line
from repl.link import Event, Link
from repl.output.confirmation import confirmation
from repl.output.layout import Fragments
from repl.output.show import end_of_command, event_line, hmp_text, qmp_reply
from repl.output.vm_status import VMStatus, policy_text, run_state_after, toolbar
from repl.prompt.answers import help_text, plan_text, snapshots_text
from repl.prompt.event_filter import EventFilter
from repl.prompt.foreground import Foreground, GivenUpError
from repl.prompt.terminal import Terminal
from repl.results import HMPResult, intents_at
from repl.scanning import LineError
from repl.vm_cache import VMCache
from shim.client import Client
from shim.hmp import HMPLine, InfoSnapshots
from shim.jobs import REPL_JOB_PREFIX
from shim.printable import harmless
from shim.qmp import ErrorReply

__all__ = ["Console"]

# After these the VM's disks or snapshots may be others than they were.
_TELLING_EVENTS = frozenset({"RESUME", "STOP", "SHUTDOWN", "RESET", "DEVICE_DELETED", "BLOCK_JOB_COMPLETED"})
# So long a job of a prompt that lives is concluded at most before it is dismissed.
_ALIVE_S = 1.0


class Console:
    """Call `start` once, `obey` for each text that the person enters, and `finish` at the end.

    tasks: where what goes on behind the prompt is kept; its owner waits for it. change_over: where `connect` wants to go, and
    the lines after it; its owner does that.
    """

    def __init__(
        self,
        invocation: Invocation,
        client: Client,
        audit_log: AuditLog | None,
        link: Link,
        terminal: Terminal,
        tasks: asyncio.TaskGroup,
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
            on_failure=lambda exc: terminal.error(f"hmpshim has failed, and goes on\n{traceback_text(exc)}"),
            policy_options=invocation.policy_options,
        )
        self.knowledge = VMCache(self._executor, on_change=_redraw)
        self.events = EventFilter()
        self.change_over: tuple[str, str] | None = None
        self._getting_to_know: asyncio.Task[None] | None = None
        self._tidying: asyncio.Task[None] | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self.watch = Foreground(terminal, self._executor, self.knowledge, tasks, ready=self._know, toolbar=self.toolbar)

    def start(self) -> None:
        """Get to know the VM, behind the prompt."""
        self._getting_to_know = self._tasks.create_task(self._get_to_know())
        self._tidying = self._tasks.create_task(self._tidy_up())

    async def obey(self, text: str) -> bool:
        """Do what a line asks for, or each line of a paste up to the first that fails. False to leave the prompt."""
        lines = text.split("\n")
        for number, line in enumerate(lines, 1):
            try:
                asked = read_line(line, self.knowledge.facts)
            except LineError as exc:  # entered before there was anybody to refuse it
                self._terminal.error(f"{line}\n{' ' * exc.position}^ {exc.message}")
                break
            if isinstance(asked, ExitLine):
                return False
            if isinstance(asked, ConnectLine):
                self.change_over = asked.target, "\n".join(lines[number:])
                break
            if not await self._obey(asked, line.strip()) and number < len(lines):
                self._terminal.notice(f"{len(lines) - number} more of the pasted lines were not run")
                break
        return True

    async def finish(self) -> None:
        """See to their end the commands that still run: a snapshot job that nobody dismisses would stay in QEMU."""
        await self.watch.finish()
        for task in (self._getting_to_know, self._tidying, self._reconnecting):
            if task is not None:
                task.cancel()
        await self.knowledge.close()
        self._intents.close()

    def toolbar(self, mode: str = "") -> Fragments:
        """Return the toolbar. mode: the editing mode, if it is worth a word."""
        status = VMStatus(
            self._executor.vm_name,
            str(self._link.version),
            self.knowledge.run_state,
            policy_text(self._executor.policy) + (" of the proxy" if self._executor.proxy is not None else ""),
            self.knowledge.snapshot_count,
            is_connected=self._link.is_connected,
        )
        return toolbar(status, mode=mode, width=self._terminal.columns)

    # -- lines --------------------------------------------------------------------------------------------------------

    async def _obey(self, asked: Line, line: str) -> bool:
        """Do what a line asks for; False if it failed, or was given up."""
        try:
            match asked:
                case EmptyLine() | ExitLine() | ConnectLine():
                    return True
                case HMPLine():
                    await self._let_confirm(asked, line)
                    return await self.watch.run(self._hmp(asked), line)
                case PlanLine(planned):
                    look = plan_text(self._executor, planned, width=self._terminal.columns)
                    self._terminal.show(await self.watch.look(look, line))
                    return True
                case QMPLine(name, arguments):
                    return await self.watch.run(self._qmp(name, arguments), line)
                case EventsLine(names, on):
                    return self._set_events(names, on)
                case HelpLine(topic):
                    self._terminal.show(await self.watch.look(help_text(self._executor, topic), line))
                    return True
                case ReconnectLine():
                    return await self.watch.look(self._reconnect_once(), line)
                case _:
                    assert_never(asked)
        except LinkError as exc:
            self._terminal.error(f"{exc}; 'reconnect' tries again" if isinstance(exc, LostError) else str(exc))
        except GivenUpError:
            self._terminal.notice("not done")
        return False

    async def _let_confirm(self, line: HMPLine, name: str) -> None:
        """Show what would be lost, and ask. Raises GivenUpError on a no."""
        if not self._invocation.asks:
            return
        asked = await self.watch.look(confirmation(self._executor, line, width=self._terminal.columns), name)
        if asked is None:
            return
        self._terminal.show(asked.explanation)
        await self._terminal.drain()
        if not await self._terminal.ask(asked.question):
            raise GivenUpError

    async def _hmp(self, line: HMPLine) -> bool:
        result = await self._executor.hmp(line)
        self._terminal.show(await self._shown(line, result))
        prints_nothing = line.command is not None and not isinstance(line.command, InfoSnapshots)
        if prints_nothing or self.watch.is_left(asyncio.current_task()):
            ended = end_of_command(
                line.text.strip(),
                is_failure=result.is_failure,
                duration_ns=result.duration_ns,
                stopped_ns=result.stopped_ns,
            )
            self._terminal.show(ended)
        self.knowledge.refresh()
        return not result.is_failure

    async def _shown(self, line: HMPLine, result: HMPResult) -> Fragments:
        if isinstance(line.command, InfoSnapshots) and not result.is_failure and not self._invocation.is_raw:
            table = await snapshots_text(self._executor, width=self._terminal.columns)
            if table is not None:
                return table
        return hmp_text(result.text, is_failure=result.is_failure)

    async def _qmp(self, name: str, arguments: dict[str, Any]) -> bool:
        reply = await self._executor.qmp(name, arguments)
        self._terminal.show(qmp_reply(reply))
        self.knowledge.refresh()
        return not isinstance(reply, ErrorReply)

    def _set_events(self, names: tuple[str, ...] | None, on: bool | None) -> bool:
        self.events = self.events.changed(names, on)
        self._terminal.notice(str(self.events))
        return True

    # -- what comes by itself -----------------------------------------------------------------------------------------

    def take_event(self, event: Event) -> None:
        """Tell an event, if the person wants to see it, and what it means for the VM."""
        self._executor.take_event(event)
        running = self._executor.running
        line = None if running is None else running.trace.line
        during = None if line is None else line.command
        self.knowledge.run_state = run_state_after(self.knowledge.run_state, event.name, during)
        is_job = event.name == "JOB_STATUS_CHANGE"
        is_own = is_job and str(event.data.get("id", "")).startswith(REPL_JOB_PREFIX)
        if event.name in _TELLING_EVENTS or (is_job and not is_own and event.data.get("status") == "concluded"):
            self.knowledge.refresh()
        if self.events.lets_pass(event.name) and not is_own:
            self._terminal.show(event_line(event.name, event.data, event.time_s, local_time=datetime.fromtimestamp))
        _redraw()

    def take_loss(self, error: LostError) -> None:
        """Tell that the connection has ended, and see that it comes back, if the person wants that."""
        hint = "connecting again as soon as it is back" if self._invocation.reconnects else "'reconnect' connects again"
        self._terminal.error(f"{error}; {hint}")
        if self._invocation.reconnects and (self._reconnecting is None or self._reconnecting.done()):
            self._reconnecting = self._tasks.create_task(self._reconnect())
        _redraw()

    async def _get_to_know(self) -> None:
        try:
            await self._executor.learn()
            self._tell_proxy()
            if self._executor.has_unsettled:
                await self._recover()
            self.knowledge.load_soon(self._tasks)
        except LostError:
            return  # it has been told
        except (LinkError, OwnPolicyError) as exc:
            self._terminal.error(str(exc))
            await self._link.close()

    def _tell_proxy(self) -> None:
        """Say whose policy it is, where it is not this prompt's."""
        for text in proxy_notices(self._executor.proxy, self._invocation.file_policy):
            self._terminal.notice(harmless(text))

    async def _know(self) -> None:
        """Wait until it is known which QEMU this is."""
        assert self._getting_to_know is not None
        await asyncio.wait([self._getting_to_know])

    async def _tidy_up(self) -> None:
        """Dismiss what a prompt that was killed has left: another one that is alive dismisses its own jobs at once."""
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
            return  # why has been told
        await self._recover()
        self._terminal.notice(f"connected to QEMU {self._link.version}, VM {harmless(self._executor.vm_name)}")


def _redraw() -> None:
    get_app().invalidate()
