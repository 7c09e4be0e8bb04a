"""Why QEMU could not load by itself what is saved on a policy's choice of disks."""

import pytest

from shim.native import native_gap
from shim.policy import Policy, PolicyKind, select
from tests.graphs import V7_2, Machine, patterns
from tests.snapshot_plans import raw_data, two, uefi


@pytest.mark.parametrize(
    ("machine", "policy", "gap"),
    [
        (two(), Policy(), None),
        (uefi(), Policy(), "'pflash1' cannot hold a snapshot"),
        (uefi(), Policy(PolicyKind.HMP), None),
        (two(), Policy(exclude=patterns("d1")), "the snapshot is not on 'd1'"),
        (two(), Policy(vmstate=patterns("d1")), "it looks for the VM state on 'd0', and it is on 'd1'"),
        (raw_data(), Policy(exclude=patterns("d1")), "'d1' cannot hold a snapshot"),
    ],
)
def test_gap(machine: Machine, policy: Policy, gap: str | None) -> None:
    graph = machine.graph(V7_2)
    assert native_gap(graph, select(graph, policy)) == gap
