"""A real PostgreSQL for tests: a private cluster on a loopback port, gone when the tests end.

The fixture `postgres_url` is the URL of an empty database made for one test.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[str]:
    """URL of a running cluster, without the database's name."""
    with running_postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_cluster: str) -> Iterator[str]:
    """SQLAlchemy URL of a fresh, empty database."""
    url = create_database(postgres_cluster)
    yield url
    with psycopg.connect(f"{postgres_cluster}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)".encode())


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a cluster of one's own, and stop it by its process id."""
    with Postgres() as postgres:
        yield postgres.url


class Postgres:
    """A cluster on a loopback port that stays the same however often it is stopped and started."""

    def __init__(self, *, is_durable: bool = False) -> None:
        """`is_durable` where it is to cost what it costs; tests' databases need not survive a power cut."""
        self._fsync = "on" if is_durable else "off"
        self._programs = _programs()
        self._user = _user()
        self._directory = Path(tempfile.mkdtemp(prefix="pg"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        password = secrets.token_hex(16)
        self.url = f"postgresql://firstbox:{password}@127.0.0.1:{self.port}"
        try:
            if self._user:
                os.chown(self._directory, self._user.pw_uid, self._user.pw_gid)
            _init(self._programs, self._directory, self._user, password)
        except BaseException:
            shutil.rmtree(self._directory)
            raise

    def __enter__(self) -> "Postgres":
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self._directory)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        data = self._directory / "data"
        options = ["-D", data, "-k", self._directory, "-h", "127.0.0.1", "-p", str(self.port)]
        options += ["-c", "max_connections=200", "-c", f"fsync={self._fsync}"]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_as(self._user), self._programs / "postgres", *options],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        _wait_until_ready(self.url, self._process, self._directory / "log")

    def stop(self) -> None:
        """A fast shutdown: sessions are ended, transactions rolled back."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End it as a crash would: it has to recover when it starts again."""
        self._end(signal.SIGQUIT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def create_database(self) -> str:
        """SQLAlchemy URL of a new, empty database."""
        return create_database(self.url)


def create_database(cluster: str) -> str:
    """SQLAlchemy URL of a new, empty database in the cluster at this URL."""
    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(f"{cluster}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"{cluster}/{name}".replace("postgresql://", "postgresql+psycopg://")


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    return Path(on_path).resolve().parent


def _user() -> pwd.struct_passwd | None:
    """Whom to become: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _as(user: pwd.struct_passwd | None) -> list[str]:
    # pdeathsig: a killed test run must not leave a database behind
    command = ["setpriv", "--pdeathsig", "INT"]
    if user:
        command += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return command


def _init(programs: Path, directory: Path, user: pwd.struct_passwd | None, password: str) -> None:
    password_file = directory / "password"
    password_file.write_text(password)
    if user:
        os.chown(password_file, user.pw_uid, user.pw_gid)
    options = ["-U", "firstbox", "-A", "scram-sha-256", f"--pwfile={password_file}", "--no-sync"]
    options += ["-E", "UTF8", "--locale=C.UTF-8"]
    subprocess.run(
        [*_as(user), programs / "initdb", "-D", directory / "data", *options],
        cwd=directory,
        check=True,
        capture_output=True,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(f"{url}/postgres").close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from None
            time.sleep(0.1)
        else:
            return
