"""Network boots, to the machine's hello; the documentation stands in library/ramdisk_boot.py."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from ansible.plugins.action import ActionBase
from sqlalchemy import Engine, Row

from api.bmc.fleet import ask_bmcs
from api.bmc.operations import Operation, boot_from_network, soft_off
from api.bmc.target import BmcResult
from api.os_config.verdict import verdict
from api.settings import Settings, load_settings
from api.ssh.session import Sessions
from api.ssh.target import Result, Target, ask_all
from api.ssh.whereabouts import expect_ramdisk, expect_system
from api.states import BootMethod, BootState, Reason
from api.store.bmcs import bmc_targets, has_login, record_answers
from api.store.boots import get_boots, in_ramdisk, open_boot, say, take_up
from api.store.installations import (
    Installation,
    job_of_run,
    ramdisk_target,
    read_installations,
    system_target,
    with_systems,
)
from api.store.session import open_database, reading, writing

_LOOK = 1.0  # seconds between two looks at what was seen of the boots
_ARMING = 20.0  # seconds the boot server has to take notice
_ASKING = 10.0  # seconds a machine of an earlier attempt has to say what it runs
_SPARE = 6 * 3600.0  # seconds a boot is answered beyond its step; its job's end closes it


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller: talks to BMCs, and waits for what the boot server sees."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "nodes": {"type": "list", "elements": "str", "required": True},
                "purpose": {"default": "install", "choices": ["install", "inspect"]},
                "interrupt": {"type": "bool", "default": False},
                "deadline": {"type": "float", "default": 900},
            }
        )
        settings = load_settings()
        engine = open_database(settings.database, pool_size=1)
        try:
            inspects = args["purpose"] == "inspect"
            step = _RamdiskBoot(engine, settings, args["deadline"], inspects=inspects)
            if inspects:
                step.leave_out(args["nodes"], interrupt=args["interrupt"])
            results = step.bring_up(args["nodes"])
        finally:
            engine.dispose()
        return {"changed": True, "results": results}


class _RamdiskBoot:
    """One run of the step, for all its machines."""

    def __init__(
        self, engine: Engine, settings: Settings, deadline: float, *, inspects: bool
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._deadline = deadline
        self._inspects = inspects
        self._results: dict[str, dict[str, Any]] = {}

    def leave_out(self, nodes: Sequence[str], *, interrupt: bool) -> None:
        """What an inspection must not or cannot boot fails here, before anything is done to it."""
        with reading(self._engine) as connection:
            found = read_installations(connection, nodes)
            running = set() if interrupt else with_systems(connection, nodes)
            up = in_ramdisk(connection, nodes)
        for node, one in found.items():
            if node in running:
                message = "runs an operating system, and nobody said to interrupt it"
                self._fail(node, Reason.RECORD_REFUSED, message)
            elif node not in up and one.ramdisk is None:
                message = (
                    f"there is no ramdisk for {one.machine.cpu_arch or 'a machine of any kind'}"
                )
                self._fail(node, Reason.NO_IMAGE, message)

    def bring_up(self, nodes: Sequence[str]) -> list[dict[str, Any]]:
        """Boot the machines that need it; one entry for each."""
        with reading(self._engine) as connection:
            known = read_installations(connection, nodes)
        for node in set(nodes) - set(known):
            self._fail(node, Reason.RECORD_REFUSED, "is not registered any more")
        found = {node: one for node, one in known.items() if node not in self._results}
        self._pass_over(found)
        self._give_up_unbootable(found)
        boots = self._open(found[node] for node in nodes if node not in self._results)
        self._wait_until_armed(boots)
        if self._inspects:
            self._shut_down(self._left(boots))
        network_boot = boot_from_network(self._settings.power_deadline)
        self._order(self._left(boots), network_boot)
        self._wait_for_hello(self._left(boots), found)
        return [self._results[node] for node in nodes]

    def _left(self, boots: dict[str, str]) -> dict[str, str]:
        return {node: boot_id for node, boot_id in boots.items() if node not in self._results}

    def _pass_over(self, found: dict[str, Installation]) -> None:
        """What an earlier attempt brought up and still runs, proved by asking it."""
        before = {node: one for node, one in found.items() if one.boot is not None}
        if not self._inspects:
            self._pass_over_systems(before)
        self._pass_over_ramdisks(before)
        for node, one in before.items():
            # Its disk was done, and it does not run the ramdisk any more: it is on its way.
            is_left = node not in self._results and not self._inspects
            if is_left and one.boot and one.boot.state == BootState.LOCAL:
                self._done(node, "boots from its disk already", is_booting=True)

    def _pass_over_systems(self, before: dict[str, Installation]) -> None:
        systems = [system_target(self._settings, one) for one in before.values()]
        ids = {node: one.machine.provision_id for node, one in before.items()}
        for result in _ask(systems, ids, expect_system):
            if result.ok:
                self._done(result.node, result.message, is_installed=True)

    def _pass_over_ramdisks(self, before: dict[str, Installation]) -> None:
        up = {
            node: one
            for node, one in before.items()
            if node not in self._results and one.boot is not None and one.boot.address
        }
        ramdisks = [ramdisk_target(self._settings, one) for one in up.values()]
        boot_ids = {node: one.boot.boot_id for node, one in up.items() if one.boot is not None}
        for result in _ask(ramdisks, boot_ids, expect_ramdisk):
            if result.ok:
                with writing(self._engine) as connection:
                    take_up(connection, boot_ids[result.node], job_of_run(), _SPARE)
                self._done(result.node, result.message)

    def _give_up_unbootable(self, found: dict[str, Installation]) -> None:
        """Who was let in because discovery had booted it, and is gone since, cannot be booted by us."""
        for node, one in found.items():
            can_boot = has_login(one.machine) and one.machine.pxe_network_mac_addr
            if node not in self._results and not can_boot:
                message = "does not run the ramdisk any more, and has no BMC login to boot it with"
                self._fail(node, Reason.RAMDISK_SILENT, message)

    def _open(self, installations: Iterable[Installation]) -> dict[str, str]:
        boots = {}
        with writing(self._engine) as connection:
            for one in installations:
                method, image = self._to_get(one)
                boots[one.node_id] = open_boot(
                    connection,
                    node_id=one.node_id,
                    job_id=job_of_run(),
                    provision_id=one.machine.provision_id,
                    mac=one.machine.pxe_network_mac_addr,
                    method=method,
                    image=image,
                    seconds=self._deadline + _SPARE,
                )
        return boots

    def _to_get(self, one: Installation) -> tuple[str, str]:
        """How the machine gets which image; one that is inspected gets none, and boots the ramdisk."""
        if self._inspects:
            return BootMethod.IMAGE, ""
        assert one.image is not None  # noqa: S101  # preflight looked
        return one.image.method, one.image.name

    def _wait_until_armed(self, boots: dict[str, str]) -> None:
        deadline = time.monotonic() + _ARMING
        while waiting := [row for row in self._rows(boots) if row.armed_time is None]:
            if time.monotonic() > deadline:
                for row in waiting:
                    message = f"no boot server took notice of its network boot in {_ARMING:g} s"
                    self._fail(row.node_id, Reason.BOOT_SERVER_SILENT, message)
                return
            time.sleep(_LOOK / 4)

    def _shut_down(self, boots: dict[str, str]) -> None:
        """An operating system that is interrupted ends properly, if it does in time."""
        with reading(self._engine) as connection:
            running = with_systems(connection, list(boots))
        soft, hard = self._settings.soft_off_deadline, self._settings.power_deadline
        theirs = {node: boot_id for node, boot_id in boots.items() if node in running}
        self._order(theirs, soft_off(soft, hard_after=hard))

    def _order(self, boots: dict[str, str], operation: Operation) -> None:
        with reading(self._engine) as connection:
            targets = bmc_targets(connection, self._settings, list(boots))
        rows = {row.node_id: row for row in self._rows(boots)}

        def heard(answer: BmcResult) -> None:  # at once, so that the log is in order of time
            with writing(self._engine) as connection:
                record_answers(connection, [answer])
                if answer.ok:
                    say(connection, rows[answer.node], f"BMC: {answer.message}")
            if not answer.ok:
                self._fail(answer.node, answer.reason, answer.message)

        ask_bmcs(targets.values(), operation, **self._settings.bmc_limits, heard=heard)

    def _wait_for_hello(self, boots: dict[str, str], found: dict[str, Installation]) -> None:
        deadline = time.monotonic() + self._deadline
        while waiting := self._left(boots):
            for row in self._rows(waiting):
                if row.hello_time is not None:
                    self._greet(row, found[row.node_id])
                elif time.monotonic() > deadline:
                    self._fail(row.node_id, *verdict(row, time.time() - row.create_time))
            time.sleep(_LOOK)

    def _greet(self, boot: Row[Any], installation: Installation) -> None:
        """Is it the machine it should be?"""
        known = installation.machine.serial_number
        shown = boot.hello.get("serial_number")
        if known and shown and shown != known:
            message = f"a machine with serial number {shown} answers, and {known} is registered"
            self._fail(boot.node_id, Reason.WRONG_MACHINE, message)
            return
        what = "the ramdisk" if boot.method == BootMethod.IMAGE else "the installer"
        seconds = boot.hello_time - boot.create_time
        self._done(boot.node_id, f"{what} runs at {boot.address}, after {seconds:.0f} s")

    def _rows(self, boots: dict[str, str]) -> list[Row[Any]]:
        with reading(self._engine) as connection:
            return list(get_boots(connection, list(boots.values())).values())

    def _done(
        self, node: str, message: str, *, is_booting: bool = False, is_installed: bool = False
    ) -> None:
        entry = Result(node, True, message).as_dict()
        self._results[node] = entry | {"is_booting": is_booting, "is_installed": is_installed}

    def _fail(self, node: str, reason: str, message: str) -> None:
        entry = Result(node, False, message, reason).as_dict()
        self._results[node] = entry | {"is_booting": False, "is_installed": False}


def _ask(targets: Sequence[Target], marks: dict[str, str], expect: Any) -> list[Result]:
    sessions = Sessions()

    async def ask(target: Target) -> str:
        said: str = await expect(sessions, target, marks[target.node])
        return said

    return ask_all(targets, ask, deadline=_ASKING, at_once=64, last=sessions.close)
