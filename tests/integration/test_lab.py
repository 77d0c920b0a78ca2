"""The lab's machines are what they claim to be, and go without a trace."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab import Bond, Bridge, LabError, Machine, Machines, Nic, SshFarm, Vlan, kernel_has
from tests.lab.network import Interface
from tests.lab.roots import find_or_build

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab makes namespaces: needs root"),
]

PORT = 2231
NODE = "r01n01"
REPOSITORY = Path(__file__).parents[2]
ADDRESSES = {"r01n01": "127.0.29.1", "r01n02": "127.0.29.2", "r01n03": "127.0.29.3"}
RACK: list[Machine] = [
    Machine(
        "r01n01",
        ADDRESSES["r01n01"],
        "debian-python",
        [
            Nic("eth0", mac="02:00:00:00:00:01"),
            Nic("eth1", ("10.21.0.1/16", "fd00::1/64"), mtu=9000),
            Nic("eth2", cable=False),
            Bridge("br0", ("eth0",), ("10.20.0.1/16",)),
        ],
        gateway="10.20.255.254",
    ),
    Machine("r01n02", ADDRESSES["r01n02"], "debian", [Nic("eno1", ("10.20.0.2/16",))]),
    Machine("r01n03", ADDRESSES["r01n03"], "busybox", [Nic("eth0", ("10.20.0.3/16",))]),
]
EVERY_KIND = pytest.mark.parametrize("name", ["r01n01", "r01n02", "r01n03"])
EVERY_SERVER = pytest.mark.parametrize("name", ["r01n02", "r01n03"])


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with Machines(tmp_path_factory.mktemp("rack"), RACK, PORT) as machines:
        yield machines


@pytest.fixture
def machines(rack: Machines) -> Iterator[Machines]:
    yield rack
    for name in ADDRESSES:
        rack.mend(name)


def ssh(
    lab: Machines, address: str, command: str, *options: str, seconds: float = 30
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ssh", *options, *lab.ssh_options, f"{lab.user}@{address}", command],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=seconds,
    )


def output(lab: Machines, name: str, command: str) -> str:
    done = ssh(lab, ADDRESSES[name], command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@EVERY_KIND
def test_machine_has_its_own_hostname(machines: Machines, name: str) -> None:
    assert output(machines, name, "hostname; cat /etc/hostname").split() == [name, name]


@EVERY_KIND
def test_machine_has_its_own_processes(machines: Machines, name: str) -> None:
    processes = output(machines, name, "ls -d /proc/[0-9]*").split()

    assert len(processes) < 10


@EVERY_KIND
def test_machine_has_its_own_files(machines: Machines, name: str) -> None:
    output(machines, name, f"echo {name} > /root/mine")

    assert (machines.root(name) / "root/mine").read_text() == f"{name}\n"
    assert output(machines, name, "cat /root/mine") == name


@EVERY_KIND
def test_machine_cannot_change_the_kernel_it_shares(machines: Machines, name: str) -> None:
    done = ssh(machines, ADDRESSES[name], "echo 1 > /proc/sys/vm/swappiness")

    assert done.returncode != 0


def test_interfaces_are_as_described(machines: Machines) -> None:
    links = {
        link["ifname"]: link
        for link in json.loads(output(machines, "r01n01", "ip -json address show"))
    }

    assert set(links) == {"lo", "eth0", "eth1", "eth2", "br0"}
    assert links["eth0"]["address"] == "02:00:00:00:00:01"
    assert links["eth0"]["master"] == "br0"
    assert links["eth1"]["mtu"] == 9000
    assert {"10.21.0.1", "fd00::1"} <= {one["local"] for one in links["eth1"]["addr_info"]}
    assert "NO-CARRIER" in links["eth2"]["flags"]
    assert "LOWER_UP" in links["eth1"]["flags"]


def test_default_route_leads_to_the_gateway(machines: Machines) -> None:
    route = output(machines, "r01n01", "ip route show default")

    assert route.startswith("default via 10.20.255.254 dev br0")


@pytest.mark.skipif(
    os.geteuid() != 0 or not (kernel_has("bond") and kernel_has("vlan")),
    reason="this kernel has no bonding or no VLANs",
)
def test_bond_and_vlan_are_real(tmp_path: Path) -> None:
    wiring: list[Interface] = [
        Nic("eth0"),
        Nic("eth1"),
        Bond("bond0", ("eth0", "eth1"), ("10.20.0.9/16",)),
        Vlan("bond0.121", "bond0", 121, ("10.21.0.9/16",)),
    ]
    with Machines(tmp_path, [Machine("bonded", "127.0.29.9", nics=wiring)], PORT) as lab:
        done = ssh(lab, "127.0.29.9", "cat /proc/net/bonding/bond0; ip -d link show bond0.121")

    assert "Slave Interface: eth1" in done.stdout
    assert "vlan protocol 802.1Q id 121" in done.stdout


def test_only_one_root_has_python(machines: Machines) -> None:
    assert output(machines, "r01n01", "python3 -c 'print(6 * 7)'") == "42"
    for name in ("r01n02", "r01n03"):
        assert output(machines, name, "find / -xdev -name 'python*' -type f; true") == ""


def test_busybox_has_no_lsblk(machines: Machines) -> None:
    assert output(machines, "r01n02", "command -v lsblk") != ""
    assert ssh(machines, ADDRESSES["r01n03"], "command -v lsblk").returncode != 0


@EVERY_SERVER
def test_other_keys_are_refused(machines: Machines, name: str, tmp_path: Path) -> None:
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)

    alone = [option for option in machines.ssh_options if str(machines.private_key) not in option]

    refused = subprocess.run(
        ["ssh", *alone, "-i", key, "-oIdentityAgent=none", f"root@{ADDRESSES[name]}", "true"],
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert "Permission denied" in refused.stderr


@EVERY_SERVER
def test_stopped_machine_refuses_and_cuts_connections(machines: Machines, name: str) -> None:
    command = ["ssh", *machines.ssh_options, f"root@{ADDRESSES[name]}", "echo in; sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as session:
        assert session.stdout is not None
        assert session.stdout.readline() == b"in\n"

        machines.stop(name)

        assert session.wait(timeout=10) == 255
    assert "Connection refused" in ssh(machines, ADDRESSES[name], "true").stderr


@EVERY_SERVER
def test_cut_connection_does_not_keep_others_out(machines: Machines, name: str) -> None:
    command = ["ssh", *machines.ssh_options, f"root@{ADDRESSES[name]}", "echo in; sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as session:
        assert session.stdout is not None
        assert session.stdout.readline() == b"in\n"

        machines.hang_up(name)

        assert session.wait(timeout=10) == 255
    assert output(machines, name, "echo in") == "in"


def test_silent_machine_says_nothing(machines: Machines) -> None:
    machines.silence(NODE)

    done = ssh(machines, ADDRESSES[NODE], "true", "-oConnectTimeout=1")

    assert "timed out during banner exchange" in done.stderr


def test_slow_machine_greets_late(machines: Machines) -> None:
    machines.slow_down(NODE, 1.0)

    began = time.monotonic()
    assert output(machines, NODE, "echo in") == "in"

    assert time.monotonic() - began >= 1.0


@EVERY_SERVER
def test_refused_key_stays_outside(machines: Machines, name: str) -> None:
    machines.refuse_key(name)

    assert "Permission denied" in ssh(machines, ADDRESSES[name], "true").stderr


@EVERY_SERVER
def test_changed_host_key_is_noticed(tmp_path: Path, name: str) -> None:
    machine = Machine(name, "127.0.29.8", "busybox" if name == "r01n03" else "debian")
    with Machines(tmp_path, [machine], PORT) as lab:
        assert ssh(lab, "127.0.29.8", "true").returncode == 0

        lab.change_host_key(name)

        assert "Host key verification failed" in ssh(lab, "127.0.29.8", "true").stderr


@EVERY_SERVER
def test_truncated_output_ends_after_so_many_bytes(machines: Machines, name: str) -> None:
    machines.truncate_output(name, 5)

    assert output(machines, name, "echo 123456789") == "12345"


@EVERY_SERVER
def test_hostile_text_comes_before_or_instead(machines: Machines, name: str) -> None:
    machines.print_before(name, b"\x1b[2J{{ 7 * 7 }}\n")
    assert output(machines, name, "echo real") == "\x1b[2J{{ 7 * 7 }}\nreal"

    machines.print_instead(name, "$(reboot)", exit_code=3)
    done = ssh(machines, ADDRESSES[name], "echo real")
    assert (done.stdout, done.returncode) == ("$(reboot)", 3)


@EVERY_SERVER
def test_hanging_command_never_answers(machines: Machines, name: str) -> None:
    machines.hang(name)

    with pytest.raises(subprocess.TimeoutExpired):
        ssh(machines, ADDRESSES[name], "echo real", seconds=1.5)


@EVERY_KIND
def test_mended_machine_is_as_before(machines: Machines, name: str) -> None:
    for fault in (machines.stop, machines.silence, machines.refuse_key, machines.hang):
        fault(name)
    machines.mend(name)

    assert output(machines, name, "echo in") == "in"


def test_machine_starts_in_half_a_second(tmp_path: Path) -> None:
    find_or_build("debian")

    # Other tests may run on the same cores, so the best of three counts.
    assert min(seconds_to_start(tmp_path / str(attempt)) for attempt in range(3)) < 0.5


def test_machine_that_cannot_start_is_named(tmp_path: Path) -> None:
    impossible = Machine("odd", "127.0.29.21", nics=[Nic("eth0", ("10.20.0.1/99",))])

    with pytest.raises(LabError, match="odd did not start"), Machines(tmp_path, [impossible], PORT):
        pass

    assert traces(tmp_path) == []


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    rack = [Machine(f"n{number}", f"127.0.29.{number}") for number in range(30, 33)]
    with Machines(tmp_path, rack, PORT) as lab:
        session = ["ssh", *lab.ssh_options, "root@127.0.29.30", "echo in; setsid sleep 1000"]
        with subprocess.Popen(session, stdout=subprocess.PIPE) as ssh_client:
            assert ssh_client.stdout is not None
            assert ssh_client.stdout.readline() == b"in\n"
            before = traces(tmp_path)
            lab.hang_up("n30")

    assert len(before) > 6
    assert traces(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["keeper.log"]


def test_killed_owner_leaves_nothing_behind(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, time; from tests.lab import *\n"
        "with Machines(pathlib.Path(sys.argv[1]), [Machine('n40', '127.0.29.40')], 2231):\n"
        "    print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], cwd=REPOSITORY, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        owner.kill()

    assert eventually_no_traces(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["keeper.log"]


def test_killed_keeper_takes_its_machines_along(tmp_path: Path) -> None:
    with Machines(tmp_path, [Machine("n41", "127.0.29.41")], PORT) as lab:
        init = int(lab.root("n41").parent.name)
        keeper = parent_of(parent_of(init))
        os.kill(keeper, signal.SIGKILL)

        with pytest.raises(LabError, match="keeper has gone"):
            lab.stop("n41")

    assert eventually_no_traces(tmp_path)


def test_farm_answers_many_at_once_under_different_names(tmp_path: Path) -> None:
    with SshFarm(tmp_path, count=40, first="127.0.29.100", port=PORT) as farm:
        with ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(lambda one: ssh(farm, one, "hostname"), farm.addresses))

        names = [answer.stdout.strip() for answer in answers]
        assert names == [farm.hostnames[address] for address in farm.addresses]
        assert len(set(names)) == 40


def test_command_line_starts_and_stops_a_rack(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    options = ["--machines", "3", "--first", "127.0.29.50", "--port", str(PORT)]

    up = lab_command("up", "--dir", str(directory), *options)
    told = json.loads(up.stdout)
    assert (told["first"], told["last"]) == ("127.0.29.50", "127.0.29.52")
    assert Path(told["private_key"]).exists()
    assert "a lab runs in" in lab_command("up", "--dir", str(directory), *options).stderr

    for _ in range(2):
        assert lab_command("down", "--dir", str(directory)).returncode == 0
    assert traces(directory) == []
    assert not directory.exists()


def seconds_to_start(directory: Path) -> float:
    began = time.monotonic()
    with Machines(directory, [Machine("quick", "127.0.29.20")], PORT):
        return time.monotonic() - began


def lab_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.lab", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def traces(directory: Path) -> list[str]:
    """List what is left of the lab in `directory`: its processes, and mounts seen by anyone."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            mounts = (process / "mounts").read_text()
        except OSError:  # it ended meanwhile
            continue
        if str(directory) in mounts:
            found.append(f"{process.name}: {(process / 'cmdline').read_bytes()!r}")
    return found


def eventually_no_traces(directory: Path) -> bool:
    end = time.monotonic() + 10
    while traces(directory) and time.monotonic() < end:
        time.sleep(0.05)
    return traces(directory) == []
