"""What machines ask for while they boot. Whoever has the token of an open boot is that machine.

Nothing here needs a login, and every answer to a token that is unknown, expired or used up is the same.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from api.boot.callers import Callers
from api.boot.hello import read_hello, read_progress
from api.boot.installers import (
    Installation,
    autoinstall,
    finish,
    kernel_options,
    kickstart,
    preseed,
)
from api.boot.recorder import Recorder
from api.boot.render import Script, boot_script, disk_script, ramdisk_options
from api.domain.booting import NOBODY, Booting, boots_from, greet
from api.domain.discovering import discover
from api.domain.queueing import Queue
from api.errors import Busy, Conflict, FirstboxError, Malformed, NotFound, OurFault, OverLimit
from api.images.manifest import ManifestError
from api.os_config.cloud_init import meta_data
from api.os_config.wanted import wanted_of
from api.settings import Settings
from api.states import BootMethod
from api.store.boots import Sighting, record
from api.store.images import get_manifest
from api.store.sealing import Seal
from api.store.session import reading, writing

_MOST_BODY = 16_384  # bytes; a machine with 64 cards needs 4 KB
_FILE = re.compile(r"(?:kernel|initrd|[0-9]{5}\.zst)", re.ASCII)
_DIRECTORY = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}", re.ASCII)
_STATUS = {Malformed: 400, NotFound: 404, Conflict: 409, OverLimit: 413, Busy: 503}

logger = logging.getLogger("firstbox.boot")


class Means(Protocol):
    """What of the process's means is needed here."""

    @property
    def settings(self) -> Settings: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def queue(self) -> Queue: ...
    @property
    def threads(self) -> ThreadPoolExecutor: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a machine."""

    means: Means
    recorder: Recorder
    caller: Booting
    token: str
    address: str
    build: str  # architecture of its iPXE, where its script asks for that
    body: bytes

    @property
    def base(self) -> str:
        """The URL all addresses of this boot begin with."""
        return f"{self.means.settings.boot_url}/boot/{self.token}"

    def note(self, sighting: Sighting) -> None:
        """Have it written into the boot's row and the job's log, soon."""
        self.recorder.put(sighting, self.means.engine, self.means.threads)


def boot_routes() -> list[Route]:
    """The routes of one app."""
    recorder, callers = Recorder(), Callers()

    def route(name: str, answer: Callable[[Call], Response], *methods: str) -> Route:
        endpoint = _endpoint(recorder, callers, answer)
        return Route(f"/boot/{{token}}/{name}", endpoint, methods=methods)

    return [
        route("script.ipxe", script, "GET"),
        route("kernel", kernel, "GET"),
        route("initrd", initrd, "GET"),
        route("hello", hello, "POST"),
        route("progress", progress, "POST"),
        *(route(name, installer_file(name), "GET") for name in _INSTALLER_FILES),
        route("done", done, "GET", "POST"),
        Route("/files/{directory}/{name}", image_file, methods=["GET"]),
    ]


def script(call: Call) -> Response:
    """The machine's iPXE script."""
    caller, boot = call.caller, call.caller.boot
    if boot.done_time is not None:
        call.note(
            _seen(caller, None, "is installed and boots from the network again: on to its disk")
        )
        return PlainTextResponse(disk_script(caller.name))
    if boot.method == BootMethod.IMAGE:
        options = ramdisk_options(call.base)
    else:
        options = kernel_options(boot.method, _installation(call))
    more = call.means.settings.boot_options.split()
    call.note(_seen(caller, "script_time", "fetched its boot script"))
    is_unknown = caller.machine is None
    return PlainTextResponse(
        boot_script(Script(caller.name, boot.mac, call.base, (*options, *more), is_unknown))
    )


def kernel(call: Call) -> Response:
    """On to the kernel, which lies among the large files."""
    return _large_file(call, "kernel", "kernel_time")


def initrd(call: Call) -> Response:
    """On to the initrd."""
    return _large_file(call, "initrd", None)


def _large_file(call: Call, name: str, column: str | None) -> Response:
    with reading(call.means.engine) as connection:
        directory = boots_from(connection, call.caller, call.build).directory
    call.note(_seen(call.caller, column, f"fetched the {name}"))
    return RedirectResponse(f"{call.means.settings.boot_url}/files/{directory}/{name}", 302)


def hello(call: Call) -> Response:
    """The ramdisk runs, and says what machine it is on."""
    said = read_hello(call.body)
    try:
        sighting = greet(call.caller, said, call.address)
    except Conflict as refused:
        call.note(Sighting(call.caller.boot, refused.message, is_failure=True))
        raise
    with writing(call.means.engine) as connection:
        record(connection, [sighting])
        is_wanted = call.caller.machine is not None or discover(
            connection, call.means.queue, call.means.settings, call.caller.boot, said
        )
    if is_wanted:
        return PlainTextResponse("Welcome.\n")
    return PlainTextResponse("Nobody waits for this machine: on to its next boot device.\n", 410)


