"""Who is let in though nobody knows it, and what is made of what it says of itself."""

import json
import logging
import time
from typing import Any

import pytest
from sqlalchemy import Engine, Row, select, update

from api.boot.hello import read_hello
from api.domain.booting import Booting, greet
from api.domain.discovering import answer_unknown, discover
from api.settings import Settings
from api.states import BootState, JobAction
from api.store.bm_nodes import BM_NODE
from api.store.boots import BOOT, active_boots, record
from api.store.jobs import get_log, newest_job
from api.store.nodes import zones_of
from api.store.session import reading, writing
from tests.fakes import RecordingQueue
from tests.lab.boot_server import new_boot
from tests.machines import plant_bm_node
from tests.nodes import plant_nodes
from tests.unit.boot.test_hello import body

MAC, OTHER = "52:54:00:77:01:01", "52:54:00:77:01:02"
BMC_ADDRESS, BMC_MAC = "10.9.0.7", "02:ff:0a:09:00:07"


@pytest.fixture(autouse=True)
def discovering(settings: Settings) -> None:
    """Discovery is on, and two at a time are let in."""
    settings.discovery, settings.discovery_most = True, 2


class Discovery:
    """A machine that boots over the network with nobody waiting for it."""

    def __init__(self, engine: Engine, settings: Settings, queue: RecordingQueue) -> None:
        self.engine = engine
        self.settings = settings
        self.queue = queue

    def opened(self, mac: str = MAC) -> bool:
        """Whether it is let in."""
        with writing(self.engine) as connection:
            return answer_unknown(connection, self.settings, mac)

    def says_hello(self, mac: str = MAC, **fields: Any) -> Row[Any]:
        """It is let in, and says who it is; its boot afterwards."""
        assert self.opened(mac)
        return self.hello(mac, **fields)

    def hello(self, mac: str = MAC, **fields: Any) -> Row[Any]:
        """The hello of a boot that is open, as the route takes it."""
        told = {"nic": [f"eth0,{mac},1"], "bmc_address": BMC_ADDRESS, "bmc_mac": BMC_MAC}
        said = read_hello(body(**{**told, **fields}))
        boot = self.boot(mac)
        with writing(self.engine) as connection:
            record(connection, [greet(Booting(boot, None), said, "10.77.0.101")])
            discover(connection, self.queue, self.settings, boot, said)
        return self.boot(mac)

    def boot(self, mac: str = MAC) -> Row[Any]:
        with reading(self.engine) as connection:
            return connection.execute(select(BOOT).where(BOOT.c.mac == mac)).one()

    def machines(self) -> list[Row[Any]]:
        with reading(self.engine) as connection:
            return list(connection.execute(select(BM_NODE)).all())

    def log(self) -> str:
        """Of the last inspection."""
        with reading(self.engine) as connection:
            job = newest_job(connection, JobAction.INSPECT_BM_NODES)
            lines = get_log(connection, job.job_id) if job is not None else []
        return "\n".join(line.text for line in lines)


@pytest.fixture
def machine(any_engine: Engine, settings: Settings, queue: RecordingQueue) -> Discovery:
    return Discovery(any_engine, settings, queue)


def test_an_unknown_machine_is_let_in_only_with_discovery_on(machine: Discovery) -> None:
    machine.settings.discovery = False
    assert not machine.opened()
    machine.settings.discovery = True
    assert machine.opened()


def test_a_discovery_is_nobodys_boot_and_boots_the_ramdisk(machine: Discovery) -> None:
    machine.opened()
    boot = machine.boot()
    assert (boot.node_id, boot.job_id, boot.method, boot.image) == (None, None, "image", "")
    assert 1790 < boot.expire_time - time.time() < 1810


@pytest.mark.parametrize(
    ("zones", "zone_id"), [([], "default"), (["z7"], "z7"), (["z7", "z8"], "default")]
)
def test_it_is_registered_in_the_zone_of_its_boot_server(
    machine: Discovery, zones: list[str], zone_id: str
) -> None:
    machine.settings.served_zones = zones
    node_id = machine.says_hello().node_id
    with reading(machine.engine) as connection:
        assert zones_of(connection, [node_id]) == {node_id: zone_id}


@pytest.mark.parametrize("mac", ["01:00:5e:00:00:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"])
def test_what_is_no_cards_mac_is_not_let_in(machine: Discovery, mac: str) -> None:
    assert not machine.opened(mac)


def test_no_more_than_so_many_are_at_it_at_a_time(machine: Discovery) -> None:
    macs = [f"52:54:00:77:09:{number:02x}" for number in range(3)]
    assert [machine.opened(mac) for mac in macs] == [True, True, False]
    age(machine, macs[0], 1801)
    assert machine.opened(macs[2])


