"""Registrations of machines whose BMCs are simulated, straight into the database of a home."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from api.auth.keys import make_keys
from api.settings import Settings
from api.store.sealing import Seal
from api.store.session import migrate, open_database
from tests.lab.bmc.profile import Profile
from tests.machines import plant_bm_node


def plant_bmcs(settings: Settings, bmcs: Mapping[str, str], **values: Any) -> None:
    """A machine per node id and BMC address, with the simulators' user and password."""
    make_keys(settings)
    migrate(settings.database)
    engine = open_database(settings.database)
    try:
        for number, (node_id, address) in enumerate(bmcs.items(), 1):
            plant_bmc(engine, settings, number, node_id, address, **values)
    finally:
        engine.dispose()


def plant_bmc(
    engine: Engine, settings: Settings, number: int, node_id: str, address: str, **values: Any
) -> None:
    """One of them; `number` tells several apart."""
    profile = Profile()
    plant_bm_node(
        engine,
        number,
        **{
            "node_id": node_id,
            "ipmi_network_address": address,
            "ipmi_username": profile.username,
            "ipmi_password": Seal(settings.keys).close(profile.password),
            "pxe_network_mac_addr": f"52:54:00:00:{number // 256:02x}:{number % 256:02x}",
            "mgmt_network_address": f"10.0.{number // 250}.{number % 250 + 1}",
            **values,
        },
    )
