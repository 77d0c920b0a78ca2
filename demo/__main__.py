"""`python -m demo start`, `python -m demo stop`; see `make demo`.

Six machines with SSH servers (tests/lab), the service with an API and a worker, and a client that
adds the machines by their addresses, follows the job, and shows what was found. The service and
the machines go on until `stop`.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
import sys
from typing import Any

from demo import DemoError, client, screen, service
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
    commands = {"start": start, "stop": stop}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        print("usage: python -m demo start | stop", file=sys.stderr)
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
    if os.geteuid() != 0:
        raise DemoError("The machines need namespaces, which only root makes: sudo make demo")
    if service.is_running() and (LAB / "supervisor.pid").exists():
        screen.say(
            f"The service (http://127.0.0.1:{read_setting('port')}) and six machines run already."
        )
    else:
        remove()
        make()
    url = f"http://127.0.0.1:{read_setting('port')}"
    service.wait_until_ready(url)
    status = go_through(client.Client(url, TOKEN.read_text().strip()))
    tell_how_to_go_on(url)
    return 0 if status["status"] == "successful" else 1


def make() -> None:
    """The machines, a home for the service, and the service."""
    port = int(os.environ.get("FIRSTBOX_PORT", "8000"))
    service.require_free(port)
    screen.heading("1. Six machines with SSH servers")
    screen.say(
        "The first time, their root directories are built from packages, which takes a minute."
    )
    ssh_port = os.environ.get("FIRSTBOX_SSH_PORT", "2222")
    rack = start_machines(ssh_port)
    screen.say(f"{rack['first']} to {rack['last']}, port {rack['port']}.")
    screen.heading("2. The service")
    write_settings(
        {
            "port": port,
            "ssh_port": rack["port"],
            "ssh_private_key": rack["private_key"],
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
    rack: dict[str, Any] = json.loads(said)
    return rack


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
    screen.heading("5. It goes on running")
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


def remove() -> None:
    """End what runs, remove what is there."""
    service.stop()
    if LAB.exists():
        output_of(sys.executable, "-m", "tests.lab", "down", "--dir", str(LAB))
    if HOME.exists():
        shutil.rmtree(HOME)
    with contextlib.suppress(OSError):  # others may have files there
        HOME.parent.rmdir()


if __name__ == "__main__":
    sys.exit(main())
