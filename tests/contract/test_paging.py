"""The extensions of DescribeNodes: pages, order, search, and fields."""

from typing import Any

import pytest

from tests.contract.conftest import Api


@pytest.fixture
def rack(api: Api) -> Api:
    """Five nodes, 10.0.0.1 to 10.0.0.5, that have names, roles and sub-roles."""
    api.call("AddNodes", ip_start="10.0.0.1", ip_end="10.0.0.5")
    attributes: list[dict[str, Any]] = [
        {"hostname": "a1", "role": "storage", "sub_roles": ["mon"], "description": "100%"},
        {"hostname": "b1", "role": "storage", "sub_roles": ["mon", "osd"], "description": "a_b"},
        {"hostname": "c1", "role": "storage", "sub_roles": ["monitor"], "zone_id": "z2"},
        {"hostname": "d1", "role": "compute", "sub_roles": ["Mon"]},
        {"hostname": "e1", "product_type": "kvm", "product_name": "big"},
    ]
    nodes = api.call("DescribeNodes")["node_set"]
    for node, values in zip(nodes, attributes, strict=True):
        assert api.call("ModifyNodeAttributes", node_id=node["node_id"], **values)["ret_code"] == 0
    return api


@pytest.mark.parametrize(
    ("asked", "names", "total"),
    [
        ({}, "a1 b1 c1 d1 e1", 5),
        ({"limit": 2}, "a1 b1", 5),
        ({"limit": 2, "offset": 1}, "b1 c1", 5),
        ({"offset": 4}, "e1", 5),
        ({"offset": 5}, "", 5),
        ({"limit": 2, "offset": 2**62}, "", 5),
        ({"limit": 100_000}, "a1 b1 c1 d1 e1", 5),
        ({"sort_key": "hostname", "reverse": True}, "e1 d1 c1 b1 a1", 5),
        ({"sort_key": "address", "reverse": True, "limit": 1}, "e1", 5),
        ({"role": "storage", "limit": 1}, "a1", 3),
        ({"role": "storage", "offset": 2}, "c1", 3),
        ({"role": ""}, "e1", 1),
        ({"role": "storage", "zone_id": "z2"}, "c1", 1),
        ({"role": "compute", "zone_id": "z2"}, "", 0),
        ({"product_type": "kvm", "product_name": "big"}, "e1", 1),
        ({"status": "collecting", "pre_status": "pending"}, "a1 b1 c1 d1 e1", 5),
        ({"status": "no such status"}, "", 0),
        ({"node_ids": []}, "", 0),
        ({"sub_roles": ["mon"]}, "a1 b1", 2),
        ({"sub_roles": ["osd", "mon"]}, "b1", 1),
        ({"sub_roles": ["mo"]}, "", 0),
        ({"sub_roles": []}, "a1 b1 c1 d1 e1", 5),
        ({"search_word": "B1"}, "b1", 1),
        ({"search_word": "0.0.4"}, "d1", 1),
        ({"search_word": "%"}, "a1", 1),
        ({"search_word": "_"}, "b1", 1),
        ({"search_word": "10.0.0.", "limit": 2}, "a1 b1", 5),
        ({"search_word": "'; DROP TABLE node; --"}, "", 0),
    ],
    ids=str,
)
def test_nodes_are_described_page_by_page(
    asked: dict[str, Any], names: str, total: int, rack: Api
) -> None:
    answer = rack.call("DescribeNodes", **asked)

    assert [node["hostname"] for node in answer["node_set"]] == names.split()
    assert answer["total_count"] == total


def test_only_the_fields_asked_for_are_in_the_answer(rack: Api) -> None:
    whole = rack.call("DescribeNodes")["node_set"]

    some = rack.call("DescribeNodes", fields=["hostname", "cpu"])["node_set"]
    none = rack.call("DescribeNodes", fields=[])["node_set"]

    kept = ("node_id", "hostname", "cpu")
    assert some == [{name: node[name] for name in kept} for node in whole]
    assert none == [{"node_id": node["node_id"]} for node in whole]
