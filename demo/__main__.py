"""`python -m demo start`, `stop`, `rack`, `rack-stop`; see `make demo` and `make rack`.

Six machines with SSH servers (tests/lab), the service with an API and a worker, and a client that
adds the machines by their addresses, follows the job, and shows what was found. The service and
the machines go on until `stop`. With RACK=1 a virtual machine without an operating system is installed too.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
import sys
from typing import Any

from demo import DemoError, client, rack, screen, service
from demo.place import (
    BIN,
    HOME,
    LAB,
    LOG,
    PASSWORD,
    REPOSITORY,
    TOKEN,
    firstbox,
    output_of,
    read_setting,
    write_private,
    write_settings,
)

MACHINES = 6
FIRST, LAST = "127.0.20.1", f"127.0.20.{MACHINES}"


def main() -> int:
    """Do what the command line says."""
    commands = {"start": start, "stop": stop, "rack": start_rack, "rack-stop": stop_rack}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        print(f"usage: python -m demo {' | '.join(commands)}", file=sys.stderr)
        return 2
    try:
        return commands[sys.argv[1]]()
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("demo: interrupted; `make demo-stop` removes what was made", file=sys.stderr)
    return 1


def start() -> int:
    """Make what is not there yet, then go through it all; 0 when every node was collected."""
    _require_root("demo")
    if service.is_running() and (LAB / "supervisor.pid").exists():
        screen.say(
            f"The service (http://127.0.0.1:{read_setting('port')}) and six machines run already."
        )
    else:
        remove()
        make()
    url = f"http://127.0.0.1:{read_setting('port')}"
    service.wait_until_ready(url)
    statuses = [go_through(client.Client(url, TOKEN.read_text().strip()))["status"]]
    if os.environ.get("RACK"):
        screen.heading(
            "5. ScanBMNodes and ProvisionBMNodes for a virtual machine without an operating system"
        )
        statuses.append(rack.install_one(port=int(os.environ.get("FIRSTBOX_RACK_PORT", "8011"))))
    tell_how_to_go_on(url)
    return 0 if set(statuses) == {"successful"} else 1


def _require_root(target: str) -> None:
    if os.geteuid() != 0:
        raise DemoError(f"The machines need namespaces, which only root makes: sudo make {target}")


def make() -> None:
    """The machines, a home for the service, and the service."""
    port = int(os.environ.get("FIRSTBOX_PORT", "8000"))
    service.require_free(port)
    screen.heading("1. Six machines with SSH servers")
    screen.say(
        "The first time, their root directories are built from packages, which takes a minute."
    )
    ssh_port = os.environ.get("FIRSTBOX_SSH_PORT", "2222")
    machines = start_machines(ssh_port)
    screen.say(f"{machines['first']} to {machines['last']}, port {machines['port']}.")
    screen.heading("2. The service")
    write_settings(
        {
            "port": port,
            "ssh_port": machines["port"],
            "ssh_private_key": machines["private_key"],
            "allowed_networks": json.dumps(["127.0.20.0/24"]),
        }
    )
    write_private(PASSWORD, secrets.token_urlsafe(15))
    screen.say(firstbox("init", "--password-file", str(PASSWORD)).strip())
    write_private(TOKEN, firstbox("token", "create", "--user", "admin", "--name", "demo").strip())
    service.start()


def start_machines(ssh_port: str) -> dict[str, Any]:
    """Six machines, and how they are reached."""
    command = [sys.executable, "-m", "tests.lab", "up", "--machines", str(MACHINES)]
    try:
        said = output_of(*command, "--first", FIRST, "--port", ssh_port, "--dir", str(LAB))
    except DemoError as error:
        if os.strerror(errno.EADDRINUSE) in str(error):
            raise DemoError(
                f"Port {ssh_port} of {FIRST} to {LAST} is taken, perhaps by another demo. Choose "
                f"another one: FIRSTBOX_SSH_PORT={int(ssh_port) + 1} make demo"
            ) from None
        raise
    machines: dict[str, Any] = json.loads(said)
    return machines


def go_through(api: client.Client) -> dict[str, Any]:
    """Add the machines, follow the job, show the nodes; the job's last status."""
    screen.heading(f"3. AddNodes {FIRST} to {LAST}")
    node_ids, job_id = api.add_nodes(FIRST, LAST)
    if not job_id:
        screen.say("All are known already: CollectNodes takes stock of them again.")
        job_id = api.collect_nodes(node_ids)
    screen.say(f"Job {job_id}, {len(node_ids)} nodes:")
    status = screen.show_job(api.follow(job_id))
    screen.heading("4. DescribeNodes")
    nodes = api.describe_nodes(node_ids)
    screen.show_nodes(nodes)
    screen.say(f"\nAll that is known of {nodes[0]['hostname'] or nodes[0]['address']}:")
    screen.show_json(nodes[0])
    return status


def tell_how_to_go_on(url: str) -> None:
    """Say what runs, and what to try next."""
    home, token = HOME.relative_to(REPOSITORY), TOKEN.relative_to(REPOSITORY)
    screen.heading("It goes on running")
    screen.say(
        f"""\
API, every action explained   {url}/docs
User and password             admin, {PASSWORD.relative_to(REPOSITORY)}
Token for scripts             {token}
Logs                          {LOG.relative_to(REPOSITORY)}, {home}/worker.log, {home}/runs/

The same by hand:
  curl -s {url}/api -H "Authorization: Bearer $(cat {token})" -d '{{"action": "DescribeNodes"}}'

The same with Ansible, which reads and writes the same database:
  export FIRSTBOX_HOME=$PWD/{home} PATH=$PWD/{BIN.relative_to(REPOSITORY)}:$PATH
  ansible-inventory --graph
  ansible-playbook playbooks/collect.yml

End and remove it all:
  make demo-stop"""
    )


def stop() -> int:
    """End the service and the machines, and remove their files."""
    was_there = HOME.exists()
    remove()
    screen.say("The demo is over; nothing of it is left." if was_there else "No demo runs here.")
    return 0


def start_rack() -> int:
    """Leave a virtual rack and a service to play with."""
    _require_root("rack")
    port = int(os.environ.get("FIRSTBOX_RACK_PORT", "8010"))
    rack.tell(rack.up(rack.RACK, int(os.environ.get("MACHINES", "2")), port))
    return 0


def stop_rack() -> int:
    """End the virtual rack, and remove its files."""
    was_there = rack.RACK.exists()
    rack.down(rack.RACK)
    screen.say("The rack is gone." if was_there else "No rack runs here.")
    return 0


def remove() -> None:
    """End what runs, remove what is there."""
    service.stop()
    rack.down(rack.DEMO_RACK)
    if LAB.exists():
        output_of(sys.executable, "-m", "tests.lab", "down", "--dir", str(LAB))
    if HOME.exists():
        shutil.rmtree(HOME)
    with contextlib.suppress(OSError):  # others may have files there
        HOME.parent.rmdir()


if __name__ == "__main__":
    sys.exit(main())
