"""A dnsmasq in the foreground, as our child: it is started again when it dies, and ends with us."""

import logging
import queue
import subprocess
import threading
import time
from pathlib import Path

from api.processes import end_with_parent

_SHORTEST, _LONGEST = 0.5, 30.0  # seconds between two starts of a dnsmasq that keeps dying
_SOUND = 60.0  # seconds after which one counts as sound
_LAST_WORDS = 5.0

logger = logging.getLogger("firstbox.boot")


class Dnsmasq(threading.Thread):
    """One dnsmasq over one configuration file; its log lines arrive in `lines` as they are written."""

    def __init__(self, configuration: Path, lines: "queue.Queue[str]") -> None:
        # The kernel ends the child when the *thread* that started it ends: this one outlives it.
        super().__init__(name=configuration.name, daemon=True)
        self._configuration = configuration
        self._lines = lines
        self._ending = threading.Event()
        self._is_restarted = False
        self._process: subprocess.Popen[str] | None = None

    def run(self) -> None:
        pause = _SHORTEST
        while not self._ending.is_set():
            started = time.monotonic()
            code = self._live()
            if self._is_restarted:
                self._is_restarted = False
                continue
            if self._ending.is_set():
                return
            pause = _SHORTEST if time.monotonic() - started > _SOUND else min(pause * 2, _LONGEST)
            logger.error(
                "dnsmasq (%s) ended with code %s; another starts in %g s", self.name, code, pause
            )
            self._ending.wait(pause)

    def _live(self) -> int:
        with subprocess.Popen(
            # Without a file for its process id: two that start at once would refuse over it.
            [
                "dnsmasq",
                "--keep-in-foreground",
                "--pid-file=",
                f"--conf-file={self._configuration}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,  # where `log-facility=-` sends the log, line by line
            text=True,
            errors="replace",
            preexec_fn=end_with_parent,  # one system call
        ) as process:
            self._process = process
            assert process.stderr is not None  # noqa: S101  # asked for above
            if self._ending.is_set():  # before there was anything to end
                process.terminate()
            for line in process.stderr:
                self._lines.put(line.rstrip("\n"))
        return process.returncode

    def restart(self) -> None:
        """End it, and start it at once with what its configuration says now."""
        if self._process is not None and self._process.poll() is None:
            self._is_restarted = True
            self._process.terminate()

    def end(self) -> None:
        """End it for good."""
        self._ending.set()
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            process.kill()
