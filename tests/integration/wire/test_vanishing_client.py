"""Whoever leaves in the middle - a client, or the proxy - does not take the snapshot along, and leaves no job behind.

Nothing here depends on who is faster: QEMU is stopped by SIGSTOP where something has to happen before it goes on.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from host.intents import IntentStore, state_folder
from shim.plans.jobs import JOB_PREFIX
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import DIRTYING_ROM, QEMUVM, make_qcow2, make_raw, snapshots_of
from tests.support.raw_client import DEADLINE_S, RawClient, command_bytes

NEGOTIATE: Final = command_bytes("qmp_capabilities")
MIB: Final = 1024 * 1024
MEMORY_MIB: Final = 96
FULL_MIB: Final = 64
RETRY_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Observed:
    """A running VM, which another monitor looks at."""

    vm: QEMUVM
    observer: RawClient

    def proxy(self) -> ProxyProcess:
        return ProxyProcess(self.vm.folder, self.vm.qmp_path)

    def own_jobs(self) -> list[dict[str, Any]]:
        """Return the proxy's jobs, which it shows to none of its clients."""
        return [job for job in self.observer.returned("query-jobs") if job["id"].startswith(JOB_PREFIX)]

    def tags(self) -> list[str]:
        return [tag for tag, _ in snapshots_of(self.vm.path("d0.qcow2"))]

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Let QEMU do nothing for a while."""
        assert self.vm.process is not None
        self._signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.vm.process.pid, os.WSTOPPED)  # its threads stop one after another
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.vm.process is not None
        self.vm.process.send_signal(number)


@contextmanager
def observed(*, memory: str = "32", full: bytes = b"") -> Iterator[Observed]:
    """Start a VM, its memory from the second MiB on filled with what is in `full`."""
    disk = "-drive if=none,id=d0,format=qcow2,file=d0.qcow2,cache=unsafe"
    vm = QEMUVM(f"-bios rom {disk} -device loader,file=full,addr=0x100000,force-raw=on".split(), observed=True, memory=memory)
    try:
        vm.path("full").write_bytes(full or b"\0")
        make_raw(vm.path("rom"), len(DIRTYING_ROM), content=DIRTYING_ROM)
        make_qcow2(vm.path("d0.qcow2"))
        with vm, vm.negotiated(observer=True) as observer:
            yield Observed(vm, observer)
    finally:
        vm.close()


@pytest.fixture
def small() -> Iterator[Observed]:
    with observed() as found:
        yield found


@pytest.fixture
def big() -> Iterator[Observed]:
    """A VM whose savevm is long enough to be met in the middle: its memory cannot be compressed."""
    with observed(memory=str(MEMORY_MIB), full=os.urandom(FULL_MIB * MIB)) as found:
        yield found


def wait_until(is_so: Callable[[], bool], proxy: ProxyProcess) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, proxy.stderr
        time.sleep(RETRY_S)


def hmp_bytes(*lines: str) -> bytes:
    return b"".join(command_bytes("human-monitor-command", {"command-line": line}) for line in lines)


def written(proxy: ProxyProcess) -> list[dict[str, Any]]:
    """Return the records so far. One that is being written at this moment can be seen without its end."""
    text = proxy.audit_path.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def records_of(proxy: ProxyProcess, *lines: str) -> list[dict[str, Any]]:
    """Wait until the lines have been audited, and give their records."""
    wait_until(lambda: len(written(proxy)) >= len(lines), proxy)
    records = written(proxy)
    assert [record["command_line"] for record in records] == list(lines)
    return records


@pytest.mark.parametrize("is_read", [True, False], ids=["greeting-read", "nothing-read"])
def test_client_that_closes_at_once_gets_its_snapshot(small: Observed, is_read: bool) -> None:
    with small.proxy() as proxy:
        with small.standing_still(), proxy.connect() as client:
            if is_read:
                client.receive_message()
            client.send(NEGOTIATE + hmp_bytes("savevm t"))
            client.close()
        (record,) = records_of(proxy, "savevm t")
        assert (record["action"], record["reply"], record["client_gone"]) == ("rewritten", {"return": ""}, True)
        assert [event["event"] for event in record["events"]] == ["STOP", "RESUME"]
        assert small.tags() == ["t"]
        assert small.own_jobs() == []


def test_client_that_stays_is_not_gone(small: Observed) -> None:
    with small.proxy() as proxy, proxy.negotiated() as client:
        assert client.hmp("savevm t") == ""
        (record,) = records_of(proxy, "savevm t")
        assert record["client_gone"] is False


def test_half_closed_client_gets_its_reply_and_then_eof(small: Observed) -> None:
    with small.proxy() as proxy, proxy.negotiated() as client:
        with small.standing_still():
            client.send(hmp_bytes("savevm t", "info status", "savevm u"))
            client.half_close()
        messages = [client.receive_message() for _ in range(7)]
        names = [b"STOP" if b'"STOP"' in message else b"RESUME" if b'"RESUME"' in message else message for message in messages]
        saved = [b"STOP", b"RESUME", b'{"return": ""}\r\n']
        assert names == [*saved, b'{"return": "VM status: running\\r\\n"}\r\n', *saved]
        assert client.expect_eof() == b""
        records = records_of(proxy, "savevm t", "info status", "savevm u")
        assert [record["action"] for record in records] == ["rewritten", "passed", "rewritten"]
        assert small.tags() == ["t", "u"]
        assert small.own_jobs() == []


def test_commands_behind_the_savevm_of_a_closed_client_are_dropped(small: Observed) -> None:
    """Natively QEMU runs none or one of them."""
    lines = ("savevm a", "savevm b", "delvm a", "loadvm b", "stop", "savevm c")
    with small.proxy() as proxy:
        with small.standing_still(), proxy.connect() as client:
            client.send(NEGOTIATE + hmp_bytes(*lines))
            client.close()
        wait_until(lambda: len(written(proxy)) == len(lines), proxy)
        actions = {record["command_line"]: (record["action"], record["reply"]) for record in written(proxy)}
        assert actions.pop("savevm a") == ("rewritten", {"return": ""})
        assert actions == dict.fromkeys(lines[1:], ("abandoned", None))
        assert all(record["client_gone"] for record in written(proxy))
        assert small.tags() == ["a"]
        assert small.observer.returned("query-status")["status"] == "running"
        assert small.own_jobs() == []


def test_half_a_command_behind_it_is_dropped(small: Observed) -> None:
    with small.proxy() as proxy:
        with small.standing_still(), proxy.connect() as client:
            client.send(NEGOTIATE + hmp_bytes("savevm a") + hmp_bytes("savevm b")[:-5])
            client.close()
        records_of(proxy, "savevm a")
        with proxy.negotiated() as other:
            assert other.hmp("savevm c") == ""
        assert small.tags() == ["a", "c"]


def test_quit_behind_the_savevm_of_a_closed_client_is_dropped(small: Observed) -> None:
    with small.proxy() as proxy:
        with small.standing_still(), proxy.connect() as client:
            client.send(NEGOTIATE + hmp_bytes("savevm t") + command_bytes("quit"))
            client.close()
        (record,) = records_of(proxy, "savevm t")
        assert record["reply"] == {"return": ""}
        assert small.observer.returned("query-status")["status"] == "running"
        assert small.tags() == ["t"]


def test_quit_of_a_client_that_stays_comes_after_the_savevm(small: Observed) -> None:
    with small.proxy() as proxy, proxy.negotiated() as client:
        client.send(hmp_bytes("savevm t") + command_bytes("quit"))
        assert small.vm.wait_gone() == 0
        assert small.tags() == ["t"]


def test_client_that_closes_is_not_waited_for_by_others(small: Observed) -> None:
    with small.proxy() as proxy, proxy.negotiated() as other:
        with small.standing_still(), proxy.connect() as client:
            client.send(NEGOTIATE + hmp_bytes("savevm t"))
            client.close()
        assert other.hmp("info status") == "VM status: running\r\n"
        assert other.returned("query-jobs") == []


def begin_savevm(big: Observed, client: RawClient) -> None:
    """Send a savevm and see that QEMU is in the middle of it."""
    client.send(hmp_bytes("savevm t"))
    client.read_until_event("STOP")


def test_sigterm_lets_the_savevm_end_first(big: Observed) -> None:
    with big.proxy() as proxy, proxy.negotiated() as client:
        begin_savevm(big, client)
        with big.standing_still():
            assert proxy.process is not None
            proxy.process.terminate()
            wait_until(lambda: "stopping once" in proxy.stderr, proxy)
            assert written(proxy) == []
        assert client.read_until_reply()[-1] == b'{"return": ""}\r\n'
        assert client.expect_eof() == b""
        assert proxy.wait_gone() == 0
        (record,) = records_of(proxy, "savevm t")
        assert (record["action"], record["client_gone"]) == ("rewritten", False)
        assert big.tags() == ["t"]
        assert big.own_jobs() == []


@pytest.mark.parametrize("ends_by", ["time limit", "second signal"])
@pytest.mark.parametrize("options", [(), ("--mode", "observe")], ids=["rewrite", "observe"])
def test_everything_that_was_begun_is_on_record_when_the_proxy_ends(
    small: Observed, options: Sequence[str], ends_by: str
) -> None:
    """QEMU does not answer; what it makes of the commands later is not known."""
    limit = "0.3" if ends_by == "time limit" else "60"
    options = [*options, "--stop-timeout", limit, "--audit-failure", "refuse"]
    with ExitStack() as stack:
        proxy = stack.enter_context(ProxyProcess(small.vm.folder, small.vm.qmp_path, options))
        first, second = (stack.enter_context(proxy.negotiated()) for _ in range(2))
        first.returned("query-name")  # QEMU has answered what the proxy asks first
        stack.enter_context(small.standing_still())
        first.send(hmp_bytes("stop") + command_bytes("query-name"))
        wait_until(lambda: len(written(proxy)) == 1, proxy)  # that it is about to be run
        second.send(hmp_bytes("savevm t", "savevm u"))
        wait_until(lambda: len(written(proxy)) == 2, proxy)
        assert proxy.process is not None
        proxy.process.terminate()
        if ends_by == "second signal":
            wait_until(lambda: "stopping once" in proxy.stderr, proxy)
            proxy.process.terminate()
        assert proxy.wait_gone() == (0 if ends_by == "time limit" else 130)
        records = {record["command_line"]: record for record in written(proxy) if record["action"] != "begun"}
        assert {line: record["action"] for line, record in records.items()} == {
            "stop": "passed", "savevm t": "rewritten", "savevm u": "abandoned",
        }  # fmt: skip
        assert all(record["reply"] is None for record in records.values())
        assert "commands without an answer: 3" in proxy.stderr


def test_savevm_of_a_killed_proxy_is_found_by_the_next_one(big: Observed) -> None:
    """QEMU goes on; where it has not seen the dismissal that was behind the save, the job waits for somebody to see to it."""
    proxy = big.proxy()
    with proxy, proxy.negotiated() as client:
        begin_savevm(big, client)
        with big.standing_still():
            proxy.kill()
        left = big.own_jobs()
        assert big.tags() == ["t"]
        assert [(job["status"], job["type"]) for job in left] == [("concluded", "snapshot-save")] * len(left)
    with big.proxy() as proxy, proxy.negotiated() as client:
        # A first command of its own comes behind the recovery.
        assert client.hmp("info snapshots").count(" t  ") == 1
        recovered = [record for record in written(proxy) if record["action"] == "recovered"]
        assert [record["reason"] for record in recovered] == [
            f"job '{job['id']}' of an earlier connection ended: success" for job in left
        ]
        assert big.own_jobs() == []


def test_job_left_behind_is_dismissed_and_audited(small: Observed) -> None:
    """As a proxy leaves it that was killed at the worst moment; others' stay, also those that look like ours."""
    store = IntentStore(f"unix:{small.vm.qmp_path}", state_folder())
    own = f"{JOB_PREFIX}{store.token}-dead"
    node = next(entry["inserted"]["node-name"] for entry in small.observer.returned("query-block") if entry["device"] == "d0")
    arguments = {"tag": "kept", "vmstate": node, "devices": [node]}
    for job in ("foreign", f"{own}-1", f"{own}-2", f"{JOB_PREFIX}looks-like-ours"):
        small.observer.returned("snapshot-save", {"job-id": job, **arguments})
    exists = "Snapshot 'kept' already exists in one or more devices"
    with small.proxy() as proxy:
        wait_until(lambda: len(written(proxy)) == 2, proxy)
        records = {record["reason"] for record in written(proxy)}
        assert {record["action"] for record in written(proxy)} == {"recovered"}
        assert records == {f"job '{own}-{number}' of an earlier connection ended: {exists}" for number in (1, 2)}
        left = {"foreign", f"{JOB_PREFIX}looks-like-ours"}
        assert {job["id"] for job in small.observer.returned("query-jobs")} == left
        with proxy.negotiated() as client:
            assert {job["id"] for job in client.returned("query-jobs")} == left
            assert client.hmp("savevm t") == ""
            assert {job["id"] for job in small.observer.returned("query-jobs")} == left
