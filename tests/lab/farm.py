"""Many SSH hosts for the price of one machine, for load and scale.

    with SshFarm(directory, count=200) as farm:
        farm.addresses, farm.port, farm.user, farm.private_key, farm.known_hosts

All addresses lead into the same machine, but each has its own hostname.
"""

from ipaddress import IPv4Address
from pathlib import Path

from tests.lab.machines import Machine, Machines
from tests.lab.network import Nic
from tests.lab.roots import RootKind


class SshFarm(Machines):
    """`count` hosts at consecutive loopback addresses, farm001, farm002 and so on."""

    def __init__(
        self,
        directory: Path,
        count: int = 200,
        first: str = "127.0.10.1",
        port: int = 2222,
        root: RootKind = "debian",
    ) -> None:
        self.addresses = [str(IPv4Address(first) + number) for number in range(count)]
        names = [f"farm{number:03}" for number in range(1, count + 1)]
        self.hostnames = dict(zip(self.addresses, names, strict=True))
        machine = Machine(
            name=names[0],
            address=self.addresses[0],
            root=root,
            nics=[Nic("eth0", ("10.10.0.1/16",)), Nic("eth1")],
            gateway="10.10.255.254",
            aliases=list(self.hostnames.items())[1:],
        )
        super().__init__(directory, [machine], port)
