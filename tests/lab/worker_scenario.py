"""The molecule scenario of the role worker: a service that is there already, and a try of its new worker.

python -m tests.lab.worker_scenario service DIR   # its home, and a release that needs no package index
python -m tests.lab.worker_scenario try DIR       # prints what became of a job, as JSON
"""

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

from sqlalchemy import Engine

from api.domain import jobs
from api.jobs.queue import JobQueue
from api.settings import Settings
from api.states import FINISHED, JobAction, NodeStatus
from api.store.jobs import get_job, get_job_nodes
from api.store.session import open_database, reading, writing
from tests.nodes import plant_nodes
from tests.service import REPOSITORY, wait_until

_WHEEL = "firstbox_lab-1.0-py3-none-any.whl"
_METADATA = "Metadata-Version: 2.1\nName: firstbox-lab\nVersion: 1.0\n"
_TAG = "Wheel-Version: 1.0\nGenerator: lab\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def main() -> None:
    """Do one of the two."""
    {"service": service, "try": attempt}[sys.argv[1]](Path(sys.argv[2]).absolute())


def service(directory: Path) -> None:
    """A home as `firstbox init` makes it, with a machine, and what the role is told."""
    home = directory / "first"
    settings = Settings(home=home)
    _firstbox(settings, "init")
    # Nobody listens there: its job ends quickly, and says so.
    machine = {"node_id": "n-nobody", "address": "127.0.43.1", "status": NodeStatus.PENDING}
    plant_nodes(settings.database, machine)
    (home / "firstbox.env").write_text(f"FIRSTBOX_DATABASE_URL={settings.database}\n")
    _make_wheel(directory / "wheels")
    _run(
        "tar",
        "--create",
        "--file",
        directory / "wheels.tar",
        "--directory",
        directory / "wheels",
        ".",
    )
    _pack(directory / "firstbox.tar.gz", directory / "wheels")
    told = {
        "worker_settings": str(home / "firstbox.env"),
        "worker_keys": str(settings.keys),
        "worker_archive": str(directory / "firstbox.tar.gz"),
        "worker_wheels": str(directory / "wheels.tar"),
        "worker_directory": str(directory / "host/opt/firstbox"),
        "worker_home": str(directory / "host/home"),
        "worker_user": "root",
        "worker_manage_services": False,
    }
    (directory / "host/opt").mkdir(parents=True)
    (directory / "worker.json").write_text(json.dumps(told))


def attempt(directory: Path) -> None:
    """Start the worker that was installed, and give it a job."""
    settings = Settings(home=directory / "first")
    engine = open_database(settings.database)
    queue = JobQueue(engine, settings)
    with writing(engine) as connection:
        action = JobAction.COLLECT_NODES
        job_id = jobs.start(connection, queue, action, ["n-nobody"], user_id="admin")
    home = directory / "host/home"
    worker = subprocess.Popen(
        [str(directory / "host/opt/firstbox/.venv/bin/firstbox"), "worker", "--zone=default"],
        env={"PATH": os.environ["PATH"], "FIRSTBOX_HOME": str(home)},
        stderr=(directory / "worker.log").open("wb"),
    )
    try:
        wait_until(lambda: _status(engine, job_id) in FINISHED, 60, what="the job ended")
        with reading(engine) as connection:
            reasons = [row.reason for row in get_job_nodes(connection, job_id)]
    finally:
        worker.terminate()
        worker.wait(30)
        engine.dispose()
    printed = [path.name for path in (home / "runs").iterdir() if job_id in path.name]
    print(json.dumps({"reasons": reasons, "runs": len(printed), "ended": worker.returncode}))


def _status(engine: Engine, job_id: str) -> str:
    with reading(engine) as connection:
        return str(getattr(get_job(connection, job_id), "status", ""))


def _firstbox(settings: Settings, *arguments: str) -> None:
    environment = {"PATH": os.environ["PATH"], "FIRSTBOX_HOME": str(settings.home)}
    subprocess.run(
        [sys.executable, "-m", "api.cli", *arguments],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.DEVNULL,
        timeout=120,
        check=True,
    )


def _make_wheel(directory: Path) -> None:
    """A wheel that brings every package that is installed here, without a copy of any."""
    directory.mkdir()
    paths = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    with zipfile.ZipFile(directory / _WHEEL, "w") as wheel:
        wheel.writestr("firstbox_lab.pth", "".join(f"{path}\n" for path in paths))
        info = "firstbox_lab-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", _METADATA)
        wheel.writestr(f"{info}/WHEEL", _TAG)
        wheel.writestr(f"{info}/RECORD", "firstbox_lab.pth,,\n")


def _pack(archive: Path, wheels: Path) -> None:
    """The release as `deploy/pack` makes it, with a lock file that names that wheel alone."""
    digest = hashlib.sha256((wheels / _WHEEL).read_bytes()).hexdigest()
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch)
        _run("deploy/pack", archive)
        _run("tar", "--extract", "--file", archive, "--directory", tree)
        lock = f"firstbox-lab==1.0 --hash=sha256:{digest}\n"
        (tree / "requirements.txt").write_text(lock)
        _run("tar", "--create", "--gzip", "--file", archive, "--directory", tree, ".")


def _run(*command: str | Path) -> None:
    subprocess.run(command, cwd=REPOSITORY, timeout=60, check=True)


if __name__ == "__main__":
    main()
