"""The boot server in a network of a test's own: API, dnsmasq and, if wanted, nginx, as the role sets them up.

with Segment("10.77.0.1/24") as segment, BootServer(directory, segment) as server:
    boot = server.open_boot("52:54:00:00:00:01")
    ...
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine, Row, insert, select

from api.settings import Settings
from api.states import DEFAULT_ZONE, BmNodeStatus, JobAction
from api.store.bm_nodes import BM_NODE
from api.store.boots import BOOT, open_boot, token_of
from api.store.images import IMAGE
from api.store.jobs import Part, create_job, get_log
from api.store.runs import Run, claim
from api.store.sealing import Seal
from api.store.session import open_database, reading, writing
from tests.lab.segment import Segment, end_with_parent
from tests.nodes import plant_nodes
from tests.service import REPOSITORY, wait_until

ADDRESS = "10.77.0.1"
PORT = 80
API_PORT = 8000
RAMDISK = "ramdisk-test"
_READY = "DHCP, sockets bound"  # what dnsmasq says once it has read its files


class BootServer:
    """One boot server on one segment; what it starts ends with it."""

    def __init__(
        self,
        directory: Path,
        segment: Segment,
        *,
        mode: str = "dhcp",
        is_configured: bool = False,
        **settings: Any,
    ) -> None:
        """`settings` by their names."""
        self._told: dict[str, str] = {}
        self.set(**settings)
        self.segment = segment
        self._is_configured = is_configured
        self.mode = mode
        self.url = f"http://{ADDRESS}:{PORT}"
        self.settings = Settings(home=directory / "home", boot_url=self.url)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        done = subprocess.run(
            [str(self.program), "init"], env=self._environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        self.engine: Engine = open_database(self.settings.database)

    def set(self, **settings: Any) -> None:
        """Settings for everything that is started from now on."""
        self._told |= {f"FIRSTBOX_{name.upper()}": str(value) for name, value in settings.items()}

    def __enter__(self) -> Self:
        try:
            if not self._is_configured:
                self.configure()
            self.start_all()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything."""
        for name in list(self.processes):
            self.stop(name)
        self.engine.dispose()

    @property
    def program(self) -> Path:
        """The command `firstbox`."""
        return Path(sys.executable).parent / "firstbox"

    @property
    def boot_command(self) -> tuple[str, ...]:
        """`firstbox boot`, without a process in between."""
        return (sys.executable, "-m", "api.cli", "boot")

    @property
    def variables(self) -> dict[str, Any]:
        """What the role is told."""
        home = self.settings.home
        return {
            "boot_server_home": str(home),
            "boot_server_user": "root",
            "boot_server_program": str(self.program),
            "boot_server_interface": self.segment.bridge,
            "boot_server_address": ADDRESS,
            "boot_server_mode": self.mode,
            "boot_server_range_start": "10.77.0.100",
            "boot_server_range_end": "10.77.0.200",
            "boot_server_port": PORT,
            "boot_server_api": f"127.0.0.1:{API_PORT}",
            "boot_server_nginx_site": str(home / "site.conf"),
            "boot_server_manage_services": False,
            "boot_server_probe": False,
            "ansible_python_interpreter": sys.executable,
            "ansible_become": False,
        }

    def configure(self) -> None:
        """Run the role, for files alone."""
        playbook = ["ansible-playbook", "playbooks/boot_server.yml", "-i", "localhost,"]
        done = subprocess.run(
            # On the segment: nginx wants to see its address when it looks at its configuration.
            self.segment.command(*playbook, "-c", "local", "-e", json.dumps(self.variables)),
            cwd=REPOSITORY,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start_all(self) -> None:
        """API, web server and `firstbox boot`, as the role configured them."""
        self.start("api", str(self.program), "serve", "--no-worker")
        self.start("nginx", "nginx", "-c", str(self.settings.boot / "nginx.conf"))
        self._wait_for(f"http://127.0.0.1:{API_PORT}/readyz")
        self._wait_for(self.url)
        self.start_keeper()

    def start_keeper(self) -> None:
        """`firstbox boot`; wait until dnsmasq answers."""
        before = self.starts()
        self.start("keeper", *self.boot_command)
        wait_until(lambda: self.starts() > before, 60, what="dnsmasq runs", pause=0.1)

    def starts(self) -> int:
        """How often DHCP was started; each time it knows the boots of then."""
        return self.said("keeper").count(_READY)

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a program on the segment with the service's settings; its words go into a file."""
        with (self.settings.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.segment.command(*command),
                env=self._environment,
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )
        return self.processes[name]

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End one of them and wait until it is gone."""
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(20)

    def said(self, name: str) -> str:
        """What one of them wrote."""
        path = self.settings.home / f"{name}.log"
        return path.read_text() if path.exists() else ""

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if "FIRSTBOX" not in name},
            "PATH": f"{self.program.parent}:{os.environ['PATH']}",
            "FIRSTBOX_HOME": str(self.settings.home),
            "FIRSTBOX_PORT": str(API_PORT),
            "FIRSTBOX_BOOT_URL": self.url,
            **self._told,
        }

    def _wait_for(self, url: str) -> None:
        def answers() -> bool:
            return self.segment.run("curl", "-s", "-o", os.devnull, url).returncode == 0

        wait_until(answers, 60, what=f"{url} answers", pause=0.1)

    def add_machine(self, mac: str, **values: Any) -> str:
        """A registered machine whose boot MAC this is; its node id."""
        node_id = f"n-{mac.replace(':', '')[-8:]}"
        plant_nodes(self.settings.database, {"node_id": node_id, "address": None})
        with writing(self.engine) as connection:
            connection.execute(insert(BM_NODE).values(**registration(node_id, mac, **values)))
        return node_id

    def add_ramdisk(self, fill: Callable[[Path], None]) -> None:
        """A ramdisk whose kernel and initrd `fill` puts into its directory."""
        directory = self.settings.images / RAMDISK
        directory.mkdir(parents=True)
        fill(directory)
        with writing(self.engine) as connection:
            connection.execute(
                insert(IMAGE).values(
                    name=RAMDISK,
                    os_version="ramdisk",
                    cpu_arch="x86_64",
                    method="ramdisk",
                    sha256="",
                    size=0,
                    stored=0,
                    directory=RAMDISK,
                    source="",
                    create_time=time.time(),
                )
            )

    def open_boot(self, node_id: str, mac: str, **values: Any) -> Row[Any]:
        """A job that boots this machine, and its open boot once DHCP answers it."""
        boot_id = new_boot(self.engine, node_id, mac, **values)
        wait_until(lambda: self.boot(boot_id).armed_time, 15, what="the boot is armed")
        return self.boot(boot_id)

    def boot(self, boot_id: str) -> Row[Any]:
        """The boot's row now."""
        with reading(self.engine) as connection:
            return connection.execute(select(BOOT).where(BOOT.c.boot_id == boot_id)).one()

    def token(self, boot: Row[Any]) -> str:
        """The secret in this boot's addresses."""
        return token_of(Seal(self.settings.keys), boot.boot_id)

    def log(self, job_id: str) -> list[str]:
        """The job's log."""
        with reading(self.engine) as connection:
            return [line.text for line in get_log(connection, job_id)]


def registration(node_id: str, mac: str, **values: Any) -> dict[str, Any]:
    """A machine's row, as complete as it must be to boot."""
    now = time.time()
    return {
        "node_id": node_id,
        "status": BmNodeStatus.PROVISIONING,
        "cpu_arch": "x86_64",
        "os_version": "debian12",
        "pxe_network_mac_addr": mac,
        "mgmt_network_address": f"10.77.0.{int(mac[-2:], 16)}",
        "mgmt_network_netmask": "255.255.255.0",
        "hostname": f"{node_id.lower()}.example.org",
        "mgmt_bond_members": [],
        "public_bond_members": [],
        "create_time": now,
        "update_time": now,
        **values,
    }


def new_boot(engine: Engine, node_id: str, mac: str, **values: Any) -> str:
    """A job of this machine and its open boot; the boot's id."""
    with writing(engine) as connection:
        statuses = {node_id: BmNodeStatus.NEW}
        job_id = create_job(
            connection,
            JobAction.PROVISION_BM_NODES,
            [Part(DEFAULT_ZONE, statuses)],
            user_id="admin",
        )
        claim(connection, Run(job_id, 1, "lab"), 3600)  # no worker is to take it
        return open_boot(
            connection,
            **{
                "node_id": node_id,
                "job_id": job_id,
                "provision_id": "p-00000001",
                "mac": mac,
                "method": "image",
                "image": "debian12",
                "seconds": 600,
                **values,
            },
        )
