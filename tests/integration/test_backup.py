"""A backup made while the service works is all that is needed to have it again."""

import shutil
from pathlib import Path

import psycopg
from sqlalchemy import Engine, select
from sqlalchemy.engine import make_url

from api.settings import Settings
from api.states import NodeStatus
from api.store.bm_nodes import BM_NODE
from api.store.sealing import Seal
from api.store.session import open_database, reading
from tests.integration.test_cli_keys import firstbox
from tests.machines import plant_bm_node
from tests.nodes import plant_nodes
from tests.service import Service

PASSWORD = "correct horse battery"
HERE, FAR = "n-8AQZMLr1", "n-8AQZMLr2"


def make_anew(url: str) -> None:
    """The database is lost: there is an empty one in its place."""
    place = make_url(url)
    server = place.set(drivername="postgresql", database="postgres")
    address = server.render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {place.database} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {place.database}".encode())


def plant_machine(settings: Settings) -> str:
    """A registered machine whose BMC has a password."""
    engine = open_database(settings.database)
    node_id = plant_bm_node(engine, 1, ipmi_password=Seal(settings.keys).close(PASSWORD))
    engine.dispose()
    return node_id


def test_what_was_backed_up_under_work_is_there_again_and_works(
    tmp_path: Path, postgres_url: str
) -> None:
    home, backup = tmp_path / "home", tmp_path / "backup"
    service = Service(home, database_url=postgres_url, served_zones='["default"]')
    settings = Settings(home=home, database_url=postgres_url)
    machine = plant_machine(settings)
    here = {"node_id": HERE, "address": "127.0.43.2", "status": NodeStatus.PENDING}
    far = {"node_id": FAR, "address": "127.0.43.3", "status": NodeStatus.PENDING}
    plant_nodes(settings.database, here, far | {"zone_id": "far"})
    with service:
        ended = service.done("CollectNodes", node_ids=[HERE])["job_id"]
        service.wait_for(ended)
        waits = service.done("CollectNodes", node_ids=[FAR])["job_id"]
        service.firstbox("backup", str(backup))
        service.stop()
        shutil.rmtree(home)
        make_anew(postgres_url)

        said = service.firstbox("restore", str(backup)).stdout

        assert "1 jobs were not over" in said
        service.start()
        jobs = service.done("DescribeJobs")["job_set"]
        assert {one["job_id"]: one["status"] for one in jobs} == {ended: "failed", waits: "failed"}
        assert any("restored from a backup" in line for line in service.log(waits))
        shown = service.done("DescribeBMNodes", node_ids=[machine])["node_set"][0]
        assert PASSWORD in str(shown)
        again = service.done("CollectNodes", node_ids=[HERE])["job_id"]
        service.wait_for(again)
        reasons = [node["reason"] for node in service.status(again)["nodes"]]
        assert reasons == ["ssh_closed"]  # a worker tried: nobody listens there


def test_a_backup_of_sqlite_has_what_stands_in_its_log_of_writes(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    node_id = plant_bm_node(engine, 1, ipmi_password=Seal(settings.keys).close(PASSWORD))
    assert (settings.home / "firstbox.db-wal").stat().st_size > 0
    backup, other = tmp_path / "backup", tmp_path / "other"

    firstbox(settings.home, "backup", str(backup))
    firstbox(other, "restore", str(backup))

    assert modes(backup) == {"firstbox.db": 0o600, "keys": 0o700}
    assert modes(other) == {"firstbox.db": 0o600, "keys": 0o700}
    restored = Settings(home=other)
    found = open_database(restored.database)
    with reading(found) as connection:
        query = select(BM_NODE.c.ipmi_password).where(BM_NODE.c.node_id == node_id)
        assert Seal(restored.keys).open(connection.execute(query).scalar_one()) == PASSWORD
    found.dispose()


def modes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}


def test_nothing_is_restored_over_what_is_there(settings: Settings, tmp_path: Path) -> None:
    firstbox(settings.home, "backup", str(tmp_path / "backup"))

    refused = firstbox(settings.home, "restore", str(tmp_path / "backup"), code=1)

    assert "there already" in refused
    assert "there already" in firstbox(settings.home, "backup", str(tmp_path / "backup"), code=1)
    assert "no backup" in firstbox(tmp_path / "new", "restore", str(tmp_path), code=1)
