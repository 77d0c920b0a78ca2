"""What callers say of a machine: the fields of its registration, each with its type."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.registration.fields import (
    Address,
    BmcType,
    BondMode,
    BootMode,
    CpuArch,
    Credential,
    DiskName,
    Flag,
    FreeText,
    HostnameOrEmpty,
    MacOrEmpty,
    Macs,
    Name,
    NameOrEmpty,
    Netmask,
    Port,
    ShortText,
    VlanId,
)
from api.registration.rules import Fault


class BMNodeAttributes(BaseModel):
    """A machine's BMC, what it boots from, and what it is to become."""

    model_config = ConfigDict(extra="forbid", strict=True)

    os_version: NameOrEmpty | None = Field(
        None,
        description="The release it is to get, such as `12` or `14.04.5`; required to register.",
    )
    cpu_arch: CpuArch | None = Field(None, description="Required to register.")
    hostname: HostnameOrEmpty | None = Field(None, description="Required to register.")
    ipmi_network_address: Address | None = Field(
        None, description="Of its BMC; required to register."
    )
    ipmi_username: Credential | None = Field(
        None, description="Required to register; at most 16 bytes where `bmc_type` is `ipmi`."
    )
    ipmi_password: Credential | None = Field(
        None,
        description="Required to register; at most 20 bytes where `bmc_type` is `ipmi`. It is stored sealed.",
    )
    pxe_network_mac_addr: MacOrEmpty | None = Field(
        None, description="Of the card it boots from; required to register."
    )
    os_disk_name: DiskName | None = Field(
        None, description="Without it, the smallest disk that is large enough."
    )
    mgmt_network_address: Address | None = None
    mgmt_network_netmask: Netmask | None = Field(
        None, description="`255.255.255.0`, or the prefix length of an IPv6 network."
    )
    mgmt_network_gateway: Address | None = None
    is_mgmt_config_bond: Flag | None = None
    is_mgmt_config_vlan: Flag | None = None
    mgmt_network_vlan_id: VlanId | None = Field(
        None, description="1 to 4094 with `is_mgmt_config_vlan` 1, else 0."
    )
    mgmt_bond_members: Macs | None = Field(
        None, description="MACs of the cards; without a bond, of the one card."
    )
    mgmt_bond_mode: BondMode | None = Field(None, description="Without it, `active-backup`.")
    public_network_address: Address | None = None
    public_network_netmask: Netmask | None = None
    public_network_gateway: Address | None = None
    is_public_config_bond: Flag | None = None
    is_public_config_vlan: Flag | None = None
    public_network_vlan_id: VlanId | None = None
    public_bond_members: Macs | None = None
    public_bond_mode: BondMode | None = None
    serial_number: ShortText | None = None
    brand: ShortText | None = None
    bmc_type: BmcType | None = Field(None, description="Without it, `ipmi`.")
    bmc_port: Port | None = Field(
        None, description="Without it, or 0, the protocol's own: 623 for IPMI, 443 for Redfish."
    )
    boot_mode: BootMode | None = Field(
        None, description="How it boots from the network; empty leaves it to the machine."
    )
    image: NameOrEmpty | None = Field(
        None, description="An image by name; without it, the newest of `os_version`."
    )
    protected: Flag | None = Field(None, description="1: nothing may ever erase it.")
    zone_id: Name | None = None
    description: FreeText | None = None

    def given(self) -> dict[str, Any]:
        """What the caller says, by field."""
        values = ((name, getattr(self, name)) for name in BMNodeAttributes.model_fields)
        return {name: value for name, value in values if value is not None}


def checked(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """What of these values is sound, in canonical spelling, and what is wrong with the others."""
    try:
        return BMNodeAttributes.model_validate(dict(values)).given(), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    faults = []
    for detail in details:
        field = str(detail["loc"][0])
        message = str(detail["msg"]).removeprefix("Value error, ")
        faults.append((field, f"{message}, not {str(values[field])[:64]!r}"))
    wrong = {field for field, _ in faults}
    return checked({name: value for name, value in values.items() if name not in wrong})[0], faults
