"""The virtual rack: machines without an operating system, and a service beside them on a network of its own.

`make rack` leaves it to you; `make demo RACK=1` installs one machine of it.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import httpx

from demo import client, screen
from demo.place import HOME, REPOSITORY, output_of, write_private

RACK = REPOSITORY / "var" / "rack"
DEMO_RACK = HOME / "rack"
SECONDS_TO_INSTALL = 1800
_REPORT = "rack.json"
_BODY = "bm_nodes.json"  # of RegisterBMNodes


def up(directory: Path, machines: int, port: int) -> dict[str, Any]:
    """Start a rack unless it runs; where everything is."""
    file = directory / _REPORT
    if file.exists() and _answers(_read(file)["url"]):
        return _read(file)
    down(directory)
    screen.say("The first time, a ramdisk and an image are built from packages: some minutes.")
    command = [sys.executable, "-m", "tests.lab", "vms", "--machines", str(machines)]
    said = output_of(*command, "--port", str(port), "--dir", str(directory))
    write_private(file, said.strip())
    report = _read(file)
    write_private(directory / _BODY, json.dumps({"bm_nodes": report["machines"]}, indent=1))
    return report


def down(directory: Path) -> None:
    """End a rack and remove its files; nothing if there is none."""
    if directory.exists():
        for name in (_REPORT, _BODY):
            (directory / name).unlink(missing_ok=True)
        output_of(sys.executable, "-m", "tests.lab", "down", "--dir", str(directory))


def install_one(port: int) -> str:
    """Install a machine from ScanBMNodes to DescribeNodes; the job's last status."""
    report = up(DEMO_RACK, 1, port)
    (machine,) = report["machines"]
    api = client.Client(report["url"], Path(report["token"]).read_text().strip())
    node_id = _find(api, machine)
    job_id = api.provision_bm_nodes([node_id])
    news = api.follow(job_id, "ProvisionBMNodes", SECONDS_TO_INSTALL)
    status = screen.show_job(news)
    screen.show_nodes(api.describe_nodes([node_id]))
    address = machine["mgmt_network_address"]
    screen.say(f"Log in:\n  {shlex.join([*report['enter'], *_ssh(report), f'root@{address}'])}")
    return str(status["status"])


def _find(api: client.Client, machine: dict[str, Any]) -> str:
    """Find a machine by its BMC and have it registered; its id."""
    bmc = machine["ipmi_network_address"]
    first, last = f"{bmc.rpartition('.')[0]}.1", f"{bmc.rpartition('.')[0]}.254"
    screen.say(f"ScanBMNodes {first} to {last}, with one login, and a list of what is expected:")
    login = {name: machine[f"ipmi_{name}"] for name in ("username", "password")}
    ours = [name for name in machine if not name.startswith("ipmi_")]
    job_id = api.scan_bm_nodes(
        ip_start=first,
        ip_end=last,
        credentials=[{"name": "factory", **login}],
        expected="\n".join(",".join(line) for line in (ours, [machine[name] for name in ours])),
    )
    screen.show_job(api.follow(job_id, "ScanBMNodes"))
    (found,) = [one for one in api.scanned(job_id) if one["address"] == bmc]
    return str(found["node_id"])


def tell(report: dict[str, Any]) -> None:
    """Say what runs, and what to try."""
    token = Path(report["token"]).relative_to(REPOSITORY)
    screen.heading("The virtual rack")
    for machine in report["machines"]:
        bmc = machine["ipmi_network_address"]
        login = f"{machine['ipmi_username']} {machine['ipmi_password']}"
        mac = machine["pxe_network_mac_addr"]
        screen.say(
            f"{machine['hostname']}  {machine['boot_mode']}  BMC {bmc} {login}  MAC {mac}"
            f"  to be {machine['mgmt_network_address']}"
        )
    enter = shlex.join(report["enter"])
    bmc = report["machines"][0]["ipmi_network_address"]
    screen.say(
        f"""
API, every action explained   {report["url"]}/docs
Token for scripts             {token}
What RegisterBMNodes is told  {RACK.relative_to(REPOSITORY) / _BODY}
Consoles                      {report["consoles"]}

Register all, and install them:
  call() {{ curl -s {report["url"]}/api/$1 -H "Authorization: Bearer $(cat {token})" -d "$2"; }}
  call RegisterBMNodes @{RACK.relative_to(REPOSITORY) / _BODY}
  call ProvisionBMNodes '{{"node_ids": ["n-..."]}}'
  call GetProvisionBMNodesLog '{{}}'

Inside their network, which is this host's only from within:
  {enter} ipmitool -I lanplus -H {bmc} -U ADMIN -P ADMIN-secret power status
  {enter} {shlex.join(_ssh(report))} root@{report["machines"][0]["mgmt_network_address"]}

End and remove it all:
  make rack-stop"""
    )


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _read(file: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(file.read_text())
    return report


def _ssh(report: dict[str, Any]) -> list[str]:
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
    return ["ssh", "-i", f"{report['home']}/keys/ssh_ed25519", *(f"-o{o}" for o in options)]