def test_the_same_machine_is_not_let_in_again_and_again(machine: Discovery) -> None:
    assert machine.opened()
    for seconds in (0, 1801, 2399):
        age(machine, MAC, seconds)
        assert not machine.opened()
    age(machine, MAC, 2401)
    assert machine.opened()


def age(machine: Discovery, mac: str, seconds: float) -> None:
    """Let a discovery have been opened so long ago."""
    with writing(machine.engine) as connection:
        opened = time.time() - seconds
        connection.execute(
            update(BOOT)
            .where(BOOT.c.mac == mac)
            .values(create_time=opened, expire_time=opened + 1800)
        )


def test_a_machine_with_a_known_card_is_not_let_in(machine: Discovery) -> None:
    plant_bm_node(machine.engine, 1, pxe_network_mac_addr=MAC)
    seen = json.dumps({"networks": [{"mac_address": OTHER}]})
    plant_bm_node(machine.engine, 2, hardware=seen)
    plant_node(machine, hardware=seen.replace(OTHER, "52:54:00:77:01:03"))
    cards = (MAC, OTHER, "52:54:00:77:01:03")
    assert [machine.opened(mac) for mac in cards] == [False] * 3


def plant_node(machine: Discovery, **values: Any) -> None:
    """A machine that somebody added, with an operating system."""
    url = machine.engine.url.render_as_string(hide_password=False)
    plant_nodes(url, {"node_id": "n-00000009", "address": "10.0.0.9", **values})


def test_a_machine_that_said_hello_once_is_known_by_all_its_cards(machine: Discovery) -> None:
    machine.says_hello(nic=[f"eth0,{MAC},1", f"eth1,{OTHER},0"])
    assert not machine.opened(OTHER)


def test_a_job_that_boots_the_same_card_ends_the_discovery(machine: Discovery) -> None:
    machine.opened()
    node_id = plant_bm_node(machine.engine, pxe_network_mac_addr=MAC)
    boot_id = new_boot(machine.engine, node_id, MAC)
    with reading(machine.engine) as connection:
        assert [boot.boot_id for boot in active_boots(connection)] == [boot_id]


def test_its_hello_registers_it_as_discovered(machine: Discovery) -> None:
    boot = machine.says_hello(serial_number="SN-7", brand="Dell Inc.", product="R650")
    [row] = machine.machines()
    assert (row.node_id, row.status) == (boot.node_id, "discovered")
    assert (row.pxe_network_mac_addr, row.boot_mode, row.cpu_arch) == (MAC, "uefi", "x86_64")
    assert (row.brand, row.product, row.serial_number) == ("dell", "R650", "SN-7")
    assert (row.ipmi_network_address, row.bmc_mac) == (BMC_ADDRESS, BMC_MAC)
    assert (row.ipmi_username, row.hostname) == ("", None)


def test_an_inspection_goes_on_with_its_boot(machine: Discovery) -> None:
    boot = machine.says_hello()
    assert [entry.job_id for entry in machine.queue.entries] == [boot.job_id]
    assert boot.state == BootState.OPEN
    with reading(machine.engine) as connection:
        job = newest_job(connection, JobAction.INSPECT_BM_NODES)
    assert job is not None
    assert (job.job_id, job.user_id) == (boot.job_id, "discovery")
    assert f"{boot.node_id} {MAC}: nobody knew it: registered as discovered" in machine.log()


def test_a_hello_that_is_repeated_changes_nothing_more(machine: Discovery) -> None:
    before = machine.says_hello()
    machine.hello()
    assert len(machine.machines()) == len(machine.queue.entries) == 1
    after = machine.boot()
    assert (after.job_id, after.state) == (before.job_id, BootState.OPEN)


@pytest.mark.parametrize(
    "said", ["", "To be filled by O.E.M.", "0123456789", "Default string", "................"]
)
def test_a_placeholder_is_no_serial_number(machine: Discovery, said: str) -> None:
    machine.says_hello(serial_number=said)
    machine.says_hello(OTHER, serial_number=said, bmc_mac="02:ff:00:00:00:08", bmc_address="")
    assert [row.serial_number for row in machine.machines()] == [None, None]


NOWHERE = "0.0.0.0"  # noqa: S104  # what a BMC says that got no address


@pytest.mark.parametrize(
    "address",
    ["", NOWHERE, "169.254.3.4", "224.0.0.1", "192.168.1.1", "no address", "10.9.0.256"],
)
def test_an_address_that_is_none_of_ours_is_not_registered(
    machine: Discovery, address: str
) -> None:
    networks = ["10.9.0.0/24", "169.254.0.0/16"]
    machine.settings.allowed_networks = Settings(allowed_networks=networks).allowed_networks
    machine.says_hello(bmc_address=address)
    [row] = machine.machines()
    assert (row.ipmi_network_address, row.bmc_mac) == (None, BMC_MAC)


