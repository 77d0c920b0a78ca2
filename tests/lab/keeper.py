"""The owner's side of a lab: start the keeper process, ask it for things, end it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.lab.errors import LabError

SECONDS_TO_LEAVE = 15
LOG = "keeper.log"
PLACE = "machines"
PRIVATE_KEY = "id_ed25519"
KNOWN_HOSTS = "known_hosts"
NEEDED = ("unshare", "nsenter", "setpriv", "pivot_root", "mount", "ip", "ssh-keygen", "dropbear")


class Keeper:
    """A running keeper process. Closing it ends everything it started."""

    def __init__(self, directory: Path) -> None:
        _check_host()
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / LOG
        place = (directory / PLACE).absolute()
        place.mkdir(exist_ok=True)
        # A session of its own, so that Ctrl-C in a terminal reaches the owner alone and the
        # keeper learns of the end the usual way. The mount namespace takes all mounts along.
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", sys.executable, "-m", "tests.lab.keeper_process", place],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=Path(__file__).parents[2],
                start_new_session=True,
            )

    def ask(self, request: str, **details: Any) -> dict[str, Any]:
        """Send one request and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"do": request, **details})
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
            answered = self._process.stdout.readline()
        except BrokenPipeError:
            answered = b""
        if not answered:
            raise LabError(f"the lab's keeper has gone: {self._end_of_log()}")
        answer: dict[str, Any] = json.loads(answered)
        if "error" in answer:
            raise LabError(f"{answer['error']}: {self._end_of_log()}")
        return answer

    def close(self) -> None:
        """End the keeper and wait until its machines are gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it left before us
            self._process.stdin.close()
        try:
            self._process.wait(timeout=SECONDS_TO_LEAVE)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its machines are told by the kernel
            self._process.wait()
        self._process.stdout.close()

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace")[-1000:].strip() or "its log is empty"


def remove_files(directory: Path) -> None:
    """Remove what a lab keeps in its directory, except its log."""
    for name in (PRIVATE_KEY, f"{PRIVATE_KEY}.pub", KNOWN_HOSTS):
        (directory / name).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (directory / PLACE).rmdir()


def _check_host() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise LabError("the lab makes namespaces and mounts: run it as root on Linux")
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        raise LabError(
            f"not installed: {', '.join(missing)}; run deploy/install-system-packages lab"
        )
