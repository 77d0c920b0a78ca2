"""Types of what callers send: everything that reaches a playbook, a template, a boot script, a
configuration file or a shell has one of these.

Where a type may be empty, "" means that there is none.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from api.registration.addresses import mac_of_one_card, one_machine

_NO_CONTROL = r"^[^\x00-\x1f\x7f-\x9f]*$"
_HOSTNAME = (
    r"[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?(\.[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?)*"
)


def _once_each(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has characters that cannot be printed")
    return text


NodeId = Annotated[str, StringConstraints(pattern=r"^n-[0-9A-Za-z]{8}$")]
NodeIds = Annotated[list[NodeId], Field(min_length=1), AfterValidator(_once_each)]
Name = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,62}$")]
NameOrEmpty = Annotated[str, StringConstraints(pattern=r"^([0-9A-Za-z][0-9A-Za-z._-]{0,62})?$")]
Hostname = Annotated[str, StringConstraints(max_length=253, pattern=f"^{_HOSTNAME}$")]
HostnameOrEmpty = Annotated[
    str,
    StringConstraints(max_length=253, pattern=f"^({_HOSTNAME})?$"),
    AfterValidator(str.lower),
]
FreeText = Annotated[str, StringConstraints(max_length=1024, pattern=_NO_CONTROL)]
ShortText = Annotated[str, StringConstraints(max_length=128, pattern=_NO_CONTROL)]
DiskName = Annotated[str, StringConstraints(pattern=r"^([0-9A-Za-z][0-9A-Za-z!_-]{0,63})?$")]
Credential = Annotated[str, StringConstraints(max_length=128), AfterValidator(_printable)]
Address = Annotated[
    str, StringConstraints(max_length=45), AfterValidator(lambda text: text and one_machine(text))
]
Netmask = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9]{1,3})?$")]
Mac = Annotated[str, StringConstraints(max_length=17), AfterValidator(mac_of_one_card)]
MacOrEmpty = Annotated[
    str,
    StringConstraints(max_length=17),
    AfterValidator(lambda text: text and mac_of_one_card(text)),
]
Macs = Annotated[list[Mac], Field(max_length=16), AfterValidator(_once_each)]
Flag = Annotated[int, Field(ge=0, le=1)]
VlanId = Annotated[int, Field(ge=0, le=4094)]
Port = Annotated[int, Field(ge=0, le=65535)]
CpuArch = Literal["x86_64", "aarch64", ""]
BootMode = Literal["bios", "uefi", ""]
BmcType = Literal["ipmi", "redfish"]
BondMode = Literal[
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
    "",
]
