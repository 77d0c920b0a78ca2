"""What machines are answered over HTTP, and what of it stands in the boot's row and the job's log."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, Row, insert, select
from starlette.testclient import TestClient

from api.app import create_app
from api.images.manifest import Manifest
from api.jobs.queue import prepare
from api.settings import Settings
from api.store.bm_nodes import BM_NODE
from api.store.boots import BOOT, close_boots, open_discovery, set_local, token_of
from api.store.images import add_image
from api.store.jobs import get_log
from api.store.sealing import Seal
from api.store.session import reading, writing
from tests.lab.boot_server import new_boot, registration
from tests.nodes import plant_nodes
from tests.service import wait_until
from tests.unit.boot.test_hello import body

STRANGER = "52:54:00:00:00:77"
NODE, MAC, ADDRESS = "n-00000001", "52:54:00:00:00:01", "10.77.0.101"
URL = "http://10.77.0.1"


@pytest.fixture
def service(settings: Settings, engine: Engine) -> Iterator[TestClient]:
    """The API, called from the machine's address; a ramdisk and an installer are there."""
    told = settings.model_copy(update={"boot_url": URL})
    plant_nodes(settings.database, {"node_id": NODE, "address": None})
    values = {"mirror": "http://mirror.example.org/debian"}
    with writing(engine) as connection:
        connection.execute(insert(BM_NODE).values(**registration(NODE, MAC, serial_number="SN-1")))
        for name, method, more in (("ramdisk-1", "ramdisk", {}), ("deb", "preseed", values)):
            manifest = Manifest(name, method, "x86_64", method, "0", 0, values=more)
            add_image(connection, manifest, name, "")
            directory = settings.images / name
            directory.mkdir(parents=True)
            (directory / "manifest.json").write_text(manifest.as_json())
            (directory / "kernel").write_bytes(b"0123456789")
    with TestClient(create_app(told), client=(ADDRESS, 1), follow_redirects=False) as client:
        yield client


@pytest.fixture
def boot(service: TestClient, engine: Engine) -> Row[Any]:
    """An open boot of the machine."""
    return row(engine, new_boot(engine, NODE, MAC))


def row(engine: Engine, boot_id: str) -> Row[Any]:
    with reading(engine) as connection:
        return connection.execute(select(BOOT).where(BOOT.c.boot_id == boot_id)).one()


def log(engine: Engine, boot: Row[Any]) -> str:
    with reading(engine) as connection:
        return "\n".join(line.text for line in get_log(connection, boot.job_id))


def url(settings: Settings, boot: Row[Any], name: str) -> str:
    return f"/boot/{token_of(Seal(settings.keys), boot.boot_id)}/{name}"


def test_a_machine_gets_its_script_and_the_job_knows(
    service: TestClient, settings: Settings, engine: Engine, boot: Row[Any]
) -> None:
    answer = service.get(url(settings, boot, "script.ipxe"))
    assert answer.text.startswith("#!ipxe\n")
    assert f"{URL}{url(settings, boot, 'kernel')} " in answer.text
    assert "BOOTIF=01-52-54-00-00-00-01" in answer.text
    wait_until(lambda: row(engine, boot.boot_id).script_time, 5, what="the script is noted down")
    assert f"{NODE} {MAC}: fetched its boot script" in log(engine, boot)


@pytest.mark.parametrize("name", ["kernel", "initrd"])
def test_kernel_and_initrd_lie_among_the_large_files(
    service: TestClient, settings: Settings, boot: Row[Any], name: str
) -> None:
    answer = service.get(url(settings, boot, name))
    assert answer.status_code == 302
    assert answer.headers["location"] == f"{URL}/files/ramdisk-1/{name}"


def test_all_tokens_that_nobody_waits_for_are_answered_alike(
    service: TestClient, settings: Settings, engine: Engine, boot: Row[Any]
) -> None:
    good = url(settings, boot, "script.ipxe")
    expired = row(engine, new_boot(engine, *other_machine(engine), seconds=-1))
    token = good.split("/")[2]
    answers = [
        service.get(address)
        for address in (
            "/boot/nobody/script.ipxe",
            "/boot/b-AAAAAAAA-00000000000000000000000000000000/script.ipxe",
            good.replace(token, token[:-1] + ("0" if token[-1] != "0" else "1")),
            url(settings, expired, "script.ipxe"),
        )
    ]
    with writing(engine) as connection:
        set_local(connection, [NODE], 600)
    answers.append(service.get(good))
    with writing(engine) as connection:
        close_boots(connection, [NODE])
    answers += [service.get(good), service.get(good.replace("script.ipxe", "preseed.cfg"))]
    answers.append(service.post(good.replace("script.ipxe", "hello"), content=body()))
    sentence = "No machine is expected to boot with this address.\n"
    assert {(answer.status_code, answer.text) for answer in answers} == {(404, sentence)}


