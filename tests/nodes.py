"""Rows of the node table, planted without the checks of the API."""

from typing import Any

from api.store.session import migrate, open_database, writing
from api.store.tables import Node, columns

_NODE = {
    "address_order": "",
    "zone_id": "default",
    "status": "available",
    "pre_status": "",
    "hostname": "",
    "description": "",
    "role": "",
    "sub_roles": [],
    "product_type": "",
    "product_name": "",
    "serial_number": "",
    "host_key": "",
    "hardware": "",
    "create_time": 1.0,
    "update_time": 1.0,
}


def plant_nodes(url: str, *nodes: dict[str, Any]) -> None:
    """Make the tables at `url` if need be, and a row of each dict."""
    migrate(url)
    engine = open_database(url)
    try:
        if nodes:
            with writing(engine) as connection:
                connection.execute(columns(Node).insert(), [_NODE | node for node in nodes])
    finally:
        engine.dispose()
