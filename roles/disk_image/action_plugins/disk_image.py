"""Images onto disks; the documentation stands in library/disk_image.py."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from sqlalchemy import Engine

from api.hardware.model import Disk, Hardware
from api.images.manifest import Manifest, ManifestError
from api.os_config.disks import DiskMissing, choose_disk
from api.os_config.script import assignments, verdict_of
from api.os_config.wanted import wanted_of
from api.settings import Settings, load_settings
from api.ssh.probe import probe
from api.ssh.session import Conversation, Sessions
from api.ssh.target import Refused, Result, Target, ask_all
from api.states import BootMethod, Reason
from api.store.bm_nodes import update_bm_node
from api.store.boots import get_boots, token_of
from api.store.images import get_manifest
from api.store.installations import Installation, ramdisk_target, read_installations
from api.store.sealing import Seal
from api.store.session import open_database, reading, writing

_FILES = Path(__file__).parents[1] / "files"
_INSTALLERS = "its installer's"  # which disk it took, an installer does not say
_SPARE = 30.0  # seconds in which the verdict about an installer is written down
_LOOK = 2.0  # seconds between two looks whether an installer reported its end


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller: one process feeds scripts to the ramdisks of all machines."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "nodes": {"type": "list", "elements": "str", "required": True},
                "deadline": {"type": "float", "default": 1800},
                "installer_deadline": {"type": "float", "default": 5400},
                "stall": {"type": "int", "default": 30},
                "erase": {"type": "bool", "default": False},
                "at_once": {"type": "int", "default": 64},
            }
        )
        settings = load_settings()
        engine = open_database(settings.database, pool_size=2)
        try:
            with reading(engine) as connection:
                found = read_installations(connection, args["nodes"])
            results = _DiskImage(engine, settings, found, args).write()
        finally:
            engine.dispose()
        return {"changed": True, "results": [result.as_dict() for result in results]}


class _DiskImage:
    """One run of the step, for all its machines."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        found: dict[str, Installation],
        args: dict[str, Any],
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._found = found
        self._args = args
        self._seal = Seal(settings.keys)
        self._sessions = Sessions()
        self._manifests = self._read_manifests()

    def _read_manifests(self) -> dict[str, Manifest]:
        """By image: one host may run this, and another have the images."""
        of_images = [one.image for one in self._found.values() if _method(one) == BootMethod.IMAGE]
        found = {}
        with reading(self._engine) as connection:
            for image in {image.name: image for image in of_images if image is not None}.values():
                with suppress(ManifestError):  # its machines are refused, and no others
                    found[image.name] = get_manifest(connection, image, self._settings.images)
        return found

    def write(self) -> list[Result]:
        """Each machine has its own deadline, and its own way of getting a system."""
        is_image = {node: _method(one) == BootMethod.IMAGE for node, one in self._found.items()}
        targets = [ramdisk_target(self._settings, one) for one in self._found.values()]
        results = ask_all(
            [target for target in targets if is_image[target.node]],
            self._write_one,
            deadline=self._args["deadline"],
            at_once=self._args["at_once"],
            last=self._sessions.close,
        )
        results += ask_all(
            [target for target in targets if not is_image[target.node]],
            self._await_installer,
            deadline=self._args["installer_deadline"] + _SPARE,
            at_once=len(targets) or 1,
        )
        return results

    async def _write_one(self, target: Target) -> str:
        installation = self._found[target.node]
        image = installation.image
        assert image is not None  # noqa: S101  # preflight looked
        async with self._sessions.conversation(target) as ramdisk:
            machine, _ = await probe(ramdisk, target)
            disk = _choose(installation, machine)
            await self._guard(ramdisk, target.node, disk)
            started = time.monotonic()
            answer = await ramdisk.run(self._script(installation, disk))
        verdict = verdict_of(answer.output)
        if "written" not in verdict:
            raise _refusal(verdict)
        seconds = time.monotonic() - started
        return (
            f"has image {image.name} on {disk.name} ({disk.size:g} GB, {disk.key}), "
            f"written and verified in {seconds:.0f} s"
        )

    async def _guard(self, ramdisk: Conversation, node: str, disk: Disk) -> None:
        """Refuse what would destroy what is not ours. From here on, what is on the disk is ours."""
        machine = self._found[node].machine
        network = wanted_of(machine).networks[0]
        head = assignments(
            disk=disk.name,
            mac=machine.pxe_network_mac_addr,
            address=network.address,
            vlan_id=network.vlan_id,
        )
        answer = await ramdisk.run(head + (_FILES / "check_disk.sh").read_text())
        verdict = verdict_of(answer.output)
        data = verdict.pop("data", None)
        if verdict:
            raise _refusal(verdict)
        is_ours = machine.written_disk == disk.key
        if data is not None and not (is_ours or self._args["erase"]):
            raise Refused(Reason.DISK_HAS_DATA, f"{disk.name} ({disk.key}) holds {data}")
        await asyncio.to_thread(self._remember, node, disk.key)

    def _remember(self, node: str, disk: str) -> None:
        with writing(self._engine) as connection:
            update_bm_node(connection, node, {"written_disk": disk})

    def _script(self, installation: Installation, disk: Disk) -> str:
        image, boot = installation.image, installation.boot
        assert image is not None and boot is not None  # noqa: S101, PT018  # the ramdisk runs
        manifest = self._manifests.get(image.name)
        if manifest is None:
            raise Refused(Reason.NO_IMAGE, f"nothing says what image {image.name} holds")
        head = assignments(
            disk=disk.name,
            image=image.sha256,
            url=f"{self._settings.boot_url}/files/{image.directory}",
            progress=f"{self._settings.boot_url}/boot/{token_of(self._seal, boot.boot_id)}/progress",
            chunk_size=manifest.chunk_size,
            size=manifest.size,
            stall=self._args["stall"],
        )
        lines = "".join(f"{chunk.index:05} {chunk.sha256}\n" for chunk in manifest.chunks)
        body = (_FILES / "write_image.sh").read_text()
        return f"{head}manifest() {{\n    cat <<'END'\n{lines}END\n}}\n{body}"

    async def _await_installer(self, target: Target) -> str:
        boot = self._found[target.node].boot
        assert boot is not None  # noqa: S101  # its installer said hello
        give_up = time.monotonic() + self._args["installer_deadline"]
        while time.monotonic() < give_up:
            [row] = await asyncio.to_thread(self._boots, [boot.boot_id])
            if row.done_time is not None:
                await asyncio.to_thread(self._remember, target.node, _INSTALLERS)
                return (
                    f"was installed by its own installer in {row.done_time - row.hello_time:.0f} s"
                )
            await asyncio.sleep(_LOOK)
        message = f"did not report its end within {self._args['installer_deadline']:g} s"
        raise Refused(Reason.INSTALLER_SILENT, message)

    def _boots(self, boot_ids: Sequence[str]) -> list[Any]:
        with reading(self._engine) as connection:
            return list(get_boots(connection, boot_ids).values())


def _choose(installation: Installation, machine: Hardware) -> Disk:
    assert installation.image is not None  # noqa: S101  # preflight looked
    needed = installation.image.size / 1e9
    try:
        return choose_disk(machine.disks, installation.machine.os_disk_name, needed)
    except DiskMissing as missing:
        raise Refused(Reason.DISK_MISSING, str(missing)) from None


def _method(installation: Installation) -> str:
    return installation.boot.method if installation.boot else BootMethod.IMAGE


def _refusal(verdict: dict[str, str]) -> Refused:
    """What a script said went wrong: its word is the reason."""
    for word, text in verdict.items():
        if word in set(Reason):
            return Refused(Reason(word), text or word)
    return Refused(Reason.PROBE_INCOMPLETE, "the ramdisk's script ended without a word")
