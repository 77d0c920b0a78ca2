"""BMCs in the database: passwords opened for who talks to them, and what was said kept."""

import pytest
from sqlalchemy import Engine

from api.bmc.target import BmcResult
from api.errors import FirstboxError
from api.settings import Settings
from api.states import PowerState
from api.store.bm_nodes import get_bm_nodes
from api.store.bmcs import bmc_targets, machines_at, record_answers
from api.store.sealing import Seal
from api.store.session import reading, writing
from tests.machines import plant_bm_node


def test_target_has_the_password_in_clear_and_the_protocols_port(
    engine: Engine, settings: Settings
) -> None:
    sealed = Seal(settings.keys).close("s3cret")
    one = plant_bm_node(engine, 1, ipmi_password=sealed, boot_mode="uefi")
    other = plant_bm_node(engine, 2, ipmi_password=sealed, bmc_type="redfish", bmc_port=8443)

    with reading(engine) as connection:
        targets = bmc_targets(connection, settings, [one, other])

    assert (targets[one].password, targets[one].port, targets[one].boot_mode) == (
        "s3cret",
        623,
        "uefi",
    )
    assert (targets[other].kind, targets[other].port) == ("redfish", 8443)


def test_machines_without_a_bmc_are_left_out(engine: Engine, settings: Settings) -> None:
    found = plant_bm_node(engine, 1, ipmi_network_address=None)

    with reading(engine) as connection:
        assert bmc_targets(connection, settings, [found, "n-nobody"]) == {}


def test_password_sealed_with_a_lost_key_is_said(engine: Engine, settings: Settings) -> None:
    node = plant_bm_node(engine, 1, ipmi_password="gAAAAA-of-another-key")

    with reading(engine) as connection, pytest.raises(FirstboxError, match="sealing"):
        bmc_targets(connection, settings, [node])


def test_power_state_that_was_read_is_kept_with_its_time(engine: Engine) -> None:
    node, other = plant_bm_node(engine, 1), plant_bm_node(engine, 2)

    with writing(engine) as connection:
        record_answers(
            connection,
            [
                BmcResult(node, False, "is not off", "power_unchanged", PowerState.ON),
                BmcResult(other, False, "does not answer", "bmc_silent"),
            ],
        )
        rows = get_bm_nodes(connection, [node, other])

    assert rows[node].power_state == "on"
    assert rows[node].power_time is not None
    assert (rows[other].power_state, rows[other].power_time) == ("", None)


def test_certificate_of_first_contact_is_never_replaced(engine: Engine) -> None:
    node = plant_bm_node(engine, 1)

    with writing(engine) as connection:
        for shown in ("first", "second"):
            record_answers(connection, [BmcResult(node, True, "is on", certificate=shown)])
        assert get_bm_nodes(connection, [node])[node].bmc_certificate == "first"


def test_machines_are_found_by_the_address_of_their_bmc(engine: Engine) -> None:
    node = plant_bm_node(engine, 1, ipmi_network_address="10.0.0.1")
    plant_bm_node(engine, 2, ipmi_network_address="10.0.0.2")

    with reading(engine) as connection:
        assert machines_at(connection, ["10.0.0.1", "10.0.0.9"]) == {"10.0.0.1": node}
