"""One BMC to talk to, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from api.states import PowerState, Reason

Kind = Literal["ipmi", "redfish"]
PORTS: dict[Kind, int] = {"ipmi": 623, "redfish": 443}


@dataclass(frozen=True, slots=True)
class BmcTarget:
    """A machine's BMC and how to log in to it."""

    node: str
    address: str
    port: int
    kind: Kind
    username: str
    password: str = field(repr=False)
    boot_mode: str = ""  # bios or uefi: what a network boot asks for; "" leaves it to the machine
    certificate: str = ""  # SHA-256 of the certificate Redfish showed at first contact
    interval: float = 0.0  # least seconds between two commands


@dataclass(frozen=True, slots=True)
class BmcResult:
    """What came of one machine: `message` is a sentence for the log."""

    node: str
    ok: bool
    message: str
    reason: str = ""
    power: PowerState = PowerState.UNKNOWN  # as it was read last, if it was
    certificate: str = ""  # shown by Redfish
    changed: bool = False  # an order was given to the machine
    details: Mapping[str, Any] = field(default_factory=dict)  # what was read besides

    def as_dict(self) -> dict[str, Any]:
        """As tasks that work on many nodes answer it."""
        return {"node": self.node, "ok": self.ok, "reason": self.reason, "message": self.message}


class BmcError(Exception):
    """The BMC did not do what was asked, for a reason out of the closed set."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
