"""`firstbox serve`: the API, and a worker process beside it that never outlives it."""

import gc
import logging
import signal
import subprocess
import sys
import threading
import time

import uvicorn

from api.app import create_app
from api.processes import end_with_parent
from api.settings import Settings

_LAST_WORDS = 20.0  # seconds a worker has to put its jobs back

logger = logging.getLogger("firstbox")


def serve(settings: Settings, *, with_worker: bool = True) -> None:
    """Answer the API, with a worker beside it, until SIGTERM or SIGINT."""
    # uvicorn raises the signal that stopped it once more, for us: without handlers of our own that
    # would end this process before its worker.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    keeper = _WorkerKeeper()
    if with_worker:
        keeper.start()
    app = create_app(settings)
    # What is there by now stays. A full collection, which holds up every answer, would look through all of
    # it each time: some 50 ms.
    gc.collect()
    gc.freeze()
    try:
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http="httptools",
            log_config=None,
            access_log=False,
            server_header=False,
            # Who calls through the web server on this host is who that server says.
            proxy_headers=True,
            forwarded_allow_ips="127.0.0.1",
            timeout_graceful_shutdown=10,
        )
    finally:
        keeper.stop()


class _WorkerKeeper(threading.Thread):
    """Keeps one worker process alive beside the API; it never outlives us."""

    def __init__(self) -> None:
        super().__init__(name="worker-keeper", daemon=True)
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        pause = 1.0
        while not self._stopping.is_set():
            started = time.monotonic()
            # The kernel signals the child when the *thread* that started it ends: this one lives
            # as long as the process does.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "api.cli", "worker"],
                preexec_fn=end_with_parent,  # one system call
            )
            code = self._process.wait()
            if self._stopping.is_set():
                return
            pause = 1.0 if time.monotonic() - started > 60 else min(pause * 2, 30.0)
            logger.error("the worker ended with code %s; another starts in %g s", code, pause)
            self._stopping.wait(pause)

    def stop(self) -> None:
        self._stopping.set()
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            process.kill()
