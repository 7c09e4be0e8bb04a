"""What is wanted of a fleet, and how it differs from what was."""

from dataclasses import replace

from host.net.addresses import UnixAddress
from host.settings.config import AuditSettings, Origin, VMConfig
from proxy.fleet.wish import Wish, by_key

A, B, C = (VMConfig(UnixAddress(f"/q{name}"), (UnixAddress(f"/{name}"),), name=name) for name in "abc")


def test_what_has_not_changed_is_the_same_object() -> None:
    before = by_key([A, B], {}, forgives=True)
    assert before == {"a": replace(A, wait=True), "b": replace(B, wait=True)}
    after = by_key([replace(A), replace(B, max_clients=3), C], before, forgives=True)
    assert after["a"] is before["a"]
    assert after["b"].max_clients == 3
    assert list(after) == ["a", "b", "c"]
    moved = by_key([replace(A, origin=Origin("/f", 1))], before, forgives=True)
    assert moved["a"].origin == Origin("/f", 1)
    assert by_key([A], {}, forgives=False) == {"a": A}


def test_log_is_synchronous_for_all_if_one_wants_it() -> None:
    log = AuditSettings("/log")
    vms = by_key([replace(A, audit=log), replace(B, audit=replace(log, sync=True))], {}, forgives=False)
    assert [vm.audit and vm.audit.sync for vm in vms.values()] == [True, True]


def test_listeners_that_go_to_another_vm_are_known() -> None:
    before = by_key([A, B, C], {}, forgives=False)
    swapped = [replace(A, listen=B.listen), replace(B, listen=A.listen), C]
    assert Wish.of(swapped, before, forgives=False).moving == {"a": set(A.listen), "b": set(B.listen)}
    new = replace(C, name="d", upstream=UnixAddress("/qd"), listen=(UnixAddress("/a", holds=True),))
    gone = [replace(A, listen=(UnixAddress("/other"),)), B, new]
    assert Wish.of(gone, before, forgives=False).moving == {"a": set(A.listen)}