def other_machine(engine: Engine) -> tuple[str, str]:
    node_id, mac = "n-00000002", "52:54:00:00:00:02"
    plant_nodes(engine.url.render_as_string(), {"node_id": node_id, "address": None})
    with writing(engine) as connection:
        values = registration(node_id, mac, pxe_network_mac_addr=mac)
        connection.execute(insert(BM_NODE).values(**values))
    return node_id, mac


def test_a_hello_is_kept_with_the_address_it_came_from(
    service: TestClient, settings: Settings, engine: Engine, boot: Row[Any]
) -> None:
    answer = service.post(url(settings, boot, "hello"), content=body())
    assert answer.status_code == 200
    seen = row(engine, boot.boot_id)
    assert seen.hello_time is not None
    assert (seen.address, seen.hello["serial_number"]) == (ADDRESS, "SN-1")
    assert seen.host_key == seen.hello["host_key"]
    line = f"the ramdisk says hello from {ADDRESS} (serial number SN-1, 2 NICs)"
    assert log(engine, boot).endswith(line)


@pytest.fixture
def unknown(service: TestClient, engine: Engine) -> Row[Any]:
    """The open boot of a machine that nobody knows."""
    with writing(engine) as connection:
        boot_id = open_discovery(connection, STRANGER, most=1, seconds=600, pause=600)
    assert boot_id is not None
    return row(engine, boot_id)


def test_an_unknown_machine_gets_the_ramdisk_and_nothing_of_an_installer(
    service: TestClient, settings: Settings, unknown: Row[Any]
) -> None:
    script = service.get(url(settings, unknown, "script.ipxe")).text
    assert f"echo Firstbox boots an unknown machine ({STRANGER})\n" in script
    assert "/kernel?arch=${buildarch} " in script
    for name in ("kernel", "initrd"):
        answer = service.get(url(settings, unknown, name), params={"arch": "i386"})
        assert answer.headers["location"] == f"{URL}/files/ramdisk-1/{name}"
    for name in ("preseed.cfg", "kickstart.cfg", "user-data", "done"):
        assert service.get(url(settings, unknown, name)).status_code == 404


@pytest.mark.parametrize(
    ("build", "ramdisk"), [("x86_64", "ramdisk-1"), ("i386", "ramdisk-1"), ("arm64", "arm")]
)
def test_of_several_ramdisks_an_unknown_machine_gets_the_one_for_its_architecture(
    service: TestClient,
    settings: Settings,
    engine: Engine,
    unknown: Row[Any],
    build: str,
    ramdisk: str,
) -> None:
    with writing(engine) as connection:
        add_image(connection, Manifest("arm", "ramdisk", "aarch64", "ramdisk", "0", 0), "arm", "")
    kernel = url(settings, unknown, "kernel")
    answer = service.get(kernel, params={"arch": build})
    assert answer.headers["location"] == f"{URL}/files/{ramdisk}/kernel"
    assert service.get(kernel, params={"arch": "riscv"}).status_code == 500


def test_the_hello_of_an_unknown_machine_makes_it_known(
    service: TestClient, settings: Settings, engine: Engine, unknown: Row[Any]
) -> None:
    prepare(settings)
    hello = body(nic=f"eth0,{STRANGER},1", serial_number="SN-9")
    answer = service.post(url(settings, unknown, "hello"), content=hello)
    assert answer.status_code == 200
    seen = row(engine, unknown.boot_id)
    assert (seen.address, seen.hello["serial_number"]) == (ADDRESS, "SN-9")
    assert f"{seen.node_id} {STRANGER}: nobody knew it" in log(engine, seen)
    # Until the job is at it, it is answered as any machine whose boot is open.
    service.post(url(settings, unknown, "hello"), content=hello)
    assert f"{seen.node_id} {STRANGER}: the ramdisk says hello" in log(engine, seen)


def test_an_unknown_machine_that_is_to_be_left_alone_is_told_to_go_on(
    service: TestClient, settings: Settings, engine: Engine, unknown: Row[Any]
) -> None:
    with writing(engine) as connection:
        told = {"bmc_mac": "02:ff:00:00:00:01"}
        connection.execute(BM_NODE.update().where(BM_NODE.c.node_id == NODE).values(told))
    nic = f"eth0,{STRANGER},1"
    hello = body(nic=nic, serial_number="SN-1", bmc_mac="02:ff:00:00:00:02")
    answer = service.post(url(settings, unknown, "hello"), content=hello)
    assert answer.status_code == 410
    assert service.get(url(settings, unknown, "script.ipxe")).status_code == 404


