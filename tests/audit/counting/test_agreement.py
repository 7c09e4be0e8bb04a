"""What one observed record says of the switch: by the record's own words, and against what a rewriting shim really answers."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from audit.counting.agreement import answer_text, judge, rewritten_text
from audit.reporting.switch import Agreement
from shim.graph.policy import Mode, Overwrite, Policy, PolicyKind
from shim.hmp.line import HMPLine
from tests.fakes.qemu import FakeQEMU, Node, disk, two_disks, uefi_vm
from tests.support.audit.audit_records import observed
from tests.support.repl.executing import Bench, played

CANNOT: Final = "Error: Device 'pflash1' is writable but does not support snapshots\r\n"
MISSING: Final = "Error: Snapshot 't1' does not exist in one or more devices\r\n"
FULL: Final = "Error: Error while writing VM state: No space left on device\r\n"
CRASH: Final = "Error: QEMU 7.2 would crash\r\n"
OTHER_DISK: Final = "the first fixed disk; HMP would take the varstore 'pflash1'"
VARSTORE: Final = "varstore of format raw, which cannot hold a snapshot"


def node(device: str | None, reason: str, *, included: bool = False) -> dict[str, Any]:
    return {"node": f"#{device}", "device": device, "format": "raw", "included": included, "reason": reason}


PLAIN: Final = [node("pflash0", "read-only"), node("d0", "writable disk", included=True)]
UEFI: Final = [*PLAIN, node("pflash1", VARSTORE)]
LEFT_OUT: Final = f"the policy leaves out 'pflash1' ({VARSTORE})"
BY_PATTERN: Final = node("d9", "included by the configuration, although HMP does not look at it", included=True)
NOT_BY_ITSELF: Final = node("f", "'f' includes it, which snapshots take as a part of 'd0'; name that")
NATIVE: Final = "QEMU itself (-loadvm) could not load it: it looks for the VM state on another disk"
VMSTATE: Final = {"node": "#d0", "reason": OTHER_DISK}


@pytest.mark.parametrize(
    ("record", "agreement", "why"),
    [
        (observed(nodes=PLAIN), Agreement.SAME, ""),
        (observed(hmp=CANNOT, rewritten=CANNOT), Agreement.SAME, ""),
        (observed(hmp=FULL, rewritten=None), Agreement.SAME, ""),
        (observed("delvm t1", nodes=UEFI), Agreement.SAME, ""),
        (observed(nodes=[*PLAIN, NOT_BY_ITSELF]), Agreement.SAME, ""),
        (observed(hmp=CANNOT, nodes=UEFI), Agreement.DIFFERS, f"HMP refuses, and rewriting would not: {LEFT_OUT}"),
        (
            observed("loadvm t1", MISSING),
            Agreement.DIFFERS,
            "HMP refuses, and rewriting would not: the record does not say why",
        ),
        (
            observed("savevm t1", "", "Error: snapshot 't1' exists\r\n"),
            *(Agreement.DIFFERS, "HMP succeeds, and rewriting would not: Error: snapshot 'TAG' exists"),
        ),
        (
            observed("loadvm t1", CANNOT, MISSING, nodes=UEFI),
            Agreement.DIFFERS,
            f"both fail, and rewriting would say: {MISSING.strip().replace('t1', 'TAG')}; {LEFT_OUT}",
        ),
        (
            observed("info snapshots", "a table", "another", "listed for the disks that the policy takes", nodes=UEFI),
            Agreement.DIFFERS,
            f"both succeed, and rewriting would print something else: listed for the disks that the policy takes; {LEFT_OUT}",
        ),
        (observed(hmp=FULL, nodes=UEFI), Agreement.UNKNOWN, f"HMP failed at what cannot be predicted: {FULL.strip()}"),
        (observed(hmp=None), Agreement.UNKNOWN, "QEMU gave no answer"),
        (
            observed(hmp=None, rewritten=CRASH),
            *(Agreement.UNKNOWN, f"QEMU gave no answer; rewriting would have said: {CRASH.strip()}"),
        ),
        (
            observed(hmp="", rehearsed={"qmp": [], "outcome": "", "text": "", "agreed": None}),
            *(Agreement.UNKNOWN, "the answers were not compared"),
        ),
        (observed(rehearsed=None), Agreement.UNKNOWN, "what rewriting would answer is not on record"),
        (
            observed(nodes=[node("d0", "excluded by the configuration")]),
            *(Agreement.ELSEWHERE, "the policy leaves out 'd0' (excluded by the configuration)"),
        ),
        (observed(nodes=[BY_PATTERN]), Agreement.ELSEWHERE, f"the policy takes 'd9' ({BY_PATTERN['reason']})"),
        (
            observed(nodes=PLAIN, vmstate=VMSTATE),
            *(Agreement.ELSEWHERE, f"the policy puts the VM state on 'd0' ({OTHER_DISK})"),
        ),
        (
            observed(nodes=PLAIN, vmstate={"node": "#d0", "reason": f"{OTHER_DISK}; {NATIVE}"}),
            *(Agreement.ELSEWHERE, f"the policy puts the VM state on 'd0' ({OTHER_DISK})"),
        ),
        (
            observed(nodes=PLAIN, vmstate={"node": "#d0", "reason": f"named by the configuration; {NATIVE}"}),
            *(Agreement.ELSEWHERE, f"the policy puts the VM state on 'd0' (named by the configuration; {NATIVE})"),
        ),
        (observed(vmstate=VMSTATE), Agreement.ELSEWHERE, f"the policy puts the VM state on '#d0' ({OTHER_DISK})"),
        (
            observed(outcome="done by snapshot jobs; snapshot 'a' was deleted for it (max_snapshots)"),
            *(Agreement.ELSEWHERE, "older snapshots would be deleted for it (max_snapshots)"),
        ),
    ],
)
def test_what_a_record_says(record: dict[str, Any], agreement: Agreement, why: str) -> None:
    assert judge(record) == (agreement, why)


def test_answers_are_told_in_one_line() -> None:
    refusal, success = {"return": CANNOT, "id": "1"}, {"return": ""}
    assert (answer_text(refusal), answer_text(success), answer_text(None)) == (CANNOT.strip(), "", None)
    assert answer_text({"error": {"class": "GenericError", "desc": "no\nway"}}) == "no way"
    assert rewritten_text(success, {"text": "a\r\n b"}) == "a b"
    assert rewritten_text(refusal, {"text": None}) == CANNOT.strip()
    assert rewritten_text(success, None) is None


# --- Against a shim that rewrites -------------------------------------------------------------------------------------

LINES: Final = ("savevm t", "savevm t", "info snapshots", "loadvm t", "loadvm none", "delvm t", "delvm t")


def asked(make: Callable[[], FakeQEMU], policy: Policy) -> tuple[list[str | None], list[dict[str, Any]]]:
    """Return what a client gets, and the records."""
    answers: list[str | None] = []
    records: list[dict[str, Any]] = []

    async def scene(_: FakeQEMU, bench: Bench) -> None:
        for line in LINES:
            answers.append((await bench.executor.hmp(HMPLine.read(line))).text)
        records.extend(bench.records)

    played(scene, make(), policy=policy)
    return answers, records


def qcow2_varstore() -> list[Node]:
    return uefi_vm(varstore="qcow2")


def mixed() -> list[Node]:
    return [*disk("d0"), *disk("data", driver="raw")]


@pytest.mark.parametrize("overwrite", [Overwrite.SAFE, Overwrite.REFUSE])
@pytest.mark.parametrize("kind", list(PolicyKind))
@pytest.mark.parametrize("nodes", [two_disks, uefi_vm, qcow2_varstore, mixed])
def test_same_is_what_a_rewriting_shim_answers_the_same(
    nodes: Callable[[], list[Node]], kind: PolicyKind, overwrite: Overwrite
) -> None:
    """The state is the same for both only as long as all else is: after the first that is not, nothing is compared."""

    def make() -> FakeQEMU:
        return FakeQEMU(nodes())

    native, records = asked(make, Policy(kind=kind, overwrite=overwrite, mode=Mode.OBSERVE))
    rewritten, _ = asked(make, Policy(kind=kind, overwrite=overwrite))
    compared = 0
    for hmp, ours, record in zip(native, rewritten, records, strict=True):
        agreement, _ = judge(record)
        assert (agreement in (Agreement.SAME, Agreement.ELSEWHERE)) == (hmp == ours), record
        compared += 1
        if agreement is not Agreement.SAME:
            break
    assert compared
