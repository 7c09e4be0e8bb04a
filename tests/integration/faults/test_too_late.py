"""What a client that left had sent is not done later: QEMU's own criterion, seen natively and through the proxy.

QEMU stalls by SIGSTOP. A hang-up drops what has not begun, but for one command that can begin at once; an end of file alone
is no leaving, unless the client has enabled out-of-band execution.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from shim.qmp import QEMUVersion
from tests.integration.faults.disks import NEW, OLD
from tests.integration.faults.stage import Firmware, Stage, hmp_bytes, negotiated_bytes, staged
from tests.integration.faults.strikes import connect_tcp, final_records, free_port, reset, wait_until
from tests.integration.machines import run_state_of
from tests.integration.outcomes import images_of
from tests.support.raw_client import DeadlineError, RawClient, negotiated

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

both_ways = pytest.mark.parametrize("way", ["native", "proxied"])
# How long the client of the first test waits: a second, and what the proxy's second begins later.
PATIENCE_S: Final = 1.2
SAVES: Final = ("savevm a", "savevm b", "savevm c")
SAVED: Final = b'{"return": ""}\r\n'


@dataclass(frozen=True, slots=True)
class Asked:
    """QEMU as clients see it, natively or through a proxy, and a monitor of the test's own."""

    stage: Stage
    way: str
    observer: RawClient

    def client(self) -> RawClient:
        """Return a client that has not negotiated."""
        return self.stage.vm.connect() if self.way == "native" else self.stage.proxy.connect()

    @contextmanager
    def stalled(self) -> Iterator[None]:
        self.stage.freeze()
        try:
            yield
        finally:
            self.stage.thaw()

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in images_of(self.observer)["d0.qcow2"] if tag != "t"]

    def wait_for_rest(self) -> None:
        """Wait until all that is still to be done is done: a client who comes later is answered after it."""
        with negotiated(self.client()) as last:
            last.returned("query-status")

    def actions(self, *lines: str) -> list[str]:
        """Wait for the records of the lines, and give what became of them."""
        records = self.records(*lines)
        return [record["action"] for record in records]

    def records(self, *lines: str) -> list[dict[str, Any]]:
        def found() -> list[dict[str, Any]]:
            records = self.stage.proxy.records
            return [record for line in dict.fromkeys(lines) for record in final_records(records, line)]

        wait_until(lambda: len(found()) >= len(lines), f"the records of {lines}")
        return found()


@contextmanager
def asked(way: str, *options: str) -> Iterator[Asked]:
    with staged(Firmware.PLAIN, options, starts_proxy=way == "proxied", is_relayed=False) as stage:
        yield Asked(stage, way, stage.observer())


def may_begin(way: str, version: QEMUVersion) -> bool:
    """Tell whether QEMU may do the first command of a client that left while it stalled: 10.0 and 11.1 do at times."""
    return way == "native" and version >= (10, 0)


@both_ways
def test_loadvm_of_a_client_that_gave_up_does_nothing_later(way: str, qemu_version: QEMUVersion) -> None:
    with asked(way) as seen:
        with seen.client() as client:
            client.negotiate()
            client.deadline_s = PATIENCE_S
            with seen.stalled():
                client.send(hmp_bytes("loadvm t"))
                with pytest.raises(DeadlineError):
                    client.receive_message()
                client.close()
                if way == "proxied":
                    seen.stage.see_loop()
        seen.wait_for_rest()
        if way == "proxied":
            assert seen.actions("loadvm t") == ["abandoned"]
        assert run_state_of(seen.observer) == "running"
        assert seen.stage.end()["d0.qcow2"].content in ([NEW, OLD] if may_begin(way, qemu_version) else [NEW])


@pytest.mark.parametrize(
    ("line", "option"),
    [("savevm u", "--abandon-after"), ("delvm t", "--abandon-after"), ("loadvm t", "--abandon-load-after")],
)
@pytest.mark.parametrize(("limit_s", "action"), [("0", "abandoned"), ("60", "rewritten")])
def test_command_of_a_client_that_left_in_its_survey_has_a_time_limit(
    limit_s: str, action: str, line: str, option: str
) -> None:
    with asked("proxied", option, limit_s) as seen:
        with seen.client() as client:
            client.negotiate()
            with seen.stalled():
                client.send(hmp_bytes(line))
                client.close()
                seen.stage.see_loop()
        seen.wait_for_rest()
        assert seen.actions(line) == [action]
        disks = seen.stage.end()["d0.qcow2"]
        if action == "abandoned":
            assert (disks.content, [kept.tag for kept in disks.kept]) == (NEW, ["t"])


def test_loadvm_of_a_client_that_waits_longer_is_done() -> None:
    with asked("proxied") as seen:
        with seen.client() as client:
            client.negotiate()
            with seen.stalled():
                client.send(hmp_bytes("loadvm t"))
                client.deadline_s, patience_s = PATIENCE_S, client.deadline_s
                with pytest.raises(DeadlineError):
                    client.receive_message()
                client.deadline_s = patience_s
            assert client.read_until_reply()[-1] == SAVED
        assert seen.actions("loadvm t") == ["rewritten"]
        assert seen.stage.end()["d0.qcow2"].content == OLD


