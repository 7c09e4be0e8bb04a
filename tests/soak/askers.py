"""Clients that send snapshot commands, one function a shape. Each tells what it knows of its commands afterwards.

A connection that ends before an answer leaves that command, and those after it, unknown.
"""

import json
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from tests.integration.scripts.repl_process import repl
from tests.soak.oracle import Answer, Asked, Command, Verb
from tests.soak.scene import Machine
from tests.support.raw_client import ConnectionLostError, RawClient, command_bytes, is_reply

__all__ = ["ASKERS", "Asker", "modern"]

Asker = Callable[[Machine, Callable[[], RawClient], Sequence[Command]], list[Asked]]

_LOST: Final = (ConnectionLostError, ConnectionError)
_FAILED_JOB: Final = "error"


def script(machine: Machine, connect: Callable[[], RawClient], commands: Sequence[Command]) -> list[Asked]:
    """Send all in one write, without waiting for the greeting; then read the answers."""
    with connect() as client:
        return _sent_and_read(client, commands, lambda: None)


def half_closing(machine: Machine, connect: Callable[[], RawClient], commands: Sequence[Command]) -> list[Asked]:
    """As `nc` does at the end of its input."""
    with connect() as client:
        return _sent_and_read(client, commands, client.half_close)


def one_by_one(machine: Machine, connect: Callable[[], RawClient], commands: Sequence[Command]) -> list[Asked]:
    """As libvirt does: negotiate, look, and send each command after the answer to the one before, with an id."""
    answers: list[Asked] = []
    with connect() as client:
        try:
            client.negotiate()
            client.execute("query-commands", id="libvirt-1")
            for command in commands:
                client.send(_spelled(command))
                answers.append(_read(client, command))
        except _LOST:
            pass
    return _completed(answers, commands)


def forgetting(machine: Machine, connect: Callable[[], RawClient], commands: Sequence[Command]) -> list[Asked]:
    """Send, and be gone."""
    with connect() as client, suppress(*_LOST):
        client.send(command_bytes("qmp_capabilities") + b"".join(map(_spelled, commands)))
    return _completed([], commands)


def resetting(machine: Machine, connect: Callable[[], RawClient], commands: Sequence[Command]) -> list[Asked]:
    """Wait for the beginning of what the first command does, and leave in the middle of it."""
    with connect() as client, suppress(*_LOST):
        client.negotiate()
        client.send(b"".join(map(_spelled, commands)))
        client.socket.recv(1, socket.MSG_PEEK)
    return _completed([], commands)


def prompt(machine: Machine, connect: Callable[[], RawClient], commands: Sequence[Command]) -> list[Asked]:
    """hmp-repl as a script calls it. It makes its own line of what it is given, so that a failure has no exact meaning here."""
    connect().close()  # it does not wait for a socket
    options = [word for command in commands for word in ("-c", f"{command.verb} {command.tag}")]
    ended = repl(machine.legacy_path, "--yes", "--keep-going", *options)
    if ended.status == 0:
        return [Asked(command, Answer.DONE) for command in commands]
    return _completed([], commands)


def modern(machine: Machine, connect: Callable[[], RawClient], commands: Sequence[Command]) -> list[Asked]:
    """QMP's own job, seen to its end and dismissed, as a tool does that needs no HMP."""
    (command,) = commands
    arguments = {"job-id": command.key, "tag": command.tag, "vmstate": "n0", "devices": machine.profile.nodes}
    with connect() as client:
        try:
            client.negotiate()
            reply = client.execute(Verb.JOB, arguments, command.key)
            if "error" in reply:
                return [Asked(command, Answer.FAILED, str(reply["error"]["desc"]))]
            job = _concluded(client, command.key)
            client.execute("job-dismiss", {"id": command.key})
        except _LOST:
            return _completed([], commands)
    failure = job.get(_FAILED_JOB)
    return [Asked(command, Answer.DONE if failure is None else Answer.FAILED, failure or "")]


ASKERS: Final[dict[str, Asker]] = {
    "script": script,
    "half-closing": half_closing,
    "one by one": one_by_one,
    "forgetting": forgetting,
    "resetting": resetting,
    "prompt": prompt,
}


def _spelled(command: Command) -> bytes:
    """Spell an HMP command. Its key is its line: HMP does not care how many blanks stand at the end."""
    return command_bytes("human-monitor-command", {"command-line": command.key}, f"id of {command.key}")


def _sent_and_read(client: RawClient, commands: Sequence[Command], then: Callable[[], None]) -> list[Asked]:
    answers: list[Asked] = []
    try:
        client.send(command_bytes("qmp_capabilities") + b"".join(map(_spelled, commands)))
        then()
        client.receive_message()
        client.read_until_reply()
        for command in commands:
            answers.append(_read(client, command))
    except _LOST:
        pass
    return _completed(answers, commands)


def _read(client: RawClient, command: Command) -> Asked:
    reply: dict[str, Any] = json.loads(client.read_until_reply()[-1])
    assert reply.get("id") == f"id of {command.key}", f"{command} was answered with {reply}"
    text = reply.get("return")
    if text == "":
        return Asked(command, Answer.DONE)
    return Asked(command, Answer.FAILED, str(text if text is not None else reply))


def _completed(answers: list[Asked], commands: Sequence[Command]) -> list[Asked]:
    return [*answers, *(Asked(command, Answer.UNKNOWN) for command in commands[len(answers) :])]


def _concluded(client: RawClient, job_id: str) -> dict[str, Any]:
    """Return the job when it has concluded; events tell when to look."""
    while True:
        for job in client.returned("query-jobs"):
            if job["id"] == job_id and job["status"] == "concluded":
                found: dict[str, Any] = job
                return found
        while is_reply(client.receive_message()):
            pass
