"""A rack as a private cloud has it: different systems, different wiring, names by place."""

from collections.abc import Sequence
from ipaddress import IPv4Address

from tests.lab.machines import Machine
from tests.lab.network import Bond, Bridge, Interface, Nic, Vlan, kernel_has
from tests.lab.roots import KINDS

NODES_PER_RACK = 20
GATEWAY = "10.20.255.254"


def plausible_rack(count: int, first: str) -> list[Machine]:
    """Describe `count` machines at consecutive addresses, r01n01 and so on."""
    return [
        Machine(
            name=f"r{number // NODES_PER_RACK + 1:02}n{number % NODES_PER_RACK + 1:02}",
            address=str(IPv4Address(first) + number),
            root=KINDS[number % len(KINDS)],
            nics=_wiring(number),
            gateway=GATEWAY,
        )
        for number in range(count)
    ]


def _wiring(number: int) -> Sequence[Interface]:
    """Return one of three layouts; what this kernel cannot make becomes plain NICs."""
    management = f"10.20.{number // 250}.{number % 250 + 1}/16"
    storage = f"10.21.{number // 250}.{number % 250 + 1}/16"
    layout = number // len(KINDS) % 3
    if layout == 1 and kernel_has("bond") and kernel_has("vlan"):
        return (
            Nic("eth0"),
            Nic("eth1"),
            Bond("bond0", ("eth0", "eth1"), (management,)),
            Vlan("bond0.121", "bond0", 121, (storage,)),
        )
    if layout == 2:
        return (Nic("eth0"), Nic("eth1", (storage,)), Bridge("br0", ("eth0",), (management,)))
    return (Nic("eth0", (management,)), Nic("eth1", (storage,), mtu=9000), Nic("eth2", cable=False))
