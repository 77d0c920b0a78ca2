"""probe.sh itself, run on this machine by every shell we promise."""

import shutil
import subprocess
from pathlib import Path

import pytest

import api.hardware
from api.hardware.model import Hardware
from api.hardware.parse import parse_probe

PROBE = Path(api.hardware.__file__).parent / "probe.sh"
SHELLS = [["sh"], ["dash"], ["bash", "--posix"], ["busybox", "sh"]]


def run_probe(*shell: str) -> Hardware:
    """Run it as Firstbox does over SSH: the script on standard input."""
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    done = subprocess.run(
        shell, input=PROBE.read_text(), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return parse_probe(done.stdout)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_probe_of_this_machine_is_a_whole_record(shell: list[str]) -> None:
    hardware = run_probe(*shell)

    assert hardware.hostname
    assert hardware.cpu.cpu_processors >= hardware.cpu.cpu_cores >= hardware.cpu.cpu_sockets >= 1
    assert hardware.memory.memory_size > 0
    assert hardware.os.kernel_version


@pytest.mark.parametrize("shell", SHELLS[1:], ids=" ".join)
def test_all_shells_tell_the_same(shell: list[str]) -> None:
    hardware, reference = run_probe(*shell), run_probe("sh")

    assert hardware.cpu == reference.cpu
    assert hardware.disks == reference.disks
    assert hardware.system == reference.system
    assert [network.name for network in hardware.networks] == [
        network.name for network in reference.networks
    ]


def test_probe_starts_few_processes() -> None:
    """A process costs more than all the text it could read; each command is two with timeout."""
    script = PROBE.read_text()
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")

    done = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=execve", "-e", "status=successful", "sh"],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stderr.count("execve(") <= 26
