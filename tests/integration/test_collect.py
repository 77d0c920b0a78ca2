"""What collecting does with machines that answer, refuse, lie, or say nothing."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.lab import Bridge, Machine, Machines, Nic
from tests.receiver import receiving
from tests.service import Service, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

PYTHON, PLAIN, BUSYBOX, OTHER = (f"127.0.41.{number}" for number in (1, 2, 3, 4))
NOBODY = "127.0.41.5"
RACK = [
    Machine(
        "r01n01",
        PYTHON,
        "debian-python",
        [Nic("eth0", mac="02:00:00:00:41:01"), Bridge("br0", ("eth0",), ("10.41.0.1/16",))],
        gateway="10.41.255.254",
    ),
    Machine("r01n02", PLAIN, "debian", [Nic("eno1", ("10.41.0.2/16",))]),
    Machine("r01n03", BUSYBOX, "busybox", [Nic("eth0", ("10.41.0.3/16",))]),
    Machine("r01n04", OTHER, "debian", [Nic("eth0", ("10.41.0.4/16",))]),
]
NAMES = {machine.address: machine.name for machine in RACK}


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with Machines(tmp_path_factory.mktemp("rack"), RACK, port=2241) as machines:
        yield machines


@pytest.fixture
def machines(rack: Machines) -> Iterator[Machines]:
    yield rack
    for name in NAMES.values():
        rack.mend(name)


@pytest.fixture(scope="module")
def home(rack: Machines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(
        tmp_path_factory.mktemp("service") / "home",
        ssh_port=2241,
        ssh_private_key=rack.private_key,
        reach_deadline=3,
        probe_deadline=8,
    ) as service:
        yield service


@pytest.fixture
def service(home: Service) -> Iterator[Service]:
    """The service without nodes."""
    yield home
    node_ids = [node["node_id"] for node in home.nodes().values()]
    if node_ids:
        home.done("DeleteNodes", node_ids=node_ids)


def collect_all(service: Service, first: str = PYTHON, last: str = OTHER) -> dict[str, Any]:
    added = service.done("AddNodes", ip_start=first, ip_end=last)
    return service.wait_for(added["job_id"])


def collect_again(service: Service, *addresses: str) -> dict[str, Any]:
    nodes = service.nodes()
    node_ids = [nodes[address]["node_id"] for address in addresses]
    return service.wait_for(service.done("CollectNodes", node_ids=node_ids)["job_id"])


def failures(service: Service, status: dict[str, Any]) -> dict[str, str]:
    """Address -> reason, of the nodes that failed."""
    ids = {node["node_id"]: address for address, node in service.nodes().items()}
    return {ids[row["node_id"]]: row["reason"] for row in status["nodes"] if row["reason"]}


def test_a_posix_shell_is_all_a_node_needs(service: Service, machines: Machines) -> None:
    status = collect_all(service)

    assert status["status"] == "successful", status
    nodes = service.nodes()
    assert {address: node["hostname"] for address, node in nodes.items()} == NAMES
    for node in nodes.values():
        assert node["cpu"]["cpu_processors"] == os.cpu_count()
        assert node["memory"]["memory_size"] > 0
        assert node["os"]["kernel_version"] == os.uname().release
    bridge = nodes[PYTHON]["networks"][0]
    assert (bridge["name"], bridge["type"], bridge["address"]) == ("br0", "bridge", "10.41.0.1")
    assert bridge["raw_device_info"]["mac_address"] == "02:00:00:00:41:01"
    assert nodes[PYTHON]["mgmt_network"]["gateway"] == "10.41.255.254"


def test_webhook_hears_what_a_job_makes_of_nodes(service: Service, machines: Machines) -> None:
    with receiving() as receiver:
        made = service.done("CreateWebhook", url=receiver.url, events=["node_status", "job_ended"])
        status = collect_all(service, PYTHON, PLAIN)
        wait_until(lambda: len(receiver.received) >= 7, 20, what="all events came")
        service.done("DeleteWebhooks", webhook_ids=[made["webhook_id"]])

    told = [one.event for one in receiver.received]
    for address in (PYTHON, PLAIN):
        own = [one for one in told if one.get("node", {}).get("address") == address]
        assert [one["new_status"] for one in own] == ["pending", "collecting", "available"]
        assert own[-1]["job_id"] == status["job_id"]
    [ended] = [one for one in told if one["event"] == "job_ended"]
    assert (ended["job"]["job_id"], ended["new_status"]) == (status["job_id"], "successful")
    key = Webhook(made["secret"])
    assert [key.verify(one.body, dict(one.headers)) for one in receiver.received] == told


def test_every_fault_is_its_nodes_own_and_named(service: Service, machines: Machines) -> None:
    machines.stop("r01n01")
    machines.refuse_key("r01n02")
    machines.silence("r01n03")

    status = collect_all(service, last=NOBODY)

    assert status["status"] == "failed"
    assert status["reason"] == "nodes_failed"
    assert failures(service, status) == {
        PYTHON: "ssh_closed",
        PLAIN: "ssh_refused",
        BUSYBOX: "timeout",
        NOBODY: "ssh_closed",
    }
    nodes = service.nodes()
    assert nodes[OTHER]["status"] == "available"
    assert {node["status"] for address, node in nodes.items() if address != OTHER} == {
        "unreachable"
    }
    lines = service.log(status["job_id"], job_status="failed")
    refused = next(line for line in lines if PLAIN in line and "refused our key" in line)
    assert refused.startswith(nodes[PLAIN]["node_id"])
    assert "authorized_keys" in refused  # what to do about it
    assert nodes[PLAIN]["node_id"] in lines[-1]  # the job's end names who failed


@pytest.mark.parametrize(
    ("fault", "reason", "after"),
    [
        ("stop", "ssh_closed", "unreachable"),
        ("refuse_key", "ssh_refused", "unreachable"),
        ("hang", "timeout", "unreachable"),
        ("truncate_output", "probe_incomplete", "available"),
    ],
)
def test_a_failed_collect_loses_nothing_known(
    service: Service, machines: Machines, fault: str, reason: str, after: str
) -> None:
    collect_all(service, PLAIN, PLAIN)
    known = service.nodes()[PLAIN]
    arguments = [700] if fault == "truncate_output" else []
    getattr(machines, fault)("r01n02", *arguments)

    status = collect_again(service, PLAIN)

    assert failures(service, status) == {PLAIN: reason}
    now = service.nodes()[PLAIN]
    assert now["status"] == after
    changing = {"status", "pre_status", "update_time"}
    assert {key: now[key] for key in now if key not in changing} == {
        key: known[key] for key in known if key not in changing
    }


def test_retry_collects_only_what_failed(service: Service, machines: Machines) -> None:
    machines.stop("r01n02")
    failed = collect_all(service)
    machines.mend("r01n02")

    retried = service.done("RetryJob", job_id=failed["job_id"])
    status = service.wait_for(retried["job_id"])

    assert status["status"] == "successful"
    assert [row["node_id"] for row in status["nodes"]] == [service.nodes()[PLAIN]["node_id"]]
    assert service.call("RetryJob", job_id=retried["job_id"])["ret_code"] == 2200


def test_a_changed_host_key_fails_until_it_is_forgotten(
    service: Service, machines: Machines
) -> None:
    collect_all(service, OTHER, OTHER)
    machines.change_host_key("r01n04")

    status = collect_again(service, OTHER)
    assert failures(service, status) == {OTHER: "host_key_changed"}
    assert "forget_host_key" in status["nodes"][0]["advice"]

    node_id = service.nodes()[OTHER]["node_id"]
    service.done("ModifyNodeAttributes", node_id=node_id, forget_host_key=1)
    assert collect_again(service, OTHER)["status"] == "successful"


def test_disks_and_networks_keep_their_ids(service: Service, machines: Machines) -> None:
    collect_all(service, PYTHON, PYTHON)
    before = service.nodes()[PYTHON]
    collect_again(service, PYTHON)
    after = service.nodes()[PYTHON]

    assert [net["network_id"] for net in after["networks"]] == [
        net["network_id"] for net in before["networks"]
    ]
    assert after["data_disks"] == before["data_disks"]


def marker(**event: Any) -> str:
    """An event as ansible-runner's callback plugin prints it."""
    text = base64.b64encode(json.dumps(event).encode()).decode()
    return f"\x1b[K{text}\x1b[{len(text)}D\x1b[K"


