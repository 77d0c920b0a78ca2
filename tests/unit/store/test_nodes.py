import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, Row, event

from api.domain.nodes import view
from api.errors import Conflict
from api.states import NodeStatus
from api.store.hardware import NO_HARDWARE
from api.store.nodes import (
    add_nodes,
    delete_nodes,
    find_addresses,
    find_nodes,
    get_nodes,
    matches,
    move_nodes,
    names_of,
    remember_host_keys,
    update_node,
)
from api.store.session import reading, writing
from tests.machines import plant_bm_node


def test_new_nodes_are_pending_and_keep_the_order_of_their_addresses(any_engine: Engine) -> None:
    addresses = [f"10.0.0.{last}" for last in (9, 10, 1, 2)]

    node_ids = plant(any_engine, addresses)

    total, rows = find(any_engine)
    assert total == len(set(node_ids)) == 4
    assert [(row.node_id, row.address) for row in rows] == list(
        zip(node_ids, addresses, strict=True)
    )
    assert {(row.status, row.pre_status, row.zone_id) for row in rows} == {
        ("pending", "", "default")
    }


def test_an_address_belongs_to_one_node(any_engine: Engine) -> None:
    plant(any_engine, ["10.0.0.2"])

    with pytest.raises(Conflict, match=r"between 10\.0\.0\.1 and 10\.0\.0\.3"):
        plant(any_engine, ["10.0.0.1", "10.0.0.2", "10.0.0.3"])

    assert find(any_engine)[0] == 1


def test_of_two_who_add_the_same_addresses_one_is_told(any_engine: Engine) -> None:
    ends: list[str] = []
    start = threading.Barrier(2)

    def add() -> None:
        start.wait()
        try:
            plant(any_engine, [f"10.0.0.{last}" for last in range(200)])
            ends.append("added")
        except Conflict:
            ends.append("told")

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(ends) == ["added", "told"]
    assert find(any_engine)[0] == 200


def test_known_addresses_are_found_in_any_number(any_engine: Engine) -> None:
    addresses = [f"10.0.{third}.{last}" for third in range(12) for last in range(100)]
    node_ids = plant(any_engine, addresses)

    with reading(any_engine) as connection:
        found = find_addresses(connection, [*addresses, "10.1.0.1"])
        rows = get_nodes(connection, [*node_ids, "n-00000000"])

    assert found == dict(zip(addresses, node_ids, strict=True))
    assert rows.keys() == set(node_ids)


@pytest.mark.parametrize("count", [100, 2000])
def test_a_page_costs_the_same_queries_for_any_number_of_nodes(
    count: int, any_engine: Engine
) -> None:
    plant(any_engine, [f"10.0.{number // 250}.{number % 250}" for number in range(count)])

    with queries(any_engine) as whole:
        total, rows = find(any_engine)
        seen = [orjson.dumps(view(row)) for row in rows]
    with queries(any_engine) as paged:
        find(any_engine, limit=50, offset=50, search_word="10.0.")

    assert total == len(seen) == count
    assert (len(whole), len(paged)) == (1, 2)


def test_pages_join_without_gap_and_count_all_matches(any_engine: Engine) -> None:
    node_ids = plant(any_engine, [f"10.0.0.{last}" for last in range(10)])
    with writing(any_engine) as connection:
        for node_id in node_ids[:7]:
            update_node(connection, node_id, {"role": "storage"})

    pages = [
        find(any_engine, equal={"role": "storage"}, sort_key="role", limit=3, offset=offset)
        for offset in (0, 3, 6, 9)
    ]

    assert [total for total, _ in pages] == [7] * 4
    assert [len(rows) for _, rows in pages] == [3, 3, 1, 0]
    joined = [row.node_id for _, rows in pages for row in rows]
    assert joined == sorted(node_ids[:7])  # what sorts alike is in order of its ids


def test_offset_without_limit_gives_the_rest(any_engine: Engine) -> None:
    node_ids = plant(any_engine, [f"10.0.0.{last}" for last in range(5)])

    total, rows = find(any_engine, offset=3)

    assert (total, [row.node_id for row in rows]) == (5, node_ids[3:])


def test_sorting_downwards_is_sorting_turned_round(any_engine: Engine) -> None:
    node_ids = plant(any_engine, [f"10.0.0.{last}" for last in range(5)])

    _, rows = find(any_engine, reverse=True)

    assert [row.node_id for row in rows] == node_ids[::-1]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("R01", {"r01n01", "100%"}),
        ("n_1", {"n_1"}),
        ("%", {"100%"}),
        ("_", {"n_1"}),
        ("\\", {"a\\b"}),
        ("10.0.0.2", {"100%"}),
        ("", {"r01n01", "100%", "n_1", "a\\b"}),
    ],
)
def test_search_word_is_part_of_a_name_and_no_pattern(
    word: str, found: set[str], any_engine: Engine
) -> None:
    names = ["r01n01", "100%", "n_1", "a\\b"]
    node_ids = plant(any_engine, [f"10.0.0.{last}" for last in range(1, 5)])
    with writing(any_engine) as connection:
        for node_id, name in zip(node_ids, names, strict=True):
            update_node(connection, node_id, {"hostname": name})
        update_node(connection, node_ids[1], {"description": "rack R01"})

    total, rows = find(any_engine, search_word=word)

    assert {row.hostname for row in rows} == found
    assert total == len(found)


