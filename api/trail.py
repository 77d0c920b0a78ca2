"""What the work at hand belongs to: the request that asked for it, and the job it became.

Known in every function that is called on behalf of it, so that each line of a log can name it.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_REQUEST_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Trail:
    """Where a piece of work comes from; "" for what is not known."""

    request_id: str = ""
    job_id: str = ""
    action: str = ""
    user: str = ""
    trace: str = ""  # W3C traceparent of what is being done; "" where nothing is traced


_NOWHERE = Trail()
_TRAIL = ContextVar("trail", default=_NOWHERE)


def trail() -> Trail:
    """Where the work at hand comes from."""
    return _TRAIL.get()


@contextmanager
def following(**known: str) -> Iterator[Trail]:
    """Within, the work at hand belongs to this, too; names are those of `Trail`."""
    extended = replace(_TRAIL.get(), **known)
    token = _TRAIL.set(extended)
    try:
        yield extended
    finally:
        _TRAIL.reset(token)


def request_id(given: str | None) -> str:
    """The caller's own id of a request, if it is one that may stand in a log; else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return f"r-{secrets.token_hex(8)}"


def learn(**known: str) -> None:
    """From now on, until the present `following` ends, the work at hand belongs to this, too."""
    _TRAIL.set(replace(_TRAIL.get(), **known))


class Threads(ThreadPoolExecutor):
    """Threads that know where the work that they are given comes from."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As of any executor."""
        return super().submit(copy_context().run, partial(fn, *args, **kwargs))
