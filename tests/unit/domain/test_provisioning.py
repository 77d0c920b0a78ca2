import time
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from api.domain import jobs
from api.domain.queueing import Entry
from api.errors import Conflict, NotFound
from api.states import JobAction, Priority, Reason, WorkStatus
from api.store import jobs as store
from api.store import runs
from api.store.bm_nodes import get_bm_nodes, update_bm_node
from api.store.boots import boots_of_nodes, open_boot
from api.store.nodes import get_nodes, set_address
from api.store.session import reading, writing
from api.store.tables import Image, columns
from tests.fakes import RecordingQueue
from tests.jobs import end_job, the_slice
from tests.machines import plant_bm_node

USER = "operator"
DONE = {"status": WorkStatus.SUCCESSFUL, "step_index": 5}


@pytest.fixture
def machine(any_engine: Engine) -> str:
    """A registered machine, and all that is needed to install it."""
    add_image(any_engine, "debian-12", os_version="12")
    add_image(any_engine, "ramdisk", os_version="ramdisk", method="ramdisk")
    return plant_bm_node(any_engine)


def test_a_machine_is_held_and_becomes_provisioning(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    job_id = provision(any_engine, queue, machine)

    assert queue.entries == [Entry(job_id, 0, 1, "default", Priority.NORMAL)]
    row = registration(any_engine, machine)
    assert (row.status, row.pre_status) == ("provisioning", "new")
    assert row.provision_id.startswith("p-")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"protected": 1}, "protected"),
        ({"status": "discovered"}, "not registered in full"),
        ({"status": "provisioned"}, "ask with reinstall 1"),
        ({"mgmt_network_address": None}, "without a management or public address"),
        ({"os_version": "13"}, "no image for 13 on x86_64"),
        ({"image": "other"}, "no image other"),
        ({"cpu_arch": "aarch64"}, "no image for 12 on aarch64"),
    ],
)
def test_a_machine_that_must_not_be_installed_is_refused_by_name(
    any_engine: Engine, queue: RecordingQueue, machine: str, values: dict[str, Any], message: str
) -> None:
    change(any_engine, machine, **values)

    with pytest.raises(Conflict, match=rf"{machine}.* {message}|{message}.* {machine}"):
        provision(any_engine, queue, machine)

    assert queue.entries == []
    assert registration(any_engine, machine).status == values.get("status", "new")


def test_without_a_ramdisk_nothing_begins(any_engine: Engine, queue: RecordingQueue) -> None:
    add_image(any_engine, "debian-12", os_version="12")
    machine = plant_bm_node(any_engine)

    with pytest.raises(Conflict, match="no ramdisk for x86_64"):
        provision(any_engine, queue, machine)


