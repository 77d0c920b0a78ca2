from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, Row

from api.registration.rules import NOTHING
from api.states import BmNodeStatus
from api.store.bm_nodes import (
    add_bm_nodes,
    delete_registrations,
    find_bare,
    find_bm_nodes,
    find_owners,
    get_bm_nodes,
    matches,
    move_bm_nodes,
    update_bm_node,
)
from api.store.nodes import add_nodes, forget_systems, get_nodes, set_address, update_node
from api.store.session import reading, writing
from tests.machines import asked
from tests.unit.store.test_nodes import queries

MANY = 2500  # more than one portion of ids, and not a whole number of them


def test_new_machines_keep_their_order_and_know_nothing_of_a_system(any_engine: Engine) -> None:
    node_ids = plant(any_engine, *(asked(number) for number in (3, 1, 2)))

    total, rows = find(any_engine)

    assert total == len(set(node_ids)) == 3
    assert [row.node_id for row in rows] == node_ids
    assert [row.hostname for row in rows] == ["r01n03", "r01n01", "r01n02"]
    assert {(row.status, row.pre_status, row.provision_id) for row in rows} == {("new", "", "")}
    assert rows[0].mgmt_bond_members == []
    with reading(any_engine) as connection:
        [node] = get_nodes(connection, node_ids[:1]).values()
    assert (node.address, node.status, node.hostname) == (None, "pending", "")


@pytest.mark.parametrize("count", [100, MANY])
def test_a_page_costs_the_same_queries_for_any_number_of_machines(
    count: int, any_engine: Engine
) -> None:
    plant(any_engine, *(asked(number) for number in range(count)))

    with queries(any_engine) as whole:
        total, rows = find(any_engine)
    with queries(any_engine) as paged:
        find(any_engine, limit=50, offset=50, search_word="10.")

    assert total == len(rows) == count
    assert (len(whole), len(paged)) == (1, 2)


def test_any_number_of_machines_is_found_changed_and_deleted(any_engine: Engine) -> None:
    machines = [asked(number) for number in range(MANY)]
    node_ids = plant(any_engine, *machines)
    macs = [machine["pxe_network_mac_addr"] for machine in machines]
    addresses = [machine["mgmt_network_address"] for machine in machines]

    with writing(any_engine) as connection:
        assert len(get_bm_nodes(connection, node_ids, lock=True)) == MANY
        assert find_owners(connection, "MAC", macs) == dict(zip(macs, node_ids, strict=True))
        assert find_bare(connection, addresses) == dict(zip(addresses, node_ids, strict=True))
        forget_systems(connection, node_ids)
        delete_registrations(connection, node_ids)
        assert get_nodes(connection, node_ids) == {}
    assert find(any_engine)[0] == 0


def test_what_a_machine_has_is_found_wherever_it_stands(any_engine: Engine) -> None:
    [machine] = plant(any_engine, asked(1, serial_number="S1", public_network_address="192.0.2.1"))
    with writing(any_engine) as connection:
        [node] = add_nodes(connection, ["10.0.0.1"], "default")
        update_node(connection, node, {"hostname": "Web1", "serial_number": "S2"})
    has = {
        ("MAC", "52:54:00:00:00:01"): machine,
        ("hostname", "r01n01"): machine,
        ("hostname", "web1"): node,
        ("serial number", "S1"): machine,
        ("serial number", "S2"): node,
        ("address", "10.1.0.2"): machine,
        ("address", "10.2.0.2"): machine,
        ("address", "192.0.2.1"): machine,
        ("address", "10.0.0.1"): node,
    }

    with reading(any_engine) as connection:
        for (kind, value), owner in has.items():
            asked_for = [value, "something else"]
            assert find_owners(connection, kind, asked_for) == {value: owner}
            assert find_owners(connection, kind, asked_for, but=owner) == {}


def test_a_machine_is_bare_until_it_has_an_address(any_engine: Engine) -> None:
    public = {"public_network_address": "192.0.2.1"}
    first, second = plant(
        any_engine, asked(1, **public), asked(2, mgmt_network_address=None, **public)
    )
    addresses = ["10.2.0.2", "192.0.2.1"]

    with writing(any_engine) as connection:
        assert find_bare(connection, addresses) == {"10.2.0.2": first, "192.0.2.1": second}
        set_address(connection, first, "10.2.0.2", "")
        assert find_bare(connection, addresses) == {"192.0.2.1": second}


