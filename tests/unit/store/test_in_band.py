from typing import Any

import pytest
from sqlalchemy import Engine

from api.bmc.target import BmcTarget
from api.errors import Conflict
from api.settings import Settings
from api.store.bm_nodes import get_bm_nodes
from api.store.bmcs import bmc_targets, has_login
from api.store.in_band import learn_bmc, store_login
from api.store.session import reading, writing
from tests.machines import plant_bm_node

MAC = "52:54:00:00:00:aa"
NO_BMC = {"ipmi_network_address": None, "ipmi_username": "", "status": "discovered"}


def test_what_a_machine_tells_of_its_bmc_is_written_down(any_engine: Engine) -> None:
    machine = plant_bm_node(any_engine, **NO_BMC)

    assert learn(any_engine, machine, "10.9.0.1") == f"its BMC is at 10.9.0.1 ({MAC})"

    row = registration(any_engine, machine)
    assert (row.ipmi_network_address, row.bmc_mac) == ("10.9.0.1", MAC)
    assert not has_login(row)


def test_what_is_registered_stays_and_the_difference_is_told(any_engine: Engine) -> None:
    machine = plant_bm_node(any_engine, bmc_mac="52:54:00:00:00:bb")

    said = learn(any_engine, machine, "10.9.0.1")

    assert said == (
        f"its BMC is at 10.9.0.1 ({MAC}), and 127.0.99.1 is registered, and "
        "52:54:00:00:00:bb is registered"
    )
    row = registration(any_engine, machine)
    assert (row.ipmi_network_address, row.bmc_mac) == ("127.0.99.1", "52:54:00:00:00:bb")


@pytest.mark.parametrize(
    "theirs",
    [{"bmc_mac": MAC}, {"ipmi_network_address": "10.9.0.1"}, {"mgmt_network_address": "10.9.0.1"}],
)
def test_what_another_machine_has_is_a_conflict(any_engine: Engine, theirs: dict[str, Any]) -> None:
    machine = plant_bm_node(any_engine, **NO_BMC)
    other = plant_bm_node(any_engine, 2, **theirs)

    with pytest.raises(Conflict, match=f"so is node {other}'s"):
        learn(any_engine, machine, "10.9.0.1")

    assert registration(any_engine, machine).ipmi_network_address is None


def test_without_a_mac_nobody_is_taken_for_another(any_engine: Engine) -> None:
    plant_bm_node(any_engine, 2)
    machine = plant_bm_node(any_engine, **NO_BMC)

    with writing(any_engine) as connection:
        assert "no MAC" in learn_bmc(connection, machine, "10.9.0.1", "")


def test_a_login_is_kept_sealed_and_opens_again(settings: Settings, engine: Engine) -> None:
    machine = plant_bm_node(engine, **NO_BMC)
    made = BmcTarget(machine, "10.9.0.1", 623, "ipmi", "firstbox", "aB3-secretsecret")

    with writing(engine) as connection:
        assert bmc_targets(connection, settings, [machine]) == {}
        store_login(connection, settings, made)

    with reading(engine) as connection:
        target = bmc_targets(connection, settings, [machine])[machine]
    assert (target.username, target.password) == ("firstbox", "aB3-secretsecret")
    assert (target.address, target.kind, target.port) == ("10.9.0.1", "ipmi", 623)
    assert "secret" not in registration(engine, machine).ipmi_password


def learn(engine: Engine, node_id: str, address: str) -> str:
    with writing(engine) as connection:
        return learn_bmc(connection, node_id, address, MAC)


def registration(engine: Engine, node_id: str) -> Any:
    with reading(engine) as connection:
        return get_bm_nodes(connection, [node_id])[node_id]
