"""Real machines to test against, on one Linux host: see README.md."""

from tests.lab.errors import LabError
from tests.lab.farm import SshFarm
from tests.lab.machines import Machine, Machines
from tests.lab.network import Bond, Bridge, Nic, Vlan, kernel_has

__all__ = [
    "Bond",
    "Bridge",
    "LabError",
    "Machine",
    "Machines",
    "Nic",
    "SshFarm",
    "Vlan",
    "kernel_has",
]
