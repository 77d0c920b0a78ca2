"""The first sectors of a disk that a BIOS boots. That it does boot, the acceptance test shows."""

from pathlib import Path

import pytest

from api.errors import FirstboxError
from api.images.boot_disk import MIB, SECTOR, install_core

TABLE = b"T" * (SECTOR - 440)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(bytes(440) + TABLE + bytes(3 * MIB - SECTOR))
    return path


def test_the_first_sector_leads_to_the_core_and_the_core_to_its_rest(disk: Path) -> None:
    install_core(disk, b"B" * SECTOR, b"C" * 3 * SECTOR)

    content = disk.read_bytes()
    assert int.from_bytes(content[0x5C:0x64], "little") * SECTOR == MIB
    assert int.from_bytes(content[MIB + 0x1F4 : MIB + 0x1FC], "little") * SECTOR == MIB + SECTOR
    assert content[MIB + SECTOR : MIB + 3 * SECTOR] == b"C" * 2 * SECTOR


def test_the_partition_table_stays(disk: Path) -> None:
    install_core(disk, b"B" * SECTOR, b"C" * SECTOR)

    assert disk.read_bytes()[440:SECTOR] == TABLE


def test_a_core_that_would_run_into_the_next_partition_is_refused(disk: Path) -> None:
    with pytest.raises(FirstboxError, match="GRUB's core"):
        install_core(disk, b"B" * SECTOR, bytes(MIB + 1))
