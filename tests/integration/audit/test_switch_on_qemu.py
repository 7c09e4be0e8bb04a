"""`hmp-audit report` on what mode observe recorded of a real QEMU, against what mode rewrite answers there."""

from collections.abc import Sequence
from typing import Final

import pytest

from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from audit.fail_on import violations
from audit.reporting.switch import Agreement, Switch
from tests.integration.proxy_process import ProxyProcess
from tests.integration.uefi_machine import DISK, FLASH, QCOW2_VARS, RAW_VARS, SECOND_DISK, proxied

OBSERVE: Final = ("--mode", "observe")
LINES: Final = ("savevm t", "savevm t", "info snapshots", "loadvm t", "loadvm none", "delvm t", "delvm t", "info name")
VARSTORE: Final = "the policy leaves out 'pflash1' (varstore of format raw, which cannot hold a snapshot)"
# What QEMU writes there fails as on a full disk from the moment at which it begins to save the VM state.
FULL_DISK: Final = (
    "-drive if=none,id=d0,driver=qcow2,file.driver=blkdebug,file.image.driver=file,file.image.filename=d0.qcow2,"
    "file.inject-error.0.event=vmstate_save,file.inject-error.0.errno=28 -device virtio-blk-pci,drive=d0"
)


def switch_of(proxy: ProxyProcess) -> Switch:
    found = make_report([str(proxy.audit_path)], Filters()).switch
    assert found is not None
    return found


def observed(*args: str, lines: Sequence[str] = LINES, options: Sequence[str] = ()) -> tuple[Switch, list[str]]:
    """Return what the report says of these lines, and what HMP answered."""
    with proxied(*args, options=[*OBSERVE, *options]) as uefi:
        answers = [uefi.client.hmp(line) for line in lines]
        return switch_of(uefi.proxy), answers


def rewritten(*args: str, lines: Sequence[str] = LINES, options: Sequence[str] = ()) -> list[str]:
    with proxied(*args, options=options) as uefi:
        return [uefi.client.hmp(line) for line in lines]


@pytest.mark.parametrize("options", [(), ("--audit-redact", "all")], ids=["plain", "masked"])
def test_all_is_the_same_without_a_varstore(options: Sequence[str]) -> None:
    found, answers = observed(DISK, SECOND_DISK, options=options)
    assert found.verdict == "7 of 7 answers would be the same in mode rewrite."
    assert found.contrasts == ()
    ours = rewritten(DISK, SECOND_DISK)
    is_table = ["TAG" in text for text in answers]
    assert is_table == ["TAG" in text for text in ours]
    assert [text for text in answers if "TAG" not in text] == [text for text in ours if "TAG" not in text]


def test_raw_varstore_makes_all_answers_differ_and_is_named() -> None:
    lines = ("savevm t", "loadvm t", "delvm t")
    found, answers = observed(FLASH, RAW_VARS, DISK, lines=lines)
    assert found.verdict == "0 of 3 answers would be the same in mode rewrite; 3 differ."
    reasons = {one.why: [example.command_line for example in one.examples] for one in found.contrasts}
    refusal = f"HMP refuses, and rewriting would not: {VARSTORE}"
    missing = "Error: Snapshot 'TAG' does not exist in one or more devices"
    # HMP did not save it, so there was nothing that rewriting could have loaded.
    assert reasons == {
        f"both fail, and rewriting would say: {missing}; {VARSTORE}": ["loadvm t"],
        refusal: ["delvm t", "savevm t"],
    }
    assert all(text.startswith("Error: Device 'pflash1'") for text in answers)
    assert rewritten(FLASH, RAW_VARS, DISK, lines=lines) == ["", "", ""]


def test_vm_state_on_another_disk_is_told_although_the_answer_is_the_same() -> None:
    found, answers = observed(FLASH, QCOW2_VARS, DISK, lines=["savevm t"])
    assert found.verdict == "1 of 1 answer would be the same in mode rewrite."
    (contrast,) = found.contrasts
    assert contrast.agreement is Agreement.ELSEWHERE
    assert contrast.why.startswith("the policy puts the VM state on 'd0' (the first fixed disk; HMP would take the varstore")
    assert rewritten(FLASH, QCOW2_VARS, DISK, lines=["savevm t"]) == answers == [""]


def test_full_disk_is_not_known() -> None:
    with proxied(FULL_DISK, options=OBSERVE) as uefi:
        answer = uefi.client.hmp("savevm t")
        report = make_report([str(uefi.proxy.audit_path)], Filters())
    assert answer.startswith("Error: Error while writing VM state: ")
    assert report.switch is not None
    assert report.switch.verdict == "0 of 1 answer would be the same in mode rewrite; 1 is not known."
    told = f"HMP failed at what cannot be predicted: {answer.strip()}"
    assert [one.why for one in report.switch.contrasts] == [told]
    (violation,) = violations(report, {"differs"}, frozenset())
    assert violation.text == f"what mode rewrite would answer is not known: {told} (once)"


def test_setting_that_forbids_to_replace_makes_an_answer_differ() -> None:
    lines = ("savevm t", "savevm t")
    found, _ = observed(DISK, lines=lines, options=["--overwrite", "refuse"])
    assert found.verdict == "1 of 2 answers would be the same in mode rewrite; 1 differs."
    (example,) = found.contrasts[0].examples
    ours = rewritten(DISK, lines=lines, options=["--overwrite", "refuse"])
    assert (example.hmp, example.rewritten) == ("", ours[1].strip())
