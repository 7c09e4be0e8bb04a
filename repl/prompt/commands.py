"""What a person's lines do: a wrong line is refused with what was probably meant, and before harm there is a question.

A refused text is entered like any other: the next prompt is empty, the text is in the history, and Tab on the empty line fills
in what was probably meant. Nothing of a paste runs unless all its lines can be read.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, assert_never

from repl.command_line import Invocation
from repl.errors import LinkError, LostError
from repl.executor import Executor
from repl.lines.arguments import whole_lines
from repl.lines.lines import (
    ClearLine,
    ConnectLine,
    EmptyLine,
    EventsLine,
    ExitLine,
    HelpLine,
    PlanLine,
    QMPLine,
    ReconnectLine,
    is_comment,
)
from repl.lines.scanning import LineError
from repl.outlets.redirection import Outlet
from repl.outlets.typed import PagerLine, TimingLine, Typed, read_typed, watched_from
from repl.output.afterwards import afterwards
from repl.output.confirmation import confirmation, ends_vm
from repl.output.layout import Fragments
from repl.output.near_names import near_name
from repl.output.printed import Printed
from repl.output.rejection import rejection
from repl.output.show import end_of_command
from repl.output.tag_advice import made_tag, missing_tag
from repl.prompt.answers import help_text, hmp_printed, plan_text, qmp_printed
from repl.prompt.foreground import Foreground, GivenUpError
from repl.prompt.reading.readout import Ended, Readout
from repl.prompt.reading.repeating import Repetition
from repl.prompt.terminal import Terminal
from repl.results import HMPResult
from repl.vm_cache import VMCache
from shim.graph.policy import FailedLoad, Mode
from shim.hmp.line import DelVM, HMPLine, InfoSnapshots, LoadVM, SaveVM
from shim.plans.plan import Refusal
from shim.printable import harmless
from shim.qmp import ErrorReply, Execute, Reply

__all__ = ["Commands"]


class Commands:
    """The commands at the prompt. Call `obey` for each text that the person enters.

    expand: expands the alias in a line. set_events: called with the events to show. reconnect: connects again; returns False if
    that fails. learn: called with the name of a successful HMP command and the nanoseconds that it took.
    """

    def __init__(
        self,
        invocation: Invocation,
        terminal: Terminal,
        executor: Executor,
        knowledge: VMCache,
        watch: Foreground,
        *,
        expand: Callable[[str], str],
        set_events: Callable[[tuple[str, ...] | None, bool | None], None],
        reconnect: Callable[[], Coroutine[Any, Any, bool]],
        learn: Callable[[str, int], None],
    ) -> None:
        # What was probably meant by the text that was just refused.
        self.correction: str | None = None
        # The VM to change over to, and the lines to run there; whoever changes over resets this to None.
        self.change_over: tuple[str, str] | None = None
        self._invocation = invocation
        self._terminal = terminal
        self._executor = executor
        self._knowledge = knowledge
        self._watch = watch
        # The kinds of loss before which the prompt asks.
        self.asks = invocation.settings.asks if invocation.asks else frozenset()
        self._expand = expand
        self._set_events = set_events
        self._reconnect = reconnect
        self._learn = learn
        self._readout = Readout(terminal, watch)

    async def obey(self, text: str) -> bool:
        """Do what a line asks for, or each line of a paste up to the first that fails. Return False to leave the prompt."""
        self.correction = None
        typed = whole_lines(text)
        lines = [self._expand(line) for line in typed]
        asked = self._read(lines, typed)
        for number, one in enumerate(asked, 1):
            if lines[number - 1] != typed[number - 1]:
                self._terminal.show([("class:dim", f"= {lines[number - 1].strip()}")])
            if isinstance(one.asked, ExitLine):
                return False
            if isinstance(one.asked, ConnectLine):
                self.change_over = one.asked.target, "\n".join(lines[number:])
                break
            if not await self._obey(one, lines[number - 1]) and number < len(lines):
                self.tell_not_run(lines[number:])
                if self.correction is not None:
                    self.correction = "\n".join([self.correction, *lines[number:]])
                break
        return True

    def tell_not_run(self, lines: Sequence[str]) -> None:
        """Say how many lines of a paste were not run; blank lines and comments do nothing anyway."""
        count = sum(bool(line.strip()) and not is_comment(line) for line in lines)
        if count:
            self._terminal.notice(f"{count} more of the pasted lines were not run")

    def _read(self, lines: list[str], typed: Sequence[str]) -> list[Typed]:
        """Read all lines; if one is wrong, show why and return []. typed: the lines before their aliases were expanded."""
        asked: list[Typed] = []
        for number, line in enumerate(lines):
            try:
                asked.append(read_typed(line, self._knowledge.facts))
            except LineError as exc:
                corrected = exc.corrected(line)
                if corrected is not None:
                    self.correction = "\n".join([*lines[:number], corrected, *lines[number + 1 :]])
                is_of_paste, is_typed = len(lines) > 1, line == typed[number]
                width = self._terminal.columns
                self._terminal.show(rejection(line, exc, is_of_paste=is_of_paste, is_typed=is_typed, width=width))
                return []
        return asked

    async def _obey(self, typed: Typed, line: str) -> bool:
        """Do what a line asks for; return False if it failed or was given up."""
        try:
            return await (
                self._once(typed, line) if typed.every_s is None else self._repeat(typed, typed.every_s, line.strip())
            )
        except LinkError as exc:
            self._terminal.error(f"{exc}; 'reconnect' tries again" if isinstance(exc, LostError) else str(exc))
        except GivenUpError:
            self._terminal.notice("not done")
        return False

    async def _once(self, typed: Typed, line: str) -> bool:
        name = line.strip()
        match typed.asked:
            case EmptyLine() | ExitLine() | ConnectLine():
                return True
            case HMPLine() as asked:
                return await self._let_run(asked, typed.outlet, line)
            case QMPLine() as asked_of_qmp:
                # Named by the command alone, because the typed text may have many lines.
                return await self._let_run_qmp(asked_of_qmp, typed.outlet, f"qmp {asked_of_qmp.name}")
            case PlanLine() as planned:
                return await self._readout.look(self._plan(planned), typed.outlet, name)
            case HelpLine(topic):
                told = help_text(self._executor, topic, width=self._terminal.columns)
                return await self._readout.look(told, typed.outlet, name)
            case EventsLine(names, on):
                self._set_events(names, on)
            case ReconnectLine():
                return await self._watch.look(self._reconnect(), name)
            case ClearLine():
                await self._terminal.clear()
            case TimingLine(on):
                self._terminal.is_timed = not self._terminal.is_timed if on is None else on
                self._terminal.notice(f"timing is {'on' if self._terminal.is_timed else 'off'}")
            case PagerLine(argument):
                self._terminal.pager = self._terminal.pager.changed(argument, os.environ)
                self._terminal.notice(str(self._terminal.pager))
            case _:
                assert_never(typed.asked)
        return True

    async def _repeat(self, typed: Typed, every_s: float, line: str) -> bool:
        name = line[watched_from(line)[0] :]
        await Repetition(self._terminal, self._watch, lambda: self._seen(typed), name, every_s).run()
        return True

    async def _seen(self, typed: Typed) -> Fragments:
        """Run a watched command once, and return what to show."""
        asked, is_failure = typed.asked, False
        if isinstance(asked, HMPLine):
            result = await self._executor.hmp(asked)
            printed, is_failure = await self._printed(asked, result), result.is_failure
        elif isinstance(asked, QMPLine):
            reply = await self._executor.qmp(asked.name, asked.arguments)
            printed, is_failure = qmp_printed(reply), isinstance(reply, ErrorReply)
        else:
            assert isinstance(asked, PlanLine), "nothing else is repeated"
            printed = await self._plan(asked)
        if is_failure:
            return printed.shown
        told, _ = await self._readout.delivery.behind(printed, typed.outlet)
        return told

    async def _plan(self, planned: PlanLine) -> Printed:
        return Printed.of(await plan_text(self._executor, planned.line, width=self._terminal.columns))

    async def _printed(self, line: HMPLine, result: HMPResult) -> Printed:
        return await hmp_printed(self._executor, line, result, is_raw=self._invocation.is_raw, width=self._terminal.columns)

    # -- snapshot commands, and all others ----------------------------------------------------------------------------

    async def _let_run_qmp(self, line: QMPLine, outlet: Outlet | None, name: str) -> bool:
        await self._let_confirm(line, name)
        return await self._readout.run(self._qmp(line, outlet), outlet, name, ends_vm=ends_vm(line))

    async def _let_run(self, line: HMPLine, outlet: Outlet | None, typed: str) -> bool:
        name = typed.strip()
        missing = await self._watch.look(missing_tag(self._executor, line), name) if self._looks_at(line) else None
        if missing is not None:
            await self._readout.run(self._hmp(line, None, typed, missing.refusal), None, name)
            self.correction = missing.corrected
            hint = "; Tab puts it on the empty line" if self.correction is not None else ""
            self._terminal.notice(f"nothing was done: {missing}{hint}")
            return False
        await self._let_confirm(line, name)
        return await self._readout.run(self._hmp(line, outlet, typed), outlet, name, ends_vm=ends_vm(line))

    def _looks_at(self, line: HMPLine) -> bool:
        """Return whether to refuse a missing tag here: QEMU would stop the VM for a load, and say nothing for a deletion."""
        is_left_to_qemu = self._invocation.hmp_errors or self._invocation.policy.failed_load is FailedLoad.HMP
        is_about_tag = isinstance(line.command, LoadVM | DelVM)
        return is_about_tag and not is_left_to_qemu and self._executor.policy.mode is not Mode.OBSERVE

    async def _let_confirm(self, line: HMPLine | QMPLine, name: str) -> None:
        """Show what would be lost, and ask. Raises GivenUpError on a no."""
        if not self.asks:
            return
        asked = await self._watch.look(confirmation(self._executor, line, width=self._terminal.columns), name)
        if asked is None or asked.about not in self.asks:
            return
        self._terminal.show(asked.explanation)
        await self._terminal.drain()
        if not await self._terminal.ask(asked.question):
            raise GivenUpError

    async def _hmp(self, line: HMPLine, outlet: Outlet | None, typed: str, refusal: Refusal | None = None) -> bool:
        result = await self._executor.hmp(line, refusal=refusal)
        if not result.is_failure:
            self._learn(line.name, result.stopped_ns or result.duration_ns)
        self._knowledge.refresh()
        printed = await self._printed(line, result)
        end = end_of_command(
            line.text.strip(),
            is_failure=result.is_failure,
            duration_ns=result.duration_ns,
            stopped_ns=result.stopped_ns,
        )
        if line.command == SaveVM(None) and not result.is_failure:
            with contextlib.suppress(LostError):  # the outcome of the command itself is known
                tag = await made_tag(self._executor)
                end += [("class:notice", f"saved as {tag}\n")] if tag is not None else []
        # Of a tag that no disk has, everything is said.
        hint = await self._hint(line, result) if refusal is None else []
        hint += await self._meant(line, result, typed)
        prints_nothing = line.command is not None and not isinstance(line.command, InfoSnapshots)
        ended = Ended(printed, result.is_failure, result.duration_ns, end, tells_end=prints_nothing, hint=hint)
        return await self._readout.end(ended, outlet)

    async def _meant(self, line: HMPLine, result: HMPResult, typed: str) -> Fragments:
        """Return which name was probably meant by one that QEMU has refused, and keep the corrected line for Tab.

        typed: the line with what follows the command. If nobody waits any more, Tab is for the line that is typed now.
        """
        if line.is_about_snapshots:
            return []
        found = await near_name(line.text, result.text, self._knowledge.facts, self._knowledge.answers)
        if found is None:
            return []
        told = harmless(found.message)
        if not self._watch.is_left(asyncio.current_task()):
            self.correction = found.corrected(typed)
            told += " Tab puts it on the empty line"
        return [("class:notice", f"{told}\n")]

    async def _hint(self, asked: HMPLine | Execute, outcome: HMPResult | Reply) -> Fragments:
        with contextlib.suppress(LinkError):  # what became of the command itself is known
            told = await afterwards(self._executor, asked, outcome)
            return [] if told is None else [("class:notice", f"{told}\n")]
        return []

    async def _qmp(self, line: QMPLine, outlet: Outlet | None) -> bool:
        started_ns = time.monotonic_ns()
        reply = await self._executor.qmp(line.name, line.arguments)
        took_ns = time.monotonic_ns() - started_ns
        self._knowledge.refresh()
        is_failure = isinstance(reply, ErrorReply)
        hint = await self._hint(Execute(line.name, line.arguments), reply)
        return await self._readout.end(Ended(qmp_printed(reply), is_failure, took_ns, hint=hint), outlet)