@pytest.mark.parametrize(
    "text",
    [
        marker(
            uuid="11111111-1111-1111-1111-111111111111",
            event="runner_on_ok",
            created="2026-01-01T00:00:00+00:00",
            event_data={"role": "node_record", "host": "x", "res": {"results": []}},
        ),
        "\x1b[K" + base64.b64encode(b"[1]").decode() + "\x1b[4D\x1b[K",
        "\x1b[K%%%",
        "{{ lookup('pipe', 'touch /tmp/firstbox-was-here') }}\n",
        "\x00\xff" * 1000,
    ],
    ids=["event", "list", "broken", "template", "binary"],
)
def test_a_machine_that_prints_markers_changes_its_own_line_only(
    service: Service, machines: Machines, text: str
) -> None:
    machines.print_instead("r01n02", text)

    status = collect_all(service)

    assert failures(service, status) == {PLAIN: "probe_incomplete"}
    assert [row["status"] for row in status["nodes"]].count("successful") == 3
    assert not Path("/tmp/firstbox-was-here").exists()
    assert not any("\x1b" in line for line in service.log(status["job_id"]))


def test_markers_of_a_failing_ansible_task_are_no_events(
    service: Service, machines: Machines, tmp_path: Path
) -> None:
    """Text that Ansible itself displays cannot pass for an event either."""
    forged = marker(uuid="2", event="playbook_on_stats", event_data={})
    playbook = tmp_path / "hostile.yml"
    playbook.write_text(
        json.dumps(
            [
                {
                    "hosts": "localhost",
                    "gather_facts": False,
                    "tasks": [{"ansible.builtin.fail": {"msg": forged}}],
                }
            ]
        )
    )
    printed = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", str(playbook)],
        env={
            **os.environ,
            "ANSIBLE_CALLBACK_PLUGINS": str(
                Path(__file__).parents[2] / "playbooks" / "callback_plugins"
            ),
            "ANSIBLE_NOCOLOR": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert printed.returncode == 2
    assert "?[K" in printed.stdout + printed.stderr
    assert "\x1b" not in printed.stdout + printed.stderr
