"""Processes that talk to BMCs, one at a time each: `python -m api.bmc.worker KIND[,KIND] PARENT FD...`.

This process only loads the libraries and forks a child for each socket it was given, and another
when one was killed: a new process costs milliseconds that way, and nothing that a library left
behind after a BMC that froze is ever used again. A child reads jobs from its socket, a line of JSON
each, and answers likewise. Passwords pass there and nowhere else.
"""

import ctypes
import importlib
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from api.bmc.login import open_client
from api.bmc.operations import Conversation, Operation, perform
from api.bmc.target import BmcError, BmcTarget
from api.states import Reason

_PR_SET_PDEATHSIG = 1


def main(kinds: str, parent: int, descriptors: list[int]) -> int:
    """Keep a child at each socket until the other ends are closed."""
    _die_with(parent)
    for kind in kinds.split(","):
        importlib.import_module(f"api.bmc.{kind}")
    children = {_fork(descriptor, descriptors): descriptor for descriptor in descriptors}
    while children:
        pid, status = os.wait()
        descriptor = children.pop(pid)
        if status != 0:
            children[_fork(descriptor, descriptors)] = descriptor
    return 0


def _fork(descriptor: int, descriptors: list[int]) -> int:
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _die_with(keeper)
            for other in descriptors:
                if other != descriptor:
                    os.close(other)
            with suppress(ConnectionError):  # nobody wants to know any more
                _serve(socket.socket(fileno=descriptor))
            code = 0
        except _Spoilt:
            pass  # said already
        finally:
            os._exit(code)
    return pid


def _die_with(parent: int) -> None:
    """Be killed when the parent ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


class _Spoilt(Exception):
    """A library did what it should not: this process is not to be used again."""


def _serve(connection: socket.socket) -> None:
    """Do jobs until the other end is closed."""
    with connection, connection.makefile("rwb") as lines:
        _write(lines, {"pid": os.getpid()})
        for line in lines:
            job = json.loads(line)
            number = {"number": job["number"]}
            try:
                answer = _do(
                    BmcTarget(**job["target"]), Operation(**job["operation"]), job["slowness"]
                )
            except Exception as error:  # libraries raise all kinds on odd answers
                # Not its text: nobody knows what stands in there.
                message = f"answers in a way we cannot read ({type(error).__name__})"
                _write(lines, _failed(Reason.BMC_REFUSED, message) | number)
                raise _Spoilt from None
            _write(lines, answer | number)


def _do(target: BmcTarget, operation: Operation, slowness: float) -> dict[str, Any]:
    try:
        client = open_client(target, slowness=slowness)
    except BmcError as error:
        return _failed(error.reason, str(error))
    conversation = Conversation(client)
    try:
        said = perform(conversation, target, operation)
        answer: dict[str, Any] = {"ok": True, "message": said.message, "then": _data(said.then)}
        answer["details"] = dict(said.details)
    except BmcError as error:
        answer = _failed(error.reason, str(error))
    finally:
        client.close()
    return answer | {
        "power": conversation.power,
        "changed": conversation.has_ordered,
        "certificate": client.certificate,
    }


def _data(operation: Operation | None) -> dict[str, Any] | None:
    if operation is None:
        return None
    return {"name": operation.name, "parameters": dict(operation.parameters)}


def _failed(reason: Reason, message: str) -> dict[str, Any]:
    return {"ok": False, "reason": reason, "message": message}


def _write(lines: Any, answer: dict[str, Any]) -> None:
    lines.write(json.dumps(answer).encode() + b"\n")
    lines.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), [int(number) for number in sys.argv[3:]]))
