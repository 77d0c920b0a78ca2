"""Hardware as the rest of Firstbox sees it: frozen values in the API's own field names."""

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

DiskType = Literal["sata", "sas", "ssd", "nvme"]
NetworkType = Literal["common", "bond", "vlan", "bridge"]
_WHERE_THERE_IS_ONE = ("raw_device_info", "lldp")


@dataclass(frozen=True, slots=True)
class Cpu:
    """All processors together; `cpu_processors` counts hardware threads."""

    cpu_arch: str
    cpu_cores: int
    cpu_model: str
    cpu_processors: int
    cpu_sockets: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What the kernel has to give, in GiB: a little less than what is plugged in."""

    memory_size: float


@dataclass(frozen=True, slots=True)
class OperatingSystem:
    """`os_name` is the codename ("bookworm") or else the ID ("centos")."""

    kernel_version: str
    os_name: str
    os_version: str


@dataclass(frozen=True, slots=True)
class System:
    """Who made the machine; a field the maker left at a placeholder is empty."""

    brand: str
    product: str
    serial_number: str
    uuid: str


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk, sizes in GB; the part fields are filled for the OS disk only.

    A part is named as an operator knows it: "sda1", or the volume that holds the
    file system, "centos-root" or "md0". Its size is the room it takes on this disk,
    so a swap on another disk has size 0.0. `rest_part` is the largest partition or
    volume on the OS disk that is neither root nor swap nor mounted for booting, however
    small it is.
    """

    name: str
    key: str
    id: str
    type: DiskType
    size: float
    is_os: bool
    root_part: str
    root_size: float
    swap_part: str
    swap_size: float
    rest_part: str
    rest_size: float
    serial: str
    model: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Where a cable ends, as the switch says: its name or else its chassis id, and the port's."""

    switch: str
    port: str


@dataclass(frozen=True, slots=True)
class Network:
    """One interface; what a VLAN or bridge stands on is nested in `raw_device_info`."""

    name: str
    type: NetworkType
    mac_address: str
    address: str
    netmask: str
    network: str
    gateway: str
    bond_mode: int
    raw_device: str
    raw_device_type: str
    slave_devices: str
    vlan_id: int | None
    mtu: int
    speed: int
    link: Literal["up", "down"]
    raw_device_info: "Network | None" = None
    lldp: Neighbour | None = None


@dataclass(frozen=True, slots=True)
class ManagementNetwork:
    """The interface we reach the machine through, with the bond and VLAN below it."""

    address: str = ""
    bond_mode: str = ""
    bond_name: str = ""
    bond_slaves: str = ""
    gateway: str = ""
    name: str = ""
    netmask: str = ""
    vlan_id: str = ""
    vlan_raw_device: str = ""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Everything one probe tells about one machine."""

    hostname: str
    cpu: Cpu
    memory: Memory
    os: OperatingSystem
    system: System
    disks: tuple[Disk, ...]
    networks: tuple[Network, ...]
    mgmt_network: ManagementNetwork

    @property
    def os_disk(self) -> Disk | None:
        """The disk that holds "/", if a disk does."""
        return next((disk for disk in self.disks if disk.is_os), None)

    @property
    def data_disks(self) -> tuple[Disk, ...]:
        """The disks the operating system does not need."""
        return tuple(disk for disk in self.disks if not disk.is_os)


def to_json(value: Any) -> Any:
    """Turn a value of this module into plain dicts and lists.

    `raw_device_info` appears only where there is one, as in the API reference; so does `lldp`.
    """
    if is_dataclass(value):
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {
            name: to_json(item)
            for name, item in pairs
            if not (name in _WHERE_THERE_IS_ONE and item is None)
        }
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    return value