@both_ways
def test_savevm_of_a_retrying_client_runs_at_most_once(way: str, qemu_version: QEMUVersion) -> None:
    """Each attempt gives up while QEMU stalls. No more than two clients can wait at a QEMU that stalls."""
    with asked(way) as seen:
        with seen.stalled():
            for _ in range(4 if way == "proxied" else 2):
                with seen.client() as client:
                    client.send(negotiated_bytes("savevm u"))
                    client.close()
                if way == "proxied":
                    seen.stage.see_loop()
        seen.wait_for_rest()
        if way == "proxied":
            assert sorted(seen.actions(*["savevm u"] * 4)) == ["abandoned"] * 3 + ["rewritten"]
        if way == "proxied":
            assert seen.tags == ["u"]
        else:
            assert seen.tags in ([[], ["u"]] if may_begin(way, qemu_version) else [[]])


@both_ways
@pytest.mark.parametrize("is_stalled", [True, False], ids=["stalled", "idle"])
def test_one_command_at_most_of_a_client_that_closed_at_once_is_done(is_stalled: bool, way: str) -> None:
    with asked(way) as seen:
        if is_stalled:
            seen.stage.freeze()
        with seen.client() as client:
            client.send(negotiated_bytes(*SAVES))
            client.close()
        if way == "proxied":
            seen.stage.see_loop()
        seen.stage.thaw()
        seen.wait_for_rest()
        actions = seen.actions(*SAVES) if way == "proxied" else []
        tags = seen.tags
        # On a busy machine the close may come when the first is done already.
        assert tags == ["a", "b", "c"][: len(tags)]
        assert len(tags) <= 1 or not is_stalled
        if way == "proxied":
            assert tags
            assert actions == ["rewritten"] * len(tags) + ["abandoned"] * (len(SAVES) - len(tags))


def test_one_command_of_three_clients_that_closed_at_once_is_done() -> None:
    with asked("proxied") as seen:
        with seen.stalled():
            for line in SAVES:
                with seen.client() as client:
                    client.send(negotiated_bytes(line))
                    client.close()
                seen.stage.see_loop()
        seen.wait_for_rest()
        assert seen.actions(*SAVES) == ["rewritten", "abandoned", "abandoned"]
        assert seen.tags == ["a"]


def test_what_is_passed_on_is_dropped_alike() -> None:
    """Not snapshot commands alone: a `stop` or a `quit` of a client that left comes too late as well."""
    with asked("proxied") as seen:
        with seen.stalled(), seen.client() as client:
            client.send(negotiated_bytes("savevm a", "stop", "quit"))
            client.close()
            seen.stage.see_loop()
        seen.wait_for_rest()
        assert seen.actions("savevm a", "stop", "quit") == ["rewritten", "abandoned", "abandoned"]
        assert run_state_of(seen.observer) == "running"


@pytest.mark.parametrize("leave", [RawClient.close, reset], ids=["close", "reset"])
def test_a_client_on_tcp_leaves_like_one_on_a_unix_socket(leave: Callable[[RawClient], None]) -> None:
    """QEMU itself does not see that a TCP client closed until it reads again, and runs the first."""
    port = free_port()
    with asked("proxied", "--listen", f"tcp:127.0.0.1:{port}") as seen:
        with connect_tcp(port) as client:
            client.negotiate()
            with seen.stalled():
                client.send(hmp_bytes(*SAVES))
                leave(client)
                seen.stage.see_loop()
        seen.wait_for_rest()
        assert seen.actions(*SAVES) == ["rewritten", "abandoned", "abandoned"]
        assert seen.tags == ["a"]


@both_ways
def test_half_closed_client_is_answered_on_everything(way: str) -> None:
    with asked(way) as seen, seen.client() as client:
        client.negotiate()
        with seen.stalled():
            client.send(hmp_bytes(*SAVES))
            client.half_close()
            if way == "proxied":
                seen.stage.see_loop()
        assert [client.read_until_reply()[-1] for _ in SAVES] == [SAVED] * len(SAVES)
        assert client.expect_eof() == b""
        assert seen.tags == ["a", "b", "c"]


@pytest.mark.parametrize(
    "way",
    [
        "native",
        "proxied",
    ],
)
def test_half_closed_client_that_enabled_oob_has_left(way: str) -> None:
    """QEMU reads on, sees the end of file at once, and drops what waits."""
    with asked(way) as seen, seen.client() as client:
        client.negotiate(oob=True)
        with seen.stalled():
            client.send(hmp_bytes(*SAVES))
            client.half_close()
            if way == "proxied":
                seen.stage.see_loop()
        assert b"return" not in client.expect_eof()
        seen.wait_for_rest()
        assert seen.tags in ([], ["a"])


@pytest.mark.parametrize("times", [1, 3])
def test_savevm_that_is_fired_and_forgotten_is_done(times: int) -> None:
    """`printf … | socat -t0`: an end of file, and at once the close."""
    with asked("proxied") as seen:
        for number in range(times):
            with seen.client() as client:
                client.send(negotiated_bytes(f"savevm {number}"))
                client.half_close()
                client.close()
            assert seen.actions(f"savevm {number}") == ["rewritten"]
        assert seen.tags == [str(number) for number in range(times)]


@pytest.mark.skipif(shutil.which("socat") is None, reason="socat is not installed")
def test_savevm_that_socat_fires_and_forgets_is_done() -> None:
    with asked("proxied") as seen:
        command = ["socat", "-t0", "-", f"UNIX-CONNECT:{seen.stage.proxy.path}"]
        subprocess.run(command, input=negotiated_bytes("savevm a"), check=True, capture_output=True)
        assert seen.actions("savevm a") == ["rewritten"]
        assert seen.tags == ["a"]
