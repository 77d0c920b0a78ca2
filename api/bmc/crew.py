"""The worker processes of one fleet, and how they are spoken to."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from api.bmc.target import Kind

_START = 30.0  # seconds a process has to come up; a machine under load needs a few
_GOODBYE = 5.0  # seconds they have to end once we hung up
_PID = b'{"pid"'  # how a process begins to speak


class CrewLost(Exception):
    """The processes that talk to BMCs could not be started, or were killed from outside."""


class Worker:
    """One process, which does one job after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._pid = 0
        self._jobs = 0

    async def do(self, job: dict[str, Any], deadline: float) -> dict[str, Any] | None:
        """The answer; None when there was none in time, and the process was killed for it."""
        await self._come_up()
        self._jobs += 1
        number = self._jobs
        self._writer.write(json.dumps(job | {"number": number}).encode() + b"\n")
        try:
            async with asyncio.timeout(deadline):
                # What else there is comes from before: an answer that was a moment too late.
                while (answer := await self._read()).get("number") != number:
                    continue
                return answer
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._pid = 0
            await self._come_up()
            return None

    def hang_up(self) -> None:
        """The process ends."""
        self._writer.close()

    async def _come_up(self) -> None:
        """Until the process, or its successor, has said who it is."""
        try:
            async with asyncio.timeout(_START):
                while not self._pid:
                    await self._read()
        except TimeoutError:
            raise CrewLost(f"the processes that talk to BMCs need {_START:g} s to start") from None

    async def _read(self) -> dict[str, Any]:
        line = await self._reader.readline()
        if not line:
            raise CrewLost("the processes that talk to BMCs could not be started, or were killed")
        # What a killed process had begun to write stands before what its successor says.
        whole = line[max(line.rfind(_PID), 0) :]
        try:
            said: dict[str, Any] = json.loads(whole)
        except ValueError:
            return {}
        self._pid = said.get("pid", self._pid)
        return said


class Crew:
    """As many workers as asked for; an asynchronous context manager."""

    def __init__(self, size: int, kinds: Iterable[Kind]) -> None:
        self._size = size
        self._kinds = ",".join(sorted(set(kinds)))
        self._keeper: asyncio.subprocess.Process | None = None
        self.workers: list[Worker] = []

    async def __aenter__(self) -> "Crew":
        pairs = [socket.socketpair() for _ in range(self._size)]
        theirs = [their.fileno() for _, their in pairs]
        try:
            self._keeper = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "api.bmc.worker",
                self._kinds,
                str(os.getpid()),
                *map(str, theirs),
                pass_fds=theirs,
                stdin=asyncio.subprocess.DEVNULL,
                # pyghmi prints where it should raise.
                stdout=asyncio.subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            )
        finally:
            for _, their in pairs:
                their.close()
        for ours, _ in pairs:
            self.workers.append(Worker(*await asyncio.open_connection(sock=ours)))
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for worker in self.workers:
            worker.hang_up()
        if self._keeper is None:
            return
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await self._keeper.wait()
        finally:
            if self._keeper.returncode is None:
                self._keeper.kill()  # and the kernel kills its children
                await self._keeper.wait()
