"""Clients beside those that take snapshots, one function a shape. Each sees that its answers are its own, and right.

They change nothing that the judge knows of. What they find wrong is a Violation; that their connection ends is none of their
business, and the driver's to explain.
"""

import json
import random
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from tests.soak.oracle import Violation
from tests.soak.scene import Machine
from tests.support.raw_client import RawClient, command_bytes, is_reply

__all__ = ["SHAPES", "Visit"]

_BURST: Final = 300
_SCHEMAS: Final = 12
_READS: Final = 40
# A reply ends with its id.
_REPLY_END: Final = re.compile(rb', "id": \d+}\r\n')
_LONG_LINE_BYTES: Final = 100_000
_GARBAGE: Final = (b"}" * 500, b'{"execute": nope}', b"\xff\xfe garbage \n", b'{"a":[1,2}', b"[" * 2000 + b"\n\x01")
_INFO: Final = ("info name", "info version", "info block", "info status", "info snapshots", "info uuid")


@dataclass(slots=True)
class Visit:
    """One connection of a client to a VM. answered: the keys of those HMP commands of it that were answered."""

    machine: Machine
    client: RawClient
    rng: random.Random
    new_key: Callable[[str], str]
    new_id: Callable[[], str]
    answered: list[str] = field(default_factory=list)
    _ids: Any = field(default_factory=count)

    @property
    def name(self) -> str:
        return self.machine.profile.name

    def expect(self, what: str, found: object, *, is_right: bool) -> None:
        if not is_right:
            raise Violation(self.name, what, found)

    def reply_to(self, own_id: object) -> dict[str, Any]:
        """Return the next reply, which must be to this command."""
        reply: dict[str, Any] = json.loads(self.client.read_until_reply()[-1])
        self.expect(f"the reply to {own_id}", reply, is_right=reply.get("id") == own_id)
        return reply

    def ask(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """Run a command that must succeed."""
        own_id = {"of": self.name, "number": next(self._ids)}
        self.client.send(command_bytes(command, arguments, own_id))
        reply = self.reply_to(own_id)
        self.expect(f"{command} succeeds", reply, is_right="return" in reply)
        return reply["return"]

    def hmp(self, line: str) -> str:
        """Run an HMP command that must be answered, and on record."""
        key = self.new_key(line)
        text: str = self.ask("human-monitor-command", {"command-line": key})
        self.answered.append(key)
        return text

    def see_name(self) -> None:
        """See that this is the VM that was asked: one VM's answer must never come from another."""
        self.expect("its own name", found := self.ask("query-name"), is_right=found == {"name": self.name})


def looking(visit: Visit) -> None:
    """A tool that asks the same few questions all day long."""
    visit.client.negotiate()
    for _ in range(visit.rng.randint(1, 15)):
        visit.see_name()
        line = visit.rng.choice(_INFO)
        text = visit.hmp(line)
        if line == "info name":
            visit.expect("HMP's name of it", text, is_right=text == f"{visit.name}\r\n")


def bursting(visit: Visit) -> None:
    """Many commands in one write; the answers are read afterwards, in order."""
    visit.client.negotiate()
    numbers = range(visit.rng.randint(2, _BURST))
    visit.client.send(b"".join(command_bytes("query-name", None, number) for number in numbers))
    for number in numbers:
        reply = visit.reply_to(number)
        visit.expect("its name", reply, is_right=reply.get("return") == {"name": visit.name})


def half_closing(visit: Visit) -> None:
    """`printf … | nc`: each answer comes, and then the end."""
    key = visit.new_key("info name")
    visit.client.send(
        command_bytes("qmp_capabilities")
        + command_bytes("human-monitor-command", {"command-line": key}, "n")
        + command_bytes("query-name", None, "q")
    )
    visit.client.half_close()
    visit.client.receive_message()
    visit.client.read_until_reply()
    visit.expect("HMP's name", found := visit.reply_to("n"), is_right=found.get("return") == f"{visit.name}\r\n")
    visit.answered.append(key)
    visit.expect("its name", found := visit.reply_to("q"), is_right=found.get("return") == {"name": visit.name})
    rest = visit.client.expect_eof()
    visit.expect("nothing but events after it", rest, is_right=not any(map(is_reply, rest.splitlines())))


def reading_slowly(visit: Visit) -> None:
    """Ask for more than fits into a socket, and read it in small pieces, or not to the end."""
    visit.client.negotiate()
    visit.client.send(b"".join(command_bytes("query-qmp-schema", None, number) for number in range(_SCHEMAS)))
    received = bytearray()
    for _ in range(_READS):
        received += visit.client.socket.recv(visit.rng.choice((1, 100, 4096)))
    if visit.rng.random() < 0.5:
        while len(_REPLY_END.findall(received)) < _SCHEMAS and (read := visit.client.socket.recv(1 << 16)):
            received += read


def flooding_and_leaving(visit: Visit) -> None:
    """Ask for a lot, and go without a look at it."""
    visit.client.negotiate()
    visit.client.send(b"".join(command_bytes("query-qmp-schema") for _ in range(visit.rng.randint(1, _SCHEMAS))))


def malformed(visit: Visit) -> None:
    """Send garbage; the command after it is answered all the same."""
    visit.client.negotiate()
    visit.client.send(visit.rng.choice(_GARBAGE) + b"\n" + b"]" * 4 + b"\n" + command_bytes("query-name", None, "after"))
    while (reply := json.loads(visit.client.read_until_reply()[-1])).get("id") != "after":
        visit.expect("an error about bytes", reply, is_right=reply.get("error", {}).get("class") == "GenericError")
    visit.expect("its name", reply, is_right=reply.get("return") == {"name": visit.name})


def half_a_command(visit: Visit) -> None:
    """Send the beginning of something long, and leave."""
    visit.client.negotiate()
    text = command_bytes("human-monitor-command", {"command-line": "savevm " + "x" * _LONG_LINE_BYTES})
    visit.client.send(text[: visit.rng.randrange(len(text) - 2)])


def not_negotiating(visit: Visit) -> None:
    """Connect, and be refused what needs the negotiation, or say nothing at all."""
    visit.client.receive()
    if visit.rng.random() < 0.5:
        reply = visit.client.execute("query-name", id=1)
        visit.expect("CommandNotFound", reply, is_right=reply.get("error", {}).get("class") == "CommandNotFound")


def passing_descriptors(visit: Visit) -> None:
    """Pass a file and take it back; sometimes with a command that fails, so that QEMU has to be rid of it."""
    visit.client.negotiate()
    for _ in range(visit.rng.randint(1, 4)):
        name = visit.new_id()
        fails = visit.rng.random() < 0.3
        command = command_bytes("getfd", {} if fails else {"fdname": name}, name)
        with open("/dev/null") as file:
            socket.send_fds(visit.client.socket, [command], [file.fileno()])
        reply = visit.reply_to(name)
        visit.expect(f"getfd {'fails' if fails else 'succeeds'}", reply, is_right=("error" in reply) == fails)
        if not fails:
            visit.ask("closefd", {"fdname": name})


def out_of_band(visit: Visit) -> None:
    """Overtake one's own commands."""
    visit.client.negotiate(oob=True)
    visit.client.send(b"".join(command_bytes("query-name", None, number) for number in range(20)))
    visit.client.send(b'{"exec-oob":"query-yank","id":"oob"}\n')
    waiting: set[object] = {"oob", *range(20)}
    while waiting:
        reply = json.loads(visit.client.read_until_reply()[-1])
        visit.expect(f"a reply to one of {waiting}", reply, is_right=reply.get("id") in waiting and "return" in reply)
        waiting.remove(reply["id"])


def staying(visit: Visit) -> None:
    """A management tool that stays connected, and looks now and then. Events are welcome."""
    visit.client.negotiate()
    for _ in range(visit.rng.randint(20, 60)):
        visit.see_name()
        visit.ask("query-status")
        jobs = visit.ask("query-jobs")
        visit.expect("no job of the proxy's", jobs, is_right=not any(job["id"].startswith("hmpshim-") for job in jobs))


SHAPES: Final[dict[str, Callable[[Visit], None]]] = {
    "looking": looking,
    "bursting": bursting,
    "half-closing": half_closing,
    "reading slowly": reading_slowly,
    "flooding and leaving": flooding_and_leaving,
    "malformed": malformed,
    "half a command": half_a_command,
    "not negotiating": not_negotiating,
    "passing descriptors": passing_descriptors,
    "out of band": out_of_band,
    "staying": staying,
}
