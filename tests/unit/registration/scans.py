"""What scans find, for tests: BMCs, registered machines, and what becomes of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.bmc.found import Identity
from api.registration.deciding import Decision, Scan
from api.registration.matching import Known
from api.registration.plan import Login, Plan, Range
from api.registration.rules import NOTHING, OWNED
from api.settings import Settings
from tests.machines import asked

ANYWHERE = Settings.model_fields["allowed_networks"].default
RACK = Range("10.0.0.1", "10.0.0.99", ("site",))
SITE = Login("site", "root", "calvin")


def plan(**fields: Any) -> Plan:
    """A scan of one rack with one login."""
    return Plan(**{"ranges": (RACK,), "logins": {"site": SITE}, **fields})


def bmc(last: int, **fields: Any) -> Identity:
    """A BMC of the rack that let us in; `last` is the end of its address."""
    return Identity(f"10.0.0.{last}", **{"credential": "site", **fields})


def known(node_id: str, last: int | None = None, status: str = "new", **fields: Any) -> Known:
    """A registered machine whose BMC is in the rack."""
    others = ("product", "bmc_mac", "bmc_certificate", "hardware", "hardware_source")
    values = NOTHING | dict.fromkeys(others, "")
    if status != "discovered":
        number = int(node_id[-1])
        values |= asked(number, mgmt_network_address=f"10.2.0.{number}")
        values |= {"ipmi_username": SITE.username, "ipmi_password": SITE.password}
    values["ipmi_network_address"] = "" if last is None else f"10.0.0.{last}"
    outside = {name: fields.pop(name) for name in ("job_id", "system_serial") if name in fields}
    return Known(node_id, status, values | fields, **outside)


def decided(
    identities: Sequence[Identity],
    registered: Sequence[Known] = (),
    owners: Mapping[tuple[str, str], str] | None = None,
    **fields: Any,
) -> list[Decision]:
    """What becomes of each; who has what follows from what is registered."""
    has = {
        (kind, one.values[name]): one.node_id
        for one in registered
        for name, kind in OWNED.items()
        if one.values.get(name)
    }
    return Scan(identities, plan(**fields), ANYWHERE).decide(registered, has | dict(owners or {}))


def outcomes(decisions: Sequence[Decision]) -> list[tuple[str, str]]:
    """Of each, what became of it and whose it is."""
    return [(one.outcome.value, one.node_id) for one in decisions]
