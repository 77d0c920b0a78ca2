"""`firstbox image`: a command of its own in a home of its own, on real images."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from api.images.manifest import missing_files, read_manifest

MBR = bytes(510) + b"\x55\xaa"


@pytest.fixture
def home(made_home: Path, tmp_path: Path) -> Path:
    home = tmp_path / "home"
    subprocess.run(["cp", "-a", str(made_home), str(home)], check=True)
    return home


@pytest.fixture
def qcow2(tmp_path: Path) -> Path:
    """A disk of 80 MiB with something in its first and in its last chunk."""
    raw, path = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    raw.write_bytes(MBR)
    os.truncate(raw, 80 << 20)
    with raw.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(os.urandom(100))
    convert = ["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(path)]
    subprocess.run(convert, check=True, timeout=60)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def add(home: Path, source: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return image(home, "add", str(source), "--os-version", "12", *options)


def image(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment(home), capture_output=True, text=True, timeout=60
    )


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "api.cli", "image", *arguments]


def environment(home: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FIRSTBOX_")}
    return clean | {"FIRSTBOX_HOME": str(home)}


def test_a_qcow2_becomes_chunks_of_its_raw_disk(home: Path, qcow2: Path) -> None:
    added = add(home, qcow2, "--sha256", sha256(qcow2), "--name", "tiny")

    assert added.returncode == 0, added.stderr
    manifest = read_manifest(home / "images" / "tiny")
    assert missing_files(home / "images" / "tiny") == []
    assert manifest.sha256 == sha256(qcow2.with_suffix(".raw"))
    assert [chunk.index for chunk in manifest.chunks] == [0, 4]
    assert (manifest.size, manifest.method) == (80 << 20, "image")
    assert sorted(path.name for path in (home / "images/tiny").iterdir()) == [
        "00000.zst",
        "00004.zst",
        "manifest.json",
    ]


def test_list_shows_it_and_remove_takes_it(home: Path, qcow2: Path) -> None:
    add(home, qcow2, "--sha256", sha256(qcow2), "--name", "tiny")

    listed = image(home, "list").stdout
    removed = image(home, "remove", "tiny")

    assert "tiny  12          x86_64    image   0.1" in listed
    assert removed.returncode == 0
    assert list((home / "images").iterdir()) == []
    assert "tiny" not in image(home, "list").stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "Give the image's checksum"),
        (["--sha256", "12"], "is not 64 hexadecimal digits"),
        (["--sha256", "0" * 64], "was expected: it is damaged or another file"),
        (["--sha256", "0" * 64, "--signature", "x"], "a keyring: give both or none"),
        (["--sha256", "0" * 64, "--name", "../x"], "name: '../x' does not match"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_leaves_nothing(
    home: Path, qcow2: Path, options: list[str], sentence: str
) -> None:
    refused = add(home, qcow2, *options)

    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not list(home.glob("images/.*"))
    assert "There are none." in image(home, "list").stderr


def test_a_backing_file_is_refused(home: Path, qcow2: Path, tmp_path: Path) -> None:
    child = tmp_path / "child"
    create = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        str(qcow2),
        "-F",
        "qcow2",
        str(child),
    ]
    subprocess.run(create, check=True, timeout=60)

    refused = add(home, child, "--sha256", sha256(child))

    assert refused.returncode == 1
    assert "backing file" in refused.stderr


def test_an_add_that_is_killed_leaves_nothing_half(home: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.raw"
    large.write_bytes(MBR + os.urandom((96 << 20) - 512))
    options = ["--os-version", "12", "--sha256", sha256(large), "--name", "large"]
    with subprocess.Popen(command("add", str(large), *options), env=environment(home)) as adding:
        until = time.monotonic() + 30
        while not list(home.glob("images/.*.part/*.zst")):
            assert time.monotonic() < until
            assert adding.poll() is None
            time.sleep(0.01)
        adding.send_signal(signal.SIGKILL)

    assert not (home / "images/large").exists()
    assert add(home, large, *options[2:]).returncode == 0
    assert [path.name for path in (home / "images").iterdir()] == ["large"]
    assert missing_files(home / "images/large") == []


def test_an_installer_is_its_kernel_its_initrd_and_its_values(home: Path, tmp_path: Path) -> None:
    for name in ("linux", "initrd.gz"):
        (tmp_path / name).write_bytes(name.encode())
    files = ["--kernel", str(tmp_path / "linux"), "--initrd", str(tmp_path / "initrd.gz")]
    given = [
        "--os-version",
        "9",
        "--name",
        "rocky",
        "--value",
        "repository=http://mirror.example.org/9",
    ]

    added = image(home, "add-installer", "kickstart", *files, *given)

    assert added.returncode == 0, added.stderr
    manifest = json.loads((home / "images/rocky/manifest.json").read_text())
    assert (home / "images/rocky/kernel").read_bytes() == b"linux"
    assert (home / "images/rocky/initrd").read_bytes() == b"initrd.gz"
    assert (manifest["method"], manifest["os_version"]) == ("kickstart", "9")
    assert manifest["values"] == {"repository": "http://mirror.example.org/9"}
    assert manifest["sha256"] == hashlib.sha256(b"linuxinitrd.gz").hexdigest()
