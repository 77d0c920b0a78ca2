"""One node to talk to, and what came of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from api.states import Reason


@dataclass(frozen=True, slots=True)
class Target:
    """A node and how it is reached."""

    node: str
    address: str
    port: int = 22
    user: str = "root"
    private_key: str = ""
    jump: str = ""  # user@host:port
    known_hosts: str = "accept-new"  # accept-new, strict or off
    known_hosts_file: str = ""  # where jump hosts' keys are kept
    host_key: str = ""  # the key recorded at first contact


@dataclass(frozen=True, slots=True)
class Result:
    """What one node answered: `message` is a sentence for the log."""

    node: str
    ok: bool
    message: str
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As tasks that work on many nodes answer it."""
        return {"node": self.node, "ok": self.ok, "reason": self.reason, "message": self.message}


class Refused(Exception):
    """The node did not do what was asked, for a reason out of the closed set."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def target_of(node: str, variables: Mapping[str, Any]) -> Target:
    """A target from a host's Ansible variables."""
    zone = variables.get("firstbox_zone") or {}
    own = variables.get("firstbox") or {}
    return Target(
        node=node,
        address=str(variables.get("ansible_host") or node),
        port=int(variables.get("ansible_port") or 22),
        user=str(variables.get("ansible_user") or "root"),
        private_key=str(variables.get("ansible_ssh_private_key_file") or ""),
        jump=str(zone.get("jump") or ""),
        known_hosts=str(zone.get("known_hosts") or "accept-new"),
        known_hosts_file=str(zone.get("known_hosts_file") or "~/.ssh/known_hosts"),
        host_key=str(own.get("host_key") or ""),
    )


def ask_all(
    targets: Iterable[Target],
    ask: Callable[[Target], Awaitable[str]],
    *,
    deadline: float,
    at_once: int,
    last: Callable[[], Awaitable[None]] | None = None,
) -> list[Result]:
    """Ask every target, `at_once` at a time, each with `deadline` seconds of its own.

    `ask` returns a sentence, or raises Refused; one node's trouble is that node's alone. `last` is
    awaited after all of them, in the same event loop.
    """

    async def ask_then_close() -> list[Result]:
        results = await _ask_all(list(targets), ask, deadline, at_once)
        if last is not None:
            await last()
        return results

    return asyncio.run(ask_then_close())


async def _ask_all(
    targets: list[Target],
    ask: Callable[[Target], Awaitable[str]],
    deadline: float,
    at_once: int,
) -> list[Result]:
    places = asyncio.Semaphore(at_once)

    async def one(target: Target) -> Result:
        async with places:
            try:
                async with asyncio.timeout(deadline):
                    return Result(target.node, True, await ask(target))
            except Refused as refused:
                return Result(target.node, False, str(refused), refused.reason)
            except TimeoutError:
                message = f"gave no complete answer within {deadline:g} s"
                return Result(target.node, False, message, Reason.TIMEOUT)

    return await asyncio.gather(*map(one, targets))