def installer_file(name: str) -> Callable[[Call], Response]:
    """A file of an installer; who fetches it first says hello with it."""
    method, render, column = _INSTALLER_FILES[name]

    def answer(call: Call) -> Response:
        if call.caller.boot.method != method:
            raise NotFound(NOBODY)
        text = render(_installation(call))
        sighting = _seen(call.caller, column, f"its installer fetched {name}")
        if column is None:
            call.note(sighting)
        else:
            values = {**sighting.values, "address": call.address}
            with writing(call.means.engine) as connection:
                record(connection, [replace(sighting, values=values)])
        return PlainTextResponse(text)

    return answer


_INSTALLER_FILES: dict[str, tuple[BootMethod, Callable[[Installation], str], str | None]] = {
    "preseed.cfg": (BootMethod.PRESEED, preseed, "hello_time"),
    "finish.sh": (BootMethod.PRESEED, finish, None),
    "kickstart.cfg": (BootMethod.KICKSTART, kickstart, "hello_time"),
    "user-data": (BootMethod.AUTOINSTALL, autoinstall, "hello_time"),
    "meta-data": (
        BootMethod.AUTOINSTALL,
        lambda one: meta_data(one.provision_id, one.wanted.hostname),
        None,
    ),
}


def done(call: Call) -> Response:
    """The installer is through."""
    if call.caller.boot.method == BootMethod.IMAGE:
        raise NotFound(NOBODY)
    with writing(call.means.engine) as connection:
        record(connection, [_seen(call.caller, "done_time", "its installer reports its end")])
    return PlainTextResponse("Well done.\n")


def _installation(call: Call) -> Installation:
    settings, machine = call.means.settings, call.caller.machine
    assert machine is not None  # noqa: S101  # an unknown one boots no installer
    access = settings.ssh_access(machine.zone_id)
    key = Path(f"{access.private_key}.pub")
    try:
        with reading(call.means.engine) as connection:
            image = boots_from(connection, call.caller)
            values = get_manifest(connection, image, settings.images).values
        ssh_key = key.read_text(encoding="ascii").strip()
    except (OSError, ManifestError) as error:
        raise OurFault(f"An installation cannot be described: {error}") from error
    return Installation(
        node_id=machine.node_id,
        provision_id=call.caller.boot.provision_id,
        base=call.base,
        wanted=wanted_of(machine),
        disk=machine.os_disk_name.removeprefix("/dev/"),
        user=access.user or "root",
        ssh_key=ssh_key,
        nameservers=[str(server) for server in settings.nameservers],
        values=values,
    )


def progress(call: Call) -> Response:
    """How much of the image is written; a log line for each tenth."""
    percent = read_progress(call.body)
    call.note(Sighting(call.caller.boot, f"{percent // 10 * 10} % of the image is written"))
    return PlainTextResponse("Thanks.\n")


def image_file(request: Request) -> Response:
    """A part of an image, or a kernel; in production nginx answers these without us."""
    directory, name = request.path_params["directory"], request.path_params["name"]
    path = request.app.state.means.settings.images / directory / name
    if not (_DIRECTORY.fullmatch(directory) and _FILE.fullmatch(name) and path.is_file()):
        return PlainTextResponse("There is no such file.\n", 404)
    return FileResponse(path, media_type="application/octet-stream")


def _seen(caller: Booting, column: str | None, text: str) -> Sighting:
    sighting = Sighting(caller.boot, text)
    if column is None:
        return sighting
    return Sighting(caller.boot, text, {column: sighting.time}, time=sighting.time)


def _endpoint(
    recorder: Recorder, callers: Callers, answer: Callable[[Call], Response]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        means: Means = request.app.state.means
        token = request.path_params["token"]
        seal = Seal(means.settings.keys)
        try:
            caller = await callers.find(token, means.engine, seal, means.threads)
            address = request.client.host if request.client else ""
            build = request.query_params.get("arch", "")
            call = Call(means, recorder, caller, token, address, build, await _body(request))
            return await asyncio.get_running_loop().run_in_executor(means.threads, answer, call)
        except FirstboxError as error:
            if isinstance(error, OurFault):
                logger.error("a machine that boots got no answer: %s", error)
            return PlainTextResponse(f"{error.message}\n", _STATUS.get(type(error), 500))

    return endpoint


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BODY:
            raise OverLimit(f"The request body is larger than {_MOST_BODY} bytes.")
    return body