def test_a_bmc_address_that_another_machine_has_stays_that_one_s(machine: Discovery) -> None:
    plant_bm_node(machine.engine, ipmi_network_address=BMC_ADDRESS, bmc_mac="02:ff:00:00:00:01")
    boot = machine.says_hello(serial_number="SN-7")
    row = next(row for row in machine.machines() if row.node_id == boot.node_id)
    assert (row.serial_number, row.ipmi_network_address) == ("SN-7", None)


@pytest.mark.parametrize(
    "known",
    [
        {"serial_number": "SN-7"},
        {"serial_number": None, "bmc_mac": BMC_MAC},
        {"serial_number": None, "pxe_network_mac_addr": OTHER},
        {"serial_number": None, "ipmi_network_address": BMC_ADDRESS},
    ],
    ids=lambda known: list(known)[-1],
)
def test_a_registered_machine_that_boots_from_another_card_is_found_and_not_overwritten(
    machine: Discovery, known: dict[str, Any]
) -> None:
    node_id = plant_bm_node(machine.engine, brand="acme", **known)
    [before] = machine.machines()
    nics = [f"eth0,{OTHER},0", f"eth1,{MAC},1"]
    boot = machine.says_hello(serial_number="SN-7", nic=nics)
    assert machine.machines() == [before]
    assert (boot.node_id, len(machine.queue.entries)) == (node_id, 1)
    assert "nobody waited for it on this card: it is known" in machine.log()


def test_a_machine_that_contradicts_its_registration_is_registered_as_nothing(
    machine: Discovery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "firstbox.boot")
    plant_bm_node(machine.engine, serial_number="SN-7", bmc_mac="02:ff:00:00:00:01")
    [before] = machine.machines()
    boot = machine.says_hello(serial_number="SN-7")
    assert machine.machines() == [before]
    assert (boot.node_id, boot.state, machine.queue.entries) == (None, BootState.CLOSED, [])
    assert f"an unknown machine {MAC}: conflict, nothing is registered: " in caplog.text
    assert BMC_MAC in caplog.text


def test_a_machine_whose_operating_system_is_known_is_left_alone(
    machine: Discovery, caplog: pytest.LogCaptureFixture
) -> None:
    plant_node(machine, serial_number="SN-7")
    boot = machine.says_hello(serial_number="SN-7")
    assert (machine.machines(), boot.state) == ([], BootState.CLOSED)
    assert "n-00000009 has its serial number, and runs an operating system" in caplog.text


def test_a_machine_that_a_job_is_at_gets_no_second_one(
    machine: Discovery, caplog: pytest.LogCaptureFixture
) -> None:
    node_id = plant_bm_node(machine.engine, serial_number="SN-7")
    new_boot(machine.engine, node_id, OTHER)
    boot = machine.says_hello(serial_number="SN-7")
    assert (boot.job_id, machine.queue.entries) == (None, [])
    assert f"{node_id} is busy in job" in caplog.text


def test_a_provisioned_machine_is_not_inspected(
    machine: Discovery, caplog: pytest.LogCaptureFixture
) -> None:
    plant_bm_node(machine.engine, serial_number="SN-7", status="provisioned")
    boot = machine.says_hello(serial_number="SN-7")
    assert (boot.state, machine.queue.entries) == (BootState.CLOSED, [])
    assert "and left alone: " in caplog.text


def test_a_profile_says_what_discovered_machines_become(machine: Discovery) -> None:
    file = machine.settings.home / "discovered.json"
    profile = {"os_version": "12", "hostname": "d{n:02}", "mgmt_network_address": "10.5.0.{n}"}
    file.write_text(json.dumps({**profile, "mgmt_network_netmask": "255.255.255.0"}))
    machine.settings.discovery_profile = file
    machine.says_hello(serial_number="SN-7")
    machine.says_hello(OTHER, serial_number="SN-8", bmc_mac="02:ff:00:00:00:08", bmc_address="")
    first, second = machine.machines()
    assert (first.hostname, first.mgmt_network_address) == ("d01", "10.5.0.1")
    assert (second.hostname, second.mgmt_network_address) == ("d02", "10.5.0.2")
    assert {first.status, second.status} == {"discovered"}


def test_a_profile_that_cannot_be_read_keeps_nobody_from_being_found(machine: Discovery) -> None:
    machine.settings.discovery_profile = machine.settings.home / "none.json"
    machine.says_hello()
    assert len(machine.machines()) == 1
    assert "without a profile: " in machine.log()
