"""What the steps of an installation need to know of their machines, in a few queries for all."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from api.os_config.wanted import wanted_of
from api.settings import Settings
from api.ssh.target import Target
from api.states import BmNodeStatus
from api.store.bm_nodes import get_bm_nodes
from api.store.boots import last_boots
from api.store.images import find_image, find_ramdisk
from api.store.nodes import get_nodes


@dataclass(frozen=True, slots=True)
class Installation:
    """One machine on its way to an operating system."""

    node_id: str
    machine: Row[Any]  # its registration
    image: Row[Any] | None  # what it is to get
    ramdisk: Row[Any] | None  # what it boots first
    boot: Row[Any] | None  # its last network boot for this installation


def read_installations(connection: Connection, node_ids: Sequence[str]) -> dict[str, Installation]:
    """By node id, in the order asked for; machines that are not registered any more are left out."""
    machines = get_bm_nodes(connection, node_ids)
    boots = last_boots(connection, {id_: row.provision_id for id_, row in machines.items()})
    found: dict[tuple[str, str, str], Row[Any] | None] = {}
    ramdisks: dict[str, Row[Any] | None] = {}

    def image(os_version: str, cpu_arch: str, name: str) -> Row[Any] | None:
        key = (os_version, cpu_arch, name)
        if key not in found:
            found[key] = find_image(connection, *key)
        return found[key]

    def ramdisk(cpu_arch: str) -> Row[Any] | None:
        if cpu_arch not in ramdisks:
            ramdisks[cpu_arch] = find_ramdisk(connection, cpu_arch)
        return ramdisks[cpu_arch]

    return {
        node_id: Installation(
            node_id=node_id,
            machine=row,
            image=image(row.os_version, row.cpu_arch, row.image),
            ramdisk=ramdisk(row.cpu_arch),
            boot=boots.get(node_id),
        )
        for node_id in node_ids
        if (row := machines.get(node_id)) is not None
    }


def is_job() -> bool:
    """Whether this process works for a job; a run in check mode from a shell does not."""
    return "FIRSTBOX_JOB" in os.environ


def with_systems(connection: Connection, node_ids: Sequence[str]) -> set[str]:
    """Which of these machines run an operating system of ours, or one that was added as a node."""
    machines = get_bm_nodes(connection, node_ids)
    added = get_nodes(connection, node_ids)
    return {
        node_id
        for node_id, machine in machines.items()
        if machine.status == BmNodeStatus.PROVISIONED or added[node_id].address is not None
    }


def job_of_run() -> str:
    """The id of the job this process works for; every run has it in its environment."""
    return os.environ["FIRSTBOX_JOB"].partition(".")[0]


def ramdisk_target(settings: Settings, installation: Installation) -> Target:
    """How the machine is reached while it runs the ramdisk."""
    boot = installation.boot
    assert boot is not None  # noqa: S101  # it said hello
    access = settings.ssh_access(installation.machine.zone_id)
    return Target(
        node=installation.node_id,
        address=boot.address,
        private_key=str(access.private_key),
        jump=access.jump or "",
        known_hosts_file=str(settings.home / "known_hosts"),
        host_key=boot.host_key,
    )


def system_target(settings: Settings, installation: Installation) -> Target:
    """How the machine is reached once its own system runs; its host key is a new one."""
    machine = installation.machine
    access = settings.ssh_access(machine.zone_id)
    return Target(
        node=installation.node_id,
        address=wanted_of(machine).reached_at,
        port=access.port or 22,
        user=access.user or "root",
        private_key=str(access.private_key),
        jump=access.jump or "",
        known_hosts_file=str(settings.home / "known_hosts"),
    )
