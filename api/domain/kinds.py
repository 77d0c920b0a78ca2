"""What each action asks of its nodes, and what it makes of them: a module each."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Row

from api.domain import collecting, inspecting, power, provisioning, scanning
from api.states import JobAction


class Kind(Protocol):
    """The rules of one action."""

    def admit(
        self, connection: Connection, node_ids: Sequence[str], options: Mapping[str, Any], /
    ) -> dict[str, str]: ...

    def begin(
        self, connection: Connection, job_id: str, node_ids: Sequence[str], *, retry_of: str
    ) -> None: ...

    def end(
        self, connection: Connection, job: Row[Any], rows: Sequence[Mapping[str, Any]], /
    ) -> None: ...


KINDS: dict[JobAction, Kind] = {
    JobAction.COLLECT_NODES: collecting,
    JobAction.PROVISION_BM_NODES: provisioning,
    JobAction.POWER_ON_BM_NODES: power,
    JobAction.POWER_OFF_BM_NODES: power,
    JobAction.REBOOT_BM_NODES: power,
    JobAction.GET_BM_NODES_POWER: power,
    JobAction.SCAN_BM_NODES: scanning,
    JobAction.INSPECT_BM_NODES: inspecting,
}
