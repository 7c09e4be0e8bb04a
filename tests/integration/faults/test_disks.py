"""What the judge of disks takes for damage."""

import json
import struct
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.integration.faults.disks import look_at
from tests.integration.qemu_vm import KIB

CLUSTER_BYTES: Final = 64 * KIB
# docs/interop/qcow2.txt: where the offset of the refcount table stands in the header.
REFCOUNT_TABLE_AT: Final = 48
CONTENT: Final = 0xAA


def qemu_img(*args: str | Path) -> bytes:
    return subprocess.run(["qemu-img", *args], check=True, capture_output=True).stdout


def with_refcount(folder: Path, count: int) -> Path:
    """Make an image with one full cluster that is counted so often; once is right."""
    image, raw = folder / "d0.qcow2", folder / "raw"
    raw.write_bytes(bytes([CONTENT]) * CLUSTER_BYTES)
    qemu_img("convert", "-O", "qcow2", raw, image)
    (extent,) = json.loads(qemu_img("map", "--output=json", image))
    with image.open("r+b") as file:
        file.seek(REFCOUNT_TABLE_AT)
        file.seek(*struct.unpack(">Q", file.read(8)))
        (block,) = struct.unpack(">Q", file.read(8))
        file.seek(block + 2 * (extent["offset"] // CLUSTER_BYTES))
        file.write(struct.pack(">H", count))
    return image


@pytest.mark.parametrize("count", [1, 2])
def test_cluster_that_is_counted_too_high_is_no_damage(tmp_path: Path, count: int) -> None:
    image = with_refcount(tmp_path, count)
    before = image.read_bytes()
    assert look_at(tmp_path, image.name)[image.name].content == CONTENT
    assert image.read_bytes() == before


def test_cluster_that_is_counted_too_low_is_damage(tmp_path: Path) -> None:
    image = with_refcount(tmp_path, 0)
    with pytest.raises(AssertionError, match="is damaged: ERROR cluster"):
        look_at(tmp_path, image.name)
