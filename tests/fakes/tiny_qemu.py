"""A tiny QEMU without sockets: it answers in order, and what it answers follows from the command, so that a mix-up shows."""

import json
import random
from collections import deque
from functools import cache
from typing import Any, Final

from shim.plans.jobs import JOB_PREFIX
from tests.fakes.block import BlockGraph, Snapshot, disk
from tests.fakes.commands import run_command
from tests.fakes.vm import VM
from tests.fakes.wire import Framer, spell

__all__ = ["TinyQEMU", "answer", "error_reply"]


def error_reply(desc: str, error_class: str = "GenericError") -> dict[str, Any]:
    return {"error": {"class": error_class, "desc": desc}}


def answer(message: dict[str, Any]) -> dict[str, Any]:
    """Return what TinyQEMU replies to a command of a client."""
    own = {"id": message["id"]} if "id" in message else {}
    name = message.get("execute", message.get("exec-oob"))
    if not isinstance(name, str) or name == "nosuch":
        return error_reply(f"no {name}") | own
    return {"return": f"{name} {json.dumps(message.get('arguments'))}"} | own


@cache
def _block_answer(name: str, tags: frozenset[str]) -> Any:
    snapshots = [Snapshot(str(number), tag, vm_state_size=1) for number, tag in enumerate(sorted(tags), start=1)]
    vm = VM(BlockGraph(disk("d0", device="virtio0", snapshots=snapshots)))
    return run_command(vm, name, {"flat": True} if name == "query-named-block-nodes" else {})


_SURVEY: Final = (
    *("query-status", "query-block", "query-named-block-nodes", "x-debug-query-block-graph", "query-migrate"),
    *("query-migrate-capabilities", "query-replay"),
)


class TinyQEMU:
    """Answers one command a step, in order, those out of band at once. It has one disk, and fails on what is no command."""

    def __init__(self, rng: random.Random) -> None:
        self.output = bytearray()
        self.received: list[bytes] = []
        self.events: list[str] = []
        self.is_silent = False  # a job ended without an event
        self._rng = rng
        self._framer = Framer()
        self._queue: deque[dict[str, Any]] = deque()
        self._tags = {"t"}
        self._jobs: dict[str, dict[str, Any]] = {}

    @property
    def has_work(self) -> bool:
        return bool(self._queue)

    @property
    def has_running_job(self) -> bool:
        return any(job["status"] == "running" for job in self._jobs.values())

    def receive(self, data: bytes) -> None:
        for raw, message in self._framer.feed(data):
            assert isinstance(message, dict), f"QEMU got {raw!r} out of {data!r}"
            self.received.append(raw.strip())
            if "exec-oob" in message and "execute" not in message:
                self._say(answer(message))
            else:
                self._queue.append(message)
        assert not self._framer.is_in_value, f"QEMU got half a command: {data!r}"

    def step(self) -> None:
        message = self._queue.popleft()
        self._say(self._own_reply(message) or answer(message))

    def emit(self, name: str, data: dict[str, Any] | None = None) -> None:
        if data is None:
            self.events.append(name)
        event = {"timestamp": {"seconds": 1, "microseconds": 2}, "event": name}
        self._say(event if data is None else event | {"data": data})

    def finish_jobs(self) -> None:
        """Conclude the jobs; now and then no event tells."""
        self.is_silent = self._rng.random() < 0.2
        for job in self._jobs.values():
            if job["status"] == "running":
                job["status"] = "concluded"
                if not self.is_silent:
                    self._tell_end(job)

    def _own_reply(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Answer a command that only the proxy sends, and query-jobs."""
        arguments = message.get("arguments", {})
        match message.get("execute"):
            case "query-jobs":
                own = {"id": message["id"]} if "id" in message else {}
                return {"return": list(self._jobs.values())} | own
            case str(name) if name in _SURVEY:
                return {"return": _block_answer(name, frozenset(self._tags))}
            case "snapshot-save" | "snapshot-load" | "snapshot-delete" as name:
                return self._start(name, arguments["job-id"], arguments["tag"])
            case "job-dismiss":
                is_concluded = self._jobs[arguments["id"]]["status"] == "concluded"
                if is_concluded:
                    del self._jobs[arguments["id"]]
                return {"return": {}} if is_concluded else error_reply("not concluded")
        return None

    def _start(self, name: str, job_id: str, tag: str) -> dict[str, Any]:
        assert job_id.startswith(JOB_PREFIX)
        job = self._jobs[job_id] = {"id": job_id, "type": name, "status": "running", "current-progress": 0, "total-progress": 1}
        if (name == "snapshot-save") == (tag in self._tags) and name != "snapshot-delete":
            job["error"] = "refused"
            if name == "snapshot-save":
                job["error"] = f"Snapshot '{tag}' already exists in one or more devices"
        else:
            self._do(name, tag)
        if self._rng.random() < 0.6:
            job["status"] = "concluded"
            self._tell_end(job)
        return {"return": {}}

    def _do(self, name: str, tag: str) -> None:
        if name == "snapshot-delete":
            self._tags.discard(tag)
            return
        self._tags.add(tag)
        self.emit("STOP")
        self.emit("RESUME")

    def _tell_end(self, job: dict[str, Any]) -> None:
        self.emit("JOB_STATUS_CHANGE", {"status": "concluded", "id": job["id"]})

    def _say(self, message: dict[str, Any]) -> None:
        self.output += spell(message)
