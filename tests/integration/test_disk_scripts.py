"""The scripts of disk_image and os_config, on loop devices instead of a machine's disks."""

import hashlib
import http.server
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from api.os_config.script import assignments, verdict_of
from api.os_config.seed import seed
from tests.lab.segment import Host, Segment
from tests.service import REPOSITORY

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

MIB = 1 << 20
CHUNK = 4 * MIB
WRITE = REPOSITORY / "roles/disk_image/files/write_image.sh"
CHECK = REPOSITORY / "roles/disk_image/files/check_disk.sh"
SEED = REPOSITORY / "roles/os_config/files/write_seed.sh"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """A loop device of 100 MiB full of old data; its name below /dev."""
    file = tmp_path / "disk"
    file.write_bytes(b"\xa5" * 100 * MIB)
    done = run("losetup", "--find", "--show", "--partscan", str(file))
    device = done.stdout.strip()
    yield device.removeprefix("/dev/")
    run("losetup", "--detach", device)


class Image:
    """A disk image of 18 MiB in chunks of 4: data, zeros, data, zeros, a last half."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = bytearray(18 * MIB)
        for number in (0, 2, 4):
            self.data[number * CHUNK : (number + 1) * CHUNK] = os.urandom(
                min(CHUNK, len(self.data) - number * CHUNK)
            )
        self.lines = []
        for number in (0, 2, 4):
            raw = bytes(self.data[number * CHUNK : (number + 1) * CHUNK])
            packed = subprocess.run(["zstd", "-q", "-c"], input=raw, capture_output=True).stdout
            (directory / f"{number:05}.zst").write_bytes(packed)
            self.lines.append(f"{number:05} {hashlib.sha256(packed).hexdigest()}")


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "image").mkdir()
    return Image(tmp_path / "image")


class Server(http.server.ThreadingHTTPServer):
    """Serves an image's chunks, and hears of progress."""

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(directory)))
        self.asked: list[str] = []
        self.told: list[str] = []
        self.stalls_at = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.stalls_at and self.server.stalls_at in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            time.sleep(5)
            return
        super().do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.told.append(body)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Nothing: the test looks at `asked`."""


@pytest.fixture
def server(image: Image) -> Iterator[Server]:
    with Server(image.directory) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_an_image_stands_on_the_disk_byte_by_byte(
    disk: str, image: Image, server: Server, tmp_path: Path
) -> None:
    said = write(disk, image, server, tmp_path)

    assert said == {"written": "3"}
    assert (tmp_path / "disk").read_bytes()[: len(image.data)] == bytes(image.data)
    assert server.told == ["percent=33", "percent=66", "percent=100"]


def test_a_changed_piece_never_reaches_the_disk(
    disk: str, image: Image, server: Server, tmp_path: Path
) -> None:
    piece = image.directory / "00002.zst"
    good = piece.read_bytes()
    other = subprocess.run(["zstd", "-q", "-c"], input=b"evil" * MIB, capture_output=True).stdout
    piece.write_bytes(other)

    said = write(disk, image, server, tmp_path)

    assert said == {"image_checksum": "piece 00002 of 3 is not what was added"}
    assert b"evil" * 1000 not in (tmp_path / "disk").read_bytes()
    piece.write_bytes(good)
    assert write(disk, image, server, tmp_path) == {"written": "3"}


def test_a_server_that_stands_still_is_given_up_and_what_is_written_stays(
    disk: str, image: Image, server: Server, tmp_path: Path
) -> None:
    server.stalls_at = "00004"

    said = write(disk, image, server, tmp_path)

    assert said == {"image_stalled": "piece 00004 of 3 did not arrive"}
    server.stalls_at, server.asked = "", []
    assert write(disk, image, server, tmp_path) == {"written": "3"}
    assert server.asked == ["/00004.zst"]
    assert (tmp_path / "disk").read_bytes()[: len(image.data)] == bytes(image.data)


def test_a_disk_with_data_is_told_of_and_an_empty_one_is_not(disk: str, tmp_path: Path) -> None:
    assert check(disk, tmp_path) == {}

    run("mkfs.ext4", "-q", "-F", "-L", "precious", f"/dev/{disk}")

    assert "ext4" in check(disk, tmp_path)["data"]
    assert "precious" in check(disk, tmp_path)["data"]


def test_a_partition_table_is_data_too(disk: str, tmp_path: Path) -> None:
    run("sgdisk", "--clear", "--new=0:0:0", f"/dev/{disk}")

    assert check(disk, tmp_path)["data"]


def test_an_address_that_somebody_has_is_in_use_and_others_are_free(
    disk: str, tmp_path: Path
) -> None:
    with Segment("10.77.0.1/24") as segment:
        other = segment.add_host("52:54:00:00:00:02")
        other.ip("address add 10.77.0.50/24 dev eth0")
        machine = segment.add_host("52:54:00:00:00:01")

        assert check(disk, tmp_path, machine, "10.77.0.50") == {"address_in_use": "10.77.0.50"}
        assert check(disk, tmp_path, machine, "10.77.0.51") == {}


def test_a_disk_that_is_not_there_is_missing(tmp_path: Path) -> None:
    assert "disk_missing" in check("no-such-disk", tmp_path)


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_the_seed_is_a_partition_that_cloud_init_finds(
    disk: str, tmp_path: Path, label: str
) -> None:
    # An image of 20 MiB on a disk of 100: its GPT ends in the middle of the disk.
    run("truncate", "--size=20M", str(tmp_path / "small"))
    table = f"label: {label}\nstart=2048, size=20480\n"
    subprocess.run(["sfdisk", "-q", str(tmp_path / "small")], input=table, text=True, check=True)
    run("dd", f"if={tmp_path / 'small'}", f"of=/dev/{disk}", "conv=notrunc", "status=none")

    for hostname in ("first", "second"):  # the second time it is found and written anew
        assert "configured" in write_seed(disk, tmp_path, f'{{"local-hostname": "{hostname}"}}')

    [part] = [
        line.partition(":")[0]
        for line in run("blkid", "-p", *parts(disk)).stdout.splitlines()
        if 'LABEL="CIDATA"' in line
    ]
    assert run("mcopy", "-n", "-i", part, "::meta-data", "-").stdout == (
        '{"local-hostname": "second"}'
    )
    assert run("sfdisk", "--verify", f"/dev/{disk}").returncode == 0


def write(disk: str, image: Image, server: Server, tmp_path: Path) -> dict[str, str]:
    head = assignments(
        disk=disk,
        image="0" * 64,
        url=server.url,
        progress=f"{server.url}/progress",
        chunk_size=CHUNK,
        size=len(image.data),
        stall=1,
    )
    lines = "\n".join(image.lines)
    manifest = f"manifest() {{\n    cat <<'END'\n{lines}\nEND\n}}\n"
    return verdict_of(in_ramdisk(head + manifest + WRITE.read_text(), tmp_path))


def check(
    disk: str, tmp_path: Path, machine: Host | None = None, address: str = ""
) -> dict[str, str]:
    head = assignments(disk=disk, mac="52:54:00:00:00:01", address=address, vlan_id=0)
    return verdict_of(in_ramdisk(head + CHECK.read_text(), tmp_path, machine))


def write_seed(disk: str, tmp_path: Path, meta_data: str) -> dict[str, str]:
    head = assignments(disk=disk, seed=seed({"meta-data": meta_data, "user-data": ""}))
    return verdict_of(in_ramdisk(head + SEED.read_text(), tmp_path))


def in_ramdisk(script: str, tmp_path: Path, machine: Host | None = None) -> str:
    """Run a script with a /run of its own, and without the programs that look at every disk.

    On a machine of a segment it sees that machine's cards.
    """
    own = tmp_path / "run"
    own.mkdir(exist_ok=True)
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    for name in ("vgchange", "mdadm"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    cards = "mount -t sysfs sys /sys && " if machine else ""
    command = ["unshare", "--mount", "sh", "-c", f"{cards}mount --bind {own} /run && exec sh"]
    done = subprocess.run(
        machine.command(*command) if machine else command,
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": f"{programs}:{os.environ['PATH']}:/usr/sbin:/sbin"},
    )
    return done.stdout


def parts(disk: str) -> list[str]:
    return run("lsblk", "-rnpo", "NAME", f"/dev/{disk}").stdout.split()[1:]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
