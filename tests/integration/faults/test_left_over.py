"""An internal tag that a dead proxy or a dead QEMU left behind is found, told and cleared up by the next start.

Where QEMU died, too, its monitor may have another path when it is back, as each start of a VM of libvirt's has.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.faults.disks import is_internal
from tests.integration.faults.stage import Stage, hmp_bytes, staged
from tests.integration.faults.steps import STEPS
from tests.integration.faults.strikes import comes_true, tells_of_t, wait_until
from tests.integration.outcomes import images_of

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

both_moments = pytest.mark.parametrize("moment", ["safe-old-delete-written", "safe-old-deleted"])


@contextmanager
def left_over(moment: str) -> Iterator[Stage]:
    """Kill the proxy in the middle of a replacing savevm: the old snapshot is there yet, or gone."""
    (step,) = (step for step in STEPS if step.name == moment)
    with staged(step.scenario.firmware) as stage:
        gate = stage.gate(step.condition())
        with stage.proxy.negotiated() as client:
            client.send(hmp_bytes(step.scenario.line))
            gate.wait()
        stage.proxy.kill()
        gate.open()
        assert any(map(is_internal, tags_of(stage)))
        yield stage


def tags_of(stage: Stage) -> set[str]:
    with stage.vm.negotiated(observer=True) as observer:
        return {tag for kept in images_of(observer).values() for tag, _ in kept}


def restart_qemu(stage: Stage) -> None:
    stage.signal(signal.SIGTERM)
    stage.vm.wait_gone()
    stage.vm.start()


def told_by_next_start(stage: Stage) -> list[str]:
    """Start a proxy and end it again; give what it put on record. It looks before it serves anybody."""
    known = len(stage.proxy.records)
    with stage.start_proxy().negotiated() as client:
        client.returned("query-status")
    stage.stop_proxy()
    return [record["reason"] for record in stage.proxy.records[known:]]


@both_moments
def test_the_same_qemu_completes_what_was_asked_for(moment: str) -> None:
    with left_over(moment) as stage:
        stage.start_proxy()
        wait_until(lambda: tells_of_t(stage.proxy.records), "the record")
        assert tags_of(stage) == {"t"}


@both_moments
def test_another_qemu_keeps_what_is_the_only_copy(moment: str) -> None:
    with left_over(moment) as stage:
        restart_qemu(stage)
        stage.start_proxy()
        wait_until(lambda: tells_of_t(stage.proxy.records), "the record")
        (tag,) = tags_of(stage)
        assert is_internal(tag) == (moment == "safe-old-deleted")
        assert tag in stage.proxy.stderr


def test_only_copy_is_told_at_each_start_until_it_is_used() -> None:
    with left_over("safe-old-deleted") as stage:
        restart_qemu(stage)
        (tag,) = tags_of(stage)
        for _ in range(2):
            assert [tag in reason for reason in told_by_next_start(stage)] == [True]
        stage.start_proxy()
        with stage.proxy.negotiated() as client:
            assert [client.hmp(line) for line in (f"loadvm {tag}", "savevm t", f"delvm {tag}")] == ["", "", ""]
        stage.stop_proxy()
        assert [reason.endswith("'t' is there") for reason in told_by_next_start(stage)] == [True]
        assert told_by_next_start(stage) == []
        assert tags_of(stage) == {"t"}


@both_moments
@pytest.mark.parametrize("loss", ["state-folder-lost", "qemu-at-another-path"])
def test_left_over_tag_is_told_also_where_no_intent_is_known(loss: str, moment: str) -> None:
    with left_over(moment) as stage:
        if loss == "state-folder-lost":
            for path in Path(os.environ["STATE_DIRECTORY"]).glob(f"*{stage.folder.name}*"):
                path.unlink()
        else:
            restart_qemu(stage)
            stage.upstream = stage.vm.qmp_path
        stage.start_proxy()
        assert comes_true(lambda: tells_of_t(stage.proxy.records) or "-t'" in stage.proxy.stderr, within_s=2)
        # In the same QEMU a job of the dead proxy's is left, which may be that of a living one on another monitor.
        may_stay = moment == "safe-old-deleted" or loss == "state-folder-lost"
        assert comes_true(lambda: may_stay or not any(map(is_internal, tags_of(stage))), within_s=2)
