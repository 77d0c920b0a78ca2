"""What it means for a boot when dnsmasq says something of its machine. Pure."""

import time
from typing import Any

from sqlalchemy import Row

from api.boot.dhcp import Kind, Said
from api.states import BootState
from api.store.boots import Sighting

# Columns of the boot that have their first time with it.
_COLUMNS: dict[Kind, tuple[str, ...]] = {
    Kind.ASKED: ("dhcp_time",),
    Kind.OFFERED: ("dhcp_time", "offer_time"),
    Kind.GIVEN: ("dhcp_time", "offer_time"),
    Kind.POINTED: ("dhcp_time", "offer_time"),
    Kind.SENT: ("loader_time",),
}


def sighting_of(boot: Row[Any], said: Said) -> Sighting | None:
    """What goes into the boot's row and the job's log; None for nothing."""
    now = time.time()
    if said.kind is Kind.IGNORED:
        # An operating system that asks for an address is none of our business; firmware is.
        if boot.state != BootState.LOCAL or not said.is_network_boot:
            return None
        text = "asks for a network boot and gets no answer: it is to boot from its disk"
        return Sighting(boot, text, {"again_time": now}, time=now)
    # What was answered belongs to the time before, even if the boot has moved on meanwhile.
    text = _text(said)
    values = dict.fromkeys(_COLUMNS.get(said.kind, ()), now)
    return Sighting(boot, text, values, time=now) if text else None


def _text(said: Said) -> str:
    match said.kind:
        case Kind.ASKED:
            what = "to boot over the network" if said.is_network_boot else "for an address"
            return f"asks {what} (DHCP)"
        case Kind.OFFERED:
            return f"is offered {said.address} (DHCP)"
        case Kind.GIVEN:
            return f"has {said.address} (DHCP)"
        case Kind.POINTED:
            return "is told what to boot; its address comes from another server (proxy DHCP)"
        case Kind.SENT:
            return f"fetched the loader {said.file} (TFTP)"
        case Kind.NOT_FOUND:
            return f"asked for a file that is not here: {said.file} (TFTP)"
        case _:
            return ""
