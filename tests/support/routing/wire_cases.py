"""Random conversations of several clients, and what each of them must hear.

A case follows from its seed. What a client sends is made of valid commands in many spellings, and some of it is spoilt.
"""

import json
import random
from dataclasses import dataclass
from typing import Any, Final

from proxy.qmp_json.framing import CommandFramer, Malformed
from proxy.sessions.monitor import Monitor
from proxy.sessions.negotiation import capabilities_error, envelope_error, is_out_of_band
from shim.hmp.line import HMPLine
from shim.qmp import QEMUVersion
from tests.fakes.block import BlockGraph
from tests.fakes.commands import command_names
from tests.fakes.tiny_qemu import answer, error_reply
from tests.fakes.vm import VM
from tests.support.streams import FAMILIES, SNIPPETS, read_all

__all__ = ["Case", "Expected", "Leaves", "Plan", "expected", "make_case", "monitor_of"]

_VERSION: Final = b'{"qemu": {"micro": 0, "minor": 0, "major": 10}, "package": ""}'
_GREETING: Final = b'{"QMP": {"version": %b, "capabilities": ["oob"]}}\r\n' % _VERSION
_COMMANDS: Final = frozenset(command_names(VM(BlockGraph(()))))


def monitor_of(version: QEMUVersion) -> Monitor:
    return Monitor(_GREETING, True, version, _COMMANDS, "vm")


# -- Cases -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leaves:
    """How a client leaves behind byte `at` of its stream: it sends no more, or it is gone for good (is_cut)."""

    at: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What one client does."""

    stream: bytes
    leaves: Leaves

    @property
    def sent(self) -> bytes:
        return self.stream[: self.leaves.at]


@dataclass(frozen=True, slots=True)
class Case:
    seed: int
    version: QEMUVersion
    plans: tuple[Plan, ...]
    loses_qemu: bool


def _line(text: str) -> dict[str, Any]:
    return {"execute": "human-monitor-command", "arguments": {"command-line": text}}


_PLAIN: Final[tuple[dict[str, Any], ...]] = (
    {"execute": "query-name"}, {"execute": "query-version", "arguments": {}}, {"execute": "query-jobs"}, _line("info name"),
    {"execute": "nosuch", "arguments": {"a": [1, "\u00e9"]}}, {"execute": "qmp_capabilities"}, {"exec-oob": "query-yank"},
    {"bogus": {}}, {},
)  # fmt: skip
_REWRITTEN: Final = (
    _line("savevm t"), _line("savevm new"), _line("loadvm t"), _line("loadvm none"), _line("delvm t"), _line("info snapshots"),
    _line("savevm"),
)  # fmt: skip
_IDS: Final = (0, 7, "x", "4711:1", None, True, [1, {"a": None}], {"k": 1.5}, "", "\u00e9\U0001f600")
_BETWEEN: Final = (b"", b"", b"\n", b"\r\n", b" \n\t")


def make_case(seed: int) -> Case:
    rng = random.Random(seed)
    plans = tuple(_plan(rng) for _ in range(rng.choice((1, 2, 2, 3))))
    return Case(seed, rng.choice(FAMILIES), plans, rng.random() < 0.03)


def _plan(rng: random.Random) -> Plan:
    parts = []
    if rng.random() < 0.95:
        oob = {"arguments": {"enable": ["oob"]}} if rng.random() < 0.3 else {}
        parts.append(_spell(rng, {"execute": "qmp_capabilities", **oob}))
    for _ in range(rng.randrange(5)):
        message = rng.choice(_REWRITTEN if rng.random() < 0.2 else _PLAIN)
        parts.append(_spell(rng, message | ({"id": rng.choice(_IDS)} if rng.random() < 0.7 else {})))
    stream = bytearray(b"".join(part + rng.choice(_BETWEEN) for part in parts))
    if rng.random() < 0.5:
        _spoil(rng, stream)
    at = len(stream) if rng.random() < 0.7 else rng.randrange(len(stream) + 1)
    return Plan(bytes(stream), Leaves(at, rng.random() < 0.2))


def _spell(rng: random.Random, message: dict[str, Any]) -> bytes:
    match rng.randrange(4):
        case 0:
            text = json.dumps(message, separators=(",", ":"), sort_keys=True)
        case 1:
            text = json.dumps(message, indent=1, ensure_ascii=False)
        case 2:
            text = json.dumps(message).replace("'", "\\'").replace('"', "'")
        case _:
            text = json.dumps(message)
    return text.encode()


def _spoil(rng: random.Random, stream: bytearray) -> None:
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(stream) + 1)
        match rng.randrange(4):
            case 0:
                stream[at:at] = rng.choice(SNIPPETS)
            case 1:
                del stream[at : at + rng.randrange(1, 4)]
            case 2:
                stream[at : at + 1] = rng.randbytes(1)
            case _:
                stream[at:at] = b"\xff\n"


# -- What a client must hear -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Expected:
    """The replies, in their order; out-of-band ones may come at any time.

    raws: the commands that QEMU gets as they are; for_the_shim: those that it gets if there is nothing to rewrite. A reply
    without "return" and "error" stands for one with a text as "return".
    """

    in_band: list[dict[str, Any]]
    out_of_band: list[dict[str, Any]]
    raws: list[bytes]
    for_the_shim: list[bytes]
    has_oob: bool = False


def expected(monitor: Monitor, stream: bytes) -> Expected:
    """Tell it from the whole stream; what the shim says is not known here."""
    told = Expected([], [], [], [])
    is_negotiated = False
    for item in read_all(CommandFramer(monitor.version), stream):
        if isinstance(item, Malformed):
            told.in_band.append(error_reply(item.desc))
            continue
        message = item.message
        own = {"id": message["id"]} if "id" in message else {}
        if not is_negotiated:
            reply = _negotiated(message, monitor)
            is_negotiated = reply == {"return": {}}
            told.has_oob = is_negotiated and bool(message.get("arguments", {}).get("enable"))
            told.in_band.append(reply | own)
        elif "exec-oob" in message and not told.has_oob:
            told.in_band.append(error_reply("QMP input member 'exec-oob' is unexpected") | own)
        elif is_out_of_band(message):
            told.out_of_band.append(answer(message))
        elif _is_rewritten(message):
            told.in_band.append(own)
            told.for_the_shim.append(item.raw.strip())
        else:
            told.raws.append(item.raw.strip())
            told.in_band.append({"return": []} | own if message.get("execute") == "query-jobs" else answer(message))
    return told


def _negotiated(message: dict[str, Any], monitor: Monitor) -> dict[str, Any]:
    desc = envelope_error(message)
    if desc is not None:
        return error_reply(desc)
    if message["execute"] != "qmp_capabilities":
        return error_reply("Expecting capabilities negotiation with 'qmp_capabilities'", "CommandNotFound")
    desc = capabilities_error(message.get("arguments", {}), monitor)
    return {"return": {}} if desc is None else error_reply(desc)


def _is_rewritten(message: dict[str, Any]) -> bool:
    arguments = message.get("arguments")
    if message.get("execute") != "human-monitor-command" or not isinstance(arguments, dict):
        return False
    line = arguments.get("command-line")
    is_plain = message.keys() <= {"execute", "arguments", "id"} and arguments.keys() == {"command-line"}
    return is_plain and isinstance(line, str) and HMPLine.read(line).command is not None
