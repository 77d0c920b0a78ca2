"""Who calls, out of the tokens in the addresses: those who call together are looked up together."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine

from api.domain.booting import NOBODY, Booting, find_callers
from api.errors import NotFound
from api.store.sealing import Seal
from api.store.session import reading


class Callers:
    """One for all requests of an event loop; while a look takes its time, the next gathers."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, asyncio.Future[Booting]]] = []
        self._looking: asyncio.Task[None] | None = None

    async def find(
        self, token: str, engine: Engine, seal: Seal, threads: ThreadPoolExecutor
    ) -> Booting:
        """The machine whose boot has this token. Raises NotFound."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Booting] = loop.create_future()
        self._waiting.append((token, future))
        if self._looking is None:
            self._looking = loop.create_task(self._look(engine, seal, threads))
        return await future

    async def _look(self, engine: Engine, seal: Seal, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            tokens = [token for token, _ in batch]
            try:
                found = await loop.run_in_executor(threads, _find, engine, seal, tokens)
            except Exception as error:  # each of them is told
                _settle(batch, {}, error)
            else:
                _settle(batch, found, NotFound(NOBODY))
        self._looking = None


def _find(engine: Engine, seal: Seal, tokens: Sequence[str]) -> dict[str, Booting]:
    with reading(engine) as connection:
        return find_callers(connection, seal, tokens)


def _settle(
    batch: Sequence[tuple[str, "asyncio.Future[Booting]"]],
    found: dict[str, Booting],
    otherwise: Exception,
) -> None:
    for token, future in batch:
        if future.done():  # who asked is gone
            continue
        if token in found:
            future.set_result(found[token])
        else:
            future.set_exception(otherwise)
