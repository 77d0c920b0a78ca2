"""Programs of the system that do the heavy work; what they complain about becomes one sentence."""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from api.errors import FirstboxError

_LAST_WORDS = 5  # lines of a failed program that are shown


def run(
    *command: str,
    patience: float,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    each_line: Callable[[str], None] = lambda _line: None,
) -> None:
    """Run a program to its end; what it says on stderr is passed on line by line.

    Raises FirstboxError with the program's last words when it fails or is too slow.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            cwd=directory,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise FirstboxError(
            f"{command[0]} is not installed: run deploy/install-system-packages."
        ) from error
    was_too_slow = threading.Event()
    timer = threading.Timer(patience, _give_up, [process, was_too_slow])
    timer.start()
    last: deque[str] = deque(maxlen=_LAST_WORDS)
    try:
        assert process.stderr is not None  # noqa: S101  # asked for above
        for line in process.stderr:
            last.append(line.strip())
            each_line(line.strip())
        code = process.wait()
    except BaseException:
        _end(process)
        process.wait()
        raise
    finally:
        timer.cancel()
    if code:
        what = f"took more than {patience:g} s" if was_too_slow.is_set() else f"ended with {code}"
        raise FirstboxError(f"{command[0]} {what}: {' '.join(last) or 'it said nothing'}")


def _give_up(process: "subprocess.Popen[str]", was_too_slow: threading.Event) -> None:
    was_too_slow.set()
    _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """End the program and what it started: they are one process group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