def test_a_caller_cannot_say_that_it_is_somebody_else(
    service: TestClient, settings: Settings, engine: Engine, boot: Row[Any]
) -> None:
    headers = {"X-Real-IP": "10.77.0.66", "X-Forwarded-For": "10.77.0.66"}
    service.post(url(settings, boot, "hello"), content=body(), headers=headers)
    assert row(engine, boot.boot_id).address == ADDRESS


def test_another_machine_behind_the_same_mac_is_noted_as_a_failure(
    service: TestClient, settings: Settings, engine: Engine, boot: Row[Any]
) -> None:
    service.post(url(settings, boot, "hello"), content=body(serial_number="SN-2"))
    seen = row(engine, boot.boot_id)
    assert seen.hello["wrong"] == "its serial number is SN-2, and SN-1 is registered"
    with reading(engine) as connection:
        [line] = get_log(connection, boot.job_id, job_status="failed")
    assert "SN-2" in line.text


def test_a_hello_without_the_boot_card_is_refused(
    service: TestClient, settings: Settings, engine: Engine, boot: Row[Any]
) -> None:
    hello = body(nic="eth0,52:54:00:00:00:09,1")
    answer = service.post(url(settings, boot, "hello"), content=hello)
    assert answer.status_code == 409
    assert row(engine, boot.boot_id).hello_time is None
    wait_until(lambda: "has no card" in log(engine, boot), 5, what="the refusal is noted down")


def test_a_body_without_end_is_cut_off(
    service: TestClient, settings: Settings, boot: Row[Any]
) -> None:
    answer = service.post(url(settings, boot, "hello"), content=b"a" * 20_000)
    assert answer.status_code == 413


def test_progress_is_one_line_for_each_tenth(
    service: TestClient, settings: Settings, engine: Engine, boot: Row[Any]
) -> None:
    for percent in (10, 11, 19, 20, 20):
        service.post(url(settings, boot, "progress"), content=f"percent={percent}".encode())
    wait_until(lambda: "20 %" in log(engine, boot), 5, what="the progress is noted down")
    assert log(engine, boot).count("of the image is written") == 2


def test_an_installer_gets_its_file_which_counts_as_its_hello(
    service: TestClient, settings: Settings, engine: Engine, boot: Row[Any]
) -> None:
    boot = row(engine, new_boot(engine, *other_machine(engine), method="preseed", image="deb"))
    assert "preseed.cfg" in service.get(url(settings, boot, "script.ipxe")).text
    answers = service.get(url(settings, boot, "preseed.cfg")).text
    assert "d-i mirror/http/hostname string mirror.example.org\n" in answers
    seen = row(engine, boot.boot_id)
    assert (seen.hello_time is not None, seen.address) == (True, ADDRESS)
    assert "provision_id" in service.get(url(settings, boot, "finish.sh")).text
    assert service.get(url(settings, boot, "kickstart.cfg")).status_code == 404


def test_an_installed_machine_that_boots_again_is_sent_to_its_disk(
    service: TestClient, settings: Settings, engine: Engine, boot: Row[Any]
) -> None:
    boot = row(engine, new_boot(engine, *other_machine(engine), method="preseed", image="deb"))
    assert service.get(url(settings, boot, "done")).status_code == 200
    assert row(engine, boot.boot_id).done_time is not None
    script = service.get(url(settings, boot, "script.ipxe")).text
    assert "kernel" not in script
    assert script.endswith("exit\n")


def test_parts_of_files_are_served(service: TestClient) -> None:
    answer = service.get("/files/ramdisk-1/kernel", headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (206, b"234")


@pytest.mark.parametrize(
    "path",
    [
        "/files/ramdisk-1/manifest.json",
        "/files/ramdisk-1/",
        "/files/ramdisk-1",
        "/files/ramdisk-1/00000.zst",
        "/files/..%2fkeys/kernel",
        "/files/ramdisk-1/..%2f..%2fkeys%2fssh_ed25519",
        "/files/.part/kernel",
    ],
)
def test_nothing_else_is_served(service: TestClient, path: str) -> None:
    assert service.get(path).status_code == 404


def test_machines_addresses_are_no_actions(service: TestClient) -> None:
    assert not [
        path
        for path in service.get("/openapi.json").json()["paths"]
        if "/boot/" in path or "/files" in path
    ]


def test_a_boot_without_a_ramdisk_is_our_fault(
    service: TestClient, settings: Settings, engine: Engine, boot: Row[Any]
) -> None:
    with writing(engine) as connection:
        connection.execute(
            BM_NODE.update().where(BM_NODE.c.node_id == NODE).values(cpu_arch="aarch64")
        )
    answer = service.get(url(settings, boot, "kernel"))
    assert (answer.status_code, answer.text) == (500, "There is no ramdisk for aarch64 any more.\n")
