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
    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(f"{postgres_cluster}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield f"{postgres_cluster}/{name}".replace("postgresql://", "postgresql+psycopg://")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a cluster of one's own, and stop it by its process id."""
    programs = _programs()
    user = _user()
    directory = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        if user:
            os.chown(directory, user.pw_uid, user.pw_gid)
        password = secrets.token_hex(16)
        _init(programs, directory, user, password)
        port = _free_port()
        options = ["-h", "127.0.0.1", "-p", str(port), "-k", directory, "-c", "max_connections=200"]
        # fsync off: these databases need not survive a power failure
        options += ["-c", "fsync=off"]
        process = subprocess.Popen(
            [*_as(user), programs / "postgres", "-D", directory / "data", *options],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(directory / "log").open("wb"),
        )
        try:
            url = f"postgresql://firstbox:{password}@127.0.0.1:{port}"
            _wait_until_ready(url, process, directory / "log")
            yield url
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown: sessions are ended
            process.wait(30)
    finally:
        shutil.rmtree(directory)


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