def test_an_installer_asks_before_it_takes_a_disk(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    add_image(any_engine, "newer", os_version="12", method="preseed")

    with pytest.raises(Conflict, match="ask with erase 1"):
        provision(any_engine, queue, machine)

    provision(any_engine, queue, machine, erase=1)


def test_a_machine_in_use_is_refused(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    from api.store.nodes import update_node

    with writing(any_engine) as connection:
        update_node(connection, machine, {"role": "hypervisor"})

    with pytest.raises(Conflict, match="in use"):
        provision(any_engine, queue, machine)


def test_machines_without_a_registration_are_not_found(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    with pytest.raises(NotFound, match="n-00000000"):
        provision(any_engine, queue, "n-00000000")


def test_a_machine_that_succeeded_is_provisioned_and_its_node_available(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    job_id = provision(any_engine, queue, machine)
    touch(any_engine, job_id, machine)
    with writing(any_engine) as connection:
        set_address(connection, machine, "10.0.0.5", "")

    end(any_engine, job_id, {machine: DONE})

    assert registration(any_engine, machine).status == "provisioned"
    assert node(any_engine, machine).status == "available"
    with reading(any_engine) as connection:
        assert boots_of_nodes(connection, [machine]) == {}


def test_a_machine_that_failed_once_touched_is_failed(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    job_id = provision(any_engine, queue, machine)
    touch(any_engine, job_id, machine)

    end(any_engine, job_id, {machine: failed(Reason.NO_DHCP_REQUEST)})

    assert registration(any_engine, machine).status == "failed"
    assert node(any_engine, machine).status == "pending"


@pytest.mark.parametrize("before", ["new", "provisioned", "failed"])
def test_a_machine_that_was_only_looked_at_is_what_it_was(
    any_engine: Engine, queue: RecordingQueue, machine: str, before: str
) -> None:
    change(any_engine, machine, status=before)
    job_id = provision(any_engine, queue, machine, reinstall=1)

    end(any_engine, job_id, {machine: failed(Reason.BMC_SILENT)})

    assert registration(any_engine, machine).status == before


def test_a_retry_goes_on_with_the_same_installation(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    job_id = provision(any_engine, queue, machine, erase=1)
    first = registration(any_engine, machine).provision_id
    touch(any_engine, job_id, machine)
    end(any_engine, job_id, {machine: failed(Reason.RAMDISK_SILENT)})

    with writing(any_engine) as connection:
        again = jobs.retry(connection, queue, job_id, user_id=USER)

    assert registration(any_engine, machine).provision_id == first
    with reading(any_engine) as connection:
        row = store.get_job(connection, again)
    assert row is not None
    assert (row.retry_of, row.options) == (job_id, {"erase": 1})


def test_a_new_installation_is_another_one(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    job_id = provision(any_engine, queue, machine)
    first = registration(any_engine, machine).provision_id
    end(any_engine, job_id, {machine: failed(Reason.BMC_SILENT)})

    provision(any_engine, queue, machine)

    assert registration(any_engine, machine).provision_id != first


def test_a_cancel_between_two_attempts_leaves_the_end_to_the_worker(
    any_engine: Engine, queue: RecordingQueue, machine: str
) -> None:
    job_id = provision(any_engine, queue, machine)
    with writing(any_engine) as connection:
        run = runs.Run(job_id, 1, "w1")
        runs.claim(connection, run, 30)
        touch_with(connection, job_id, machine)
        assert runs.start_over(connection, the_slice(connection, job_id))
        jobs.cancel(connection, job_id)

    with reading(any_engine) as connection:
        row = store.get_job(connection, job_id)
    assert row is not None
    assert (row.status, row.cancel) == ("step0", True)


def provision(engine: Engine, queue: RecordingQueue, node_id: str, **options: int) -> str:
    with writing(engine) as connection:
        return jobs.start(
            connection,
            queue,
            JobAction.PROVISION_BM_NODES,
            [node_id],
            user_id=USER,
            options=options,
        )


def end(engine: Engine, job_id: str, nodes: dict[str, dict[str, Any]]) -> None:
    with writing(engine) as connection:
        end_job(connection, job_id, None, "", nodes)


def failed(reason: Reason) -> dict[str, Any]:
    return {"status": WorkStatus.FAILED, "reason": reason, "message": "failed"}


def touch(engine: Engine, job_id: str, node_id: str) -> None:
    with writing(engine) as connection:
        touch_with(connection, job_id, node_id)


def touch_with(connection: Any, job_id: str, node_id: str) -> None:
    open_boot(
        connection,
        node_id=node_id,
        job_id=job_id,
        provision_id="p-00000000",
        mac="52:54:00:00:00:01",
        method="image",
        image="debian-12",
        seconds=60,
    )


def change(engine: Engine, node_id: str, **values: Any) -> None:
    with writing(engine) as connection:
        update_bm_node(connection, node_id, values)


def registration(engine: Engine, node_id: str) -> Any:
    with reading(engine) as connection:
        return get_bm_nodes(connection, [node_id])[node_id]


def node(engine: Engine, node_id: str) -> Any:
    with reading(engine) as connection:
        return get_nodes(connection, [node_id])[node_id]


def add_image(engine: Engine, name: str, *, os_version: str, method: str = "image") -> None:
    with writing(engine) as connection:
        connection.execute(
            insert(columns(Image)).values(
                name=name,
                os_version=os_version,
                cpu_arch="x86_64",
                method=method,
                sha256="0" * 64,
                size=2_000_000_000,
                stored=200_000_000,
                directory=name,
                source="",
                create_time=time.time(),
            )
        )
