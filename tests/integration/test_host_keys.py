"""What kinds of host keys machines prove themselves with, tried on real SSH servers."""

import asyncio
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from api.ssh.session import Sessions
from api.ssh.target import Target
from tests.lab import Machine, Machines

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

PORT = 2241
SCRIPT = "echo here"


def target(machines: Machines, address: str) -> Target:
    return Target("n-1", address, port=PORT, private_key=str(machines.private_key))


def test_a_dropbear_that_offers_rsa_without_a_key_is_taken_by_its_other_key(tmp_path: Path) -> None:
    with Machines(tmp_path, [Machine("small", "127.0.41.1", "busybox")], PORT) as machines:
        answer = asyncio.run(Sessions().run(target(machines, "127.0.41.1"), SCRIPT))

    assert (answer.output, answer.host_key.split()[0]) == ("here\n", "ssh-ed25519")


def test_a_machine_with_an_rsa_key_is_known_again(tmp_path: Path) -> None:
    with Machines(tmp_path, [Machine("old", "127.0.41.2", "debian")], PORT) as machines:
        give_rsa_key(machines.root("old") / "etc/ssh/ssh_host_ed25519_key")
        first = target(machines, "127.0.41.2")

        seen = asyncio.run(Sessions().run(first, SCRIPT)).host_key
        again = asyncio.run(Sessions().run(replace(first, host_key=seen), SCRIPT))

    assert seen.startswith("ssh-rsa ")
    assert (again.output, again.host_key) == ("here\n", seen)


def give_rsa_key(path: Path) -> None:
    path.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", path], check=True)
