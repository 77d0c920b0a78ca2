import threading

import pytest
from sqlalchemy import Engine

from api.domain import bm_nodes
from api.errors import Conflict, Malformed
from api.settings import Settings
from api.store.bm_nodes import get_bm_nodes, update_bm_node
from api.store.sealing import Seal
from api.store.session import reading, writing
from tests.machines import asked


@pytest.fixture
def seal(settings: Settings) -> Seal:
    return Seal(settings.keys)


def register(engine: Engine, seal: Seal, settings: Settings, *numbers: int) -> list[str]:
    machines = {f"bm_nodes.{number}.": asked(number) for number in numbers}
    with writing(engine) as connection:
        return bm_nodes.register(connection, seal, settings.allowed_networks, machines)


def test_passwords_are_sealed_each_in_its_own_way(
    any_engine: Engine, seal: Seal, settings: Settings
) -> None:
    node_ids = register(any_engine, seal, settings, 1, 2)

    with reading(any_engine) as connection:
        sealed = {row.ipmi_password for row in get_bm_nodes(connection, node_ids).values()}
    assert len(sealed) == 2
    assert {seal.open(password) for password in sealed} == {asked()["ipmi_password"]}


def test_one_bad_machine_among_good_ones_registers_none(
    any_engine: Engine, seal: Seal, settings: Settings
) -> None:
    machines = {"0.": asked(1), "1.": asked(2, cpu_arch=""), "2.": asked(3)}

    with pytest.raises(Malformed, match=r"1\.cpu_arch"), writing(any_engine) as connection:
        bm_nodes.register(connection, seal, settings.allowed_networks, machines)

    assert len(register(any_engine, seal, settings, 1, 2, 3)) == 3


def test_of_two_who_register_the_same_machines_one_is_told(
    any_engine: Engine, seal: Seal, settings: Settings
) -> None:
    ends: list[str] = []
    start = threading.Barrier(2)

    def try_it() -> None:
        start.wait()
        try:
            register(any_engine, seal, settings, *range(100))
            ends.append("registered")
        except Conflict:
            ends.append("told")

    threads = [threading.Thread(target=try_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(ends) == ["registered", "told"]


def test_a_lost_key_hinders_nobody_from_giving_a_new_password(
    any_engine: Engine, seal: Seal, settings: Settings
) -> None:
    [node_id] = register(any_engine, seal, settings, 1)
    with writing(any_engine) as connection:
        update_bm_node(connection, node_id, {"ipmi_password": "sealed with a key that is lost"})

    with writing(any_engine) as connection:
        given = {"ipmi_password": "new"}
        bm_nodes.change(connection, seal, settings.allowed_networks, node_id, given)

    with reading(any_engine) as connection:
        assert seal.open(get_bm_nodes(connection, [node_id])[node_id].ipmi_password) == "new"
