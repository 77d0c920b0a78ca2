"""Several API replicas and workers on one PostgreSQL, each a process that can be killed, frozen or cut off.

with Postgres() as postgres, Cluster(place, postgres.create_database(), drill.content) as cluster:
    api = cluster.add_api()
    worker = cluster.add_worker("z1")
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, make_url

from api.store.session import open_database
from tests.gate import Gate
from tests.lab.segment import die_with_parent
from tests.service import REPOSITORY, Client, free_port, wait_until


class Member:
    """A server of the cluster, with a home of its own."""

    def __init__(self, home: Path, environment: dict[str, str], command: Sequence[str]) -> None:
        self.home = home
        self._environment = environment
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self, place: Path = REPOSITORY) -> None:
        """Start the process in a directory; it ends with this one."""
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, as SIGSTOP."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def has_ended(self) -> bool:
        """Whether it came to its end."""
        assert self._process is not None
        return self._process.poll() is not None

    def end_soon(self) -> None:
        """SIGTERM, whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.end_soon()
        if self._process is not None:
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def said(self) -> str:
        """What it wrote."""
        return (self.home / "log").read_text()


class Api(Member, Client):
    """An API replica without a worker."""

    def __init__(self, home: Path, environment: dict[str, str], port: int, token: str) -> None:
        command = [sys.executable, "-m", "api.cli", "serve", "--no-worker"]
        environment = environment | {"FIRSTBOX_PORT": str(port)}
        Member.__init__(self, home, environment, command)
        Client.__init__(self, port, token)

    def start(self, place: Path = REPOSITORY) -> None:
        """Start, and wait until it is ready."""
        super().start(place)
        wait_until(self.is_ready, 40, what="the API is ready")


class Worker(Member):
    """A worker on a host of its own, as far as the network goes: it meets the database through a gate."""

    def __init__(
        self,
        home: Path,
        environment: dict[str, str],
        zones: Sequence[str],
        concurrency: int,
        gate: Gate,
        prefix: Sequence[str],
    ) -> None:
        asked = [word for zone in zones for word in ("--zone", zone)]
        command = [sys.executable, "-m", "api.cli", "worker", *asked]
        command += ["--concurrency", str(concurrency)]
        super().__init__(home, environment, gate.host.command(*prefix, *command))
        self.gate = gate

    def end_soon(self) -> None:
        """SIGTERM, whatever state it and its network are in."""
        self.gate.mend()
        super().end_soon()


class Shell(Member):
    """A command that somebody typed on a host of its own."""

    def __init__(
        self, home: Path, environment: dict[str, str], command: Sequence[str], gate: Gate
    ) -> None:
        super().__init__(home, environment, gate.host.command(*command))
        self.gate = gate


class Cluster:
    """Everything that works on one database; `with` stops it."""

    def __init__(self, place: Path, database_url: str, content: Path, **settings: Any) -> None:
        """`settings` of every member, by their names. Makes the tables, the keys and a token."""
        self.place = place
        self.database_url = database_url
        self._settings = {"content": content, "lease": 6, "queue_poll": 0.2} | settings
        self._members: list[Member] = []
        self._gates: list[Gate] = []
        self._first = self._home("first")
        self._firstbox("init")
        self._token = self._firstbox("token", "create", "--user", "admin").strip().splitlines()[-1]
        self.engine: Engine = open_database(database_url)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_exception: object) -> None:
        for member in self._members:
            member.end_soon()
        self._each([member.stop for member in self._members])
        self._each([gate.close for gate in self._gates])
        self.engine.dispose()

    def _each(self, ends: list[Callable[[], None]]) -> None:
        errors = []
        for end in ends:
            try:
                end()
            except Exception as error:  # the others must be ended, too
                errors.append(error)
        if errors:
            raise errors[0]

    def add_api(self) -> Api:
        """Start a replica of the API."""
        home = self._home(f"api{len(self._members)}")
        api = Api(home, self._environment(home), free_port(), self._token)
        self._members.append(api)
        api.start()
        return api

    def add_worker(
        self,
        *zones: str,
        concurrency: int = 24,
        prefix: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        **settings: Any,
    ) -> Worker:
        """Start a worker. `prefix` is a command that starts it, such as `unshare --mount`."""
        home = self._home(f"worker{len(self._members)}")
        gate, near = self._add_gate()
        around = self._environment(home, database_url=near, **settings) | (environment or {})
        worker = Worker(home, around, zones, concurrency, gate, prefix)
        self._members.append(worker)
        worker.start()
        return worker

    @contextmanager
    def shell(self, *command: str) -> Iterator[Shell]:
        """Start a command on a host of its own, in the content directory; in the end it is killed."""
        home = self._home(f"shell{len(self._gates)}")
        gate, near = self._add_gate()
        shell = Shell(home, self._environment(home, database_url=near), command, gate)
        shell.start(Path(self._settings["content"]))
        try:
            yield shell
        finally:
            shell.kill()

    def _add_gate(self) -> tuple[Gate, str]:
        """A gate to the database, and the database's URL behind it."""
        url = make_url(self.database_url)
        assert url.port is not None
        gate = Gate(url.port)
        self._gates.append(gate)
        return gate, url.set(port=gate.port).render_as_string(hide_password=False)

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of an SQL query, past all of Firstbox."""
        with self.connected() as connection:
            return connection.execute(query.encode(), values).fetchall()

    def do(self, statement: str) -> None:
        """An SQL statement, past all of Firstbox."""
        with self.connected() as connection:
            connection.execute(statement.encode())

    def waits_for_a_lock(self, statement: str) -> bool:
        """Whether a session waits for a lock in a statement that begins so."""
        query = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
        return bool(self.ask(query, f"{statement}%"))

    def connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection past all of Firstbox."""
        url = self.database_url.replace("postgresql+psycopg://", "postgresql://")
        return psycopg.connect(url, autocommit=True)

    def _home(self, name: str) -> Path:
        home = self.place / name
        home.mkdir(mode=0o700, parents=True)
        if name != "first":
            shutil.copytree(self._first / "keys", home / "keys")
        return home

    def _environment(self, home: Path, **settings: Any) -> dict[str, str]:
        settings = {"home": home, "database_url": self.database_url} | self._settings | settings
        return {
            **{name: value for name, value in os.environ.items() if "FIRSTBOX" not in name},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **{f"FIRSTBOX_{name.upper()}": str(value) for name, value in settings.items()},
        }

    def _firstbox(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "api.cli", *arguments],
            env=self._environment(self._first),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return done.stdout
