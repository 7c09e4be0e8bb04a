"""What strikes in the middle of commands. A fault is over when its function returns, but for QEMU's end."""

import random
import resource
import signal
import time
from collections.abc import Callable
from typing import Final

from tests.soak.oracle import Answer, Asked, Command, Verb
from tests.soak.scene import Machine, Proxy
from tests.support.raw_client import ConnectionLostError

__all__ = ["VM_FAULTS", "another_monitor", "end_proxy", "fill_log", "move_log", "pause"]

_LONGEST_FREEZE_S: Final = 1.5
_FULL_S: Final = 0.5
# Faults of one VM, and how often each comes among so many episodes; the rest have none.
VM_FAULTS: Final = {
    "SIGKILL to QEMU": 8,
    "SIGTERM to QEMU": 6,
    "QEMU frozen": 14,
    "another monitor": 12,
    "disk full": 8,
    "": 52,
}


def pause(seconds: float) -> None:
    """Let a moment of chance come; that is not a wait for something."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))


def freeze(machine: Machine, rng: random.Random) -> None:
    """Stop QEMU for a while."""
    assert machine.vm.process is not None
    machine.vm.process.send_signal(signal.SIGSTOP)
    try:
        pause(rng.uniform(0.05, _LONGEST_FREEZE_S))
    finally:
        machine.vm.process.send_signal(signal.SIGCONT)


def another_monitor(machine: Machine, command: Command) -> list[Asked]:
    """Run a snapshot-save on QEMU's second monitor, which does not lead through the proxy."""
    try:
        return [_saved(machine, command)]
    except (ConnectionLostError, ConnectionError):
        return [Asked(command, Answer.UNKNOWN)]


def _saved(machine: Machine, command: Command) -> Asked:
    observer, key = machine.observer, command.key
    arguments = {"job-id": key, "tag": command.tag, "vmstate": "n0", "devices": machine.profile.nodes}
    reply = observer.execute(Verb.JOB, arguments)
    if "error" in reply:
        return Asked(command, Answer.FAILED, str(reply["error"]["desc"]))
    while True:
        (job,) = (job for job in observer.returned("query-jobs") if job["id"] == key)
        if job["status"] == "concluded":
            break
        observer.read_until_event("JOB_STATUS_CHANGE", id=key)
    observer.returned("job-dismiss", {"id": key})
    failure = job.get("error")
    return Asked(command, Answer.DONE if failure is None else Answer.FAILED, failure or "")


def end_proxy(proxy: Proxy, rng: random.Random) -> str:
    """End the proxy and start it again."""
    number = rng.choice((signal.SIGKILL, signal.SIGTERM))
    proxy.restart(number)
    return f"{number.name} to the proxy"


def move_log(proxy: Proxy, rng: random.Random, number: int) -> str:
    """Move the log away, as logrotate does; sometimes the proxy is told."""
    with proxy.lock:
        proxy.log.rename(proxy.log.with_name(f"{proxy.log.name}.moved-{number}"))
        if rng.random() < 0.5 and proxy.process is not None:
            proxy.process.send_signal(signal.SIGHUP)
    return "log moved"


def fill_log(proxy: Proxy, make_record: Callable[[], None]) -> str:
    """Let no file of the proxy's grow for a while. make_record: lets a record be written afterwards, which tells the loss."""
    with proxy.lock:
        proxy.check()
        size = proxy.log.stat().st_size if proxy.log.exists() else 0
        resource.prlimit(proxy.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            pause(_FULL_S)
        finally:
            resource.prlimit(proxy.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        make_record()
    return "log full"