@pytest.mark.parametrize(
    ("asked", "places"),
    [
        (["mon"], [0, 1]),
        (["mon", "osd"], [1]),
        (["mo"], []),
        (["Mon"], [2]),
        (["m%n"], []),
        (["m_n"], []),
        (["osd-ssd"], [3]),
        (["ssd"], []),
        ([], [0, 1, 2, 3, 4]),
        (None, [0, 1, 2, 3, 4]),
    ],
)
def test_sub_roles_are_whole_words(
    asked: list[str] | None, places: list[int], any_engine: Engine
) -> None:
    node_ids = plant(any_engine, [f"10.0.0.{last}" for last in range(5)])
    with writing(any_engine) as connection:
        for node_id, sub_roles in zip(
            node_ids, (["mon"], ["osd", "mon"], ["Mon"], ["osd-ssd"], []), strict=True
        ):
            update_node(connection, node_id, {"sub_roles": sub_roles})

    _, rows = find(any_engine, sub_roles=asked)

    assert [row.node_id for row in rows] == [node_ids[place] for place in places]


def test_filters_combine_and_no_ids_match_nothing(any_engine: Engine) -> None:
    first, second = plant(any_engine, ["10.0.0.1", "10.0.0.2"])
    with writing(any_engine) as connection:
        update_node(connection, first, {"role": "storage"})

    assert find(any_engine, node_ids=[first, second], equal={"role": "storage"})[0] == 1
    assert find(any_engine, node_ids=[second], equal={"role": "storage"})[0] == 0
    assert find(any_engine, node_ids=[])[0] == 0


def test_a_node_moves_only_where_the_table_allows(any_engine: Engine) -> None:
    first, second = plant(any_engine, ["10.0.0.1", "10.0.0.2"])

    with writing(any_engine) as connection:
        refused = move_nodes(
            connection, {first: NodeStatus.COLLECTING, second: NodeStatus.AVAILABLE}
        )
        gone = move_nodes(connection, {"n-00000000": NodeStatus.COLLECTING})

    assert (refused, gone) == ([second], ["n-00000000"])
    assert [(row.status, row.pre_status) for row in find(any_engine)[1]] == [
        ("collecting", "pending"),
        ("pending", ""),
    ]


def test_deleted_nodes_take_their_parts_along(any_engine: Engine) -> None:
    first, second = plant(any_engine, ["10.0.0.1", "10.0.0.2"])

    with writing(any_engine) as connection:
        delete_nodes(connection, [first, "n-00000000"])

    assert [row.node_id for row in find(any_engine)[1]] == [second]


def test_a_known_host_key_is_not_replaced(any_engine: Engine) -> None:
    [node_id] = plant(any_engine, ["10.0.0.1"])

    for key in ("ssh-ed25519 first", "ssh-ed25519 second"):
        with writing(any_engine) as connection:
            remember_host_keys(connection, {node_id: key})

    with reading(any_engine) as connection:
        assert get_nodes(connection, [node_id])[node_id].host_key == "ssh-ed25519 first"


def test_a_view_of_some_fields_is_part_of_the_whole_view(any_engine: Engine) -> None:
    [node_id] = plant(any_engine, ["10.0.0.1"])
    [row] = find(any_engine)[1]

    whole = orjson.loads(orjson.dumps(view(row)))

    assert NO_HARDWARE.items() <= whole.items()
    assert view(row, {"cpu", "status"}) == {
        "node_id": node_id,
        "status": "pending",
        "cpu": NO_HARDWARE["cpu"],
    }
    assert view(row, frozenset(whole)) == whole


def plant(engine: Engine, addresses: Sequence[str]) -> list[str]:
    with writing(engine) as connection:
        return add_nodes(connection, addresses, "default")


def find(
    engine: Engine,
    *,
    node_ids: Sequence[str] | None = None,
    equal: Mapping[str, str] | None = None,
    sub_roles: Sequence[str] | None = None,
    search_word: str | None = None,
    sort_key: str = "create_time",
    reverse: bool = False,
    limit: int | None = None,
    offset: int = 0,
) -> tuple[int, Sequence[Row[Any]]]:
    conditions = matches(
        node_ids=node_ids, equal=equal or {}, sub_roles=sub_roles, search_word=search_word
    )
    with reading(engine) as connection:
        return find_nodes(
            connection, conditions, sort_key=sort_key, reverse=reverse, limit=limit, offset=offset
        )


@contextmanager
def queries(engine: Engine) -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    seen: list[str] = []

    def see(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", see)
    yield seen
    event.remove(engine, "before_cursor_execute", see)


def test_addresses_sort_as_numbers_ipv4_first(any_engine: Engine) -> None:
    addresses = ["2001:db8::a", "10.0.0.10", "10.0.0.9", "2001:db8::9", "9.255.0.1"]
    plant(any_engine, addresses)

    with reading(any_engine) as connection:
        _, rows = find_nodes(
            connection, [], sort_key="address", reverse=False, limit=None, offset=0
        )

    in_order = ["9.255.0.1", "10.0.0.9", "10.0.0.10", "2001:db8::9", "2001:db8::a"]
    assert [row.address for row in rows] == in_order


def test_a_log_calls_a_machine_by_the_best_name_it_has(any_engine: Engine) -> None:
    nothing = {"hostname": None, "pxe_network_mac_addr": None, "ipmi_network_address": None}
    [added] = plant(any_engine, ["10.0.0.1"])
    named = plant_bm_node(any_engine, 1)
    booted = plant_bm_node(any_engine, 2, hostname=None)
    found = plant_bm_node(any_engine, 3, **nothing | {"ipmi_network_address": "10.1.0.3"})

    with reading(any_engine) as connection:
        names = names_of(connection, [added, named, booted, found])

    assert names == {
        added: "10.0.0.1",
        named: "r01n01",
        booted: "52:54:00:00:00:02",
        found: "10.1.0.3",
    }
