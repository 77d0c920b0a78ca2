"""Whether machines can be installed; the documentation stands in library/preflight.py."""

from typing import Any

from ansible.plugins.action import ActionBase

from api.bmc.fleet import ask_bmcs
from api.bmc.operations import read_power
from api.images.manifest import missing_files
from api.os_config.wanted import wanted_of
from api.settings import Settings, load_settings
from api.ssh.target import Refused, Result
from api.states import BootMethod, Reason
from api.store.bmcs import bmc_targets, record_answers
from api.store.installations import Installation, read_installations
from api.store.session import open_database, reading, writing


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller; nothing is changed anywhere but what we know of power states."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {"nodes": {"type": "list", "elements": "str", "required": True}}
        )
        settings = load_settings()
        engine = open_database(settings.database, pool_size=1)
        try:
            with reading(engine) as connection:
                found = read_installations(connection, args["nodes"])
                targets = bmc_targets(connection, settings, list(found))
            results = {node: _look(settings, node, found.get(node)) for node in args["nodes"]}
            asked = [targets[node] for node, result in results.items() if result.ok]
            answers = ask_bmcs(asked, read_power(), **settings.bmc_limits)
            with writing(engine) as connection:
                record_answers(connection, answers)
        finally:
            engine.dispose()
        for answer in answers:
            about = f"can be installed: {results[answer.node].message}; it {answer.message}"
            results[answer.node] = Result(
                answer.node, answer.ok, about if answer.ok else answer.message, answer.reason
            )
        return {"changed": False, "results": [result.as_dict() for result in results.values()]}


def _look(settings: Settings, node: str, installation: Installation | None) -> Result:
    try:
        return Result(node, True, _what_it_gets(settings, installation))
    except Refused as refused:
        return Result(node, False, str(refused), refused.reason)


def _what_it_gets(settings: Settings, installation: Installation | None) -> str:
    """What the machine is to become. Raises Refused where something for it is missing."""
    if installation is None:
        raise Refused(Reason.RECORD_REFUSED, "is not registered any more")
    machine, image = installation.machine, installation.image
    if machine.protected:
        raise Refused(Reason.PROTECTED, "is protected")
    if not settings.boot_url:
        raise Refused(Reason.BOOT_SERVER_SILENT, "FIRSTBOX_BOOT_URL says nothing")
    wanted = wanted_of(machine)
    if not wanted.networks or not wanted.boot_mac:
        raise Refused(Reason.RECORD_REFUSED, "has no boot MAC or no address to get")
    if image is None:
        what = f"{machine.os_version} on {machine.cpu_arch}"
        raise Refused(Reason.NO_IMAGE, f"there is no image for {what}")
    _expect_files(settings, image.directory, f"image {image.name}")
    if image.method == BootMethod.IMAGE:
        if installation.ramdisk is None:
            raise Refused(Reason.NO_IMAGE, f"there is no ramdisk for {machine.cpu_arch}")
        _expect_files(settings, installation.ramdisk.directory, "the ramdisk")
    return f"{wanted.hostname} with image {image.name}, reached at {wanted.reached_at}"


def _expect_files(settings: Settings, name: str, what: str) -> None:
    if not settings.images.is_dir():
        return  # another host has the images, and this one only runs jobs
    directory = settings.images / name
    missing = missing_files(directory)
    if missing:
        raise Refused(Reason.NO_IMAGE, f"{what} lacks {missing[0]} in {directory}")
