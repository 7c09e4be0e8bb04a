"""Commands from -c or standard input: HMP's text on standard output, complaints on standard error, and an exit status."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any, assert_never

from host.audit_log.log import AuditLog
from repl.beside import OTHER_POLICY
from repl.command_line import Invocation
from repl.errors import ExitStatus, LinkError, LostError, NotConnectedError, failure_text
from repl.executor import Executor
from repl.lines.lines import (
    ClearLine,
    ConnectLine,
    EventsLine,
    HelpLine,
    PlanLine,
    QMPLine,
    ReconnectLine,
    is_comment,
    own_name,
)
from repl.lines.scanning import LineError
from repl.link import Event, Link
from repl.outlets.scripted import is_for_prompt, outlet_advice, read_scripted
from repl.output.afterwards import afterwards
from repl.output.confirmation import confirmation, ends_vm
from repl.output.tag_advice import MissingTag, made_tag, missing_tag
from repl.results import HMPResult, intents_at
from repl.standard_input import read_some, standard_input
from shim.client import Client
from shim.hmp.line import HMPLine, SaveVM
from shim.printable import harmless, printable
from shim.qmp import ErrorReply, ReturnReply

__all__ = ["Script"]

# The width to assume if the terminal's is unknown.
_COLUMNS = 80


class Script:
    """One run of a script. `run` returns the exit status."""

    def __init__(self, invocation: Invocation, client: Client, audit_log: AuditLog | None) -> None:
        self._invocation = invocation
        self._intents = intents_at(invocation.address)
        self._link = Link(invocation.address, tls=invocation.tls, on_event=self._take_event, on_lost=self._take_loss)
        self._executor = Executor(
            self._link,
            invocation.policy,
            client,
            name=invocation.name,
            audit_log=audit_log,
            complain=lambda exc: _complain(f"{exc}; the command went on"),
            intents=self._intents,
            on_failure=lambda exc: _complain(failure_text(exc)),
            policy_options=invocation.policy_options,
            foretells=not invocation.hmp_errors,
        )
        self._lost = asyncio.Event()
        self._has_quit = False
        self._interrupted = asyncio.Event()

    async def run(self) -> ExitStatus:
        """Run all commands, or up to the first that fails. Raises LinkError if there is no connection at the start."""
        await self._link.connect()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            await self._executor.learn()
            if self._executor.proxy is not None and self._invocation.file_policy not in (None, self._executor.policy):
                _complain(OTHER_POLICY.format(self._executor.proxy))
            if self._executor.has_unsettled:
                for found in await self._executor.recover():
                    _complain(harmless(found.text))
            async with aclosing(self._lines()) as lines:
                return await self._run(lines)
        except LostError as exc:
            _complain(str(exc))
            return ExitStatus.NO_CONNECTION
        finally:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
            await self._link.close()
            self._intents.close()

    async def _run(self, lines: AsyncIterator[str]) -> ExitStatus:
        status = ExitStatus.OK
        async for line in lines:
            if self._interrupted.is_set():
                return ExitStatus.INTERRUPTED
            if own_name(line) == "exit" and len(line.split()) == 1:
                break
            if not await self._obey(line):
                status = ExitStatus.COMMAND_FAILED
                if not self._invocation.keeps_going:
                    break
        return ExitStatus.INTERRUPTED if self._interrupted.is_set() else status

    async def _lines(self) -> AsyncGenerator[str, None]:
        if self._invocation.commands is not None:
            for command in self._invocation.commands:
                if not is_comment(command):
                    yield command
            return
        async with aclosing(standard_input(self._lost, self._interrupted)) as lines:
            async for line in lines:
                if line.strip() and not is_comment(line):
                    yield line
        if self._lost.is_set() and not self._has_quit:
            raise LostError(str(self._invocation.address), "QEMU closed it")

    async def _obey(self, line: str) -> bool:
        if is_for_prompt(line):
            return self._leave_to_prompt(line)
        try:
            asked = read_scripted(line)
        except LineError as exc:
            self._point_at(line, exc)
            return False
        match asked:
            case QMPLine():
                return await self._qmp(line, asked)
            case PlanLine(planned):
                return await self._plan(line, planned)
            case ClearLine():  # nothing to do: there may be no screen, and earlier output must stay
                self._put(line, {"ok": True}, "")
                return True
            case HelpLine(topic):
                return await self._help(line, topic)
            case EventsLine() | ReconnectLine() | ConnectLine():
                return self._leave_to_prompt(line)
        return await self._hmp(asked)

    def _leave_to_prompt(self, line: str) -> bool:
        self._put(line, {"ok": False, "error": (text := "this works at the prompt only, not in a script")}, "")
        _complain(f"{line.strip()}: {text}")
        return False

    async def _hmp(self, line: HMPLine) -> bool:
        if not await self._is_wanted(line):
            return self._put_refusal(line.text)
        missing = await self._missing_tag(line)
        result = await self._carried_out(line)
        if result is None:
            return self._note_end(line.text)
        # From here on the answer is known, and no loss may take it away. A save prints nothing, so only JSON waits for its tag.
        tag = await made_tag(self._executor) if line.command == SaveVM(None) and not result.is_failure else None
        text = result.text if self._invocation.is_raw else result.text.replace("\r\n", "\n")
        self._put(line.text, result.members(tag), text)
        if missing is not None:
            _complain(str(missing))
        elif self._advises:
            with suppress(LinkError):
                if (told := await afterwards(self._executor, line, result)) is not None:
                    _complain(told)
        if result.is_failure and self._advises and (advice := outlet_advice(line.text)) is not None:
            _complain(advice)
        if tag is not None:
            _complain(f"saved as {tag}")
        return not result.is_failure

    async def _missing_tag(self, line: HMPLine) -> MissingTag | None:
        try:
            return await missing_tag(self._executor, line) if self._advises else None
        except LostError as exc:
            raise type(exc)(exc.subject, f"{exc.reason}; '{line.text.strip()}' was not sent") from exc

    async def _carried_out(self, line: HMPLine) -> HMPResult | None:
        """Return the result; None if the command has ended QEMU."""
        try:
            result = await self._executor.hmp(line)
        except NotConnectedError as exc:
            raise NotConnectedError(exc.subject, f"{exc.reason}; '{line.text.strip()}' was not sent") from exc
        except LostError as exc:
            if ends_vm(line):
                return None
            raise LostError(exc.subject, f"{exc.reason}; what became of '{line.text.strip()}' is not known") from exc
        self._has_quit = ends_vm(line) and not result.is_failure
        return result

    @property
    def _advises(self) -> bool:
        """Return whether to say more than HMP does: only if a person sees it, since a program may take it for an error."""
        return not self._invocation.hmp_errors and sys.stderr.isatty()

    async def _qmp(self, line: str, asked: QMPLine) -> bool:
        if not await self._is_wanted(asked):
            return self._put_refusal(line)
        has_quit = ends_vm(asked)
        try:
            reply = await self._executor.qmp(asked.name, asked.arguments)
        except NotConnectedError as exc:
            raise NotConnectedError(exc.subject, f"{exc.reason}; '{line.strip()}' was not sent") from exc
        except LostError:
            if has_quit:
                return self._note_end(line)
            raise
        self._has_quit = has_quit and isinstance(reply, ReturnReply)
        match reply:
            case ReturnReply(value):
                self._put(line, {"ok": True, "return": value}, json.dumps(value, indent=2) + "\n")
                return True
            case ErrorReply(error_class, desc):
                self._put(line, {"ok": False, "error": {"class": error_class, "desc": desc}}, f"{error_class}: {desc}\n")
                return False
            case _:
                assert_never(reply)

    def _note_end(self, line: str) -> bool:
        """Report success: QEMU has ended, as it was told to, before it could answer."""
        self._has_quit = True
        self._put(line, {"ok": True}, "")
        return True

    async def _plan(self, line: str, asked: HMPLine) -> bool:
        planned = await self._executor.plan(asked)
        self._put(line, {"ok": True, "plan": planned.plan}, planned.text + "\n")
        return True

    async def _help(self, line: str, topic: str) -> bool:
        subject, *name = topic.split() or [""]
        if subject != "qmp":
            return await self._hmp(HMPLine.read(f"help {topic}".strip()))
        from repl.output.qmp_help import qmp_help  # here, because few scripts ask

        try:
            told = await qmp_help(self._executor, " ".join(name), width=_COLUMNS)
        except LineError as exc:
            self._put(line, {"ok": False, "error": exc.message}, "")
            _complain(exc.message)
            return False
        text = "".join(part for _, part in told)
        self._put(line, {"ok": True, "text": text}, text)
        return True

    # -- asking -------------------------------------------------------------------------------------------------------

    async def _is_wanted(self, line: HMPLine | QMPLine) -> bool:
        if not (self._invocation.asks and sys.stdin.isatty() and sys.stderr.isatty()):
            return True
        asked = await confirmation(self._executor, line, width=_columns())
        if asked is None:
            return True
        sys.stderr.write(harmless("".join(text for _, text in asked.explanation)) + f"{asked.question} [y/N] ")
        sys.stderr.flush()
        # One read returns a whole line of a terminal. A blocking read would delay Ctrl-C.
        answer = await read_some(sys.stdin.fileno(), (self._lost,))
        if self._lost.is_set():
            raise LostError(str(self._invocation.address), "QEMU closed it")
        return answer.decode(errors="replace").strip().lower() in ("y", "yes")

    # -- what comes by itself -----------------------------------------------------------------------------------------

    def _take_event(self, event: Event) -> None:
        self._executor.take_event(event)

    def _take_loss(self, error: LostError) -> None:
        self._lost.set()

    def _interrupt(self) -> None:
        running = self._executor.running
        if running is None or self._interrupted.is_set():
            raise KeyboardInterrupt
        self._interrupted.set()
        _complain(f"'{running.command_line.strip()}' goes on in QEMU; waiting for its end (Ctrl-C again: do not wait)")

    # -- printing -----------------------------------------------------------------------------------------------------

    def _put(self, line: str, members: dict[str, Any], text: str) -> None:
        if self._invocation.as_json:
            text = json.dumps({"command": line.strip(), **members}) + "\n"
        elif sys.stdout.isatty():
            text = harmless(text)
        # As bytes, so that a tag that the locale cannot encode does not end the run.
        sys.stdout.buffer.write(text.encode("utf-8", errors="surrogatepass"))
        sys.stdout.buffer.flush()

    def _put_refusal(self, line: str) -> bool:
        self._put(line, {"ok": False, "error": "not confirmed"}, "")
        return False

    def _point_at(self, line: str, error: LineError) -> None:
        self._put(line, {"ok": False, "error": error.message, "position": error.position}, "")
        shown = line.rstrip("\n").replace("\t", " ")
        before = printable(shown[: error.position])
        sys.stderr.write(f"hmp-repl: {printable(shown)}\nhmp-repl: {' ' * len(before)}^ {printable(error.message)}\n")


def _complain(text: str) -> None:
    """Write one line to standard error. Text from QEMU or an input must not look like another line of ours."""
    sys.stderr.write(f"hmp-repl: {printable(text)}\n")


def _columns() -> int:
    return os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS
