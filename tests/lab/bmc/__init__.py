"""BMCs for tests: see README.md."""

from tests.lab.bmc.ipmi_sim import IpmiSim
from tests.lab.bmc.machine import BootFlags, Event, Machine
from tests.lab.bmc.profile import Profile
from tests.lab.bmc.redfish_bmc import RedfishBmc
from tests.lab.bmc.redfish_emulator import RedfishEmulator
from tests.lab.bmc.simulator import Bmc, Simulator, addresses

__all__ = [
    "Bmc",
    "BootFlags",
    "Event",
    "IpmiSim",
    "Machine",
    "Profile",
    "RedfishBmc",
    "RedfishEmulator",
    "Simulator",
    "addresses",
]
