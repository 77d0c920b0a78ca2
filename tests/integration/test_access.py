"""How nodes are reached: jump hosts, host key policies, zones, and a database on PostgreSQL."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import SshFarm
from tests.service import Service, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

FIRST, LAST = "127.0.42.1", "127.0.42.4"
JUMP, JUMP_PORT = "127.0.42.250", 2252


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshFarm]:
    with SshFarm(tmp_path_factory.mktemp("farm"), count=4, first=FIRST, port=2242) as farm:
        yield farm


@pytest.fixture
def jump_host(farm: SshFarm, tmp_path: Path) -> Iterator[Path]:
    """An SSH server that forwards and does nothing else; the path of its log."""
    key, log = tmp_path / "host_key", tmp_path / "jump.log"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = subprocess.run(
        ["ssh-keygen", "-y", "-f", farm.private_key], capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "authorized_keys").write_text(public)
    Path("/run/sshd").mkdir(exist_ok=True)
    options = {
        "ListenAddress": f"{JUMP}:{JUMP_PORT}",
        "HostKey": key,
        "AuthorizedKeysFile": tmp_path / "authorized_keys",
        "StrictModes": "no",
        "PidFile": "none",
        "PermitRootLogin": "yes",
        "ForceCommand": "/bin/false",
        "UsePAM": "no",
        "LogLevel": "DEBUG1",
    }
    arguments = [f"-o{name}={value}" for name, value in options.items()]
    with log.open("wb") as output:
        sshd = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *arguments], stderr=output
        )
    try:
        wait_until(lambda: "Server listening" in log.read_text(), 10, what="the jump host listens")
        yield log
    finally:
        sshd.terminate()
        sshd.wait(10)


def serve(home: Path, farm: SshFarm, **settings: Any) -> Service:
    return Service(home, ssh_port=farm.port, ssh_private_key=farm.private_key, **settings)


def collect(service: Service, **parameters: Any) -> dict[str, Any]:
    added = service.done("AddNodes", ip_start=FIRST, ip_end=LAST, **parameters)
    return service.wait_for(added["job_id"])


def test_nodes_behind_a_jump_host_are_collected(
    farm: SshFarm, jump_host: Path, tmp_path: Path
) -> None:
    jump = f"root@{JUMP}:{JUMP_PORT}"
    with serve(tmp_path / "home", farm, ssh_jump=jump) as service:
        assert collect(service)["status"] == "successful"

        known = (tmp_path / "home" / "known_hosts").read_text()
    log = jump_host.read_text()
    assert log.count("Accepted publickey") == 2  # one login per step, not one per node
    # Both steps went through it: nothing was tried directly.
    assert log.count(f"target {LAST} port {farm.port}") == 2
    assert known.startswith(f"[{JUMP}]:{JUMP_PORT} ssh-ed25519 ")


def test_a_jump_host_with_another_key_than_before_is_not_used(
    farm: SshFarm, jump_host: Path, tmp_path: Path
) -> None:
    other = subprocess.run(
        ["ssh-keygen", "-y", "-f", farm.private_key], capture_output=True, text=True, check=True
    ).stdout
    with serve(tmp_path / "home", farm, ssh_jump=f"root@{JUMP}:{JUMP_PORT}") as service:
        (tmp_path / "home" / "known_hosts").write_text(f"[{JUMP}]:{JUMP_PORT} {other}")

        status = collect(service)

    assert {row["reason"] for row in status["nodes"]} == {"ssh_silent"}
    assert "Accepted publickey" not in jump_host.read_text()


def test_a_jump_host_that_is_away_is_named(farm: SshFarm, tmp_path: Path) -> None:
    jump = f"root@{JUMP}:{JUMP_PORT + 1}"
    with serve(tmp_path / "home", farm, ssh_jump=jump) as service:
        status = collect(service)

        assert {row["reason"] for row in status["nodes"]} == {"ssh_silent"}
        assert jump in status["nodes"][0]["message"]


def test_strict_accepts_recorded_keys_only(farm: SshFarm, tmp_path: Path) -> None:
    with serve(tmp_path / "home", farm, ssh_known_hosts="strict") as service:
        status = collect(service)
        assert {row["reason"] for row in status["nodes"]} == {"host_key_unknown"}

        service.stop()
        service.start(ssh_known_hosts="accept-new")
        first = service.done("RetryJob", job_id=status["job_id"])
        assert service.wait_for(first["job_id"])["status"] == "successful"

        service.stop()
        service.start()
        node_ids = [node["node_id"] for node in service.nodes().values()]
        again = service.done("CollectNodes", node_ids=node_ids)
        assert service.wait_for(again["job_id"])["status"] == "successful"


def test_a_zone_has_its_own_port(farm: SshFarm, tmp_path: Path) -> None:
    with Service(
        tmp_path / "home",
        ssh_port=1,
        ssh_private_key=farm.private_key,
        zones=f'{{"far": {{"port": {farm.port}}}}}',
    ) as service:
        assert collect(service, zone_id="far")["status"] == "successful"
        assert {node["zone_id"] for node in service.nodes().values()} == {"far"}


def test_everything_works_on_postgresql(farm: SshFarm, tmp_path: Path, postgres_url: str) -> None:
    with serve(tmp_path / "home", farm, database_url=postgres_url) as service:
        status = collect(service)
        assert status["status"] == "successful"
        assert {node["status"] for node in service.nodes().values()} == {"available"}

        direct = service.run("ansible-playbook", "playbooks/collect.yml", check=False)
        assert direct.returncode == 0, direct.stdout + direct.stderr
        newest = service.done("DescribeJobs")["job_set"][0]
        assert newest["command"] == "ansible-playbook playbooks/collect.yml"
        assert newest["status"] == "successful"
