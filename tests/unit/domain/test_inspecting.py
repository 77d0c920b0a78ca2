import time
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from api.domain import jobs
from api.domain.queueing import Entry
from api.errors import Conflict, NotFound
from api.states import JobAction, Priority, Reason
from api.store.bm_nodes import get_bm_nodes, update_bm_node
from api.store.boots import BOOT, boots_of_nodes
from api.store.jobs import get_job
from api.store.nodes import set_address, update_node
from api.store.runs import Run, claim, start_over
from api.store.session import reading, writing
from api.store.tables import Image, columns
from tests.fakes import RecordingQueue
from tests.jobs import end_job, the_slice
from tests.machines import plant_bm_node

NO_BMC = {"ipmi_network_address": None, "ipmi_username": "", "pxe_network_mac_addr": None}


@pytest.fixture
def machine(any_engine: Engine) -> str:
    """A registered machine, and a ramdisk for it to boot."""
    add_ramdisk(any_engine, "x86_64")
    return plant_bm_node(any_engine, ipmi_password="sealed")


def test_an_inspection_holds_its_machines_and_changes_nothing_about_them(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    job_id = inspect(any_engine, queue, [machine])

    assert queue.entries == [Entry(job_id, 0, 1, "default", Priority.NORMAL)]
    assert registration(any_engine, machine).status == "new"
    with pytest.raises(Conflict, match=f"{machine} .job {job_id}."):
        inspect(any_engine, queue, [machine])


def test_a_protected_machine_may_be_looked_at(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    change(any_engine, machine, protected=1)

    inspect(any_engine, queue, [machine])


@pytest.mark.parametrize("name", ["ipmi_username", "ipmi_password", "ipmi_network_address"])
def test_what_a_boot_needs_and_nobody_told_is_named(
    any_engine: Engine, queue: RecordingQueue, machine: str, name: str
) -> None:
    change(any_engine, machine, **{name: None if name.endswith("address") else ""})

    with pytest.raises(Conflict, match=rf"{machine} \({name}\)"):
        inspect(any_engine, queue, [machine])


def test_a_machine_that_discovery_booted_needs_neither_bmc_nor_boot(
    any_engine: Engine, queue: RecordingQueue
) -> None:
    machine = plant_bm_node(any_engine, status="discovered", cpu_arch="", **NO_BMC)
    with pytest.raises(Conflict, match="missing"):
        inspect(any_engine, queue, [machine])
    discovered(any_engine, machine)

    inspect(any_engine, queue, [machine])


def test_a_system_is_interrupted_only_when_asked(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    added = plant_bm_node(any_engine, 2, ipmi_password="sealed")
    with writing(any_engine) as connection:
        set_address(connection, added, "10.0.0.2", "")
    change(any_engine, machine, status="provisioned", protected=1)

    for running in (machine, added):
        with pytest.raises(Conflict, match=f"{running} runs an operating system.*interrupt 1"):
            inspect(any_engine, queue, [running])

    inspect(any_engine, queue, [machine, added], interrupt=1)


def test_a_machine_in_use_is_never_inspected(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    with writing(any_engine) as connection:
        update_node(connection, machine, {"role": "storage"})

    with pytest.raises(Conflict, match=rf"{machine} \(role storage\) is in use"):
        inspect(any_engine, queue, [machine], interrupt=1)


def test_without_a_ramdisk_that_fits_nothing_begins(
    any_engine: Engine, queue: RecordingQueue
) -> None:
    arm = plant_bm_node(any_engine, ipmi_password="sealed", cpu_arch="aarch64")
    unknown = plant_bm_node(any_engine, 2, ipmi_password="sealed", cpu_arch="")
    with pytest.raises(Conflict, match=f"no ramdisk for aarch64, which node {arm}"):
        inspect(any_engine, queue, [arm])
    with pytest.raises(Conflict, match=unknown):
        inspect(any_engine, queue, [unknown])

    add_ramdisk(any_engine, "aarch64")

    inspect(any_engine, queue, [arm, unknown])


def test_of_two_kinds_of_ramdisk_nobody_guesses_one(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    add_ramdisk(any_engine, "aarch64")
    change(any_engine, machine, cpu_arch="")

    with pytest.raises(Conflict, match="give cpu_arch"):
        inspect(any_engine, queue, [machine])


def test_an_unknown_machine_is_named(any_engine: Engine, queue: RecordingQueue) -> None:
    with pytest.raises(NotFound, match="n-00000000"):
        inspect(any_engine, queue, ["n-00000000"])


def test_at_the_end_its_boot_is_closed_whatever_came_of_it(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    job_id = inspect(any_engine, queue, [machine])
    discovered(any_engine, machine)

    with writing(any_engine) as connection:
        end_job(connection, job_id, Reason.WORKER_LOST, "its worker died 3 times")

    with reading(any_engine) as connection:
        assert boots_of_nodes(connection, [machine]) == {}
    assert registration(any_engine, machine).status == "new"


def test_a_cancel_between_two_attempts_leaves_the_end_to_the_worker(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    job_id = inspect(any_engine, queue, [machine])
    with writing(any_engine) as connection:
        claim(connection, Run(job_id, 1, "w1"), 30)
        assert start_over(connection, the_slice(connection, job_id))
        jobs.cancel(connection, job_id)

    with reading(any_engine) as connection:
        row = get_job(connection, job_id)
    assert row is not None
    assert (row.status, row.cancel) == ("step0", True)


def inspect(engine: Engine, queue: RecordingQueue, node_ids: Sequence[str], **options: int) -> str:
    with writing(engine) as connection:
        return jobs.start(
            connection,
            queue,
            JobAction.INSPECT_BM_NODES,
            node_ids,
            user_id="operator",
            options=options,
        )


def discovered(engine: Engine, node_id: str) -> None:
    """The ramdisk runs on it, and no job booted it."""
    values = {"boot_id": "b-00000001", "node_id": node_id, "provision_id": "", "state": "open"}
    values |= {"mac": "52:54:00:00:00:aa", "method": "image", "image": "", "hello": {}}
    now = time.time()
    with writing(engine) as connection:
        connection.execute(
            insert(BOOT).values(
                create_time=now,
                expire_time=now + 60,
                hello_time=now,
                address="10.0.0.9",
                host_key="",
                **values,
            )
        )


def registration(engine: Engine, node_id: str) -> Any:
    with reading(engine) as connection:
        return get_bm_nodes(connection, [node_id])[node_id]


def change(engine: Engine, node_id: str, **values: Any) -> None:
    with writing(engine) as connection:
        update_bm_node(connection, node_id, values)


def add_ramdisk(engine: Engine, cpu_arch: str) -> None:
    values = {"name": f"ramdisk-{cpu_arch}", "os_version": "ramdisk", "cpu_arch": cpu_arch}
    values |= {"method": "ramdisk", "sha256": "0" * 64, "directory": cpu_arch}
    with writing(engine) as connection:
        connection.execute(
            insert(columns(Image)).values(size=1, stored=1, source="", create_time=1.0, **values)
        )
