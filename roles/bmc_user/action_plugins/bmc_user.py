"""The way to BMCs, found from inside; the documentation stands in library/bmc_user.py."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from sqlalchemy import Engine

from api.bmc.fleet import ask_bmcs
from api.bmc.operations import read_power
from api.bmc.target import PORTS, BmcTarget
from api.errors import Conflict
from api.os_config.script import assignments, verdict_of
from api.registration.addresses import is_allowed
from api.registration.in_band import USER, InBand, in_band_of, new_password
from api.settings import Settings, load_settings
from api.ssh.session import Sessions
from api.ssh.target import Result, Target, ask_all
from api.states import Reason
from api.store.bmcs import bmc_targets, has_login, record_answers
from api.store.in_band import learn_bmc, store_login
from api.store.installations import Installation, ramdisk_target, read_installations
from api.store.session import open_database, reading, writing

_FILES = Path(__file__).parents[1] / "files"
_FIND = (_FILES / "find_bmc.sh").read_text()
_MAKE = (_FILES / "make_user.sh").read_text()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Runs in the controller: feeds scripts to the ramdisks of all machines, and asks BMCs over LAN."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "nodes": {"type": "list", "elements": "str", "required": True},
                "deadline": {"type": "float", "default": 60},
                "at_once": {"type": "int", "default": 64},
            }
        )
        settings = load_settings()
        engine = open_database(settings.database, pool_size=1)
        step = _BmcUser(engine, settings, args["deadline"], args["at_once"])
        try:
            results = step.find(args["nodes"])
        finally:
            engine.dispose()
        return {"changed": True, "results": [result.as_dict() for result in results]}


class _BmcUser:
    """One run of the step, for all its machines."""

    def __init__(self, engine: Engine, settings: Settings, deadline: float, at_once: int) -> None:
        self._engine = engine
        self._settings = settings
        self._deadline = deadline
        self._at_once = at_once
        self._found: dict[str, Installation] = {}
        self._said: dict[str, list[str]] = {}  # half sentences about each machine
        self._failed: dict[str, Result] = {}

    def find(self, nodes: list[str]) -> list[Result]:
        """Write down where each BMC is, and see to a login if we may; one result for each machine."""
        with reading(self._engine) as connection:
            self._found = read_installations(connection, nodes)
        for node in nodes:
            if node not in self._found:
                self._fail(node, Reason.RECORD_REFUSED, "is not registered any more")
        for node, one in self._found.items():
            if one.boot is None or not one.boot.address:
                self._fail(node, Reason.RAMDISK_SILENT, "does not run the ramdisk")
        asked = dict.fromkeys((node for node in self._found if node not in self._failed), "")
        told = {node: in_band_of(said) for node, said in self._ask(_FIND, asked).items()}
        there = {node: bmc for node, bmc in told.items() if self._learn(node, bmc) and bmc}
        if self._settings.discovery_bmc_user:
            self._give_up_silent(told)
            without = [node for node in self._without_login(there) if self._is_its_own(there, node)]
            self._make({node: there[node] for node in without})
        return [self._result(node) for node in nodes]

    def _ask(self, script: str, heads: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """What the script said on each machine, with a text of its own before it."""
        sessions = Sessions()
        said: dict[str, dict[str, str]] = {}

        async def ask(target: Target) -> str:
            answer = await sessions.run(target, heads[target.node] + script)
            said[target.node] = verdict_of(answer.output)
            return ""

        targets = [ramdisk_target(self._settings, self._found[node]) for node in heads]
        results = ask_all(
            targets, ask, deadline=self._deadline, at_once=self._at_once, last=sessions.close
        )
        for result in results:
            if not result.ok:
                self._failed[result.node] = result
        return said

    def _learn(self, node: str, bmc: InBand | None) -> bool:
        """Whether there is a BMC that said where it is, and that we may talk to."""
        text = "it has no BMC in-band"
        if bmc is not None and bmc.trouble:
            text = bmc.trouble
        elif bmc is not None and not is_allowed(bmc.address, self._settings.allowed_networks):
            text = f"its BMC is at {bmc.address}, outside the networks this service may talk to"
        elif bmc is not None:
            try:
                with writing(self._engine) as connection:
                    self._said[node] = [learn_bmc(connection, node, bmc.address, bmc.mac)]
            except Conflict as conflict:
                self._fail(node, Reason.SCAN_CONFLICT, str(conflict))
                return False
            return True
        self._said[node] = [text]
        return False

    def _give_up_silent(self, told: Mapping[str, InBand | None]) -> None:
        """A BMC that is there and does not answer, where a user was to be made in it."""
        for node, bmc in told.items():
            if bmc is not None and bmc.trouble and not has_login(self._found[node].machine):
                self._fail(node, Reason.BMC_NOT_IN_BAND, bmc.trouble)

    def _without_login(self, nodes: Iterable[str]) -> list[str]:
        """Those whose registered login, if there is one, their BMC refuses."""
        with reading(self._engine) as connection:
            targets = bmc_targets(connection, self._settings, list(nodes))
        answers = ask_bmcs(targets.values(), read_power(), **self._settings.bmc_limits)
        refused = {a.node for a in answers if a.reason == Reason.BMC_LOGIN_REFUSED}
        return [node for node in nodes if node not in targets or node in refused]

    def _is_its_own(self, in_band: Mapping[str, InBand], node: str) -> bool:
        """Whether nobody registered another BMC: a login there must not take that one's place."""
        registered = self._found[node].machine.ipmi_network_address
        if registered in (None, "", in_band[node].address):
            return True
        self._fail(node, Reason.SCAN_CONFLICT, "; ".join(self._said[node]))
        return False

    def _make(self, in_band: Mapping[str, InBand]) -> None:
        """A user of ours in each of these BMCs; written down once it was seen to get in."""
        targets = {node: self._new_login(node, bmc) for node, bmc in in_band.items()}
        heads = {
            node: assignments(
                name=target.username, password=target.password, channel=in_band[node].channel
            )
            for node, target in targets.items()
        }
        for node, said in self._ask(_MAKE, heads).items():
            if "user" not in said:
                message = said.get("refused", "made no user in its BMC")
                self._fail(node, Reason.BMC_REFUSED, message)
        made = [target for node, target in targets.items() if node not in self._failed]
        for answer in ask_bmcs(made, read_power(), **self._settings.bmc_limits):
            if not answer.ok:
                message = f"a user was made in its BMC, which over LAN says: {answer.message}"
                self._fail(answer.node, Reason(answer.reason), message)
                continue
            with writing(self._engine) as connection:
                store_login(connection, self._settings, targets[answer.node])
                record_answers(connection, [answer])
            self._said[answer.node].append(f"user {USER} was made there, and gets in")

    def _new_login(self, node: str, bmc: InBand) -> BmcTarget:
        return BmcTarget(
            node=node,
            address=bmc.address,
            port=PORTS["ipmi"],
            kind="ipmi",
            username=USER,
            password=new_password(),
            interval=self._settings.bmc_interval,
        )

    def _result(self, node: str) -> Result:
        return self._failed.get(node) or Result(node, True, "; ".join(self._said[node]))

    def _fail(self, node: str, reason: Reason, message: str) -> None:
        self._failed[node] = Result(node, False, message, reason)
