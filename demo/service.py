"""The demo's service: a process of its own that outlives the demo, until it is told to stop."""

import json
import os
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx

from demo import DemoError
from demo.place import BIN, LOG, PID_FILE, REPOSITORY, environment, write_private

SECONDS_TO_GET_READY = 60
SECONDS_TO_STOP = 40


def is_running() -> bool:
    """True while the service that an earlier demo started lives."""
    return _pid() is not None


def require_free(port: int) -> None:
    """Raise DemoError unless the API can listen on this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DemoError(
                f"Port {port} of 127.0.0.1 cannot be used ({error.strerror}). Choose another one: "
                f"FIRSTBOX_PORT={port + 1} make demo"
            ) from None


def start() -> None:
    """Start `firstbox serve` in a session of its own, its words into the log file."""
    with LOG.open("ab") as log:
        process = subprocess.Popen(
            [BIN / "firstbox", "serve"],
            cwd=REPOSITORY,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    write_private(
        PID_FILE, json.dumps({"pid": process.pid, "start_time": _start_time(process.pid)})
    )


def wait_until_ready(url: str) -> None:
    """Return once the service answers that database and queue are there."""
    end = time.monotonic() + SECONDS_TO_GET_READY
    said = "it does not answer"
    while time.monotonic() < end:
        if not is_running():
            raise DemoError(f"The service ended. Its last words, from {LOG}:\n{_last_words()}")
        try:
            answer = httpx.get(f"{url}/readyz", timeout=5)
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        if answer.status_code == httpx.codes.OK:
            return
        said = answer.text
        time.sleep(0.2)
    raise DemoError(
        f"The service is not ready after {SECONDS_TO_GET_READY} s: {said}. Its log is {LOG}."
    )


def stop() -> None:
    """End the service and wait until it is gone; nothing if it does not run."""
    pid = _pid()
    if pid is None:
        return
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        if not select.select([process], [], [], SECONDS_TO_STOP)[0]:
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [], 5)
    finally:
        os.close(process)


def _pid() -> int | None:
    """The service's process id, if it is still the same process and not another of that number."""
    try:
        known = json.loads(PID_FILE.read_text())
        return known["pid"] if _start_time(known["pid"]) == known["start_time"] else None
    except (OSError, ValueError, KeyError):
        return None


def _start_time(pid: int) -> int:
    """When a process began, in clock ticks since boot. Raises ProcessLookupError if it is over."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    if fields[0] == "Z":
        raise ProcessLookupError(pid)
    return int(fields[19])


def _last_words() -> str:
    return "\n".join(LOG.read_text(errors="replace").splitlines()[-15:])
