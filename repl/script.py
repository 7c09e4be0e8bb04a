"""Commands from -c or standard input: HMP's text on standard output, complaints on standard error, and an exit status."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, assert_never

from host.audit_log import AuditLog
from repl.beside import OTHER_POLICY
from repl.command_line import Invocation
from repl.completion_data import CompletionData
from repl.errors import ExitStatus, LostError, NotConnectedError, traceback_text
from repl.executor import Executor
from repl.lines import ConnectLine, EventsLine, PlanLine, QMPLine, ReconnectLine, read_line
from repl.link import Event, Link
from repl.output.confirmation import confirmation, ends_vm
from repl.results import intents_at
from repl.scanning import LineError
from shim.client import Client
from shim.hmp import HMPLine, first_refused
from shim.printable import harmless, printable
from shim.qmp import JSON, ErrorReply, ReturnReply

__all__ = ["Script"]

_OWN_NAMES = frozenset({"plan", "qmp", "events", "reconnect", "connect", "exit"})
_READ_BYTES = 64 * 1024
# What a terminal without a known width is taken for.
_COLUMNS = 80


class Script:
    """One run. `run` gives the exit status."""

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
            on_failure=lambda exc: _complain(f"hmpshim has failed, and goes on\n{traceback_text(exc)}"),
            policy_options=invocation.policy_options,
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
            if line.strip() == "exit":
                break
            if not await self._obey(line):
                status = ExitStatus.COMMAND_FAILED
                if not self._invocation.keeps_going:
                    break
        return ExitStatus.INTERRUPTED if self._interrupted.is_set() else status

    async def _lines(self) -> AsyncGenerator[str, None]:
        if self._invocation.commands is not None:
            for command in self._invocation.commands:
                yield command
            return
        async with aclosing(_standard_input(self._lost, self._interrupted)) as lines:
            async for line in lines:
                if line.strip():
                    yield line
        if self._lost.is_set() and not self._has_quit:
            raise LostError(str(self._invocation.address), "QEMU closed it")

    async def _obey(self, line: str) -> bool:
        try:
            asked = _read(line)
        except LineError as exc:
            self._point_at(line, exc)
            return False
        match asked:
            case QMPLine(name, arguments):
                return await self._qmp(line, name, arguments)
            case PlanLine(planned):
                return await self._plan(line, planned)
            case EventsLine() | ReconnectLine() | ConnectLine():
                self._put(line, {"ok": False, "error": (text := "this is for the prompt, not for a script")}, "")
                _complain(f"{line.strip()}: {text}")
                return False
        return await self._hmp(asked)

    async def _hmp(self, line: HMPLine) -> bool:
        if self._is_at_terminal and not await self._is_wanted(line):
            self._put(line.text, {"ok": False, "error": "not confirmed"}, "")
            return False
        has_quit = ends_vm(line)
        try:
            result = await self._executor.hmp(line)
        except NotConnectedError as exc:
            raise NotConnectedError(exc.subject, f"{exc.reason}; '{line.text.strip()}' was not sent") from exc
        except LostError as exc:
            if has_quit:
                return self._note_end(line.text)
            raise LostError(exc.subject, f"{exc.reason}; what became of '{line.text.strip()}' is not known") from exc
        self._has_quit = has_quit and not result.is_failure
        members = {
            "ok": not result.is_failure,
            "text": result.text,
            "duration_ms": round(result.duration_ns / 1_000_000, 3),
            "stopped_ms": round(result.stopped_ns / 1_000_000, 3),
        }
        self._put(line.text, members, result.text if self._invocation.is_raw else result.text.replace("\r\n", "\n"))
        return not result.is_failure

    async def _qmp(self, line: str, name: str, arguments: dict[str, JSON]) -> bool:
        try:
            reply = await self._executor.qmp(name, arguments)
        except NotConnectedError as exc:
            raise NotConnectedError(exc.subject, f"{exc.reason}; '{line.strip()}' was not sent") from exc
        except LostError:
            if name == "quit":
                return self._note_end(line)
            raise
        self._has_quit = name == "quit" and isinstance(reply, ReturnReply)
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
        """QEMU ended, as it was told to, and before it could answer."""
        self._has_quit = True
        self._put(line, {"ok": True}, "")
        return True

    async def _plan(self, line: str, asked: HMPLine) -> bool:
        planned = await self._executor.plan(asked)
        self._put(line, {"ok": True, "plan": planned.plan}, planned.text + "\n")
        return True

    # -- asking -------------------------------------------------------------------------------------------------------

    @property
    def _is_at_terminal(self) -> bool:
        return self._invocation.asks and sys.stdin.isatty() and sys.stderr.isatty()

    async def _is_wanted(self, line: HMPLine) -> bool:
        asked = await confirmation(self._executor, line, width=_columns())
        if asked is None:
            return True
        sys.stderr.write(harmless("".join(text for _, text in asked.explanation)) + f"{asked.question} [y/N] ")
        sys.stderr.flush()
        # A terminal gives a line at a time. A blocking read would keep Ctrl-C waiting for it.
        answer = await _read_some(sys.stdin.fileno(), (self._lost,))
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
        # Bytes, so that a tag that the locale cannot spell does not end the run.
        sys.stdout.buffer.write(text.encode("utf-8", errors="surrogatepass"))
        sys.stdout.buffer.flush()

    def _point_at(self, line: str, error: LineError) -> None:
        self._put(line, {"ok": False, "error": error.message, "position": error.position}, "")
        shown = line.rstrip("\n").replace("\t", " ")
        before = printable(shown[: error.position])
        sys.stderr.write(f"hmp-repl: {printable(shown)}\nhmp-repl: {' ' * len(before)}^ {printable(error.message)}\n")


def _read(line: str) -> Any:
    """Read a line of ours; what is HMP's goes to QEMU however it looks, so that QEMU's own error comes."""
    read = HMPLine.read(line)
    if first_refused(line) is None and read.name not in _OWN_NAMES:
        return read
    return read_line(line, CompletionData())


def _complain(text: str) -> None:
    """Say something in a line. What QEMU or an input says in it must not look like another line of ours."""
    sys.stderr.write(f"hmp-repl: {printable(text)}\n")


def _columns() -> int:
    return os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS


async def _standard_input(*ends: asyncio.Event) -> AsyncGenerator[str, None]:
    """Return the lines as they come, until the end of the input or one of the events."""
    rest = b""
    while data := await _read_some(sys.stdin.fileno(), ends):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", errors="surrogateescape")
    if rest and not any(end.is_set() for end in ends):
        yield rest.decode("utf-8", errors="surrogateescape")


async def _read_some(descriptor: int, ends: Sequence[asyncio.Event]) -> bytes:
    """Read what there is; b"" at the end, or when one of the events is set first."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(descriptor, readable.set)
    except PermissionError:  # a file, or /dev/null: it is there at once (epoll_ctl(2), EPERM)
        readable.set()
    waits = [asyncio.ensure_future(event.wait()) for event in (readable, *ends)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(descriptor)
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
    return b"" if any(end.is_set() for end in ends) else os.read(descriptor, _READ_BYTES)
