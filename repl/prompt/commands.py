"""What the lines of a person do: what is wrong is refused with what was probably meant, and harm is asked for first.

A text that is refused is entered like any other, so the next line is a new one. Of a paste nothing is run unless all its
lines can be read. A refused text is in the history, and Tab on the empty line fills in what was meant.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, assert_never

from repl.command_line import Invocation
from repl.errors import LinkError, LostError
from repl.executor import Executor
from repl.lines import (
    ClearLine,
    ConnectLine,
    EmptyLine,
    EventsLine,
    ExitLine,
    HelpLine,
    Line,
    PlanLine,
    QMPLine,
    ReconnectLine,
    read_line,
)
from repl.output.confirmation import confirmation
from repl.output.layout import Fragments
from repl.output.rejection import rejection
from repl.output.show import end_of_command, hmp_text, qmp_reply
from repl.output.tag_advice import made_tag, missing_tag
from repl.prompt.answers import help_text, plan_text, snapshots_text
from repl.prompt.foreground import Foreground, GivenUpError
from repl.prompt.terminal import Terminal
from repl.results import HMPResult
from repl.scanning import LineError
from repl.vm_cache import VMCache
from shim.hmp import DelVM, HMPLine, InfoSnapshots, LoadVM, SaveVM
from shim.plan import Refusal
from shim.policy import FailedLoad, Mode
from shim.qmp import ErrorReply

__all__ = ["Commands"]


class Commands:
    """Call `obey` for each text that the person enters.

    set_events: told which events to show. reconnect: connects again; False if that fails.
    """

    def __init__(
        self,
        invocation: Invocation,
        terminal: Terminal,
        executor: Executor,
        knowledge: VMCache,
        watch: Foreground,
        *,
        set_events: Callable[[tuple[str, ...] | None, bool | None], None],
        reconnect: Callable[[], Coroutine[Any, Any, bool]],
    ) -> None:
        # What was probably meant by the text that was just refused.
        self.correction: str | None = None
        # The VM to change over to, and the lines that are for that one; whoever does it takes this away.
        self.change_over: tuple[str, str] | None = None
        self._invocation = invocation
        self._terminal = terminal
        self._executor = executor
        self._knowledge = knowledge
        self._watch = watch
        self._set_events = set_events
        self._reconnect = reconnect

    async def obey(self, text: str) -> bool:
        """Do what a line asks for, or each line of a paste up to the first that fails. False to leave the prompt."""
        self.correction = None
        lines = text.split("\n")
        asked = self._read(lines)
        for number, one in enumerate(asked, 1):
            if isinstance(one, ExitLine):
                return False
            if isinstance(one, ConnectLine):
                self.change_over = one.target, "\n".join(lines[number:])
                break
            if not await self._obey(one, lines[number - 1].strip()) and number < len(lines):
                self._terminal.notice(f"{len(lines) - number} more of the pasted lines were not run")
                if self.correction is not None:
                    self.correction = "\n".join([self.correction, *lines[number:]])
                break
        return True

    def _read(self, lines: list[str]) -> list[Line]:
        """Read all lines; none where one of them is wrong, which is told."""
        asked: list[Line] = []
        for number, line in enumerate(lines):
            try:
                asked.append(read_line(line, self._knowledge.facts))
            except LineError as exc:
                corrected = exc.corrected(line)
                if corrected is not None:
                    self.correction = "\n".join([*lines[:number], corrected, *lines[number + 1 :]])
                self._terminal.show(rejection(line, exc, is_of_paste=len(lines) > 1, width=self._terminal.columns))
                return []
        return asked

    async def _obey(self, asked: Line, line: str) -> bool:
        """Do what a line asks for; False if it failed, or was given up."""
        try:
            match asked:
                case EmptyLine() | ExitLine() | ConnectLine():
                    return True
                case HMPLine():
                    return await self._let_run(asked, line)
                case PlanLine(planned):
                    look = plan_text(self._executor, planned, width=self._terminal.columns)
                    self._terminal.show(await self._watch.look(look, line))
                    return True
                case QMPLine(name, arguments):
                    return await self._watch.run(self._qmp(name, arguments), line)
                case EventsLine(names, on):
                    self._set_events(names, on)
                    return True
                case HelpLine(topic):
                    self._terminal.show(
                        await self._watch.look(help_text(self._executor, topic, width=self._terminal.columns), line)
                    )
                    return True
                case ReconnectLine():
                    return await self._watch.look(self._reconnect(), line)
                case ClearLine():
                    await self._terminal.clear()
                    return True
                case _:
                    assert_never(asked)
        except LinkError as exc:
            self._terminal.error(f"{exc}; 'reconnect' tries again" if isinstance(exc, LostError) else str(exc))
        except GivenUpError:
            self._terminal.notice("not done")
        return False

    async def _let_run(self, line: HMPLine, name: str) -> bool:
        missing = await self._watch.look(missing_tag(self._executor, line), name) if self._looks_at(line) else None
        if missing is not None:
            await self._watch.run(self._hmp(line, missing.refusal), name)
            self.correction = missing.corrected
            hint = "; Tab puts it on the empty line" if self.correction is not None else ""
            self._terminal.notice(f"nothing was done: {missing}{hint}")
            return False
        await self._let_confirm(line, name)
        return await self._watch.run(self._hmp(line), name)

    def _looks_at(self, line: HMPLine) -> bool:
        """Tell whether a tag that is not there is refused here: QEMU would stop the VM for a load, or say nothing."""
        is_left_to_qemu = self._invocation.hmp_errors or self._invocation.policy.failed_load is FailedLoad.HMP
        is_about_tag = isinstance(line.command, LoadVM | DelVM)
        return is_about_tag and not is_left_to_qemu and self._executor.policy.mode is not Mode.OBSERVE

    async def _let_confirm(self, line: HMPLine, name: str) -> None:
        """Show what would be lost, and ask. Raises GivenUpError on a no."""
        if not self._invocation.asks:
            return
        asked = await self._watch.look(confirmation(self._executor, line, width=self._terminal.columns), name)
        if asked is None:
            return
        self._terminal.show(asked.explanation)
        await self._terminal.drain()
        if not await self._terminal.ask(asked.question):
            raise GivenUpError

    async def _hmp(self, line: HMPLine, refusal: Refusal | None = None) -> bool:
        result = await self._executor.hmp(line, refusal=refusal)
        self._terminal.show(await self._shown(line, result))
        prints_nothing = line.command is not None and not isinstance(line.command, InfoSnapshots)
        if prints_nothing or self._watch.is_left(asyncio.current_task()):
            ended = end_of_command(
                line.text.strip(),
                is_failure=result.is_failure,
                duration_ns=result.duration_ns,
                stopped_ns=result.stopped_ns,
            )
            self._terminal.show(ended)
        if line.command == SaveVM(None) and not result.is_failure and (tag := await made_tag(self._executor)) is not None:
            self._terminal.notice(f"saved as {tag}")
        self._knowledge.refresh()
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
        self._knowledge.refresh()
        return not isinstance(reply, ErrorReply)
