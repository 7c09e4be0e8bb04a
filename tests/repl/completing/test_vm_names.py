"""Names of what the VM has, by what takes them."""

import pytest

from repl.completing.questions import Kind, Question
from repl.completing.vm_names import (
    block_devices,
    buses,
    deletable,
    drives,
    jobs,
    linked,
    netdevs,
    objects,
    qom_paths,
    removable,
)
from repl.completion_data import Named
from tests.support.repl.known_names import ANSWERS, FACTS, looking

LOOK = looking()


def names(found: list[Named]) -> list[str]:
    return list(dict.fromkeys(one.name for one in found))


def test_device_without_a_medium_is_a_device() -> None:
    assert names(drives(FACTS, LOOK)) == ["d0", "cd0"]


def test_what_is_known_of_a_device_is_its_medium() -> None:
    assert drives(FACTS, LOOK)[0].meta == "qcow2"


def test_names_that_qemu_made_up_come_last() -> None:
    assert names(block_devices(FACTS, LOOK)) == ["d0", "cd0", "n0", "#block1"]
    assert names(deletable(FACTS, LOOK)) == ["d0", "cd0", "n0"]


def test_removable_media_come_first() -> None:
    assert names(removable(FACTS, LOOK)) == ["cd0", "d0"]


def test_jobs_come_before_the_devices() -> None:
    assert names(jobs(FACTS, LOOK)) == ["j0", "d0", "cd0"]


def test_network_cards_are_no_back_ends() -> None:
    assert names(netdevs(LOOK)) == ["n0", "free0"]


def test_objects_are_the_children() -> None:
    assert names(objects(LOOK)) == ["pc.ram", "io1"]


@pytest.mark.parametrize(
    ("link", "offered"),
    [
        ("link<iothread>", ["io1"]),
        ("link<rng-backend>", ["r0", "r1"]),
        ("link<memory-backend>", ["ram"]),
        ("link<can-bus>", ["can"]),
        ("link<nosuch>", []),
    ],
)
def test_link_names_objects_of_its_type_and_of_those_derived_from_it(link: str, offered: list[str]) -> None:
    kinds = {"io1": "iothread", "ram": "memory-backend-ram", "r0": "rng-random", "r1": "rng-builtin", "can": "can-bus"}
    children = tuple(Named(name, f"child<{kind}>", f"child<{kind}>") for name, kind in kinds.items())
    assert names(linked(link, looking({Question(Kind.QOM, "/objects"): children}))) == offered


@pytest.mark.parametrize(
    ("driver", "offered"),
    [
        ("usb-tablet", ["uhci.0"]),
        ("virtio-blk-pci", ["pcie.0"]),
        ("virtio-blk", ["pcie.0"]),
        ("scsi-hd", []),
        ("nosuch", ["main-system-bus", "pcie.0", "uhci.0"]),
    ],
)
def test_device_fits_only_buses_of_its_kind(driver: str, offered: list[str]) -> None:
    assert names(buses(driver, LOOK)) == offered


def test_all_buses_are_possible_before_devices_are_known() -> None:
    assert names(buses("usb-tablet", looking({**ANSWERS, Question(Kind.DRIVERS): ()})))[-1] == "uhci.0"


def test_paths_lead_through_children_and_links() -> None:
    assert names(qom_paths(LOOK, "")) == ["/"]
    assert names(qom_paths(LOOK, "/")) == ["/machine", "/other"]
    assert qom_paths(LOOK, "/machine/") == []
