"""The inventory's query, on both databases."""

import subprocess
import sys
from pathlib import Path

import pytest

from api.store.inventory import InventoryUnreadableError, read_nodes
from api.store.session import open_database
from tests.machines import plant_bm_node
from tests.nodes import plant_nodes


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'it is 100% mine.db'}"
    database: str = request.getfixturevalue("postgres_url")
    return database


def ids(url: str, **wanted: list[str]) -> list[str]:
    return [node.node_id for node in read_nodes(url, **wanted)]


def test_module_imports_no_heavy_library() -> None:
    heavy = "{'sqlalchemy', 'sqlmodel', 'pydantic', 'alembic', 'psycopg', 'fastapi'}"
    code = f"import api.store.inventory, sys; print(sorted({heavy} & set(sys.modules)))"

    assert subprocess.check_output([sys.executable, "-c", code]) == b"[]\n"


def test_node_has_the_values_of_its_row(url: str) -> None:
    plant_nodes(
        url,
        {
            "node_id": "n-AAAAAAAA",
            "address": "10.0.0.1",
            "zone_id": "z1",
            "hostname": "hôte",
            "role": "db",
            "sub_roles": ["a", "b"],
            "product_type": "rack",
            "product_name": "R1",
            "serial_number": "S1",
            "host_key": "ssh-ed25519 AAAA",
            "description": "d",
        },
    )

    (node,) = read_nodes(url)

    assert node._asdict() == {
        "node_id": "n-AAAAAAAA",
        "address": "10.0.0.1",
        "zone_id": "z1",
        "status": "available",
        "hostname": "hôte",
        "description": "d",
        "role": "db",
        "sub_roles": ["a", "b"],
        "product_type": "rack",
        "product_name": "R1",
        "serial_number": "S1",
        "host_key": "ssh-ed25519 AAAA",
        "bm": None,
    }


def test_machine_has_its_registration_without_the_way_into_its_bmc(url: str) -> None:
    plant_nodes(url, {"node_id": "n-AAAAAAAA", "address": "10.0.0.1"})
    engine = open_database(url)
    node_id = plant_bm_node(engine, 7, ipmi_password="sealed-secret", brand="dell")
    engine.dispose()

    nodes = {node.node_id: node for node in read_nodes(url)}

    machine = nodes[node_id]
    assert machine.address is None
    assert machine.bm is not None
    assert machine.bm["hostname"] == "r01n07"
    assert (machine.bm["brand"], machine.bm["protected"]) == ("dell", 0)
    assert not {"ipmi_username", "ipmi_password", "bmc_certificate"} & machine.bm.keys()
    assert "sealed-secret" not in str(nodes)
    assert nodes["n-AAAAAAAA"].bm is None
    assert ids(url, node_ids=[node_id]) == [node_id]


def test_nodes_come_in_the_same_order_from_every_database(url: str) -> None:
    plant_nodes(url, *({"node_id": f"n-{letter * 8}"} for letter in "bA1a"))

    assert ids(url) == ["n-11111111", "n-AAAAAAAA", "n-aaaaaaaa", "n-bbbbbbbb"]


def test_only_named_nodes_and_zones_are_read(url: str) -> None:
    plant_nodes(
        url,
        {"node_id": "n-1", "zone_id": "a"},
        {"node_id": "n-2", "zone_id": "b"},
        {"node_id": "n-3", "zone_id": "b"},
    )

    assert ids(url, node_ids=["n-1", "n-2", "n-2", "n-9"]) == ["n-1", "n-2"]
    assert ids(url, zone_ids=["b"]) == ["n-2", "n-3"]
    assert ids(url, node_ids=["n-1", "n-2"], zone_ids=["b"]) == ["n-2"]
    assert ids(url, node_ids=[]) == []
    assert ids(url, node_ids=["' OR '1'='1"]) == []


def test_forty_thousand_names_are_no_hindrance(url: str) -> None:
    plant_nodes(url, {"node_id": "n-7"})

    assert ids(url, node_ids=[f"n-{number}" for number in range(40_000)]) == ["n-7"]


@pytest.mark.parametrize("stored", ["a word", {"a": 1}, None, [1, ["x"], "kept"]])
def test_sub_roles_of_any_shape_are_a_list_of_texts(url: str, stored: object) -> None:
    plant_nodes(url, {"node_id": "n-1", "sub_roles": stored})

    assert read_nodes(url)[0].sub_roles == (["kept"] if isinstance(stored, list) else [])


def test_reading_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    plant_nodes(f"sqlite:///{tmp_path}/firstbox.db", {"node_id": "n-1"})
    before = (tmp_path / "firstbox.db").read_bytes()

    assert ids(f"sqlite:///{tmp_path}/firstbox.db") == ["n-1"]
    assert (tmp_path / "firstbox.db").read_bytes() == before


def test_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InventoryUnreadableError, match="firstbox init"):
        read_nodes(f"sqlite:///{tmp_path}/firstbox.db")

    assert not list(tmp_path.iterdir())


def test_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "firstbox.db").write_text("no database at all, " * 100)

    with pytest.raises(InventoryUnreadableError, match=rf"{tmp_path}/firstbox\.db .*firstbox init"):
        read_nodes(f"sqlite:///{tmp_path}/firstbox.db")


def test_database_without_tables_asks_for_init(tmp_path: Path) -> None:
    (tmp_path / "firstbox.db").touch()

    with pytest.raises(InventoryUnreadableError, match=r"no tables of Firstbox yet.*firstbox init"):
        read_nodes(f"sqlite:///{tmp_path}/firstbox.db")


def test_postgresql_without_tables_asks_for_init(request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_url")

    with pytest.raises(InventoryUnreadableError, match=r"no tables of Firstbox yet.*firstbox init"):
        read_nodes(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:S3cret@127.0.0.1:1/x",
        "postgresql://me:S3cret@[broken/x",
        "mysql://me:S3cret@h/x",
        "postgresql+psycopg://me:S3cret@127.0.0.1:port/x",
    ],
)
def test_no_message_shows_the_password(url: str) -> None:
    with pytest.raises(InventoryUnreadableError, match="FIRSTBOX_DATABASE_URL") as caught:
        read_nodes(url)

    assert "S3cret" not in str(caught.value)