def test_only_a_node_with_an_address_outlives_its_registration(any_engine: Engine) -> None:
    bare, reached, other = plant(any_engine, asked(1), asked(2), asked(3))
    with writing(any_engine) as connection:
        set_address(connection, reached, "10.2.0.3", "")
        delete_registrations(connection, [bare, reached])

    with reading(any_engine) as connection:
        assert get_nodes(connection, [bare, reached, other]).keys() == {reached, other}
        assert get_bm_nodes(connection, [bare, reached, other]).keys() == {other}


def test_a_forgotten_system_leaves_a_node_as_it_was_registered(any_engine: Engine) -> None:
    node_ids = plant(any_engine, asked(1), asked(2))
    with writing(any_engine) as connection:
        set_address(connection, node_ids[0], "10.2.0.2", "ssh-ed25519 AAAA")
        known = {"hostname": "a", "role": "mon", "sub_roles": ["x"], "hardware": "{}"}
        update_node(connection, node_ids[0], known | {"status": "available"})
        forget_systems(connection, node_ids[:1])

    with reading(any_engine) as connection:
        once, never = (
            row._asdict() for row in (get_nodes(connection, node_ids)[id_] for id_ in node_ids)
        )
    own = ("node_id", "create_time", "update_time")
    assert {name: once[name] for name in once if name not in own} == {
        name: never[name] for name in never if name not in own
    }


def test_filters_combine(any_engine: Engine) -> None:
    first, second = plant(any_engine, asked(1, zone_id="z2"), asked(2, zone_id="z2"))
    with writing(any_engine) as connection:
        assert move_bm_nodes(connection, {first: BmNodeStatus.PROVISIONING}) == []

    assert found(any_engine, equal={"zone_id": "z2", "status": "new"}) == [second]
    assert found(any_engine, equal={"pre_status": "new"}) == [first]
    assert found(any_engine, node_ids=[first, "n-00000000"]) == [first]
    assert found(any_engine, node_ids=[]) == []
    assert found(any_engine, search_word="R01N02") == [second]


def test_machines_that_sort_alike_have_one_order(any_engine: Engine) -> None:
    node_ids = plant(any_engine, *(asked(number) for number in range(7)))

    pages = [
        row.node_id
        for offset in (0, 3, 6)
        for row in find(any_engine, sort_key="status", limit=3, offset=offset)[1]
    ]

    assert pages == sorted(node_ids)


def test_a_machine_without_a_name_is_not_in_the_way_of_another(any_engine: Engine) -> None:
    names = ("hostname", "serial_number", "pxe_network_mac_addr")
    unknown = dict.fromkeys((*names, "ipmi_network_address", "mgmt_network_address"))

    node_ids = plant(any_engine, asked(1, **unknown), asked(2, **unknown))

    with writing(any_engine) as connection:
        for node_id in node_ids:
            update_bm_node(connection, node_id, unknown)
    assert found(any_engine) == node_ids


def plant(engine: Engine, *machines: Mapping[str, Any]) -> list[str]:
    nothing = NOTHING | {"serial_number": None, "zone_id": "default", "description": ""}
    with writing(engine) as connection:
        return add_bm_nodes(connection, [nothing | machine for machine in machines])


def found(engine: Engine, **wanted: Any) -> list[str]:
    return [row.node_id for row in find(engine, **wanted)[1]]


def find(
    engine: Engine,
    *,
    node_ids: Sequence[str] | None = None,
    equal: Mapping[str, str] | None = None,
    search_word: str | None = None,
    sort_key: str = "create_time",
    limit: int | None = None,
    offset: int = 0,
) -> tuple[int, Sequence[Row[Any]]]:
    conditions = matches(node_ids=node_ids, equal=equal or {}, search_word=search_word)
    with reading(engine) as connection:
        return find_bm_nodes(
            connection, conditions, sort_key=sort_key, reverse=False, limit=limit, offset=offset
        )
