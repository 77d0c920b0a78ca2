"""A machine as its Redfish resources tell it; of no resource is it trusted that it has its form.

The hardware is in the words of `api.hardware.model`. Capacities and names are what a BMC sees from
outside: the operating system may number disks and network cards otherwise.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from api.bmc.client import About
from api.bmc.identify import MOST_MACS, mac_of, several_macs, text_of
from api.hardware.model import Cpu, Disk, DiskType, Memory, Network, to_json
from api.hardware.system import brand_name

MOST_DISKS = 48
_MOST_PROCESSORS = 8
_MOST_CONTROLLERS = 8
_PATH = re.compile(r"/redfish/[!-~]{0,500}")
_ARCHITECTURES = {"x86-64": "x86_64", "arm-a64": "aarch64", "aarch64": "aarch64"}

Resource = Mapping[str, Any]
Get = Callable[[str], Resource]
"""The resource at a path; an empty one where there is none that can be read."""


def read_about(get: Get, root: Resource, system: Resource, address: str) -> About:
    """Everything, the most important first: `get` may run out of patience."""
    maker, product = text_of(system.get("Manufacturer")), text_of(system.get("Model"))
    serial = _serial_number(get, system, maker)
    cards = list(_several(get, system.get("EthernetInterfaces"), MOST_MACS))
    macs = several_macs(_card_mac(card) for card in cards)
    bmc_mac = _bmc_mac(get, root, system, address)
    hardware = {
        "cpu": to_json(_cpu(get, system)),
        "memory": to_json(Memory(memory_size=_memory(system))),
        "networks": [to_json(_network(card)) for card in cards if _card_mac(card)],
        "disks": [to_json(disk) for disk in _disks(get, system)],
    }
    is_told = any(hardware["cpu"].values()) or any(hardware["memory"].values())
    is_told = is_told or bool(hardware["networks"] or hardware["disks"])
    return About(maker, product, serial, bmc_mac, macs, hardware if is_told else {})


def _serial_number(get: Get, system: Resource, maker: str) -> str:
    serial, tag = text_of(system.get("SerialNumber")), text_of(system.get("SKU"))
    if brand_name(maker) == "dell" and tag:
        # Dell has the board's number there; its service tag, which DMI and FRU data have, is the SKU.
        return tag
    if serial:
        return serial
    chassis = _links(_map(system.get("Links")).get("Chassis"))
    return next((text_of(get(path).get("SerialNumber")) for path in chassis), "")


def _bmc_mac(get: Get, root: Resource, system: Resource, address: str) -> str:
    """Of the port that has the address we talk to; or else of the first."""
    managers = _links(_map(system.get("Links")).get("ManagedBy"))
    if not managers:
        managers = _links(get(_link(root.get("Managers"))).get("Members"))
    first = ""
    for path in managers[:2]:
        for port in _several(get, get(path).get("EthernetInterfaces"), 8):
            mac = _card_mac(port)
            first = first or mac
            if mac and any(one.get("Address") == address for one in _maps(port, "IPv4Addresses")):
                return mac
    return first


def _cpu(get: Get, system: Resource) -> Cpu:
    summary = _map(system.get("ProcessorSummary"))
    processors = list(_several(get, system.get("Processors"), _MOST_PROCESSORS))
    processors = [one for one in processors if one.get("ProcessorType", "CPU") == "CPU"]
    sets = [text_of(one.get("InstructionSet")).lower() for one in processors]
    models = [text_of(one.get("Model")) for one in processors]
    return Cpu(
        cpu_arch=next((_ARCHITECTURES[one] for one in sets if one in _ARCHITECTURES), ""),
        cpu_cores=sum(_number(one, "TotalCores") for one in processors)
        or _number(summary, "CoreCount"),
        cpu_model=text_of(summary.get("Model")) or next(filter(None, models), ""),
        cpu_processors=sum(_number(one, "TotalThreads") for one in processors)
        or _number(summary, "LogicalProcessorCount"),
        cpu_sockets=_number(summary, "Count") or len(processors),
    )


def _memory(system: Resource) -> float:
    size = _map(system.get("MemorySummary")).get("TotalSystemMemoryGiB")
    if not isinstance(size, int | float) or not 0 < size < 10**6:
        return 0.0
    return round(float(size), 1)


def _network(card: Resource) -> Network:
    link: Literal["up", "down"] = "up" if card.get("LinkStatus") == "LinkUp" else "down"
    return Network(
        name=text_of(card.get("Id")) or text_of(card.get("Name")),
        type="common",
        mac_address=_card_mac(card),
        address="",
        netmask="",
        network="",
        gateway="",
        bond_mode=0,
        raw_device="",
        raw_device_type="",
        slave_devices="",
        vlan_id=None,
        mtu=_number(card, "MTUSize"),
        speed=_number(card, "SpeedMbps"),
        link=link,
    )


def _card_mac(card: Resource) -> str:
    return mac_of(card.get("PermanentMACAddress")) or mac_of(card.get("MACAddress"))


def _disks(get: Get, system: Resource) -> Iterator[Disk]:
    left = MOST_DISKS
    for controller in _several(get, system.get("Storage"), _MOST_CONTROLLERS):
        for path in _links(controller.get("Drives"))[:left]:
            drive = get(path)
            if _number(drive, "CapacityBytes"):
                left -= 1
                yield _disk(drive)
    if left == MOST_DISKS:  # older BMCs know disks in this way only
        for controller in _several(get, system.get("SimpleStorage"), _MOST_CONTROLLERS):
            for device in _maps(controller, "Devices")[:left]:
                if _number(device, "CapacityBytes"):
                    left -= 1
                    yield _disk(device)


def _disk(drive: Resource) -> Disk:
    name = text_of(drive.get("Id")) or text_of(drive.get("Name"))
    serial = text_of(drive.get("SerialNumber"))
    return Disk(
        name=name,
        key=serial or name,
        id="",
        type=_disk_type(drive),
        size=round(_number(drive, "CapacityBytes") / 1e9, 1),
        is_os=False,
        root_part="",
        root_size=0.0,
        swap_part="",
        swap_size=0.0,
        rest_part="",
        rest_size=0.0,
        serial=serial,
        model=text_of(drive.get("Model")),
    )


def _disk_type(drive: Resource) -> DiskType:
    protocol = text_of(drive.get("Protocol")).lower()
    if protocol == "nvme":
        return "nvme"
    if text_of(drive.get("MediaType")).lower() == "ssd":
        return "ssd"
    return "sas" if protocol == "sas" else "sata"


def _several(get: Get, collection: object, most: int) -> Iterator[Resource]:
    """The members of a collection, whole where the answer has them so."""
    path = _link(collection)
    if path:
        for member in _maps(get(path), "Members")[:most]:
            yield member if len(member) > 1 else get(_link(member))


def _links(value: object) -> list[str]:
    found = (_link(one) for one in value) if isinstance(value, list) else ()
    return [path for path in found if path]


def _link(value: object) -> str:
    path = _map(value).get("@odata.id")
    return path if isinstance(path, str) and _PATH.fullmatch(path) else ""


def _maps(resource: Resource, name: str) -> list[Resource]:
    value = resource.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _map(value: object) -> Resource:
    return value if isinstance(value, dict) else {}


def _number(resource: Resource, name: str) -> int:
    value = resource.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 10**18:
        return 0
    return value
