"""The real service for tests: `firstbox serve` in a process of its own, asked over HTTP."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.lab.segment import end_with_parent

REPOSITORY = Path(__file__).parents[1]


class Client:
    """Asks a service on this host, with a token."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.token = token
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )

    def is_ready(self) -> bool:
        """Whether the service, its database and its queue answer."""
        try:
            return self._client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def call(self, action: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one action."""
        answer = self._client.post("/api", json={"action": action, **parameters})
        body: dict[str, Any] = answer.json()
        return body

    def done(self, action: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one action that must succeed."""
        answer = self.call(action, **parameters)
        assert answer["ret_code"] == 0, answer
        return answer

    def status(self, job_id: str, action: str = "CollectNodes") -> dict[str, Any]:
        """GetStatus of a job."""
        return self.done("GetStatus", job_action=action, job_id=job_id)

    def log(self, job_id: str, action: str = "CollectNodes", **parameters: Any) -> list[str]:
        """The lines of a job's log."""
        answer = self.done("GetLog", job_action=action, job_id=job_id, **parameters)
        lines: dict[str, str] = answer["log"]
        return list(lines.values())

    def wait_for(
        self, job_id: str, *statuses: str, seconds: float = 60, action: str = "CollectNodes"
    ) -> dict[str, Any]:
        """GetStatus once the job has one of these statuses, or is over."""
        ends = {*statuses, "successful", "failed"}
        wait_until(
            lambda: self.status(job_id, action)["status"] in ends,
            seconds,
            what=f"job is {ends}",
            pause=0.1,
        )
        return self.status(job_id, action)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Every node by its address."""
        return {node["address"]: node for node in self.done("DescribeNodes")["node_set"]}


class Service(Client):
    """A home, and the service that works in it; `with` stops what is left of it."""

    def __init__(self, home: Path, *, port: int | None = None, **settings: Any) -> None:
        """`settings` by their names."""
        self.home = home
        port = port or free_port()
        self._environment = {
            **{name: value for name, value in os.environ.items() if "FIRSTBOX" not in name},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FIRSTBOX_HOME": str(home),
            "FIRSTBOX_PORT": str(port),
        }
        self.set(**settings)
        self.firstbox("init")
        created = self.firstbox("token", "create", "--user", "admin").stdout
        super().__init__(port, created.strip().splitlines()[-1])
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()
        self._client.close()

    def set(self, **settings: Any) -> None:
        """Settings for everything that is started from now on."""
        self._environment |= {
            f"FIRSTBOX_{name.upper()}": str(value) for name, value in settings.items()
        }

    def firstbox(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a `firstbox` command to its end."""
        return self.run(sys.executable, "-m", "api.cli", *arguments, timeout=timeout)

    def run(
        self, *command: str, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command with this service's settings, from the repository root."""
        return subprocess.run(
            command,
            env=self._environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout,
        )

    def start(self, **settings: Any) -> None:
        """Start `firstbox serve` and wait until it is ready."""
        more = {f"FIRSTBOX_{name.upper()}": str(value) for name, value in settings.items()}
        with (self.home / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "api.cli", "serve"],
                env={**self._environment, **more},
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )
        wait_until(self.is_ready, 30, what="the service is ready")

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(40)

    def kill(self) -> None:
        """SIGKILL the API and its worker in the same moment, as a power cut would."""
        assert self._process is not None
        for pid in [self.worker(), self._process.pid]:
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def worker(self) -> int:
        """Pid of the worker beside the API."""
        assert self._process is not None
        served = self._process.pid

        def find() -> list[int]:
            return [pid for pid in children(served) if "worker" in command_line(pid)]

        wait_until(find, 15, what="a worker runs beside the API")
        return find()[0]


def wait_until(holds: Callable[[], Any], seconds: float, *, what: str, pause: float = 0.05) -> None:
    """Wait until something holds; fail with a sentence when it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)


def children(pid: int) -> list[int]:
    """Pids of the processes that `pid` started, by any of its threads."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found


def command_line(pid: int) -> str:
    """What a process was started as; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except FileNotFoundError:
        return ""


def processes_of(job_id: str) -> dict[int, str]:
    """Every process of a job: pid -> command line, from the guard to Ansible's last worker.

    Guard and run have the job's id on their command lines, all others in their environment.
    """
    found: dict[int, str] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            environment = (directory / "environ").read_bytes()
            line = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if job_id in line or f"FIRSTBOX_JOB={job_id}.".encode() in environment:
            found[int(directory.name)] = line.strip()
    return found


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
