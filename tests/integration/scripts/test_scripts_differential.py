"""`hmp-repl` against QEMU's own HMP: the same machine twice, the same lines, and the same came of each.

Compared are, after each line, the text byte for byte (tests.integration.twins says what is made equal beforehand), the run
state, and the snapshots on every image. Each line is a run of the program.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from shim.hmp.line import HMPLine
from shim.records.audit import has_failed
from tests.integration.command_lines import disk
from tests.integration.outcomes import Outcome, images_of, play_lines
from tests.integration.scripts.repl_process import repl
from tests.integration.twins import Case, normal, started

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

LIFE: Final = (
    *("info snapshots", "savevm t", "info snapshots", "savevm t", "savevm u", "loadvm t", "info snapshots", "delvm t"),
    *("delvm t", "loadvm t", "info status", "loadvm u", "cont", "savevm", "stop", "savevm t", "loadvm t", "info status"),
    *('savevm "a b"', "info snapshots", 'delvm "a b"', "savevm 1", "loadvm 1", "info snapshots"),
)
FAULTS: Final = (
    *("loadvm none", "cont", "delvm none", 'savevm "a', "savevm a b", "loadvm", "delvm", "info snapshots x", "nosuch"),
    *("help savevm", "? loadvm", "info nosuch", "print 1+1", "info version", " savevm\tt", "info/snapshots", "SAVEVM t"),
    *("savevm t;savevm u", "savevmx", "info block-jobs", "x", "info snapshots"),
)
PARTIAL: Final = ("info snapshots", "loadvm t", "cont", "savevm t", "info snapshots", "delvm u", "loadvm t", "info snapshots")

CASES: Final = {
    case.name: case
    for case in (
        Case("life", disk("d0"), LIFE),
        Case("two disks", f"{disk('d0')} {disk('d1')}", LIFE, {"d0.qcow2": "", "d1.qcow2": ""}),
        Case("faults", disk("d0"), FAULTS),
        Case("no disk", "", ("savevm t", "loadvm t", "delvm t", "info snapshots"), {}),
        Case("raw disk", f"{disk('d0')} {disk('d1', format='raw')}", LIFE[:6], {"d0.qcow2": "", "d1.raw": ""}),
        Case(
            *("partial", f"{disk('d0')} {disk('d1')}", PARTIAL, {"d0.qcow2": "", "d1.qcow2": ""}),
            [("d0.qcow2", "t"), ("d1.qcow2", "u"), ("d0.qcow2", "v"), ("d1.qcow2", "v")],
        ),
    )
}


def play_by_repl(case: Case, lines: Sequence[str]) -> list[Outcome]:
    """Run the lines one by one and see what each did."""
    outcomes = []
    with started(case, paused=False) as vm, vm.negotiated(observer=True) as observer:
        for line in lines:
            ended = repl(vm.qmp_path, "--raw", "--failed-load", "hmp", "-c", line)
            text = normal(ended.out)
            # The tag that QEMU or the shim has made is told beside HMP's text.
            complaints = re.sub(r"hmp-repl: saved as vm-\d{14}\n", "", ended.err)
            assert (ended.status, complaints) == (int(has_failed(HMPLine.read(line), text)), "")
            outcomes.append(Outcome(line, text, observer.returned("query-status")["status"], images_of(observer)))
        assert observer.returned("query-jobs") == []
    return outcomes


@pytest.mark.matrix
@pytest.mark.parametrize("name", CASES)
def test_same_came_of_each_line_as_natively(name: str) -> None:
    case = CASES[name]
    lines = [step for step in case.steps if isinstance(step, str)]
    with ThreadPoolExecutor(2) as pool:
        ours, native = pool.submit(play_by_repl, case, lines), pool.submit(play_lines, case, lines, None)
        assert ours.result() == native.result().outcomes
