"""Machines nobody knows, which boot over the network: who is answered, and what is made of their hello.

They get the ramdisk and nothing else. What they say of themselves registers a new machine, or finds a
known one; of that, nothing is overwritten.
"""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from sqlalchemy import Connection, Row

from api.bmc.found import Identity
from api.domain import jobs
from api.domain.queueing import Queue
from api.errors import Conflict, FirstboxError
from api.hardware.system import brand_name, real_value
from api.registration.addresses import is_allowed, mac_of_one_card, one_machine
from api.registration.attributes import checked
from api.registration.filling import Owners, new_machine, told
from api.registration.matching import Known, Match, contradiction, match
from api.registration.patterns import read_profile, render
from api.registration.plan import Login
from api.registration.rules import OWNED
from api.settings import Settings
from api.states import DEFAULT_ZONE, JobAction
from api.store.bm_nodes import add_bm_nodes, stored
from api.store.boots import (
    Sighting,
    close_discovery,
    give_boot,
    lock_discovery,
    open_discovery,
    record,
)
from api.store.registrations import free_number, read_known, read_owners
from api.store.sealing import Seal

USER = "discovery"  # who starts the jobs
_SECONDS = 1800.0  # an unknown machine is answered from its first request on
_PAUSE = 600.0  # seconds until it may come again
_NO_LOGIN = Login("", "", "")


def answer_unknown(connection: Connection, settings: Settings, mac: str) -> bool:
    """Let a machine that nobody waits for boot the ramdisk, if that is wanted; whether it may."""
    if not settings.discovery or _mac(mac) != mac:
        return False
    zones = settings.served_zones
    opened = open_discovery(
        connection,
        mac,
        most=settings.discovery_most,
        seconds=_SECONDS,
        pause=_PAUSE,
        zone_id=zones[0] if len(zones) == 1 else "",
    )
    return opened is not None


def discover(
    connection: Connection,
    queue: Queue,
    settings: Settings,
    boot: Row[Any],
    hello: Mapping[str, Any],
) -> bool:
    """Register the machine that said this hello, or find it, and have it inspected.

    False for one that is to go on as if nobody had answered it.
    """
    if lock_discovery(connection, boot.boot_id) is None:
        return True  # an earlier hello did it
    seal = Seal(settings.keys)
    found = _find(connection, seal, _identity(settings, boot, hello))
    refusal = found.conflict or _runs_a_system(found.known)
    if refusal:
        _give_up(connection, boot, f"conflict, nothing is registered: {refusal}")
        return False
    if found.known is None:
        node_id, text = _register(
            connection, seal, settings, found, hello, boot.zone_id or DEFAULT_ZONE
        )
        provision_id = ""
    else:
        node_id, text = found.known.node_id, "nobody waited for it on this card: it is known"
        provision_id = found.known.values["provision_id"]
    give_boot(connection, boot.boot_id, node_id=node_id, provision_id=provision_id)
    return _inspect(connection, queue, boot, node_id, text)


def _find(connection: Connection, seal: Seal, identity: Identity) -> Match:
    """Which machine it is, as a scan would find it."""
    known = read_known(connection, seal, [identity], own_job="")
    owners = read_owners(connection, {"address": [identity.address] if identity.address else []})
    owner = owners.get(("address", identity.address), "")
    holder = next((one for one in known if one.node_id == owner), None)
    if owner and (holder is None or contradiction(identity, holder)):
        # BMCs come with one and the same address out of the factory: who is registered keeps it.
        identity = replace(identity, address="")
    [found] = match([identity], known, {identity.address: owner} if identity.address else {})
    return found


def _runs_a_system(known: Known | None) -> str:
    if known is not None and not known.status:
        return f"node {known.node_id} has its serial number, and runs an operating system"
    return ""


def _register(
    connection: Connection,
    seal: Seal,
    settings: Settings,
    found: Match,
    hello: Mapping[str, Any],
    zone_id: str,
) -> tuple[str, str]:
    """A new machine; its node id, and what is said of it."""
    profile, trouble = _profile(connection, settings)
    want = profile | _told(found.identity, hello)
    claims = {kind: [want[name]] for name, kind in OWNED.items() if want.get(name)}
    owners = {key: f"node {node_id}" for key, node_id in read_owners(connection, claims).items()}
    allowed = settings.allowed_networks
    filling = new_machine(found, want, _NO_LOGIN, Owners(owners), allowed, zone_id)
    values = stored(filling.values, seal) | {"status": filling.status}
    [node_id] = add_bm_nodes(connection, [values])
    return (
        node_id,
        f"nobody knew it: registered as {filling.status}{told(filling.left_out)}{trouble}",
    )


def _profile(connection: Connection, settings: Settings) -> tuple[dict[str, Any], str]:
    """What the next machine becomes, and half a sentence when that cannot be said."""
    if settings.discovery_profile is None:
        return {}, ""
    try:
        profile = read_profile(settings.discovery_profile)
        return render(profile, free_number(connection, profile)), ""
    except FirstboxError as error:  # found is found, whatever it is to become
        return {}, f"; without a profile: {error.message}"


def _told(identity: Identity, hello: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a registration, as the machine told them; what cannot be one is left out."""
    said = {
        "brand": identity.brand,
        "serial_number": identity.serial_number,
        "pxe_network_mac_addr": identity.boot_macs[0],
        "cpu_arch": hello["cpu_arch"],
        "boot_mode": hello["boot_mode"],
    }
    found: dict[str, Any] = {}
    for name, value in said.items():
        if value:
            found |= checked({name: value})[0]
    return found


def _identity(settings: Settings, boot: Row[Any], hello: Mapping[str, Any]) -> Identity:
    """The machine, as a scan would describe it; the card it booted from is the first one."""
    others = [nic["mac"] for nic in hello["nics"] if nic["mac"] != boot.mac]
    product = real_value(hello["product"])
    return Identity(
        address=_bmc_address(settings, hello["bmc_address"]),
        brand=brand_name(real_value(hello["brand"]) or product),
        product=product,
        serial_number=real_value(hello["serial_number"]),
        bmc_mac=_mac(hello["bmc_mac"]),
        boot_macs=(boot.mac, *others),
    )


def _bmc_address(settings: Settings, text: str) -> str:
    """Where its BMC is; "" where it has no address that we may talk to."""
    try:
        address = one_machine(text)
    except ValueError:
        return ""
    is_made_up = ip_address(address).is_link_local  # it found no DHCP server
    return address if is_allowed(address, settings.allowed_networks) and not is_made_up else ""


def _mac(text: str) -> str:
    try:
        return mac_of_one_card(text)
    except ValueError:
        return ""


def _inspect(connection: Connection, queue: Queue, boot: Row[Any], node_id: str, text: str) -> bool:
    """Start a job that asks its ramdisk for the hardware; False where there is to be none."""
    action = JobAction.INSPECT_BM_NODES
    try:
        job_id = jobs.start(connection, queue, action, [node_id], user_id=USER)
    except Conflict as refused:
        _give_up(connection, boot, f"is {node_id} ({text}), and left alone: {refused.message}")
        return False
    given = give_boot(connection, boot.boot_id, job_id=job_id)
    record(connection, [Sighting(given, text)])
    return True


def _give_up(connection: Connection, boot: Row[Any], text: str) -> None:
    close_discovery(connection, boot.boot_id)
    record(connection, [Sighting(boot, text, is_failure=True)])
