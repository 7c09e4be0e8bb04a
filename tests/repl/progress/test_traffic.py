"""What is moved to and from images: on files, and in a folder that looks like /proc."""

import os
from pathlib import Path

import pytest

from repl.progress.traffic import Traffic
from repl.progress.work import Kind

KIB = 1024


class Machine:
    """Two images, and a QEMU that has the first one open."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.process = folder / "proc", folder / "proc" / "7"
        self.images = [folder / "d0", folder / "d1"]
        for image in self.images:
            image.write_bytes(b"")
        (self.process / "fd").mkdir(parents=True)
        (self.process / "cmdline").write_bytes(b"/usr/bin/qemu-system-x86_64\0-m\x001\0")
        (self.process / "fd" / "3").symlink_to(folder / "gone")
        (self.process / "fd" / "4").symlink_to(self.images[0])
        self.counts()

    def counts(self, *, rchar: int = 0, read: int = 0, write: int = 0) -> None:
        (self.process / "io").write_text(f"rchar: {rchar}\nwchar: 99999\nread_bytes: {read}\nwrite_bytes: {write}\n")

    def traffic(self, kind: Kind = Kind.SAVE) -> Traffic:
        return Traffic(kind, [str(image) for image in self.images], proc=self.proc)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def grow(image: Path, size: int) -> int:
    """Write so much, and tell how much the file system has taken for it."""
    with image.open("ab") as file:
        file.write(os.urandom(size))
        file.flush()
        os.fsync(file.fileno())
    return image.stat().st_blocks * 512


def test_save_shows_by_the_growth_of_the_images(machine: Machine) -> None:
    (machine.process / "io").unlink()
    grow(machine.images[0], 64 * KIB)
    traffic = machine.traffic()
    assert traffic.look() == 0
    grown = grow(machine.images[1], 256 * KIB)
    assert grown >= 256 * KIB
    assert traffic.look() == grown
    os.truncate(machine.images[1], 0)
    assert traffic.look() == 0


def test_save_into_freed_clusters_shows_by_what_qemu_writes(machine: Machine) -> None:
    machine.counts(write=1000)
    traffic = machine.traffic()
    assert traffic.look() == 0
    machine.counts(write=5096)
    assert traffic.look() == 4096


def test_growth_counts_where_it_is_more(machine: Machine) -> None:
    """A file system in memory counts nothing as written."""
    traffic = machine.traffic()
    assert traffic.look() == 0
    grown = grow(machine.images[0], 64 * KIB)
    machine.counts(write=10)
    assert traffic.look() == grown


@pytest.mark.parametrize(("counts", "moved"), [({"rchar": 8192}, 8192), ({"read": 4096}, 4096)])
def test_load_shows_by_what_qemu_reads(machine: Machine, counts: dict[str, int], moved: int) -> None:
    traffic = machine.traffic(Kind.LOAD)
    assert traffic.look() == 0
    grow(machine.images[0], 64 * KIB)
    machine.counts(write=10, **counts)
    assert traffic.look() == moved


@pytest.mark.parametrize("io", [None, "rchar 5\n", "rchar: x\n", "rchar: 5\n"])
def test_load_shows_by_nothing_where_qemu_may_not_be_looked_at(machine: Machine, io: str | None) -> None:
    (machine.process / "io").unlink()
    if io is not None:
        (machine.process / "io").write_text(io)
    assert machine.traffic(Kind.LOAD).look() is None


def test_qemu_that_has_none_of_the_images_open_is_another(machine: Machine) -> None:
    (machine.process / "fd" / "4").unlink()
    machine.counts(write=1000)
    traffic = machine.traffic()
    machine.counts(write=9000)
    assert (traffic.look(), traffic.look()) == (0, 0)


def test_process_whose_files_we_may_not_know_is_none(machine: Machine) -> None:
    (machine.process / "fd" / "3").unlink()
    (machine.process / "fd" / "4").unlink()
    (machine.process / "fd").rmdir()
    assert machine.traffic(Kind.LOAD).look() is None


def test_process_that_ends_meanwhile_counts_no_more(machine: Machine) -> None:
    traffic = machine.traffic()
    traffic.look()
    (machine.process / "io").unlink()
    assert traffic.look() == 0


@pytest.mark.parametrize("image", ["/none", "/dev/null", "a\0b"])
def test_what_is_no_file_tells_nothing(machine: Machine, image: str) -> None:
    assert Traffic(Kind.SAVE, [image], proc=machine.proc).look() is None
    assert Traffic(Kind.SAVE, [], proc=machine.proc).look() is None


def test_image_that_goes_meanwhile_is_no_growth_of_the_others(machine: Machine) -> None:
    traffic = machine.traffic()
    traffic.look()
    for image in machine.images:
        image.unlink()
    machine.counts(write=5)
    assert traffic.look() == 5
